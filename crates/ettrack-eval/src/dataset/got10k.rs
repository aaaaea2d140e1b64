//! GOT-10k: `{val,test}/list.txt`, `<sequence>/*.jpg`, `<sequence>/groundtruth.txt` (test: the first row only) and
//! `<sequence>/cover.label` (0: the target is not visible … 8: all of it is). <http://got-10k.aitestunion.com>

use super::layout::{folders, load_boxes_and_visibility, load_first_box, names_in};
use super::registry::ResultNames;
use super::text::{parse_boxes, parse_flags};
use super::{Dataset, DatasetError, Search, Sequence, SequenceEntry, Subset};
use crate::archive::ServerArchive;
use crate::metrics::Protocol;

/// GOT-10k: the validation set with truth, the test set without.
pub static GOT10K: Dataset = Dataset {
    name: "got10k",
    aliases: &["got-10k"],
    help: "GOT-10k, its validation set, or the test set with --subset test; writes the archive for its server",
    expected: "val/list.txt or test/list.txt and <sequence>/*.jpg, <sequence>/groundtruth.txt beside it",
    first_pixel: 0.0,
    subsets: &[Subset::Usual, Subset::Validation, Subset::Test],
    list,
    load,
    protocol: Protocol {
        count_first_frame: false,
        exclude_absent: true,
        clip_to_image: true,
        pool_frames: true,
        ..Protocol::OTB
    },
    archive: Some(ServerArchive {
        boxes: |name| format!("{name}/{name}_001.txt"),
        decimals: 4,
        times: Some(|name| format!("{name}/{name}_time.txt")),
    }),
    result_names: ResultNames {
        nested: true,
        ..ResultNames::PLAIN
    },
    has_disappearances: false,
    attributes: None,
};

fn list(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let root = search.root;
    let wanted: &[&str] = match search.options.subset {
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
        return Err(search.layout_error(format!(
            "{}/list.txt and <sequence>/*.jpg, <sequence>/groundtruth.txt beside it",
            wanted.join(" or ")
        )));
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
            SequenceEntry::new(search, name, images, truth)
        })
        .collect())
}

fn load(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    // Only the first row of the test set is published.
    if parse_boxes(&entry.truth)?.len() == 1 {
        return load_first_box(entry);
    }
    let cover = entry.frames.folder.join("cover.label");
    let visible = if cover.is_file() {
        Some(parse_flags(&cover)?)
    } else {
        None
    };
    load_boxes_and_visibility(entry, visible)
}
