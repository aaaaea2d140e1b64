//! Benchmarks on disk: which sequences there are, their frames and their truth, in the layouts their authors publish.
//!
//! Truth is handed on 0-based, whatever the benchmark counts from (see [`DatasetKind::first_pixel`]).

mod got10k;
mod lasot;
mod layout;
mod nfs;
mod otb;
mod simulated;
mod start;
pub(crate) mod text;
mod trackingnet;
mod uav123;
mod vot;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ettrack::geometry::BoundingBox;
use ettrack_files::natural_order;
use ettrack_media::source::SourceError;
use ettrack_picture::PictureError;

pub use layout::FrameFiles;
pub use start::Evaluation;
pub use text::{parse_boxes, parse_flags, read_numbers};

/// The benchmarks that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatasetKind {
    /// OTB-100 (also called OTB-2015).
    Otb100,
    /// UAV123 at 30 frames a second.
    Uav123,
    /// UAV123 at 10 frames a second.
    Uav123TenFps,
    /// Need for Speed.
    Nfs,
    /// LaSOT.
    Lasot,
    /// TrackingNet's test set, whose truth its server keeps.
    TrackingNet,
    /// GOT-10k: validation with truth, test without.
    Got10k,
    /// VOT's short-term sequences, polygons taken as their bounding rectangles.
    Vot,
    /// What `ettrack simulate` writes.
    Simulated,
}

impl DatasetKind {
    /// All of them, in the order they are listed to users.
    pub const ALL: [Self; 9] = [
        Self::Otb100,
        Self::Uav123,
        Self::Uav123TenFps,
        Self::Nfs,
        Self::Lasot,
        Self::TrackingNet,
        Self::Got10k,
        Self::Vot,
        Self::Simulated,
    ];

    /// The name on the command line and in summary.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Otb100 => "otb100",
            Self::Uav123 => "uav123",
            Self::Uav123TenFps => "uav123_10fps",
            Self::Nfs => "nfs",
            Self::Lasot => "lasot",
            Self::TrackingNet => "trackingnet",
            Self::Got10k => "got10k",
            Self::Vot => "vot",
            Self::Simulated => "simulated",
        }
    }

    /// What the benchmark calls the upper-left pixel: (1, 1) where its tools are written in Matlab, else (0, 0).
    /// Result files are written in the same convention, so that the benchmark's own tools read them.
    pub fn first_pixel(self) -> f64 {
        match self {
            Self::Otb100 | Self::Uav123 | Self::Uav123TenFps | Self::Lasot | Self::Simulated => 1.0,
            Self::Nfs | Self::TrackingNet | Self::Got10k | Self::Vot => 0.0,
        }
    }
}

impl fmt::Display for DatasetKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for DatasetKind {
    type Err = DatasetError;

    fn from_str(name: &str) -> Result<Self, DatasetError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| DatasetError::UnknownDataset {
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

/// Why a benchmark or one of its sequences cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// No benchmark of that name.
    #[error("unknown dataset {name:?}; known: {known}")]
    UnknownDataset {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A part that the benchmark does not have.
    #[error("{kind} has no subset {subset:?}; expected one of {expected:?}")]
    NoSubset {
        /// The benchmark.
        kind: DatasetKind,
        /// What was asked for.
        subset: Subset,
        /// What there is.
        expected: &'static [Subset],
    },
    /// No evaluation of that name.
    #[error("unknown evaluation {name:?}; known: {known}")]
    UnknownEvaluation {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The folder does not look like the benchmark.
    #[error("{root} does not hold {kind}: expected {expected}")]
    Layout {
        /// The folder given.
        root: PathBuf,
        /// The benchmark asked for.
        kind: DatasetKind,
        /// What the benchmark's folder holds.
        expected: String,
    },
    /// Sequences asked for by name are not there.
    #[error("no sequence {missing} under {root}; there are: {present}")]
    NoSuchSequence {
        /// The folder given.
        root: PathBuf,
        /// The names asked for in vain.
        missing: String,
        /// Names there are (the first of them).
        present: String,
    },
    /// A line of a truth or result file cannot be understood.
    #[error("{path}:{line}: expected {expected}, got {got:?}")]
    Text {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What a line should hold.
        expected: String,
        /// What it holds.
        got: String,
    },
    /// An image cannot be read.
    #[error("{path}: {source}")]
    Picture {
        /// The image.
        path: PathBuf,
        /// Why not.
        source: PictureError,
    },
    /// Images and rows of truth do not go together.
    #[error("{images} holds {frames} images, but {truth} has {rows} rows; expected as many")]
    Lengths {
        /// Folder of the images.
        images: PathBuf,
        /// Images found (in the sequence's range).
        frames: usize,
        /// The truth file.
        truth: PathBuf,
        /// Rows found.
        rows: usize,
    },
    /// The images cannot be listed.
    #[error(transparent)]
    Images(#[from] SourceError),
    /// A folder without the images that belong to the sequence.
    #[error("{folder} holds no images with a number from {first} to {last}")]
    NoneInRange {
        /// Folder of the images.
        folder: PathBuf,
        /// First number of the sequence.
        first: u64,
        /// Last number of the sequence.
        last: u64,
    },
    /// A sequence whose target has no box to start with.
    #[error(
        "{0}: the first row is no box to start with; expected finite x, y and positive width, height"
    )]
    NoFirstBox(PathBuf),
    /// A start that needs the truth.
    #[error("{0}: without published truth, expected one-pass evaluation alone")]
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

/// Choices that only some benchmarks have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatasetOptions {
    /// Which part of the benchmark.
    pub subset: Subset,
    /// Need for Speed: frames a second.
    pub nfs_rate: NfsRate,
}

/// Part of a benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subset {
    /// What is usually reported: LaSOT's test split, GOT-10k's validation set where it is present.
    #[default]
    Usual,
    /// GOT-10k's validation set.
    Validation,
    /// The test set.
    Test,
    /// LaSOT: every sequence found.
    All,
}

/// Need for Speed is published at two rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NfsRate {
    /// Every eighth frame, what is usually reported.
    #[default]
    Fps30,
    /// All frames.
    Fps240,
}

