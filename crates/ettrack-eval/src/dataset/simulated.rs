//! The output of `ettrack simulate`: OTB's layout, and beside the truth a `visibility.txt` with the visible part of the
//! target per frame, 0..=1. The root is one sequence or a folder of sequences.

use std::path::{Path, PathBuf};

use super::layout::{folders, load_boxes_and_visibility};
use super::registry::ResultNames;
use super::text::read_numbers;
use super::{Dataset, DatasetError, Search, Sequence, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// The output of `ettrack simulate`.
pub static SIMULATED: Dataset = Dataset {
    name: "simulated",
    aliases: &[],
    help: "what `ettrack simulate` writes",
    expected: "groundtruth_rect.txt, visibility.txt and img/*.jpg, or folders that hold these",
    first_pixel: 1.0,
    subsets: &[Subset::Usual],
    list,
    load,
    protocol: Protocol {
        // The truth says exactly when the target is not visible.
        exclude_absent: true,
        ..Protocol::OTB
    },
    archive: None,
    result_names: ResultNames::PLAIN,
    has_disappearances: true,
    attributes: None,
};

fn list(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let root = search.root;
    let is_sequence = |folder: &Path| folder.join("groundtruth_rect.txt").is_file();
    let entry = |folder: PathBuf, name: String| {
        let truth = folder.join("groundtruth_rect.txt");
        SequenceEntry::new(search, name, folder.join("img"), truth)
    };
    if is_sequence(root) {
        let name = root
            .canonicalize()
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "simulated".to_owned());
        return Ok(vec![entry(root.to_owned(), name)]);
    }
    Ok(folders(root)?
        .into_iter()
        .filter(|name| is_sequence(&root.join(name)))
        .map(|name| entry(root.join(&name), name))
        .collect())
}

fn load(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    let path = entry.truth.with_file_name("visibility.txt");
    let visible = if path.is_file() {
        let parts = read_numbers(&path)?;
        Some(parts.into_iter().map(|part| part > 0.0).collect())
    } else {
        None
    };
    load_boxes_and_visibility(entry, visible)
}
