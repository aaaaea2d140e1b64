//! A model folder of your own: writes `model.yaml` for two ONNX files, then opens it.
//!
//! `cargo run --release -p ettrack --example own_model_folder -- template.onnx track.onnx my-model`
//!
//! Without arguments it uses the graphs of models/ettrack-nano and a temporary folder. The manifest says everything that
//! the runtime must know; docs/model-folder.md describes each key.

use std::path::{Path, PathBuf};

use ettrack::model::ModelFolder;
use ettrack::{Tracker, TrackerOptions};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let temporary = tempfile::tempdir()?;
    let (template, track, folder) = match arguments.as_slice() {
        [template, track, folder] => (template.clone(), track.clone(), folder.clone()),
        [] => {
            let nano = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/ettrack-nano");
            let folder = temporary.path().join("my-model");
            (nano.join("template.onnx"), nano.join("track.onnx"), folder)
        }
        _ => return Err("expected TEMPLATE.onnx TRACK.onnx FOLDER, or nothing".into()),
    };
    let name = folder.file_name().ok_or("the folder has no name")?;
    let name = name.to_str().ok_or("the folder's name is not UTF-8")?;

    std::fs::create_dir_all(&folder)?;
    let copy = |from: &Path, to: &str| -> std::io::Result<String> {
        let bytes = std::fs::read(from)?;
        std::fs::write(folder.join(to), &bytes)?;
        let digest = Sha256::digest(&bytes);
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    let template = copy(&template, "template.onnx")?;
    let track = copy(&track, "track.onnx")?;

    // The values are those of models/ettrack-nano. Yours stand in the code that trained or exported the network.
    let manifest = format!(
        "format: 1
name: {name}            # equals the folder's name
family: anchor_free     # a score map, and at each cell the distances to the box's sides
description: a model folder of my own
files:
  template: {{path: template.onnx, sha256: {template}}}
  track: {{path: track.onnx, sha256: {track}}}
input: {{channels: rgb, scale: 255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}
template: {{input: template, size: 127, window: box, context: 0.6, outputs: [template_features]}}
search: {{input: search, sizes: [224], exemplar_size: 127, stride: 16}}
outputs:
  score: {{name: cls, activation: sigmoid}}
  boxes: {{name: reg}}
tracking:
  default: {{window_influence: 0.4, penalty_k: 0.1, learning_rate: 0.8, kept_shape: 0.25}}
"
    );
    std::fs::write(folder.join("model.yaml"), manifest)?;

    // Reads the manifest, then checks the checksums, the graphs' tensors and their shapes.
    let model = ModelFolder::open(&folder)?;
    let tracker = Tracker::from_model(model, &TrackerOptions::default())?;
    println!(
        "{} opens with ONNX Runtime {}",
        folder.display(),
        tracker.runtime().version
    );
    Ok(())
}
