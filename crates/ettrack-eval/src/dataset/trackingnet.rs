//! TrackingNet's test set: `TEST/anno/<sequence>.txt` (one row: the first box) and `TEST/frames/<sequence>/*.jpg`.
//! <https://tracking-net.org>

use super::layout::{load_first_box, text_files};
use super::registry::ResultNames;
use super::{Dataset, DatasetError, Search, SequenceEntry, Subset};
use crate::archive::ServerArchive;
use crate::metrics::Protocol;

/// TrackingNet's test set. Its truth is on a server.
pub static TRACKINGNET: Dataset = Dataset {
    name: "trackingnet",
    aliases: &[],
    help: "TrackingNet's test set; writes the archive for its server",
    expected: "TEST/anno/<sequence>.txt and TEST/frames/<sequence>/*.jpg",
    first_pixel: 0.0,
    subsets: &[Subset::Usual],
    list,
    load: load_first_box,
    protocol: Protocol::OTB,
    archive: Some(ServerArchive {
        boxes: |name| format!("{name}.txt"),
        decimals: 2,
        times: None,
    }),
    result_names: ResultNames::PLAIN,
    has_disappearances: false,
    attributes: None,
};

fn list(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let bases = [search.root.join("TEST"), search.root.to_owned()];
    let Some(base) = bases.iter().find(|base| base.join("anno").is_dir()) else {
        return Ok(Vec::new());
    };
    Ok(text_files(&base.join("anno"))?
        .into_iter()
        .map(|name| {
            let images = base.join("frames").join(&name);
            let truth = base.join("anno").join(format!("{name}.txt"));
            SequenceEntry::new(search, name, images, truth)
        })
        .collect())
}
