//! Detects whether the pictures of a result have changed.

use std::fs;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// The pictures of a result: their content, and the state of their files, which is quicker to compare.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Pictures {
    /// Hash of the content of all pictures.
    pub content: String,
    /// Hash of size, times and number of each file. It changes whenever a file is written or replaced.
    pub files: String,
}

impl Pictures {
    /// Reads the present state of the files; `None` if one cannot be read.
    pub fn state_of_files(frames: &[PathBuf]) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let mut hash = Sha256::new();
        for frame in frames {
            let data = fs::metadata(frame).ok()?;
            let times = [
                data.mtime(),
                data.mtime_nsec(),
                data.ctime(),
                data.ctime_nsec(),
            ];
            hash.update(data.len().to_le_bytes());
            hash.update(data.ino().to_le_bytes());
            times
                .iter()
                .for_each(|time| hash.update(time.to_le_bytes()));
        }
        Some(hex(&hash.finalize()))
    }

    /// Computes the hash of the present content; `None` if a file cannot be read.
    pub(super) fn content_of(frames: &[PathBuf]) -> Option<String> {
        let mut hash = PictureHash::default();
        for frame in frames {
            hash.add(&fs::read(frame).ok()?);
        }
        Some(hash.finish())
    }
}

/// Hashes pictures one after the other.
#[derive(Default)]
pub struct PictureHash(Sha256);

impl PictureHash {
    /// Adds the content of the next picture.
    pub fn add(&mut self, content: &[u8]) {
        self.0.update((content.len() as u64).to_le_bytes());
        self.0.update(content);
    }

    /// The hash of all.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
