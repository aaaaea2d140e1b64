//! TNL2K's test set: `<sequence>/imgs/*` and `<sequence>/groundtruth.txt`; a sentence in `language.txt` is not read.
//! <https://sites.google.com/view/langtrackbenchmark/>

use super::layout::{folders, load_boxes};
use super::registry::ResultNames;
use super::{Dataset, DatasetError, Search, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// TNL2K, tracked by boxes.
pub static TNL2K: Dataset = Dataset {
    name: "tnl2k",
    aliases: &[],
    help: "TNL2K, tracked from the first box; its sentences are not used",
    expected: "<sequence>/groundtruth.txt and <sequence>/imgs/*",
    first_pixel: 0.0,
    subsets: &[Subset::Usual],
    list,
    load: load_boxes,
    protocol: Protocol::OTB,
    archive: None,
    result_names: ResultNames::PLAIN,
    has_disappearances: false,
    attributes: None,
};

fn list(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let mut entries = Vec::new();
    for name in folders(search.root)? {
        let folder = search.root.join(&name);
        let truth = folder.join("groundtruth.txt");
        let images = folder.join("imgs");
        if truth.is_file() && images.is_dir() {
            entries.push(SequenceEntry::new(search, name, images, truth));
        }
    }
    Ok(entries)
}
