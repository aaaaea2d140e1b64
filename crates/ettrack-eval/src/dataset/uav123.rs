//! UAV123: `anno/UAV123/<sequence>.txt` and `data_seq/UAV123/<folder>/*.jpg`; several sequences may be parts of one folder.
//! At 10 frames a second both folders are called `UAV123_10fps`. <https://cemse.kaust.edu.sa/ivul/uav123>

use std::path::{Path, PathBuf};

use super::layout::text_files;
use super::{DatasetError, DatasetKind, SequenceEntry};

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

pub(super) fn list(kind: DatasetKind, root: &Path) -> Result<Vec<SequenceEntry>, DatasetError> {
    let (inner, step) = match kind {
        DatasetKind::Uav123TenFps => ("UAV123_10fps", 3),
        _ => ("UAV123", 1),
    };
    // The published archive has one more folder of the same name around everything.
    let bases = [root.to_owned(), root.join(inner)];
    let Some(base): Option<&PathBuf> = bases
        .iter()
        .find(|base| base.join("anno").join(inner).is_dir())
    else {
        return Err(DatasetError::Layout {
            root: root.to_owned(),
            kind,
            expected: format!("anno/{inner}/<sequence>.txt and data_seq/{inner}/<sequence>/*.jpg"),
        });
    };
    let truths = base.join("anno").join(inner);
    let images = base.join("data_seq").join(inner);
    Ok(text_files(&truths)?
        .into_iter()
        .map(|name| {
            let truth = truths.join(format!("{name}.txt"));
            match part(&name) {
                Some((folder, first, last)) => {
                    // Every third frame is kept, the first included, and they are numbered anew.
                    let at_rate = |number: u64| (number - 1) / step + 1;
                    SequenceEntry::new(kind, name, images.join(folder), truth)
                        .with_numbers(Some(at_rate(first)..=at_rate(last)))
                }
                None => {
                    let folder = images.join(&name);
                    SequenceEntry::new(kind, name, folder, truth)
                }
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
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
