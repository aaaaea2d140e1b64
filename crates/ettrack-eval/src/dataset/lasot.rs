//! LaSOT: `<class>/<class>-<n>/{img/*.jpg, groundtruth.txt, full_occlusion.txt, out_of_view.txt}`; the folder of the
//! class may be missing. The test split is read from `testing_set.txt` in the root; without that file it is the published
//! one.
//! <http://vision.cs.stonybrook.edu/~lasot/>

use std::collections::HashSet;
use std::path::Path;

use super::attributes::Attributes;
use super::layout::{folders, load_boxes_and_visibility, names_in};
use super::registry::ResultNames;
use super::text::parse_flags;
use super::{Dataset, DatasetError, Search, Sequence, SequenceEntry, Subset};
use crate::metrics::Protocol;

/// LaSOT.
pub static LASOT: Dataset = Dataset {
    name: "lasot",
    aliases: &[],
    help: "LaSOT, its test split unless --subset all",
    expected: "<class>/<class>-<n>/groundtruth.txt and <class>/<class>-<n>/img/*.jpg",
    first_pixel: 1.0,
    subsets: &[Subset::Usual, Subset::Test, Subset::All],
    list,
    load,
    protocol: Protocol {
        out_of_sight_is_a_miss: true,
        refuse_short: true,
        ..Protocol::OTB
    },
    archive: None,
    result_names: ResultNames::PLAIN,
    has_disappearances: false,
    attributes: Some(ATTRIBUTES),
};

const ATTRIBUTES: Attributes = Attributes {
    names: &[
        "illumination variation",
        "partial occlusion",
        "deformation",
        "motion blur",
        "camera motion",
        "rotation",
        "background clutter",
        "viewpoint change",
        "scale variation",
        "full occlusion",
        "fast motion",
        "out of view",
        "low resolution",
        "aspect ratio change",
    ],
    files: &[
        |name| format!("annos/att/{name}.txt"),
        |name| format!("att/{name}.txt"),
    ],
};

/// LaSOT's extension: fifteen further classes, all for testing.
pub static LASOT_EXT: Dataset = Dataset {
    name: "lasot_ext",
    aliases: &["lasot-ext", "lasot_extension_subset"],
    help: "LaSOT's extension of 150 sequences",
    subsets: &[Subset::Usual],
    list: find,
    ..LASOT
};

/// The published test split. Each line has a class and the numbers of its four sequences.
const TEST_SPLIT: &str = include_str!("lasot_test.txt");

fn test_split(root: &Path) -> Result<HashSet<String>, DatasetError> {
    let list = root.join("testing_set.txt");
    if list.is_file() {
        return Ok(names_in(&list)?.into_iter().collect());
    }
    Ok(TEST_SPLIT
        .lines()
        .flat_map(|line| {
            let mut fields = line.split(' ');
            let class = fields.next().unwrap_or_default();
            fields.map(move |number| format!("{class}-{number}"))
        })
        .collect())
}

fn list(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let root = search.root;
    let mut entries = find(search)?;
    // A sequence that is given by name may come from the training split.
    if search.options.subset != Subset::All && !search.by_name && !entries.is_empty() {
        let split = test_split(root)?;
        let found = entries.len();
        entries.retain(|entry| split.contains(&entry.name));
        if entries.is_empty() {
            return Err(search.layout_error(format!(
                "sequences of the test split; none of the {found} found is one (all of them with subset \"all\")"
            )));
        }
    }
    Ok(entries)
}

/// All sequences below the root.
fn find(search: &Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError> {
    let root = search.root;
    let mut entries = Vec::new();
    let mut look = |folder: &Path, name: String| {
        let truth = folder.join("groundtruth.txt");
        let found = truth.is_file();
        if found {
            entries.push(SequenceEntry::new(search, name, folder.join("img"), truth));
        }
        found
    };
    for class in folders(root)? {
        let folder = root.join(&class);
        if look(&folder, class) {
            continue;
        }
        for name in folders(&folder)? {
            look(&folder.join(&name), name);
        }
    }
    Ok(entries)
}

fn load(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    let folder = entry.truth.parent().unwrap_or(Path::new("."));
    let mut hidden: Option<Vec<bool>> = None;
    for name in ["full_occlusion.txt", "out_of_view.txt"] {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let flags = parse_flags(&path)?;
        hidden = Some(match hidden {
            None => flags,
            Some(other) => {
                if other.len() != flags.len() {
                    return Err(entry.lengths(flags.len(), other.len()));
                }
                other.iter().zip(&flags).map(|(a, b)| *a || *b).collect()
            }
        });
    }
    let visible = hidden.map(|hidden| hidden.into_iter().map(|flag| !flag).collect());
    load_boxes_and_visibility(entry, visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_split_has_280_sequences() {
        let folder = tempfile::tempdir().unwrap();
        let split = test_split(folder.path()).unwrap();
        assert_eq!(split.len(), 280);
        assert!(split.contains("airplane-1") && split.contains("zebra-17"));
        std::fs::write(folder.path().join("testing_set.txt"), "cat-2\n").unwrap();
        assert_eq!(test_split(folder.path()).unwrap().len(), 1);
    }
}
