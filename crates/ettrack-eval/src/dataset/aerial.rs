//! Benchmarks seen from drones, beside UAV123: DTB70, UAV20L, UAVTrack112 and its long-term part, VisDrone-SOT.

use super::layout::{folders, load_boxes, text_files};
use super::registry::ResultNames;
use super::{Dataset, DatasetError, Search, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// DTB70: OTB's layout, each sequence with one target. <https://github.com/flyers/drone-tracking>
pub static DTB70: Dataset = Dataset {
    name: "dtb70",
    aliases: &[],
    help: "DTB70, 70 sequences from drones",
    expected: "<sequence>/groundtruth_rect.txt and <sequence>/img/*.jpg",
    first_pixel: 1.0,
    subsets: &[Subset::Usual],
    list: list_dtb70,
    load: load_boxes,
    protocol: Protocol::OTB,
    archive: None,
    result_names: ResultNames::PLAIN,
    has_disappearances: false,
    attributes: None,
};

fn list_dtb70(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let mut entries = Vec::new();
    for name in folders(search.root)? {
        let folder = search.root.join(&name);
        let truth = folder.join("groundtruth_rect.txt");
        if truth.is_file() {
            entries.push(SequenceEntry::new(search, name, folder.join("img"), truth));
        }
    }
    Ok(entries)
}

/// UAVTrack112: `anno/NAME.txt` and `data_seq/NAME/*.jpg`. <https://github.com/vision4robotics/SiamAPN>
pub static UAVTRACK112: Dataset = Dataset {
    name: "uavtrack112",
    aliases: &[],
    help: "UAVTrack112",
    expected: "anno/<sequence>.txt and data_seq/<sequence>/*.jpg",
    list: |search| list_pairs(search, "anno", "data_seq"),
    ..DTB70
};

/// UAVTrack112's long-term part: the same pictures, `anno_l/NAME.txt`.
pub static UAVTRACK112_L: Dataset = Dataset {
    name: "uavtrack112_l",
    aliases: &["uavtrack112l"],
    help: "UAVTrack112_L, the long sequences of UAVTrack112",
    expected: "anno_l/<sequence>.txt and data_seq/<sequence>/*.jpg",
    list: |search| list_pairs(search, "anno_l", "data_seq"),
    ..DTB70
};

/// VisDrone-SOT: `annotations/NAME.txt` and `sequences/NAME/*.jpg` of one split. <https://github.com/VisDrone/VisDrone-Dataset>
pub static VISDRONE_SOT: Dataset = Dataset {
    name: "visdrone_sot",
    aliases: &["visdrone-sot", "visdrone"],
    help: "VisDrone-SOT, the folder of one split",
    expected: "annotations/<sequence>.txt and sequences/<sequence>/*.jpg",
    first_pixel: 0.0,
    list: |search| list_pairs(search, "annotations", "sequences"),
    ..DTB70
};

/// Sequences whose truth and images lie in two folders, below the root or below its only folder that has both.
pub(super) fn list_pairs(
    search: &Search<'_>,
    truths: &str,
    images: &str,
) -> Result<Vec<SequenceEntry>, DatasetError> {
    let is_base = |base: &std::path::Path| base.join(truths).is_dir() && base.join(images).is_dir();
    let mut bases = vec![search.root.to_owned()];
    bases.extend(
        folders(search.root)?
            .iter()
            .map(|name| search.root.join(name)),
    );
    bases.retain(|base| is_base(base));
    let [base, others @ ..] = bases.as_slice() else {
        return Ok(Vec::new());
    };
    if !others.is_empty() && base != search.root {
        return Err(search.layout_error(format!(
            "one folder with {truths} and {images}; there are several"
        )));
    }
    Ok(text_files(&base.join(truths))?
        .into_iter()
        .map(|name| {
            let truth = base.join(truths).join(format!("{name}.txt"));
            let folder = base.join(images).join(&name);
            SequenceEntry::new(search, name, folder, truth)
        })
        .collect())
}
