//! Helpers that the tests of several crates share. A function panics if something that it needs does not exist.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs)] // these are tests

pub mod messages;
mod not_run;
pub mod parity;
pub mod small_model;
pub mod text;

use std::path::{Path, PathBuf};

pub use not_run::not_run;

/// Returns the path of a file or folder of the repository. `path` is relative to the top folder.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Returns the path of a file or folder of the tests' data.
pub fn data(path: &str) -> PathBuf {
    repository("tests/data").join(path)
}
