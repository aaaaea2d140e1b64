//! Makes texts that are almost valid, to test parsers.

use proptest::prelude::*;

/// Pieces of text, of which some have a meaning in YAML.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~\n]{0,6}",
        "(-1|0|1e9|[.]nan|[.]inf|99999999999999999999|null|~|!!binary|&a|[*]a|<<)"
    ]
}

/// Replaces parts of `base` by pieces of text.
pub fn changed(base: &'static str) -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..12_usize, piece());
    prop::collection::vec(change, 1..5).prop_map(move |changes| {
        let mut text = base.as_bytes().to_vec();
        for (position, length, piece) in changes {
            let start = position.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.bytes());
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}
