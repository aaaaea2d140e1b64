//! The default model of ettrack, carried inside the program, so that a program installed from crates.io or as a
//! wheel can track without any other file.
//!
//! ```
//! let model = ettrack_models::named("ettrack-nano").expect("it is the default");
//! assert!(model.files.iter().any(|(name, _)| *name == "model.yaml"));
//! ```

/// A model folder in memory.
#[derive(Debug, Clone, Copy)]
pub struct BundledModel {
    /// The folder's name, which is the model's.
    pub name: &'static str,
    /// The name of each file of the folder and its bytes.
    pub files: &'static [(&'static str, &'static [u8])],
}

/// The model that is used where none is named.
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
