//! UAV123: `anno/UAV123/<sequence>.txt` and `data_seq/UAV123/<folder>/*.jpg`. Several sequences may be parts of one folder.
//! At 10 frames a second both folders are called `UAV123_10fps`. <https://cemse.kaust.edu.sa/ivul/uav123>

use super::attributes::Attributes;
use super::layout::{load_boxes, text_files};
use super::registry::ResultNames;
use super::{Dataset, DatasetError, Search, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// UAV123 at 30 frames a second.
pub static UAV123: Dataset = Dataset {
    name: "uav123",
    aliases: &[],
    help: "UAV123 at 30 frames a second",
    expected: "anno/UAV123/<sequence>.txt and data_seq/UAV123/<sequence>/*.jpg",
    first_pixel: 1.0,
    subsets: &[Subset::Usual],
    list: |search| list(search, "UAV123", 1),
    load: load_boxes,
    protocol: Protocol {
        center_error_of_absent: -1.0,
        ..Protocol::OTB
    },
    archive: None,
    result_names: ResultNames {
        pytracking: |name| format!("uav_{name}"),
        ..ResultNames::PLAIN
    },
    has_disappearances: false,
    attributes: Some(ATTRIBUTES),
};

const ATTRIBUTES: Attributes = Attributes {
    names: &[
        "scale variation",
        "aspect ratio change",
        "low resolution",
        "fast motion",
        "full occlusion",
        "partial occlusion",
        "out of view",
        "background clutter",
        "illumination variation",
        "viewpoint change",
        "camera motion",
        "similar object",
    ],
    files: &[
        |name| format!("anno/UAV123/att/{name}.txt"),
        |name| format!("UAV123/anno/UAV123/att/{name}.txt"),
    ],
};

/// The twenty long sequences of UAV123's authors. Their pictures are those of UAV123, whole folders.
pub static UAV20L: Dataset = Dataset {
    name: "uav20l",
    aliases: &[],
    help: "UAV20L, twenty long sequences of UAV123's pictures",
    expected: "anno/UAV20L/<sequence>.txt and data_seq/UAV123/<sequence>/*.jpg",
    list: list_long,
    attributes: Some(Attributes {
        files: &[|name| format!("anno/UAV20L/att/{name}.txt")],
        ..ATTRIBUTES
    }),
    ..UAV123
};

fn list_long(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let bases = [search.root.to_owned(), search.root.join("UAV123")];
    let Some(base) = bases.iter().find(|base| base.join("anno/UAV20L").is_dir()) else {
        return Ok(Vec::new());
    };
    let truths = base.join("anno/UAV20L");
    let images = base.join("data_seq/UAV123");
    let names = text_files(&truths)?.into_iter();
    Ok(names
        .map(|name| {
            let truth = truths.join(format!("{name}.txt"));
            SequenceEntry::new(search, name.clone(), images.join(name), truth)
        })
        .collect())
}

/// UAV123 at 10 frames a second.
pub static UAV123_10FPS: Dataset = Dataset {
    name: "uav123_10fps",
    aliases: &["uav123-10fps"],
    help: "UAV123 at 10 frames a second",
    expected: "anno/UAV123_10fps/<sequence>.txt and data_seq/UAV123_10fps/<sequence>/*.jpg",
    list: |search| list(search, "UAV123_10fps", 3),
    attributes: Some(Attributes {
        files: &[
            |name| format!("anno/UAV123_10fps/att/{name}.txt"),
            |name| format!("anno/UAV123/att/{name}.txt"),
        ],
        ..ATTRIBUTES
    }),
    ..UAV123
};

/// Sequences that are a part of another folder: name, folder, first and last number at 30 frames a second.
const PARTS: &str = include_str!("uav123_parts.txt");

fn part(name: &str) -> Option<(&'static str, u64, u64)> {
    PARTS.lines().find_map(|line| {
        let mut fields = line.split(' ');
        (fields.next()? == name).then_some(())?;
        Some((
            fields.next()?,
            fields.next()?.parse().ok()?,
            fields.next()?.parse().ok()?,
        ))
    })
}

/// `inner` is the folder's name, `step` the number of frames at 30 Hz per frame of this version.
fn list(search: &Search<'_>, inner: &str, step: u64) -> Result<Vec<SequenceEntry>, DatasetError> {
    // The published archive has one more folder of the same name around all files.
    let bases = [search.root.to_owned(), search.root.join(inner)];
    let Some(base) = bases
        .iter()
        .find(|base| base.join("anno").join(inner).is_dir())
    else {
        return Ok(Vec::new());
    };
    let truths = base.join("anno").join(inner);
    let images = base.join("data_seq").join(inner);
    Ok(text_files(&truths)?
        .into_iter()
        .map(|name| {
            let truth = truths.join(format!("{name}.txt"));
            match part(&name) {
                Some((folder, first, last)) => {
                    // The slow version has every third frame, from the first on, with new numbers.
                    let at_rate = |number: u64| (number - 1) / step + 1;
                    SequenceEntry::new(search, name, images.join(folder), truth)
                        .with_numbers(Some(at_rate(first)..=at_rate(last)))
                }
                None => {
                    let folder = images.join(&name);
                    SequenceEntry::new(search, name, folder, truth)
                }
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_parts_is_complete() {
        assert_eq!(PARTS.lines().count(), 51);
        for line in PARTS.lines() {
            let name = line.split(' ').next().unwrap();
            let (folder, first, last) = part(name).unwrap();
            assert!(
                name.starts_with(folder) && 1 <= first && first < last,
                "{line}"
            );
        }
        assert_eq!(part("bird1_2"), Some(("bird1", 775, 1477)));
        assert_eq!(part("bird1"), None);
    }
}
