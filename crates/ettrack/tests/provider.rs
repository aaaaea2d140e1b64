//! Tests providers and precisions with the installed library: the tracker says what runs, and refuses the others.
//!
//! A process has only one ONNX Runtime. Tests that need a library with another provider use the command line
//! (crates/ettrack-cli/tests/providers.rs).

use ettrack::model::provider::{Numbers, Precision, Provider};
use ettrack::{Tracker, TrackerOptions, error_chain};

fn open(options: &TrackerOptions) -> Result<Tracker, String> {
    Tracker::open(ettrack_testing::data("micro_model"), options)
        .map_err(|error| error_chain(&error))
}

fn options() -> TrackerOptions {
    TrackerOptions::default().with_threads(1)
}

#[test]
fn the_default_is_exact_on_cpu() {
    let tracker = open(&options()).expect("the model is part of the repository");
    let execution = tracker.execution();
    assert_eq!(execution.provider, Provider::Cpu);
    assert_eq!(execution.precision, Precision::Exact);
    assert_eq!(execution.numbers, Numbers::F32);
    assert_eq!(execution.to_string(), "cpu, exact (f32)");
}

#[test]
fn a_provider_that_the_library_lacks_is_refused_with_what_it_has_and_how_to_get_it() {
    let refused = open(&options().with_provider(Provider::Qnn)).expect_err("no such library");
    for words in [
        "does not have the provider qnn, it has cpu",
        "ONNX Runtime 1.",
        "onnxruntime-qnn",
    ] {
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn a_precision_that_the_processor_lacks_is_refused_with_what_it_needs() {
    let opened = open(&options().with_precision(Precision::Fast));
    // ARM processors with bf16 instructions have it.
    if cfg!(target_arch = "x86_64") {
        let refused = opened.expect_err("no such kernels on x86");
        let words =
            "provider cpu has no precision fast here: it needs a 64-bit ARM processor with bf16";
        assert!(refused.contains(words), "{refused}");
    } else {
        match opened {
            Ok(tracker) => assert_eq!(tracker.execution().numbers, Numbers::Bf16),
            Err(refused) => assert!(refused.contains("bf16"), "{refused}"),
        }
    }
}

#[test]
fn options_of_a_provider_without_options_are_refused_by_name() {
    let pairs = vec![("device_type".to_owned(), "GPU".to_owned())];
    let refused = open(&options().with_provider_options(pairs)).expect_err("cpu has none");
    let words = "provider_options: \"device_type\" for provider cpu: this provider has no options";
    assert!(refused.contains(words), "{refused}");
}
