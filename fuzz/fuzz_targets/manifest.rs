//! Model manifests and parameter files: real ones with pieces changed, and any text.
#![no_main]

use std::path::Path;

use ettrack::families;
use ettrack::model::Manifest;
use ettrack_node::overrides::Overrides;
use ettrack_node::parameters::Parameters;
use libfuzzer_sys::fuzz_target;

const MANIFEST: &str = include_str!("../../tests/data/micro_model/model.yaml");
const PARAMETERS: &str = include_str!("../../config/tracker.yaml");

/// Puts pieces of text over parts of `base`.
fn changed(base: &str, changes: &[(u16, u8, String)]) -> String {
    let mut text = base.as_bytes().to_vec();
    for (position, length, piece) in changes {
        let start = usize::from(*position).min(text.len());
        let end = (start + usize::from(*length)).min(text.len());
        text.splice(start..end, piece.bytes());
    }
    String::from_utf8_lossy(&text).into_owned()
}

fuzz_target!(|input: (u8, Vec<(u16, u8, String)>, String)| {
    let (kind, changes, any) = input;
    let text = match kind % 4 {
        0 | 1 => changed(MANIFEST, &changes),
        2 => changed(PARAMETERS, &changes),
        _ => any,
    };
    if let Ok(manifest) = Manifest::parse(&text, Path::new("model.yaml"))
        && let Ok(family) = families::by_name(&manifest.family)
    {
        let _ = families::check(family, &manifest);
    }
    let mut parameters = Parameters::default();
    let overrides = Overrides::from_text(&text);
    if overrides
        .and_then(|read| read.apply(&mut parameters, "/robot/tracker"))
        .is_ok()
    {
        // What was accepted is in range.
        assert!((0.5..=8.0).contains(&parameters.search_scale));
    }
});
