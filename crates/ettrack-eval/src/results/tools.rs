//! Writes and finds result files in the layouts and under the names of other tools.

use std::path::{Path, PathBuf};

use super::{SequenceResult, boxes_text, from_row, times_text};
use crate::dataset::{
    Dataset, DatasetError, ResultNames, ResultRows, layout, parse_results, read_numbers,
};
use ettrack::geometry::BoundingBox;
use ettrack_files::{OutputError, write_file};

/// The layouts of result files of other tools. The name of a sequence's file, and whether each sequence has its own folder,
/// depend on the benchmark: [`ResultNames`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextLayout {
    /// pysot: `NAME.txt` with commas; on GOT-10k `NAME/NAME_001.txt` and `NAME/NAME_time.txt`, on VOT the same below
    /// `baseline`.
    Pysot,
    /// pytracking: `NAME.txt` with tabs, `NAME_time.txt` beside it.
    Pytracking,
    /// The got10k toolkit: `NAME.txt` and `times/NAME_time.txt`; on GOT-10k `NAME/NAME_001.txt` and `NAME/NAME_time.txt`, on
    /// VOT the same below `unsupervised`.
    Got10k,
}

/// Writes a result in the layout of another tool, below `folder`.
///
/// # Errors
/// [`OutputError`] if a file cannot be written.
pub fn write_layout(
    folder: &Path,
    dataset: &Dataset,
    layout: TextLayout,
    name: &str,
    result: &SequenceResult,
) -> Result<(), OutputError> {
    let times = times_text(&result.seconds);
    let boxes = |separator| boxes_text(&result.boxes, dataset.first_pixel, separator, 4);
    let names = &dataset.result_names;
    let nested = |name: &str, experiment: &str| {
        let around = match names.experiment {
            Some(_) => folder.join(experiment),
            None => folder.to_owned(),
        };
        let inner = around.join(name);
        write_file(&inner.join(format!("{name}_001.txt")), boxes(","))?;
        write_file(&inner.join(format!("{name}_time.txt")), &times)
    };
    match layout {
        TextLayout::Pysot if names.nested => nested(&(names.pysot)(name), "baseline"),
        TextLayout::Pysot => {
            let name = (names.pysot)(name);
            write_file(&folder.join(format!("{name}.txt")), boxes(","))
        }
        TextLayout::Pytracking => {
            let name = (names.pytracking)(name);
            write_file(&folder.join(format!("{name}.txt")), boxes("\t"))?;
            write_file(&folder.join(format!("{name}_time.txt")), times)
        }
        TextLayout::Got10k if names.nested => {
            nested(&(names.got10k)(name), names.experiment.unwrap_or_default())
        }
        TextLayout::Got10k => {
            let name = (names.got10k)(name);
            write_file(&folder.join(format!("{name}.txt")), boxes(","))?;
            let times_folder = folder.join("times");
            write_file(&times_folder.join(format!("{name}_time.txt")), times)
        }
    }
}

/// Folders that tools make around the results of a benchmark's experiment.
const EXPERIMENTS: [&str; 4] = ["unsupervised", "baseline", "longterm", "realtime"];

/// The names under which a sequence's files may be found, its own first.
fn names_of(dataset: &Dataset, name: &str) -> Vec<String> {
    let ResultNames {
        pysot,
        pytracking,
        got10k,
        ..
    } = dataset.result_names;
    let mut names = vec![name.to_owned()];
    for other in [pysot(name), pytracking(name), got10k(name)] {
        if !names.contains(&other) {
            names.push(other);
        }
    }
    names
}

/// The file with the boxes of a sequence.
fn boxes_file(folder: &Path, dataset: &Dataset, name: &str) -> Option<PathBuf> {
    names_of(dataset, name)
        .iter()
        .flat_map(|name| {
            let in_folder = |around: &Path| around.join(name).join(format!("{name}_001.txt"));
            let file = format!("{name}.txt");
            let mut files = vec![
                folder.join("boxes").join(&file),
                folder.join(&file),
                // The file of `ettrack track`.
                folder.join(format!("{name}.csv")),
                in_folder(folder),
                folder.join(dataset.name).join(&file),
            ];
            files.extend(EXPERIMENTS.map(|inner| in_folder(&folder.join(inner))));
            files
        })
        .find(|path| path.is_file())
}

