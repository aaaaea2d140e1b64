//! TrackingNet's test set: `TEST/anno/<sequence>.txt` (one row: the first box) and `TEST/frames/<sequence>/*.jpg`.
//! <https://tracking-net.org>

use std::path::Path;

use super::layout::text_files;
use super::{DatasetError, DatasetKind, SequenceEntry};

pub(super) fn list(root: &Path) -> Result<Vec<SequenceEntry>, DatasetError> {
    let bases = [root.join("TEST"), root.to_owned()];
    let Some(base) = bases.iter().find(|base| base.join("anno").is_dir()) else {
        return Err(DatasetError::Layout {
            root: root.to_owned(),
            kind: DatasetKind::TrackingNet,
            expected: "TEST/anno/<sequence>.txt and TEST/frames/<sequence>/*.jpg".to_owned(),
        });
    };
    Ok(text_files(&base.join("anno"))?
        .into_iter()
        .map(|name| {
            let images = base.join("frames").join(&name);
            let truth = base.join("anno").join(format!("{name}.txt"));
            SequenceEntry::new(DatasetKind::TrackingNet, name, images, truth)
        })
        .collect())
}
