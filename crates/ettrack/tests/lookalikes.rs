//! The classifier of the default model: it costs nothing where it is switched off, starts anew with each target, and
//! its features are checked like every output.

use std::path::{Path, PathBuf};

use ettrack::model::Constants;
use ettrack::{BoundingBox, Encoding, Frame, LostMode, Tracker, TrackerOptions};
use ettrack_sim::{Simulation, SimulationOptions};

const CONSTANTS: [&str; 3] = ["classifier_weight", "lookalike_above", "lookalike_growth"];

fn default_model() -> PathBuf {
    ettrack_testing::repository("models/ettrack-nano")
}

fn manifest() -> String {
    std::fs::read_to_string(default_model().join("model.yaml")).expect("the default model")
}

/// The default model with another manifest.
fn with_manifest(folder: &Path, text: &str) -> PathBuf {
    let model = folder.join("ettrack-nano");
    std::fs::create_dir(&model).expect("an empty folder");
    for file in ["template.onnx", "track.onnx"] {
        std::fs::copy(default_model().join(file), model.join(file)).expect("a file of the model");
    }
    std::fs::write(model.join("model.yaml"), text).expect("a folder to write to");
    model
}

fn options(overrides: &[(&str, f64)]) -> TrackerOptions {
    TrackerOptions::default()
        .with_threads(1)
        .with_lost(LostMode::Off)
        .with_overrides(Constants::from_iter(overrides.iter().copied()))
}

/// The boxes of 30 frames of a rendered flight. The picture is small, because rendering takes most of the time.
fn boxes(tracker: &mut Tracker, seed: u64) -> Vec<BoundingBox> {
    let options = SimulationOptions {
        seed,
        width: 320,
        height: 240,
        ..SimulationOptions::default()
    };
    let flight = Simulation::new(options).expect("options in their ranges");
    let mut found = Vec::new();
    for index in 0..30 {
        let rendered = flight.frame(index);
        let (width, height) = rendered.picture.dimensions();
        let frame = Frame::packed(rendered.picture.as_raw(), width, height, Encoding::Rgb8)
            .expect("it fits");
        if index == 0 {
            let target = rendered.target.expect("the target is in the first frame");
            tracker.initialize(&frame, target).expect("a target");
        } else {
            found.push(tracker.update(&frame).expect("a track").bounding_box);
        }
    }
    found
}

#[test]
fn switched_off_it_gives_the_boxes_of_a_model_without_features() {
    let folder = tempfile::tempdir().unwrap();
    // The list of constants may take several lines.
    let text = manifest().replace(",\n    ", ", ");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let before = lines.len();
    lines.retain(|line| !line.contains("features: {"));
    assert_eq!(lines.len() + 1, before, "one line names the features");
    let constants = lines
        .iter_mut()
        .find(|line| line.contains("default: {"))
        .expect("a set of constants");
    for name in CONSTANTS {
        let start = constants
            .find(&format!(", {name}: "))
            .expect("the constant is set");
        let end = start + 2 + constants[start + 2..].find([',', '}']).expect("it ends");
        constants.replace_range(start..end, "");
    }
    let text = lines.join("\n") + "\n";
    let plain = with_manifest(folder.path(), &text);
    let mut plain = Tracker::open(plain, &options(&[])).expect("a model without features");
    let off = options(&[("classifier_weight", 0.0), ("lookalike_above", 0.0)]);
    let mut off = Tracker::open(default_model(), &off).expect("the default model");
    let mut on = Tracker::open(default_model(), &options(&[])).expect("the default model");
    let expected = boxes(&mut plain, 3);
    assert_eq!(boxes(&mut off, 3), expected);
    assert_ne!(boxes(&mut on, 3), expected, "on, it acts");
}

#[test]
fn a_new_target_is_tracked_as_by_a_new_tracker() {
    let mut tracker = Tracker::open(default_model(), &options(&[])).expect("the default model");
    boxes(&mut tracker, 2);
    let second = boxes(&mut tracker, 4);
    let mut fresh = Tracker::open(default_model(), &options(&[])).expect("the default model");
    assert_eq!(boxes(&mut fresh, 4), second);
}

#[test]
fn features_of_another_shape_are_refused() {
    let text = manifest();
    for (from, to, words) in [
        ("channels: 48", "channels: 47", ["features", "47", "48"]),
        (
            "name: features",
            "name: feature_map",
            ["feature_map", "cls", "features"],
        ),
        (
            "channels: 48",
            "channel: 48",
            ["channel", "channels", "name"],
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let folder = tempfile::tempdir().unwrap();
        let model = with_manifest(folder.path(), &text.replacen(from, to, 1));
        let error = Tracker::open(model, &options(&[])).expect_err("a wrong manifest");
        let message = ettrack::error_chain(&error).to_string();
        for word in words {
            assert!(message.contains(word), "{message} without {word}");
        }
    }
}