/// Folders below the given one that are searched for results.
const DEEPEST: usize = 3;

/// Returns the folder of results: `folder` itself, or a tracker's folder inside it, for example in pytracking's
/// `tracking_results`. `None` if none of the sequences `names` has boxes.
///
/// # Errors
/// [`DatasetError::SeveralResults`] if several folders below have results, so that the user must choose one.
pub fn find_folder(
    folder: &Path,
    dataset: &Dataset,
    names: &[&str],
) -> Result<Option<PathBuf>, DatasetError> {
    let holds = |folder: &Path| {
        names
            .iter()
            .any(|name| boxes_file(folder, dataset, name).is_some())
    };
    if holds(folder) {
        return Ok(Some(folder.to_owned()));
    }
    let mut level = vec![folder.to_owned()];
    for _ in 0..DEEPEST {
        let inner = |folder: &PathBuf| {
            layout::folders(folder).map(|names| {
                names
                    .into_iter()
                    .map(|name| folder.join(name))
                    .collect::<Vec<_>>()
            })
        };
        level = level
            .iter()
            .map(inner)
            .collect::<Result<Vec<_>, _>>()?
            .concat();
        let mut found: Vec<_> = level
            .iter()
            .filter(|folder| holds(folder))
            .cloned()
            .collect();
        found.sort();
        match found.len() {
            0 => {}
            1 => return Ok(found.pop()),
            _ => {
                return Err(DatasetError::SeveralResults {
                    folder: folder.to_owned(),
                    found: found
                        .iter()
                        .map(|path| path.display().to_string())
                        .collect(),
                });
            }
        }
    }
    Ok(None)
}

/// Reads the boxes of a sequence (0-based) from a folder of results in one of the layouts of [`TextLayout`], of this program,
/// or of `ettrack track`; `None` if there are none. If the benchmark's files count pixels from 1 and the first row is exactly
/// the given first box, the file counts from 0.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or is malformed.
pub fn find_boxes(
    folder: &Path,
    dataset: &Dataset,
    name: &str,
    first_box: Option<&BoundingBox>,
) -> Result<Option<Vec<BoundingBox>>, DatasetError> {
    let Some(path) = boxes_file(folder, dataset, name) else {
        return Ok(None);
    };
    let ResultRows {
        rows, from_zero, ..
    } = parse_results(&path)?;
    let starts_at_zero = || {
        let (Some([x, y, width, height]), Some(given)) = (rows.first(), first_box) else {
            return false;
        };
        let differences = [
            x - given.x,
            y - given.y,
            width - given.width,
            height - given.height,
        ];
        let is = differences.iter().all(|difference| difference.abs() < 1e-3);
        if is {
            tracing::warn!(
                "{}: its first row is the first box counted from pixel 0, the benchmark counts from {}; \
                 its boxes are read as counted from 0",
                path.display(),
                dataset.first_pixel
            );
        }
        is
    };
    let first_pixel = if from_zero || (dataset.first_pixel != 0.0 && starts_at_zero()) {
        0.0
    } else {
        dataset.first_pixel
    };
    Ok(Some(
        rows.into_iter()
            .map(|row| from_row(row, first_pixel))
            .collect(),
    ))
}

