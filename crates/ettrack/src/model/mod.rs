//! What a model folder holds, and running it.
//!
//! A folder's `model.yaml` ([`manifest`]) says everything about its networks; [`runtime`] finds ONNX Runtime;
//! [`network`] runs the graphs with buffers that live as long as the model.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

mod family;
pub mod manifest;
pub mod network;
pub mod runtime;

pub use manifest::{Family, Manifest};
pub use network::{Network, NetworkOptions};

/// Why a model cannot be opened or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// `model.yaml` is not what docs/model-folder.md describes.
    #[error("{path}: {reason}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Key, place and what was expected there.
        reason: String,
    },
    /// A value of the manifest does not fit.
    #[error("{path}: {key} is {got}, expected {expected}")]
    Value {
        /// The manifest.
        path: PathBuf,
        /// The key, with dots.
        key: String,
        /// What it says.
        got: String,
        /// What it may say.
        expected: String,
    },
    /// A file is another one than the manifest means.
    #[error(
        "{path}: sha256 is {got}, expected {expected} ({key} in model.yaml); the file is damaged or belongs to another model"
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The manifest's key.
        key: String,
        /// Checksum of the file.
        got: String,
        /// Checksum in the manifest.
        expected: String,
    },
    /// A graph's inputs and outputs are not those of the manifest.
    #[error("{path}: {what} is {got}, expected {expected}")]
    Tensor {
        /// The ONNX file.
        path: PathBuf,
        /// The tensor, and what of it.
        what: String,
        /// What the graph has.
        got: String,
        /// What the manifest says.
        expected: String,
    },
    /// ONNX Runtime is missing, too old or broken.
    #[error(transparent)]
    Runtime(#[from] runtime::RuntimeError),
    /// ONNX Runtime refuses a graph or fails in it.
    #[error("ONNX Runtime {doing} {path}: {reason}")]
    Onnx {
        /// What it was doing.
        doing: &'static str,
        /// The ONNX file.
        path: PathBuf,
        /// Its message.
        reason: String,
    },
}

/// A model folder whose manifest was read and checked. The networks are opened by [`Network::open`].
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
    /// What `model.yaml` says.
    pub manifest: Manifest,
}

impl ModelFolder {
    /// Reads the manifest of `path`, a model folder or its `model.yaml`.
    ///
    /// # Errors
    /// [`ModelError::Read`], [`ModelError::Manifest`] and [`ModelError::Value`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let file = if path.is_dir() {
            path.join("model.yaml")
        } else {
            path.to_path_buf()
        };
        let text = std::fs::read_to_string(&file).map_err(|source| ModelError::Read {
            path: file.clone(),
            source,
        })?;
        let manifest = Manifest::parse(&text, &file)?;
        // Names such as "." resolve to the folder's own. The folder is asked, not the file: that may be a link into a store.
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = folder.canonicalize().map_err(|source| ModelError::Read {
            path: file.clone(),
            source,
        })?;
        let folder_name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if manifest.name != folder_name {
            return Err(ModelError::Value {
                path: file,
                key: "name".to_owned(),
                got: manifest.name,
                expected: format!("{folder_name}, the name of the folder"),
            });
        }
        Ok(Self {
            path: folder,
            manifest,
        })
    }

    /// The manifest's path, for messages.
    pub fn manifest_path(&self) -> PathBuf {
        self.path.join("model.yaml")
    }

    /// The bytes of one of the folder's files, once their checksum is right.
    pub(crate) fn read(
        &self,
        key: &str,
        file: &manifest::File,
    ) -> Result<(PathBuf, Vec<u8>), ModelError> {
        let path = self.path.join(&file.path);
        let bytes = std::fs::read(&path).map_err(|source| ModelError::Read {
            path: path.clone(),
            source,
        })?;
        let digest = Sha256::digest(&bytes);
        let got: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if got != file.sha256 {
            return Err(ModelError::Checksum {
                path,
                key: key.to_owned(),
                got,
                expected: file.sha256.clone(),
            });
        }
        Ok((path, bytes))
    }
}
