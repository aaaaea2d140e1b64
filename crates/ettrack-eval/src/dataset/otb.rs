//! OTB-100: `<sequence>/img/*.jpg` and `<sequence>/groundtruth_rect.txt`, or `groundtruth_rect.1.txt`, `.2.txt` where
//! a folder holds two targets, which are then two sequences (`Jogging-1`, `Jogging-2`).
//! <http://cvlab.hanyang.ac.kr/tracker_benchmark/>

use std::ops::RangeInclusive;

use super::attributes::Attributes;
use super::layout::{folders, text_files};
use super::registry::ResultNames;
use super::text::parse_boxes;
use super::{Dataset, DatasetError, Search, Sequence, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// OTB-100, also called OTB-2015.
pub static OTB100: Dataset = Dataset {
    name: "otb100",
    aliases: &["otb2015"],
    help: "OTB-100, also called OTB-2015",
    expected: "<sequence>/groundtruth_rect.txt and <sequence>/img/*.jpg",
    first_pixel: 1.0,
    subsets: &[Subset::Usual],
    list,
    load,
    protocol: Protocol::OTB,
    archive: None,
    // Jogging-1 is Jogging_1 for pytracking and Jogging.1 for the got10k toolkit, which does not count the empty file of Human4.
    result_names: ResultNames {
        pytracking: |name| name.replace('-', "_"),
        got10k: |name| match name {
            "Human4-2" => "Human4".to_owned(),
            _ => name.replace('-', "."),
        },
        ..ResultNames::PLAIN
    },
    has_disappearances: false,
    attributes: Some(Attributes {
        names: &[
            "illumination variation",
            "out-of-plane rotation",
            "scale variation",
            "occlusion",
            "deformation",
            "motion blur",
            "fast motion",
            "in-plane rotation",
            "out of view",
            "background clutter",
            "low resolution",
        ],
        files: &[
            |name| format!("anno/att/{name}.txt"),
            |name| format!("att/{name}.txt"),
        ],
    }),
};

const TRUTH: &str = "groundtruth_rect";
/// Sequences whose folder has more images than annotations: first and last annotated number.
const PARTS: &[(&str, RangeInclusive<u64>)] = &[
    ("BlurCar1", 247..=988),
    ("BlurCar3", 3..=359),
    ("BlurCar4", 18..=397),
    ("David", 300..=770),
    ("Diving", 1..=215),
    ("Football1", 1..=74),
    ("Freeman3", 1..=460),
    ("Freeman4", 1..=283),
];
/// Frames that the benchmark leaves out at the start. Tiger1's target cannot be recognized in them.
const LEFT_OUT: &[(&str, usize)] = &[("Tiger1", 5)];

fn list(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let root = search.root;
    let mut entries = Vec::new();
    for folder in folders(root)? {
        let path = root.join(&folder);
        for stem in text_files(&path)? {
            let Some(target) = stem.strip_prefix(TRUTH) else {
                continue;
            };
            let truth = path.join(format!("{stem}.txt"));
            // Human4 has an empty file for the target that is not part of the benchmark.
            if std::fs::metadata(&truth).is_ok_and(|file| file.len() == 0) {
                continue;
            }
            let name = match target.strip_prefix('.') {
                Some(target) => format!("{folder}-{target}"),
                None => folder.clone(),
            };
            let numbers = PARTS
                .iter()
                .find(|(part, _)| *part == folder)
                .map(|(_, numbers)| numbers.clone());
            entries.push(
                SequenceEntry::new(search, name, path.join("img"), truth).with_numbers(numbers),
            );
        }
    }
    Ok(entries)
}

fn load(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    let mut frames = entry.frames.list()?;
    let mut rows = parse_boxes(&entry.truth)?;
    if frames.len() != rows.len() {
        return Err(entry.lengths(frames.len(), rows.len()));
    }
    if let Some((_, count)) = LEFT_OUT.iter().find(|(name, _)| *name == entry.name)
        && *count < frames.len()
    {
        frames.drain(..count);
        rows.drain(..count);
    }
    entry.assemble(frames, &rows, None)
}
