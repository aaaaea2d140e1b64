//! Data sets on disk: their sequences, frames and true boxes, in the folder layouts that the benchmarks publish.
//!
//! Each data set is described by one [`Dataset`] in a file of its own; [`DATASETS`] lists them. `docs/extending.md` shows
//! how to add one. Boxes are 0-based everywhere in the program, whatever the files count from
//! ([`Dataset::first_pixel`]).

mod aerial;
mod attributes;
mod avist;
mod got10k;
mod lasot;
pub mod layout;
mod nfs;
mod otb;
mod registry;
mod simulated;
mod start;
pub(crate) mod text;
mod tnl2k;
mod trackingnet;
mod uav123;
mod vot;

use std::fmt;
use std::path::{Path, PathBuf};

use ettrack::geometry::BoundingBox;
use ettrack_files::natural_order;
use ettrack_media::source::SourceError;
use ettrack_picture::PictureError;

pub use attributes::Attributes;
pub use layout::FrameFiles;
pub use otb::OTB100;
pub use registry::{DATASETS, Dataset, ResultNames, Search};
pub use simulated::SIMULATED;
pub use start::Evaluation;
pub use text::{ResultRows, parse_boxes, parse_flags, parse_regions, parse_results, read_numbers};

/// Why a data set or one of its sequences cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// There is no data set of that name.
    #[error("unknown dataset {name:?}; known: {}", known.join(", "))]
    UnknownDataset {
        /// The name that was given.
        name: String,
        /// All names.
        known: Vec<&'static str>,
    },
    /// The data set does not have this subset.
    #[error("{dataset} has no subset {subset}; expected one of: {}", expected.join(", "))]
    NoSubset {
        /// Name of the data set.
        dataset: &'static str,
        /// Name of the subset that was given.
        subset: &'static str,
        /// Names of its subsets.
        expected: Vec<&'static str>,
    },
    /// There is no evaluation of that name.
    #[error("unknown evaluation {name:?}; known: {known}")]
    UnknownEvaluation {
        /// The name that was given.
        name: String,
        /// All names.
        known: String,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The folder does not have the files of the data set.
    #[error("{root} does not hold {dataset}: expected {expected}")]
    Layout {
        /// The folder that was given.
        root: PathBuf,
        /// Name of the data set.
        dataset: &'static str,
        /// The files that such a folder has.
        expected: String,
    },
    /// Sequences that were given by name do not exist.
    #[error("no sequence {missing} under {root}; there are: {present}")]
    NoSuchSequence {
        /// The folder that was given.
        root: PathBuf,
        /// The names that do not exist.
        missing: String,
        /// The first of the names that exist.
        present: String,
    },
    /// Result files of several trackers lie below the folder.
    #[error("{}: expected one tracker's result files, found several: {}", folder.display(), found.join(", "))]
    SeveralResults {
        /// The folder.
        folder: PathBuf,
        /// The folders with results.
        found: Vec<String>,
    },
    /// A line of a truth or result file is malformed.
    #[error("{path}:{line}: expected {expected}, got {got:?}")]
    Text {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// The expected content of a line.
        expected: String,
        /// Its content.
        got: String,
    },
    /// An image cannot be read.
    #[error("cannot read {path}")]
    Picture {
        /// The image.
        path: PathBuf,
        /// The decoder's reason.
        source: PictureError,
    },
    /// The number of images differs from the number of rows of the truth file.
    #[error("{images} holds {frames} images, but {truth} has {rows} rows; expected as many")]
    Lengths {
        /// Folder of the images.
        images: PathBuf,
        /// Number of images, in the sequence's range.
        frames: usize,
        /// The truth file.
        truth: PathBuf,
        /// Number of rows.
        rows: usize,
    },
    /// The images cannot be listed.
    #[error(transparent)]
    Images(#[from] SourceError),
    /// The folder has no images with the sequence's numbers.
    #[error("{folder} holds no images with a number from {first} to {last}")]
    NoneInRange {
        /// Folder of the images.
        folder: PathBuf,
        /// First number of the sequence.
        first: u64,
        /// Last number of the sequence.
        last: u64,
    },
    /// The first row of the truth is not a box.
    #[error(
        "{0}: the first row is not a box to start with; expected finite x, y and positive width, height"
    )]
    NoFirstBox(PathBuf),
    /// VOT's multi-start experiment on a sequence without anchors, or with one where the target has no box.
    #[error(
        "{0}: expected a file anchor.value beside its truth, with a number per frame, and a box at each anchor"
    )]
    NoAnchors(String),
    /// A robustness evaluation of a sequence without published truth.
    #[error("{0}: its truth is not published; expected one-pass evaluation")]
    NoTruth(String),
}

