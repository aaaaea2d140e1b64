//! The result files of a run, one set per sequence, as text that the benchmarks' own tools can read.
//!
//! ```text
//! OUTPUT/boxes/NAME.txt        x,y,width,height per frame, in the benchmark's own pixel convention
//! OUTPUT/times/NAME_time.txt   seconds per frame, the first is the initialisation
//! OUTPUT/confidence/NAME.txt   confidence,state per frame
//! OUTPUT/done/NAME.json        written last: marks the other files as complete, and has the fingerprint of the run
//! ```

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::dataset::{
    Dataset, DatasetError, ResultNames, ResultRows, parse_boxes, parse_results, read_numbers,
};
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

/// The pictures of a result: their content, and the state of their files, which is quicker to compare.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Pictures {
    /// Hash of the content of all pictures.
    pub content: String,
    /// Hash of size, times and number of each file. It changes whenever a file is written or replaced.
    pub files: String,
}

impl Pictures {
    /// Reads the present state of the files; `None` if one cannot be read.
    pub fn state_of_files(frames: &[PathBuf]) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let mut hash = Sha256::new();
        for frame in frames {
            let data = fs::metadata(frame).ok()?;
            let times = [
                data.mtime(),
                data.mtime_nsec(),
                data.ctime(),
                data.ctime_nsec(),
            ];
            hash.update(data.len().to_le_bytes());
            hash.update(data.ino().to_le_bytes());
            times
                .iter()
                .for_each(|time| hash.update(time.to_le_bytes()));
        }
        Some(hex(&hash.finalize()))
    }

    /// Computes the hash of the present content; `None` if a file cannot be read.
    fn content_of(frames: &[PathBuf]) -> Option<String> {
        let mut hash = PictureHash::default();
        for frame in frames {
            hash.add(&fs::read(frame).ok()?);
        }
        Some(hash.finish())
    }
}

/// Hashes pictures one after the other.
#[derive(Default)]
pub struct PictureHash(Sha256);

impl PictureHash {
    /// Adds the content of the next picture.
    pub fn add(&mut self, content: &[u8]) {
        self.0.update((content.len() as u64).to_le_bytes());
        self.0.update(content);
    }

    /// The hash of all.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
            super::dataset::layout::folders(folder).map(|names| {
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
    let ResultRows { rows, from_zero } = parse_results(&path)?;
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

    #[test]
    fn speed_does_not_count_the_initialisation() {
        assert_eq!(frames_per_second(&[9.0, 0.5, 0.5]), 2.0);
        assert_eq!(frames_per_second(&[9.0]), 0.0);
    }
}
