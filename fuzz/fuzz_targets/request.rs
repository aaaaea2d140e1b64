//! Bodies of the page's requests: what is accepted is a target or settings within their bounds.
#![no_main]

use ettrack_web::{Command, Place, Value, read_settings, read_target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(Command::Choose { place, stamp }) = read_target(body) {
        match place {
            Place::Box(target) => {
                assert!(target.is_valid() && target.x.abs() <= 1e6 && target.width <= 1e6)
            }
            Place::Point(x, y) => assert!(x.abs() <= 1e6 && y.abs() <= 1e6),
        }
        assert!(stamp.is_none_or(|stamp| stamp >= 0));
    }
    if let Ok(Command::Set(settings)) = read_settings(body) {
        assert!((1..=64).contains(&settings.len()));
        assert!(
            settings
                .iter()
                .all(|(_, value)| !matches!(value, Value::Float(number) if !number.is_finite()))
        );
    }
});