/// Reads the seconds per frame of a sequence from a folder of results in one of the layouts of [`find_boxes`]. The first is
/// the initialisation. Empty if there is no such file.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or is malformed.
pub fn find_seconds(
    folder: &Path,
    dataset: &Dataset,
    name: &str,
) -> Result<Vec<f64>, DatasetError> {
    let path = names_of(dataset, name)
        .iter()
        .flat_map(|name| {
            let mut folders = vec![
                folder.join("times"),
                folder.to_owned(),
                folder.join(name),
                folder.join(dataset.name),
            ];
            folders.extend(EXPERIMENTS.map(|inner| folder.join(inner).join(name)));
            folders
                .into_iter()
                .map(move |folder| folder.join(format!("{name}_time.txt")))
        })
        .find(|path| path.is_file());
    path.map_or(Ok(Vec::new()), |path| read_numbers(&path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::dataset::OTB100;
    use crate::results::tests::result;

    /// The names are those that each tool's own code makes.
    const NAMES: [(&str, &str, [&str; 3]); 8] = [
        (
            "otb100",
            "Jogging-1",
            ["Jogging-1.txt", "Jogging_1.txt", "Jogging.1.txt"],
        ),
        (
            "otb100",
            "Human4-2",
            ["Human4-2.txt", "Human4_2.txt", "Human4.txt"],
        ),
        (
            "uav123",
            "bike1",
            ["bike1.txt", "uav_bike1.txt", "bike1.txt"],
        ),
        ("nfs", "ball", ["ball.txt", "nfs_ball.txt", "ball.txt"]),
        ("lasot", "cat-1", ["cat-1.txt"; 3]),
        ("trackingnet", "a_0", ["a_0.txt"; 3]),
        (
            "got10k",
            "GOT-10k_Val_000001",
            [
                "GOT-10k_Val_000001/GOT-10k_Val_000001_001.txt",
                "GOT-10k_Val_000001.txt",
                "GOT-10k_Val_000001/GOT-10k_Val_000001_001.txt",
            ],
        ),
        (
            "vot",
            "bag",
            [
                "baseline/bag/bag_001.txt",
                "bag.txt",
                "unsupervised/bag/bag_001.txt",
            ],
        ),
    ];

    #[test]
    fn writes_and_finds_the_files_of_each_tool_under_its_own_names() {
        let layouts = [
            TextLayout::Pysot,
            TextLayout::Pytracking,
            TextLayout::Got10k,
        ];
        for (dataset, name, files) in NAMES {
            let dataset = Dataset::find(dataset).unwrap();
            for (layout, file) in layouts.into_iter().zip(files) {
                let folder = tempfile::tempdir().unwrap();
                write_layout(folder.path(), dataset, layout, name, &result()).unwrap();
                assert!(
                    folder.path().join(file).is_file(),
                    "{dataset} {layout:?}: {file}"
                );
                let boxes = find_boxes(folder.path(), dataset, name, None).unwrap();
                assert_eq!(boxes, Some(result().boxes), "{dataset} {layout:?}");
                let missing = find_boxes(folder.path(), dataset, "Deer", None).unwrap();
                assert_eq!(missing, None);
                let seconds = find_seconds(folder.path(), dataset, name).unwrap();
                let timed = layout != TextLayout::Pysot || dataset.result_names.nested;
                assert_eq!(seconds, if timed { vec![0.5, 0.004] } else { vec![] });
                // The folder around a tracker's own is also accepted if it contains only one tracker.
                let around = tempfile::tempdir().unwrap();
                let inner = around.path().join("tracker/param_000");
                write_layout(&inner, dataset, layout, name, &result()).unwrap();
                let found = find_folder(around.path(), dataset, &["Deer", name]).unwrap();
                assert_eq!(found, Some(inner));
                let other = around.path().join("tracker/param_001");
                write_layout(&other, dataset, layout, name, &result()).unwrap();
                let error = find_folder(around.path(), dataset, &[name]).unwrap_err();
                assert!(error.to_string().contains("param_001"), "{error}");
                assert_eq!(
                    find_folder(around.path(), dataset, &["Deer"]).unwrap(),
                    None
                );
            }
        }
    }

    #[test]
    fn the_boxes_of_track_count_from_pixel_0() {
        let folder = tempfile::tempdir().unwrap();
        let rows =
            "frame,x,y,w,h,confidence,state\n0,10,20,30,40,1.0,tracking\n1,11,20,30,40,0.5,lost\n";
        fs::write(folder.path().join("Deer.csv"), rows).unwrap();
        let first = BoundingBox::new(10.0, 20.0, 30.0, 40.0);
        let find = |name: &str| {
            let boxes = find_boxes(folder.path(), &OTB100, name, Some(&first)).unwrap();
            boxes.unwrap()[0]
        };
        assert_eq!(find("Deer"), first);
        // Without a heading, the first row decides.
        fs::write(folder.path().join("Couple.txt"), "10,20,30,40\n").unwrap();
        assert_eq!(find("Couple"), first);
        fs::write(folder.path().join("Skiing.txt"), "11,21,30,40\n").unwrap();
        assert_eq!(find("Skiing"), first);
    }
}
