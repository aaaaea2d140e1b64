//! What a model folder holds, and running it.
//!
//! A folder's `model.yaml` ([`manifest`]) says everything about its networks; [`runtime`] finds ONNX Runtime;
//! [`provider`] says what runs the graphs inside it; [`network`] runs them with buffers that live as long as the model.

use std::path::PathBuf;

mod constants;
mod folder;
pub mod lost;
pub mod manifest;
pub mod network;
mod plug_ins;
mod processor;
pub mod provider;
pub mod runtime;
mod scales;
mod session;
mod shared_object;

pub use constants::Constants;
pub use folder::ModelFolder;
pub use manifest::Manifest;
pub use network::{Network, NetworkOptions};

/// Why a model cannot be opened or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason. It is part of the message, so it is not the error's source.
        reason: std::io::Error,
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
    /// A file does not have the checksum that the manifest gives.
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
    /// The chosen provider or precision is not available, or the provider refuses a graph.
    #[error(transparent)]
    Provider(#[from] provider::ProviderError),
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

/// Why a value of a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The key, with dots.
    pub key: String,
    /// What the manifest says.
    pub got: String,
    /// What it may say.
    pub expected: String,
}

impl Refusal {
    /// `key` is `got` where `expected` was expected.
    pub fn new(
        key: impl Into<String>,
        got: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            got: got.into(),
            expected: expected.into(),
        }
    }

    /// The error for the manifest in `path`.
    pub fn in_manifest(self, path: PathBuf) -> ModelError {
        ModelError::Value {
            path,
            key: self.key,
            got: self.got,
            expected: self.expected,
        }
    }
}
