//! Manifests with random changes give a result or an error and never panic. `fuzz/` tries more of them.

use std::path::Path;

use ettrack::families;
use ettrack::model::Manifest;
use ettrack_testing::text::changed;
use proptest::prelude::*;

const MANIFEST: &str = include_str!("../../../tests/data/micro_model/model.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn changed_manifests_do_not_panic(text in changed(MANIFEST), any in "[ -~\n]{0,200}") {
        if let Ok(manifest) = Manifest::parse(&text, Path::new("model.yaml"))
            && let Ok(family) = families::by_name(&manifest.family)
        {
            let _ = families::check(family, &manifest);
        }
        prop_assert!(Manifest::parse(&any, Path::new("model.yaml")).is_err());
    }
}