impl DatasetError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Choices that only some data sets have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatasetOptions {
    /// Subset of the data set.
    pub subset: Subset,
    /// Need for Speed: frames a second.
    pub nfs_rate: NfsRate,
}

/// Subset of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subset {
    /// The subset that papers report: LaSOT's test split, GOT-10k's validation set if it is there.
    #[default]
    Usual,
    /// GOT-10k's validation set.
    Validation,
    /// The test set.
    Test,
    /// All sequences that are found.
    All,
}

impl Subset {
    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Validation => "val",
            Self::Test => "test",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Subset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The two frame rates of Need for Speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NfsRate {
    /// Every eighth frame, which papers report.
    #[default]
    Fps30,
    /// All frames.
    Fps240,
}

/// A sequence that was found but not read yet.
#[derive(Debug, Clone)]
pub struct SequenceEntry {
    /// The benchmark's name of the sequence, or `NAME@START` for a run of a robustness evaluation.
    pub name: String,
    /// The data set it belongs to.
    pub dataset: &'static Dataset,
    /// Its image files.
    pub frames: FrameFiles,
    /// The file with its true boxes.
    pub truth: PathBuf,
    /// The choices it was found with.
    pub options: DatasetOptions,
    start: start::Start,
}

/// A sequence that can be tracked and scored. Boxes are 0-based.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// Name of the sequence or run.
    pub name: String,
    /// Image files in order.
    pub frames: Vec<PathBuf>,
    /// The target in the first frame.
    pub first_box: BoundingBox,
    /// True boxes, one entry per frame; an entry is `None` if the frame has no valid box. `None` if the truth is not
    /// published.
    pub truth: Option<Vec<Option<BoundingBox>>>,
    /// Whether the target is visible, one entry per frame; `None` if the data set does not say it.
    pub visible: Option<Vec<bool>>,
    /// Number of frames of the whole sequence, of which a run of a robustness evaluation may have a part.
    pub length: usize,
}

impl SequenceEntry {
    /// Reads the truth and lists the images, from the frame where the run starts.
    ///
    /// # Errors
    /// [`DatasetError`] if a file cannot be read, or its content does not match the images.
    pub fn load(&self) -> Result<Sequence, DatasetError> {
        self.start.apply((self.dataset.load)(self)?)
    }
}

/// Width and height of an image in pixels.
///
/// # Errors
/// [`DatasetError::Picture`], [`DatasetError::Io`].
pub fn image_size(path: &Path) -> Result<(u32, u32), DatasetError> {
    let data = std::fs::read(path).map_err(DatasetError::io(path))?;
    ettrack_picture::size(&data).map_err(|source| DatasetError::Picture {
        path: path.to_owned(),
        source,
    })
}

/// Finds the sequences of a data set below `root`, in natural order of their names. With `names`, only those sequences
/// are returned, in the same order.
///
/// # Errors
/// [`DatasetError`] if the folder cannot be read or is not this data set, the data set does not have the subset, or a name
/// of `names` does not exist.
pub fn list(
    dataset: &'static Dataset,
    root: &Path,
    options: DatasetOptions,
    names: &[String],
) -> Result<Vec<SequenceEntry>, DatasetError> {
    if !dataset.subsets.contains(&options.subset) {
        return Err(DatasetError::NoSubset {
            dataset: dataset.name,
            subset: options.subset.name(),
            expected: dataset.subsets.iter().map(|one| one.name()).collect(),
        });
    }
    // A root that does not exist is the most common mistake: the same message for all layouts.
    std::fs::read_dir(root).map_err(DatasetError::io(root))?;
    let search = Search {
        dataset,
        root,
        options,
        by_name: !names.is_empty(),
    };
    let mut entries = (dataset.list)(&search)?;
    if entries.is_empty() {
        return Err(search.layout_error(dataset.expected));
    }
    entries.sort_by(|a, b| natural_order(a.name.as_ref(), b.name.as_ref()));
    if names.is_empty() {
        return Ok(entries);
    }
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !entries.iter().any(|entry| entry.name == **name))
        .cloned()
        .collect();
    if !missing.is_empty() {
        let mut present: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let more = present.len().saturating_sub(12);
        present.truncate(12);
        let mut present = present.join(", ");
        if more > 0 {
            present.push_str(&format!(" and {more} more"));
        }
        return Err(DatasetError::NoSuchSequence {
            root: root.to_owned(),
            missing: missing.join(", "),
            present,
        });
    }
    entries.retain(|entry| names.contains(&entry.name));
    Ok(entries)
}
