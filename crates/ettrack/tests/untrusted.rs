//! Manifests from anywhere: an answer or an error, never a panic. `fuzz/` does the same for longer.

use std::path::Path;

use ettrack::model::Manifest;
use ettrack_testing::text::changed;
use proptest::prelude::*;

const MANIFEST: &str = include_str!("../../../tests/data/micro_model/model.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn manifests(text in changed(MANIFEST), any in "[ -~\n]{0,200}") {
        let _ = Manifest::parse(&text, Path::new("model.yaml"));
        prop_assert!(Manifest::parse(&any, Path::new("model.yaml")).is_err());
    }
}
