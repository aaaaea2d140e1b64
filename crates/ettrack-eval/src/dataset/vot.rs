//! VOT's short-term sequences: `list.txt`, `<sequence>/color/*.jpg` (older years: `<sequence>/*.jpg`) and
//! `<sequence>/groundtruth.txt` with rectangles or polygons. <https://www.votchallenge.net>

use std::path::Path;

use super::layout::{folders, names_in};
use super::{DatasetError, DatasetKind, SequenceEntry};

pub(super) fn list(root: &Path) -> Result<Vec<SequenceEntry>, DatasetError> {
    // Newer years put the list and the sequences into a folder `sequences`.
    let inner = root.join("sequences");
    let base = if inner.is_dir() {
        inner.as_path()
    } else {
        root
    };
    let list = base.join("list.txt");
    let names = if list.is_file() {
        names_in(&list)?
    } else {
        folders(base)?
            .into_iter()
            .filter(|name| base.join(name).join("groundtruth.txt").is_file())
            .collect()
    };
    if names.is_empty() {
        return Err(DatasetError::Layout {
            root: root.to_owned(),
            kind: DatasetKind::Vot,
            expected: "list.txt, <sequence>/groundtruth.txt and <sequence>/color/*.jpg".to_owned(),
        });
    }
    Ok(names
        .into_iter()
        .map(|name| {
            let folder = base.join(&name);
            let color = folder.join("color");
            let images = if color.is_dir() {
                color
            } else {
                folder.clone()
            };
            SequenceEntry::new(
                DatasetKind::Vot,
                name,
                images,
                folder.join("groundtruth.txt"),
            )
        })
        .collect())
}
