//! VOT's short-term sequences: `list.txt`, `<sequence>/color/*.jpg` (older years: `<sequence>/*.jpg`) and
//! `<sequence>/groundtruth.txt` with rectangles or polygons. <https://www.votchallenge.net>

use super::layout::{folders, load_regions, names_in};
use super::registry::ResultNames;
use super::{Dataset, DatasetError, Search, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// VOT's short-term sequences. A polygon is replaced by its bounding rectangle.
pub static VOT: Dataset = Dataset {
    name: "vot",
    aliases: &[],
    help: "VOT's short-term sequences; polygons become their bounding rectangles",
    expected: "list.txt, <sequence>/groundtruth.txt and <sequence>/color/*.jpg",
    first_pixel: 0.0,
    subsets: &[Subset::Usual],
    list,
    load: load_regions,
    protocol: Protocol {
        vot: true,
        ..Protocol::OTB
    },
    archive: None,
    result_names: ResultNames {
        nested: true,
        experiment: Some("unsupervised"),
        ..ResultNames::PLAIN
    },
    has_disappearances: false,
    attributes: None,
};

/// VOT's long-term sequences, in which the target is absent for a time.
pub static VOT_LT: Dataset = Dataset {
    name: "vot_lt",
    aliases: &["vot-lt"],
    help: "VOT's long-term sequences; long-term precision, recall and F are reported, too",
    protocol: Protocol {
        exclude_absent: true,
        long_term: true,
        ..Protocol::OTB
    },
    has_disappearances: true,
    ..VOT
};

fn list(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    // Newer years have the list and the sequences in a folder `sequences`.
    let inner = search.root.join("sequences");
    let base = if inner.is_dir() {
        inner.as_path()
    } else {
        search.root
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
            SequenceEntry::new(search, name, images, folder.join("groundtruth.txt"))
        })
        .collect())
}
