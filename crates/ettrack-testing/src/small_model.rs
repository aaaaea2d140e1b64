//! Opens the small models of the tests' data, also with changes in their manifests.

use std::path::Path;

use ettrack::{LostMode, ModelFolder, Tracker, TrackerOptions, error_chain};

/// Opens the model `name` of the tests' data without the target-lost logic.
pub fn committed(name: &str) -> Tracker {
    open(&crate::data(name)).expect("it is committed")
}

/// Opens a copy of the model `name` in which each first text of the manifest is replaced by the second. An error is the
/// whole message that users see.
pub fn changed(name: &str, changes: &[(&str, &str)]) -> Result<Tracker, String> {
    let original = crate::data(name);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join(name);
    std::fs::create_dir(&folder).expect("a folder");
    let text = std::fs::read_to_string(original.join("model.yaml")).expect("it is committed");
    let text = changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    std::fs::write(folder.join("model.yaml"), text).expect("written");
    std::fs::copy(original.join("track.onnx"), folder.join("track.onnx")).expect("copied");
    open(&folder)
}

fn open(folder: &Path) -> Result<Tracker, String> {
    let options = TrackerOptions::default()
        .with_threads(1)
        .with_lost(LostMode::Off);
    ModelFolder::open(folder)
        .map_err(|error| error_chain(&error))
        .and_then(|model| Tracker::from_model(model, &options).map_err(|error| error_chain(&error)))
}
