//! What `ettrack simulate` writes: OTB's layout, and beside the truth a `visibility.txt` with the visible part of the
//! target per frame, 0..=1. The root is one sequence or a folder of them.

use std::path::{Path, PathBuf};

use super::layout::{folders, load_plain};
use super::text::read_numbers;
use super::{DatasetError, DatasetKind, Sequence, SequenceEntry};

pub(super) fn list(root: &Path) -> Result<Vec<SequenceEntry>, DatasetError> {
    let is_sequence = |folder: &Path| folder.join("groundtruth_rect.txt").is_file();
    let entry = |folder: PathBuf, name: String| {
        let truth = folder.join("groundtruth_rect.txt");
        SequenceEntry::new(DatasetKind::Simulated, name, folder.join("img"), truth)
    };
    if is_sequence(root) {
        let name = root
            .canonicalize()
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "simulated".to_owned());
        return Ok(vec![entry(root.to_owned(), name)]);
    }
    let entries: Vec<_> = folders(root)?
        .into_iter()
        .filter(|name| is_sequence(&root.join(name)))
        .map(|name| entry(root.join(&name), name))
        .collect();
    if entries.is_empty() {
        return Err(DatasetError::Layout {
            root: root.to_owned(),
            kind: DatasetKind::Simulated,
            expected:
                "groundtruth_rect.txt, visibility.txt and img/*.jpg, or folders that hold these"
                    .to_owned(),
        });
    }
    Ok(entries)
}

pub(super) fn load(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    let path = entry.truth.with_file_name("visibility.txt");
    let visible = if path.is_file() {
        let parts = read_numbers(&path)?;
        Some(parts.into_iter().map(|part| part > 0.0).collect())
    } else {
        None
    };
    load_plain(entry, visible)
}
