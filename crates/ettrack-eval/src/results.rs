//! The result files of a run, one set per sequence, as text that the benchmarks' own tools can read.
//!
//! ```text
//! OUTPUT/boxes/NAME.txt        x,y,width,height per frame, in the benchmark's own pixel convention
//! OUTPUT/times/NAME_time.txt   seconds per frame, the first is the initialisation
//! OUTPUT/confidence/NAME.txt   confidence,state per frame
//! OUTPUT/done/NAME.json        written last: marks the other files as complete, and holds the fingerprint of the run
//! ```

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::dataset::{Dataset, DatasetError, parse_boxes, read_numbers};
use ettrack::geometry::BoundingBox;
use ettrack::tracker::TrackState;
use ettrack_files::{OutputError, write_file};

/// The result of one sequence. All vectors have one entry per frame, including the first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SequenceResult {
    /// 0-based boxes.
    pub boxes: Vec<BoundingBox>,
    /// 0..=1; 1 for the first frame.
    pub confidence: Vec<f32>,
    /// State per frame.
    pub states: Vec<TrackState>,
    /// Seconds that the tracker took, without reading the image. The first is the initialisation.
    pub seconds: Vec<f64>,
}

impl SequenceResult {
    /// Updates per second of tracker time; 0 if nothing was measured.
    pub fn frames_per_second(&self) -> f64 {
        frames_per_second(&self.seconds)
    }
}

/// Updates per second without the initialisation; 0 if nothing was measured.
pub fn frames_per_second(seconds: &[f64]) -> f64 {
    let updates = seconds.get(1..).unwrap_or_default();
    let total: f64 = updates.iter().sum();
    if total > 0.0 {
        updates.len() as f64 / total
    } else {
        0.0
    }
}

/// The layouts of result files of other tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextLayout {
    /// pysot and the got10k toolkit's OTB experiments: `NAME.txt`, commas.
    Pysot,
    /// pytracking: `NAME.txt` with tabs, `NAME_time.txt` beside it.
    Pytracking,
    /// The got10k toolkit: `NAME/NAME_001.txt`, `NAME/NAME_time.txt`.
    Got10k,
}

/// Marks a sequence as finished.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Done {
    /// Hash of the model, the settings, the frames and the first box.
    fingerprint: String,
    frames: usize,
}

/// The folder of result files of one run.
#[derive(Debug, Clone)]
pub struct ResultFolder {
    root: PathBuf,
    dataset: &'static Dataset,
}

