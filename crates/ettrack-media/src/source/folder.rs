//! Reads a folder of pictures in the order of the numbers in their names.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use ettrack::frame::ImageBuffer;

use ettrack_files::sort_frames;

use super::{FrameInfo, FrameSource, SourceError};

/// Extensions of picture files, in upper or lower case.
const EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "bmp", "ppm", "pgm"];

/// The pictures of a folder as frames.
#[derive(Debug)]
pub struct FolderSource {
    files: Vec<PathBuf>,
    next: usize,
    /// The file's bytes; memory is reused.
    bytes: Vec<u8>,
}

impl FolderSource {
    /// Lists the pictures of `folder`.
    ///
    /// # Errors
    /// [`SourceError`] if the folder cannot be read or has no pictures.
    pub fn open(folder: &Path) -> Result<Self, SourceError> {
        let io = |source| SourceError::Io {
            path: folder.to_owned(),
            source,
        };
        let mut files = Vec::new();
        let mut folders = Vec::new();
        let mut others = 0;
        for entry in fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_dir() {
                folders.push(
                    path.file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                );
            } else if is_picture(&path) {
                files.push(path);
            } else {
                others += 1;
            }
        }
        if files.is_empty() {
            folders.sort();
            let found = match folders.as_slice() {
                [] => format!("{others} other files"),
                some => format!("{others} other files and the folders {}", some.join(", ")),
            };
            return Err(SourceError::NoPictures {
                path: folder.to_owned(),
                found,
            });
        }
        if let Some(doubt) = sort_frames(&mut files) {
            tracing::warn!("{}: {doubt}", folder.display());
        }
        Ok(Self::from_files(files))
    }

    /// Reads these files in this order.
    pub fn from_files(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            next: 0,
            bytes: Vec::new(),
        }
    }

    /// The bytes of the file that was read last, whether it was a picture or not.
    pub fn last_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether the name is that of a picture. Hidden files do not count: some systems leave `._0001.jpg` beside `0001.jpg`.
fn is_picture(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    !hidden
        && EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
}

/// Reads `path` into `bytes`, whose memory is reused.
fn read_file(path: &Path, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    use std::io::Read;
    bytes.clear();
    fs::File::open(path)?.read_to_end(bytes)?;
    Ok(())
}

impl FrameSource for FolderSource {
    fn next_into(&mut self, image: &mut ImageBuffer) -> Result<Option<FrameInfo>, SourceError> {
        let Some(path) = self.files.get(self.next) else {
            return Ok(None);
        };
        let index = self.next as u64;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.next += 1;
        let result = read_file(path, &mut self.bytes)
            .map_err(Into::into)
            .and_then(|()| ettrack_picture::decode_into(&self.bytes, image).map_err(Into::into));
        match result {
            Ok(()) => Ok(Some(FrameInfo {
                index,
                stamp_ns: None,
                name,
            })),
            Err(source) => Err(SourceError::Frame {
                index,
                name,
                source,
            }),
        }
    }

    fn frame_count(&self) -> Option<u64> {
        Some(self.files.len() as u64)
    }

    fn files(&self) -> &[PathBuf] {
        &self.files
    }
}
