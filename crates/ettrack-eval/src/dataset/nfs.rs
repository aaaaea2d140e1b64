//! Need for Speed, in its two known layouts: the authors' `<sequence>/{30,240}/<sequence>/*.jpg` with
//! `<sequence>/{30,240}/<sequence>.txt` (track id, left, top, right, bottom …, always at 240 Hz), and
//! `sequences/<sequence>/*.jpg` with `anno/nfs_<sequence>.txt` (x, y, width, height). <https://ci2cv.net/nfs/>

use super::layout::{folders, text_files};
use super::registry::ResultNames;
use super::text::{parse_boxes, parse_track_corners};
use super::{Dataset, DatasetError, NfsRate, Search, Sequence, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// Need for Speed.
pub static NFS: Dataset = Dataset {
    name: "nfs",
    aliases: &[],
    help: "Need for Speed at 30 or 240 frames a second (--nfs-rate)",
    expected: "<sequence>/30/<sequence>.txt and <sequence>/30/<sequence>/*.jpg (or 240), \
               or anno/nfs_<sequence>.txt and sequences/<sequence>/*.jpg",
    first_pixel: 0.0,
    subsets: &[Subset::Usual],
    list,
    load,
    protocol: Protocol::OTB,
    archive: None,
    result_names: ResultNames {
        pytracking: |name| format!("nfs_{name}"),
        ..ResultNames::PLAIN
    },
    has_disappearances: false,
    attributes: None,
};

/// Rows of the truth file per frame of the 30 Hz version.
const STEP: usize = 8;

fn list(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let root = search.root;
    let mut entries = Vec::new();
    let annotations = root.join("anno");
    if annotations.is_dir() {
        for stem in text_files(&annotations)? {
            let name = stem.strip_prefix("nfs_").unwrap_or(&stem);
            entries.push(SequenceEntry::new(
                search,
                name,
                root.join("sequences").join(name),
                annotations.join(format!("{stem}.txt")),
            ));
        }
    } else {
        let folder = match search.options.nfs_rate {
            NfsRate::Fps30 => "30",
            NfsRate::Fps240 => "240",
        };
        for name in folders(root)? {
            let base = root.join(&name).join(folder);
            let truth = base.join(format!("{name}.txt"));
            if truth.is_file() {
                let images = base.join(&name);
                entries.push(SequenceEntry::new(search, name, images, truth));
            }
        }
    }
    Ok(entries)
}

fn load(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    let mut frames = entry.frames.list()?;
    let in_tracks = entry
        .truth
        .file_stem()
        .is_some_and(|stem| !stem.to_string_lossy().starts_with("nfs_"));
    let mut rows = if in_tracks {
        parse_track_corners(&entry.truth)?
    } else {
        parse_boxes(&entry.truth)?
    };
    if entry.options.nfs_rate == NfsRate::Fps30 && rows.len() > (STEP - 1) * frames.len() {
        rows = rows.into_iter().step_by(STEP).collect();
    }
    // Some published sequences have one frame or one row too many.
    if frames.len().abs_diff(rows.len()) == 1 {
        let common = frames.len().min(rows.len());
        frames.truncate(common);
        rows.truncate(common);
    }
    entry.assemble(frames, &rows, None)
}
