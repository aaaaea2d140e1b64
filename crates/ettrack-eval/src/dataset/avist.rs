//! AVisT: `anno/NAME.txt`, `sequences/NAME/*.jpg`, `full_occlusion/NAME_full_occlusion.txt`,
//! `out_of_view/NAME_out_of_view.txt`. <https://sites.google.com/view/avist-benchmark>

use super::aerial::list_pairs;
use super::layout::load_boxes_and_visibility;
use super::registry::ResultNames;
use super::text::parse_flags;
use super::{Dataset, DatasetError, Sequence, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// AVisT: tracking in bad visibility.
pub static AVIST: Dataset = Dataset {
    name: "avist",
    aliases: &[],
    help: "AVisT, sequences in bad visibility",
    expected: "anno/<sequence>.txt and sequences/<sequence>/*.jpg",
    first_pixel: 0.0,
    subsets: &[Subset::Usual],
    list: |search| list_pairs(search, "anno", "sequences"),
    load,
    protocol: Protocol {
        out_of_sight_is_a_miss: true,
        ..Protocol::OTB
    },
    archive: None,
    result_names: ResultNames::PLAIN,
    has_disappearances: false,
    attributes: None,
};

fn load(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    let base = entry.truth.ancestors().nth(2).unwrap_or(&entry.truth);
    let mut hidden: Option<Vec<bool>> = None;
    for kind in ["full_occlusion", "out_of_view"] {
        let path = base
            .join(kind)
            .join(format!("{}_{kind}.txt", entry.file_name()));
        if !path.is_file() {
            continue;
        }
        let flags = parse_flags(&path)?;
        hidden = Some(match hidden {
            None => flags,
            Some(other) if other.len() == flags.len() => {
                other.iter().zip(&flags).map(|(a, b)| *a || *b).collect()
            }
            Some(other) => return Err(entry.lengths(flags.len(), other.len())),
        });
    }
    let visible = hidden.map(|hidden| hidden.into_iter().map(|flag| !flag).collect());
    load_boxes_and_visibility(entry, visible)
}
