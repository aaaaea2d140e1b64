//! GOT-10k: `{val,test}/list.txt`, `<sequence>/*.jpg`, `<sequence>/groundtruth.txt` (test: the first row only) and
//! `<sequence>/cover.label` (0: nothing of the target in sight … 8: all of it). <http://got-10k.aitestunion.com>

use std::path::Path;

use super::layout::{folders, load_first_box_only, load_plain, names_in};
use super::text::{parse_boxes, parse_flags};
use super::{DatasetError, DatasetKind, Sequence, SequenceEntry, Subset};

pub(super) fn list(root: &Path, subset: Subset) -> Result<Vec<SequenceEntry>, DatasetError> {
    let wanted: &[&str] = match subset {
        Subset::Validation => &["val"],
        Subset::Test => &["test"],
        Subset::Usual | Subset::All => &["val", "test"],
    };
    // The root may also be the subset's own folder.
    let own = root
        .file_name()
        .is_some_and(|name| wanted.iter().any(|wanted| name == *wanted))
        .then(|| root.to_owned());
    let base = wanted
        .iter()
        .map(|name| root.join(name))
        .chain(own)
        .find(|base| base.is_dir() && (base != root || base.join("list.txt").is_file()));
    let Some(base) = base else {
        return Err(DatasetError::Layout {
            root: root.to_owned(),
            kind: DatasetKind::Got10k,
            expected: format!(
                "{}/list.txt and <sequence>/*.jpg, <sequence>/groundtruth.txt beside it",
                wanted.join(" or ")
            ),
        });
    };
    let list = base.join("list.txt");
    let names = if list.is_file() {
        names_in(&list)?
    } else {
        folders(&base)?
    };
    Ok(names
        .into_iter()
        .map(|name| {
            let images = base.join(&name);
            let truth = images.join("groundtruth.txt");
            SequenceEntry::new(DatasetKind::Got10k, name, images, truth)
        })
        .collect())
}

pub(super) fn load(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    // Of the test set only the first row is published.
    if parse_boxes(&entry.truth)?.len() == 1 {
        return load_first_box_only(entry);
    }
    let cover = entry.frames.folder.join("cover.label");
    let visible = if cover.is_file() {
        Some(parse_flags(&cover)?)
    } else {
        None
    };
    load_plain(entry, visible)
}
