//! What the tests of ettrack's crates share. Each function panics where what it needs is not there.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs)] // these are tests

pub mod messages;
mod not_run;
pub mod parity;
pub mod text;

use std::path::{Path, PathBuf};

pub use not_run::not_run;

/// A file or folder of the repository, by its path from the top.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// A file or folder of the tests' data.
pub fn data(path: &str) -> PathBuf {
    repository("tests/data").join(path)
}
