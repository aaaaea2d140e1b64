//! The result files of a run, one set per sequence, as text that the benchmarks' own tools can read.
//!
//! ```text
//! OUTPUT/boxes/NAME.txt        x,y,width,height per frame, in the benchmark's own pixel convention
//! OUTPUT/times/NAME_time.txt   seconds per frame, the first is the initialisation
//! OUTPUT/confidence/NAME.txt   confidence,state per frame
//! OUTPUT/done/NAME.json        written last: marks the other files as complete, and has the fingerprint of the run
//! ```

mod pictures;
mod tools;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use self::pictures::hex;
pub use self::pictures::{PictureHash, Pictures};
pub use self::tools::{TextLayout, find_boxes, find_folder, find_seconds, write_layout};
use super::dataset::{Dataset, parse_boxes, read_numbers};
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

/// Marks a sequence as finished.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Done {
    /// Hash of the model, the settings, the frames and the first box.
    fingerprint: String,
    frames: usize,
    /// The pictures that were tracked.
    #[serde(default)]
    pictures: Pictures,
}

/// The right to write the results of one sequence. It ends when the value is dropped.
#[derive(Debug)]
pub struct Claim {
    _file: Option<fs::File>,
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

    /// Waits until no other process writes the results of this sequence. If the file system has no locks, it does not wait;
    /// files are still written completely.
    ///
    /// # Errors
    /// [`OutputError`] if the folder of the locks cannot be made or written.
    pub fn claim(&self, name: &str) -> Result<Claim, OutputError> {
        let path = self.root.join(".locks").join(format!("{name}.lock"));
        let open = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
        };
        let file = open().map_err(|source| OutputError {
            path: path.clone(),
            source,
        })?;
        let locked = file.lock().is_ok();
        Ok(Claim {
            _file: locked.then_some(file),
        })
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

    /// Writes the files of one sequence. It counts as finished only after all of them are written. `pictures` are those that
    /// were tracked.
    ///
    /// # Errors
    /// [`OutputError`] if a file cannot be written.
    pub fn write(
        &self,
        name: &str,
        fingerprint: &str,
        pictures: &Pictures,
        result: &SequenceResult,
    ) -> Result<(), OutputError> {
        // Otherwise an older mark would stay valid while only some of the files are new.
        self.forget(name)?;
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
            pictures: pictures.clone(),
        };
        self.mark(name, &mark)
    }

    fn mark(&self, name: &str, mark: &Done) -> Result<(), OutputError> {
        let done = self.done(name);
        let mark = serde_json::to_vec_pretty(mark).map_err(|error| OutputError {
            path: done.clone(),
            source: error.into(),
        })?;
        write_file(&done, mark)
    }

    /// Whether some run has finished this sequence.
    pub fn is_marked(&self, name: &str) -> bool {
        self.done(name).is_file()
    }

    /// The result of an earlier run with the same fingerprint and the same content of the pictures `frames`; `None` if there
    /// is none or its files are not complete.
    pub fn finished(
        &self,
        name: &str,
        fingerprint: &str,
        frames: &[PathBuf],
    ) -> Option<SequenceResult> {
        let mark: Done = serde_json::from_slice(&fs::read(self.done(name)).ok()?).ok()?;
        if mark.fingerprint != fingerprint {
            return None;
        }
        let files = Pictures::state_of_files(frames)?;
        if files != mark.pictures.files {
            // The files were copied, touched or really changed. Only their content shows which.
            if Pictures::content_of(frames)? != mark.pictures.content {
                return None;
            }
            let pictures = Pictures {
                files,
                ..mark.pictures.clone()
            };
            // The next run compares the content again if this cannot be written.
            let _ = self.mark(
                name,
                &Done {
                    fingerprint: fingerprint.to_owned(),
                    frames: mark.frames,
                    pictures,
                },
            );
        }
        let first_pixel = self.dataset.first_pixel;
        let boxes: Vec<_> = parse_boxes(&self.boxes(name))
            .ok()?
            .into_iter()
            .map(|row| from_row(row, first_pixel))
            .collect();
        let seconds = read_numbers(&self.times(name)).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::OTB100;

    pub(super) fn result() -> SequenceResult {
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

    fn pictures(folder: &Path) -> (Vec<PathBuf>, Pictures) {
        let frames = vec![folder.join("1.jpg"), folder.join("2.jpg")];
        for frame in &frames {
            if !frame.exists() {
                fs::write(frame, "a picture").unwrap();
            }
        }
        let pictures = Pictures {
            content: Pictures::content_of(&frames).unwrap(),
            files: Pictures::state_of_files(&frames).unwrap(),
        };
        (frames, pictures)
    }

    #[test]
    fn a_result_is_read_back_only_with_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let (frames, pictures) = pictures(folder.path());
        let results = ResultFolder::new(folder.path(), &OTB100);
        results.write("Deer", "abc", &pictures, &result()).unwrap();
        let seconds = find_seconds(folder.path(), &OTB100, "Deer").unwrap();
        assert_eq!(seconds, result().seconds);
        assert_eq!(results.finished("Deer", "abc", &frames), Some(result()));
        assert_eq!(results.finished("Deer", "abd", &frames), None);
        assert_eq!(results.finished("Couple", "abc", &frames), None);
        // OTB counts pixels from 1.
        let text = fs::read_to_string(folder.path().join("boxes/Deer.txt")).unwrap();
        assert_eq!(text.lines().next(), Some("11.0000,21.0000,30.0000,40.0000"));
        // A file with missing lines is not used.
        fs::write(folder.path().join("boxes/Deer.txt"), "11,21,30,40\n").unwrap();
        assert_eq!(results.finished("Deer", "abc", &frames), None);
    }

    #[test]
    fn a_result_is_of_use_only_for_pictures_of_the_same_content() {
        let folder = tempfile::tempdir().unwrap();
        let (frames, pictures) = pictures(folder.path());
        let results = ResultFolder::new(folder.path(), &OTB100);
        results.write("Deer", "abc", &pictures, &result()).unwrap();
        // The same content in a new file: a copy of the data set.
        fs::write(folder.path().join("copy"), "a picture").unwrap();
        fs::rename(folder.path().join("copy"), &frames[1]).unwrap();
        assert_ne!(Pictures::state_of_files(&frames), Some(pictures.files));
        assert_eq!(results.finished("Deer", "abc", &frames), Some(result()));
        // Other content of the same length.
        fs::write(&frames[1], "A picture").unwrap();
        assert_eq!(results.finished("Deer", "abc", &frames), None);
        // The marks of earlier versions contain nothing about pictures.
        fs::write(
            folder.path().join("done/Deer.json"),
            r#"{"fingerprint": "abc", "frames": 2}"#,
        )
        .unwrap();
        assert_eq!(results.finished("Deer", "abc", &frames), None);
    }

    #[test]
    fn only_one_process_writes_a_sequence_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let results = ResultFolder::new(folder.path(), &OTB100);
        let claim = results.claim("Deer").unwrap();
        let other = results.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _claim = other.claim("Deer").unwrap();
            sender.send(()).unwrap();
        });
        let patience = std::time::Duration::from_millis(100);
        assert!(receiver.recv_timeout(patience).is_err(), "it waits");
        results.claim("Couple").unwrap();
        drop(claim);
        receiver.recv().unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn speed_does_not_count_the_initialisation() {
        assert_eq!(frames_per_second(&[9.0, 0.5, 0.5]), 2.0);
        assert_eq!(frames_per_second(&[9.0]), 0.0);
    }
}