/// A sequence that was found, not read yet.
#[derive(Debug, Clone)]
pub struct SequenceEntry {
    /// The benchmark's name of it.
    pub name: String,
    kind: DatasetKind,
    frames: FrameFiles,
    truth: PathBuf,
    nfs_rate: NfsRate,
    start: start::Start,
}

/// A sequence, ready to be tracked and scored. Boxes are 0-based.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// The benchmark's name of it.
    pub name: String,
    /// Image files in order.
    pub frames: Vec<PathBuf>,
    /// The target in the first frame.
    pub first_box: BoundingBox,
    /// One entry per frame where the benchmark publishes them; `None` inside where a frame has no valid box.
    pub truth: Option<Vec<Option<BoundingBox>>>,
    /// Per frame, whether the target is in sight, where the benchmark says so beside the boxes.
    pub visible: Option<Vec<bool>>,
}

impl SequenceEntry {
    /// Reads truth and lists images, from where the run starts.
    pub fn load(&self) -> Result<Sequence, DatasetError> {
        let sequence = match self.kind {
            DatasetKind::Otb100 => otb::load(self),
            DatasetKind::Uav123 | DatasetKind::Uav123TenFps => layout::load_plain(self, None),
            DatasetKind::Nfs => nfs::load(self),
            DatasetKind::Lasot => lasot::load(self),
            DatasetKind::TrackingNet => layout::load_first_box_only(self),
            DatasetKind::Got10k => got10k::load(self),
            DatasetKind::Vot => layout::load_plain(self, None),
            DatasetKind::Simulated => simulated::load(self),
        };
        self.start.of(sequence?)
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

/// Finds the sequences of a benchmark below `root`, in natural order of their names. With `names`, only those
/// (in the same order); a name that is not there is an error.
pub fn list(
    kind: DatasetKind,
    root: &Path,
    options: DatasetOptions,
    names: &[String],
) -> Result<Vec<SequenceEntry>, DatasetError> {
    let parts: &[Subset] = match kind {
        DatasetKind::Got10k => &[Subset::Usual, Subset::Validation, Subset::Test],
        DatasetKind::Lasot => &[Subset::Usual, Subset::Test, Subset::All],
        _ => &[Subset::Usual],
    };
    if !parts.contains(&options.subset) {
        return Err(DatasetError::NoSubset {
            kind,
            subset: options.subset,
            expected: parts,
        });
    }
    // One clear message for the commonest mistake, whatever the layout.
    std::fs::read_dir(root).map_err(DatasetError::io(root))?;
    let mut entries = match kind {
        DatasetKind::Otb100 => otb::list(root)?,
        DatasetKind::Uav123 | DatasetKind::Uav123TenFps => uav123::list(kind, root)?,
        DatasetKind::Nfs => nfs::list(root, options.nfs_rate)?,
        DatasetKind::Lasot => lasot::list(root, options.subset, !names.is_empty())?,
        DatasetKind::TrackingNet => trackingnet::list(root)?,
        DatasetKind::Got10k => got10k::list(root, options.subset)?,
        DatasetKind::Vot => vot::list(root)?,
        DatasetKind::Simulated => simulated::list(root)?,
    };
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