impl ResultFolder {
    /// The results of a data set below `root`. Nothing is read or written yet.
    pub fn new(root: impl Into<PathBuf>, dataset: &'static Dataset) -> Self {
        Self {
            root: root.into(),
            dataset,
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn boxes(&self, name: &str) -> PathBuf {
        self.root.join("boxes").join(format!("{name}.txt"))
    }

    fn times(&self, name: &str) -> PathBuf {
        self.root.join("times").join(format!("{name}_time.txt"))
    }

    fn confidence(&self, name: &str) -> PathBuf {
        self.root.join("confidence").join(format!("{name}.txt"))
    }

    fn done(&self, name: &str) -> PathBuf {
        self.root.join("done").join(format!("{name}.json"))
    }

    /// Removes the mark that a sequence is finished.
    ///
    /// # Errors
    /// [`OutputError`] if the mark exists and cannot be removed.
    pub fn forget(&self, name: &str) -> Result<(), OutputError> {
        let path = self.done(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(OutputError { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Writes the files of one sequence. It counts as finished only after all of them are written.
    ///
    /// # Errors
    /// [`OutputError`] if a file cannot be written.
    pub fn write(
        &self,
        name: &str,
        fingerprint: &str,
        result: &SequenceResult,
    ) -> Result<(), OutputError> {
        // Otherwise an older mark would stay valid while only some of the files are new.
        self.forget(name)?;
        let done = self.done(name);
        write_file(
            &self.boxes(name),
            boxes_text(&result.boxes, self.dataset.first_pixel, ",", 4),
        )?;
        write_file(&self.times(name), times_text(&result.seconds))?;
        let mut confidence = String::new();
        for (value, state) in result.confidence.iter().zip(&result.states) {
            let state = match state {
                TrackState::Tracking => "tracking",
                TrackState::Lost => "lost",
            };
            // Writing to a string does not fail.
            let _ = writeln!(confidence, "{value:.6},{state}");
        }
        write_file(&self.confidence(name), confidence)?;
        let mark = Done {
            fingerprint: fingerprint.to_owned(),
            frames: result.boxes.len(),
        };
        let mark = serde_json::to_vec_pretty(&mark).map_err(|error| OutputError {
            path: done.clone(),
            source: error.into(),
        })?;
        write_file(&done, mark)
    }

    /// The result of an earlier run with the same fingerprint; `None` if there is none or its files are not complete.
    pub fn finished(&self, name: &str, fingerprint: &str) -> Option<SequenceResult> {
        let mark: Done = serde_json::from_slice(&fs::read(self.done(name)).ok()?).ok()?;
        if mark.fingerprint != fingerprint {
            return None;
        }
        let first_pixel = self.dataset.first_pixel;
        let boxes: Vec<_> = parse_boxes(&self.boxes(name))
            .ok()?
            .into_iter()
            .map(|row| from_row(row, first_pixel))
            .collect();
        let seconds = super::dataset::read_numbers(&self.times(name)).ok()?;
        let mut confidence = Vec::new();
        let mut states = Vec::new();
        for line in fs::read_to_string(self.confidence(name)).ok()?.lines() {
            let (value, state) = line.split_once(',')?;
            confidence.push(value.parse().ok()?);
            states.push(match state {
                "tracking" => TrackState::Tracking,
                "lost" => TrackState::Lost,
                _ => return None,
            });
        }
        let complete = [boxes.len(), seconds.len(), confidence.len()]
            .iter()
            .all(|length| *length == mark.frames);
        complete.then_some(SequenceResult {
            boxes,
            confidence,
            states,
            seconds,
        })
    }
}

fn from_row([x, y, width, height]: [f64; 4], first_pixel: f64) -> BoundingBox {
    BoundingBox::new(x - first_pixel, y - first_pixel, width, height)
}

/// Boxes as text, one per line.
pub(super) fn boxes_text(
    boxes: &[BoundingBox],
    first_pixel: f64,
    separator: &str,
    decimals: usize,
) -> String {
    let mut text = String::new();
    for b in boxes {
        let row = [b.x + first_pixel, b.y + first_pixel, b.width, b.height];
        let row = row.map(|number| format!("{number:.decimals$}"));
        text.push_str(&row.join(separator));
        text.push('\n');
    }
    text
}

/// Seconds as text, one per line.
pub(super) fn times_text(seconds: &[f64]) -> String {
    seconds
        .iter()
        .map(|seconds| format!("{seconds:.8}\n"))
        .collect()
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
    let boxes =
        |separator, decimals| boxes_text(&result.boxes, dataset.first_pixel, separator, decimals);
    match layout {
        TextLayout::Pysot => write_file(&folder.join(format!("{name}.txt")), boxes(",", 4)),
        TextLayout::Pytracking => {
            write_file(&folder.join(format!("{name}.txt")), boxes("\t", 4))?;
            write_file(&folder.join(format!("{name}_time.txt")), times)
        }
        TextLayout::Got10k => {
            let inner = folder.join(name);
            write_file(&inner.join(format!("{name}_001.txt")), boxes(",", 4))?;
            write_file(&inner.join(format!("{name}_time.txt")), times)
        }
    }
}

/// Reads the boxes of a sequence (0-based) from a folder of results in one of the layouts of [`TextLayout`] or of this
/// program; `None` if there are none.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or is malformed.
pub fn find_boxes(
    folder: &Path,
    dataset: &Dataset,
    name: &str,
) -> Result<Option<Vec<BoundingBox>>, DatasetError> {
    let candidates = [
        folder.join("boxes").join(format!("{name}.txt")),
        folder.join(format!("{name}.txt")),
        folder.join(name).join(format!("{name}_001.txt")),
    ];
    let other_names = dataset.result_names.iter().map(|other| other(name));
    let others = other_names.map(|other| folder.join(format!("{other}.txt")));
    let found = candidates
        .into_iter()
        .chain(others)
        .find(|path| path.is_file());
    let Some(path) = found else {
        return Ok(None);
    };
    let rows = parse_boxes(&path)?;
    Ok(Some(
        rows.into_iter()
            .map(|row| from_row(row, dataset.first_pixel))
            .collect(),
    ))
}

/// Reads the seconds per frame of a sequence from a folder of results in one of the layouts of [`find_boxes`]. The first is
/// the initialisation. Empty if there is no such file.
///
/// # Errors
/// [`DatasetError`] if the file cannot be read or is malformed.
pub fn find_seconds(folder: &Path, name: &str) -> Result<Vec<f64>, DatasetError> {
    let file = format!("{name}_time.txt");
    let candidates = [folder.join("times"), folder.to_owned(), folder.join(name)];
    let path = candidates
        .map(|folder| folder.join(&file))
        .into_iter()
        .find(|path| path.is_file());
    path.map_or(Ok(Vec::new()), |path| read_numbers(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::OTB100;

    fn result() -> SequenceResult {
        SequenceResult {
            boxes: vec![
                BoundingBox::new(10.0, 20.0, 30.0, 40.0),
                BoundingBox::new(11.25, 20.5, 30.125, 40.0),
            ],
            confidence: vec![1.0, 0.25],
            states: vec![TrackState::Tracking, TrackState::Lost],
            seconds: vec![0.5, 0.004],
        }
    }

    #[test]
    fn a_result_is_read_back_only_with_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let results = ResultFolder::new(folder.path(), &OTB100);
        results.write("Deer", "abc", &result()).unwrap();
        let seconds = find_seconds(folder.path(), "Deer").unwrap();
        assert_eq!(seconds, result().seconds);
        assert_eq!(results.finished("Deer", "abc"), Some(result()));
        assert_eq!(results.finished("Deer", "abd"), None);
        assert_eq!(results.finished("Couple", "abc"), None);
        // OTB counts pixels from 1.
        let text = fs::read_to_string(folder.path().join("boxes/Deer.txt")).unwrap();
        assert_eq!(text.lines().next(), Some("11.0000,21.0000,30.0000,40.0000"));
        // A file with missing lines is not used.
        fs::write(folder.path().join("boxes/Deer.txt"), "11,21,30,40\n").unwrap();
        assert_eq!(results.finished("Deer", "abc"), None);
    }

    #[test]
    fn finds_the_boxes_of_each_layout() {
        for layout in [
            TextLayout::Pysot,
            TextLayout::Pytracking,
            TextLayout::Got10k,
        ] {
            let folder = tempfile::tempdir().unwrap();
            let dataset = &OTB100;
            write_layout(folder.path(), dataset, layout, "Jogging-1", &result()).unwrap();
            let boxes = find_boxes(folder.path(), dataset, "Jogging-1").unwrap();
            assert_eq!(boxes, Some(result().boxes), "{layout:?}");
            assert_eq!(find_boxes(folder.path(), dataset, "Deer").unwrap(), None);
            let seconds = find_seconds(folder.path(), "Jogging-1").unwrap();
            let timed = layout != TextLayout::Pysot;
            assert_eq!(seconds, if timed { vec![0.5, 0.004] } else { vec![] });
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Jogging_2.txt"), "1\t2\t3\t4\n").unwrap();
        let boxes = find_boxes(folder.path(), &OTB100, "Jogging-2").unwrap();
        assert_eq!(boxes, Some(vec![BoundingBox::new(0.0, 1.0, 3.0, 4.0)]));
    }

    #[test]
    fn speed_does_not_count_the_initialisation() {
        assert_eq!(frames_per_second(&[9.0, 0.5, 0.5]), 2.0);
        assert_eq!(frames_per_second(&[9.0]), 0.0);
    }
}
