//! The default model of ettrack, carried inside the program, so that a program installed from crates.io or as a
//! wheel can track without any other file.
//!
//! ```
//! let model = ettrack_models::open("ettrack-nano")?;
//! assert_eq!(model.manifest.family, "anchor_free");
//! # Ok::<(), ettrack::model::ModelError>(())
//! ```

use std::io;
use std::path::{Component, Path};

use ettrack::model::{ModelError, ModelFolder};

/// A model folder in memory.
#[derive(Debug, Clone, Copy)]
pub struct BundledModel {
    /// The folder's name, which is the model's.
    pub name: &'static str,
    /// The name of each file of the folder and its bytes.
    pub files: &'static [(&'static str, &'static [u8])],
}

/// The model that is used if none is named.
pub const DEFAULT: BundledModel = BundledModel {
    name: "ettrack-nano",
    files: &[
        ("model.yaml", include_bytes!("ettrack-nano/model.yaml")),
        (
            "template.onnx",
            include_bytes!("ettrack-nano/template.onnx"),
        ),
        ("track.onnx", include_bytes!("ettrack-nano/track.onnx")),
    ],
};

/// All bundled models.
pub const ALL: &[BundledModel] = &[DEFAULT];

/// The bundled model of this name.
pub fn named(name: &str) -> Option<&'static BundledModel> {
    ALL.iter().find(|model| model.name == name)
}

impl BundledModel {
    /// Its manifest, read and checked.
    ///
    /// # Errors
    /// Those of [`ModelFolder::from_memory`].
    pub fn open(&self) -> Result<ModelFolder, ModelError> {
        ModelFolder::from_memory(self.name, self.files)
    }
}

/// The bundled model that a path names as this repository does: its name, in `models` or without it, from the folder where it
/// is or from another one (`./models/NAME`, `../models/NAME`, `NAME/model.yaml`). An absolute path names no bundled model.
fn bundled_at(path: &Path) -> Option<&'static BundledModel> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir | Component::ParentDir if names.is_empty() => {}
            Component::Normal(name) => names.push(name.to_str()?),
            _ => return None,
        }
    }
    if names.first() == Some(&"models") {
        names.remove(0);
    }
    match names[..] {
        [name] | [name, "model.yaml"] => named(name),
        _ => None,
    }
}

/// Opens the model that a user named: a model folder or its `model.yaml`, else the bundled model of that name. So
/// `models/ettrack-nano` and `ettrack-nano` are found from any working directory, and a folder on disk is preferred.
///
/// # Errors
/// Those of [`ModelFolder::open`]. Where there is neither a file nor a bundled model, the message names the path that
/// was tried and the bundled models.
pub fn open(path: impl AsRef<Path>) -> Result<ModelFolder, ModelError> {
    let path = path.as_ref();
    if path.exists() {
        return ModelFolder::open(path);
    }
    if let Some(model) = bundled_at(path) {
        return model.open();
    }
    let tried = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bundled: Vec<_> = ALL.iter().map(|model| model.name).collect();
    Err(ModelError::Read {
        path: tried,
        reason: io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "no such file or folder; built-in models: {}",
                bundled.join(", ")
            ),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::{ALL, open};

    #[test]
    fn opens_a_bundled_model_by_its_name_from_any_folder() {
        for model in ALL {
            let name = model.name;
            for name in [
                name.to_owned(),
                format!("{name}/"),
                format!("models/{name}"),
                format!("./models/{name}"),
                format!("../../models/{name}/model.yaml"),
            ] {
                assert_eq!(open(&name).unwrap().manifest.name, model.name, "{name}");
            }
        }
    }

    #[test]
    fn prefers_a_folder_on_disk() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ettrack-nano");
        assert!(open(folder).unwrap().path().is_some());
    }

    #[test]
    fn names_the_path_that_was_tried_and_the_bundled_models() {
        for path in ["models/of-nobody", "/models/ettrack-nano"] {
            let error = open(path).unwrap_err().to_string();
            for part in [path, "ettrack-nano"] {
                assert!(error.contains(part), "{error}");
            }
        }
    }
}
