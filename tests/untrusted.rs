//! A parameter file with any content gives parameters or an error, never a panic.

use ettrack_node::overrides::Overrides;
use ettrack_node::parameters::Parameters;
use ettrack_testing::text::changed;
use proptest::prelude::*;

const PARAMETERS: &str = include_str!("../config/tracker.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn parameter_files(text in changed(PARAMETERS), any in "[ -~\n]{0,200}") {
        for text in [text, any] {
            let mut parameters = Parameters::default();
            let overrides = Overrides::from_text(&text);
            match overrides.and_then(|read| read.apply(&mut parameters, "/robot/tracker")) {
                Ok(_) => prop_assert!((1.0..=8.0).contains(&parameters.search_scale)),
                Err(_) => prop_assert_eq!(parameters, Parameters::default()),
            }
        }
    }
}
