//! Building blocks for the layouts of data sets: listing folders and images, and reading boxes that belong to images.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::start::Start;
use super::text::{lines, parse_boxes, parse_regions, read_text, to_box};
use super::{DatasetError, Search, Sequence, SequenceEntry};
use ettrack_media::source::{FolderSource, FrameSource};

/// Image files of one sequence: all of a folder, or those whose number is in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameFiles {
    /// The folder.
    pub folder: PathBuf,
    /// First and last number in the file names; `None` for all files.
    pub numbers: Option<RangeInclusive<u64>>,
}

impl FrameFiles {
    /// The files in natural order (`9.jpg` before `10.jpg`).
    ///
    /// # Errors
    /// [`DatasetError`] if the folder cannot be read or has no such images.
    pub fn list(&self) -> Result<Vec<PathBuf>, DatasetError> {
        let source = FolderSource::open(&self.folder)?;
        let in_range = |path: &PathBuf| match &self.numbers {
            None => true,
            Some(range) => number_in_name(path).is_some_and(|number| range.contains(&number)),
        };
        let files: Vec<_> = source
            .files()
            .iter()
            .filter(|path| in_range(path))
            .cloned()
            .collect();
        match &self.numbers {
            Some(range) if files.is_empty() => Err(DatasetError::NoneInRange {
                folder: self.folder.clone(),
                first: *range.start(),
                last: *range.end(),
            }),
            _ => Ok(files),
        }
    }
}

fn number_in_name(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// Names of the folders in `root`, without hidden ones, in any order.
///
/// # Errors
/// [`DatasetError::Io`]
pub fn folders(root: &Path) -> Result<Vec<String>, DatasetError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root).map_err(DatasetError::io(root))? {
        let path = entry.map_err(DatasetError::io(root))?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && path.is_dir()
            && !name.starts_with('.')
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Names without extension of the `.txt` files in `folder`, without hidden ones, in any order.
///
/// # Errors
/// [`DatasetError::Io`]
pub fn text_files(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(DatasetError::io(folder))? {
        let path = entry.map_err(DatasetError::io(folder))?.path();
        if let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
            && path.extension().is_some_and(|extension| extension == "txt")
            && !stem.starts_with('.')
        {
            names.push(stem.to_owned());
        }
    }
    Ok(names)
}

/// The names in a list file, one per line.
///
/// # Errors
/// [`DatasetError`] if the list cannot be read.
pub fn names_in(list: &Path) -> Result<Vec<String>, DatasetError> {
    let text = read_text(list)?;
    Ok(lines(&text)
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

impl SequenceEntry {
    /// A sequence of the data set that is searched, with all images of the folder `images` and the true boxes in the file
    /// `truth`.
    pub fn new(
        search: &Search<'_>,
        name: impl Into<String>,
        images: PathBuf,
        truth: PathBuf,
    ) -> Self {
        Self {
            name: name.into(),
            dataset: search.dataset,
            frames: FrameFiles {
                folder: images,
                numbers: None,
            },
            truth,
            options: search.options,
            start: Start::default(),
        }
    }

    /// Takes only images whose number is in this range; `None` for all.
    #[must_use]
    pub fn with_numbers(mut self, numbers: Option<RangeInclusive<u64>>) -> Self {
        self.frames.numbers = numbers;
        self
    }

    /// Puts images and rows of the truth file together.
    ///
    /// # Errors
    /// [`DatasetError::Lengths`] if their numbers differ, [`DatasetError::NoFirstBox`] if the first row is not a box.
    pub fn assemble(
        &self,
        frames: Vec<PathBuf>,
        rows: &[[f64; 4]],
        visible: Option<Vec<bool>>,
    ) -> Result<Sequence, DatasetError> {
        if frames.len() != rows.len() {
            return Err(self.lengths(frames.len(), rows.len()));
        }
        let truth: Vec<_> = rows
            .iter()
            .map(|row| to_box(*row, self.dataset.first_pixel))
            .collect();
        let first_box = truth
            .first()
            .copied()
            .flatten()
            .ok_or_else(|| DatasetError::NoFirstBox(self.truth.clone()))?;
        Ok(Sequence {
            name: self.name.clone(),
            length: frames.len(),
            frames,
            first_box,
            truth: Some(truth),
            visible,
        })
    }

    /// The name of the sequence without that of a start.
    pub(super) fn file_name(&self) -> String {
        self.truth
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    pub(super) fn lengths(&self, frames: usize, rows: usize) -> DatasetError {
        DatasetError::Lengths {
            images: self.frames.folder.clone(),
            frames,
            truth: self.truth.clone(),
            rows,
        }
    }
}

/// Reads a sequence whose truth file has a row per image.
///
/// # Errors
/// [`DatasetError`] if a file cannot be read, or rows and images do not match.
pub fn load_boxes(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    load_boxes_and_visibility(entry, None)
}

/// As [`load_boxes`], with one entry of `visible` per row if the data set says when the target is visible.
///
/// # Errors
/// As [`load_boxes`].
pub fn load_boxes_and_visibility(
    entry: &SequenceEntry,
    visible: Option<Vec<bool>>,
) -> Result<Sequence, DatasetError> {
    load_rows(entry, &parse_boxes(&entry.truth)?, visible)
}

/// As [`load_boxes`], for truth files with VOT's regions, of which the bounding rectangles are taken.
///
/// # Errors
/// As [`load_boxes`].
pub fn load_regions(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    load_rows(entry, &parse_regions(&entry.truth)?, None)
}

fn load_rows(
    entry: &SequenceEntry,
    rows: &[[f64; 4]],
    visible: Option<Vec<bool>>,
) -> Result<Sequence, DatasetError> {
    let frames = entry.frames.list()?;
    if let Some(visible) = &visible
        && visible.len() != rows.len()
    {
        return Err(entry.lengths(visible.len(), rows.len()));
    }
    entry.assemble(frames, rows, visible)
}

/// Reads a sequence whose truth file has only the first row, because the rest is not published. More rows are ignored.
///
/// # Errors
/// [`DatasetError`] if a file cannot be read or the first row is not a box.
pub fn load_first_box(entry: &SequenceEntry) -> Result<Sequence, DatasetError> {
    let rows = parse_boxes(&entry.truth)?;
    let first_box = rows
        .first()
        .and_then(|row| to_box(*row, entry.dataset.first_pixel))
        .ok_or_else(|| DatasetError::NoFirstBox(entry.truth.clone()))?;
    let frames = entry.frames.list()?;
    Ok(Sequence {
        name: entry.name.clone(),
        length: frames.len(),
        frames,
        first_box,
        truth: None,
        visible: None,
    })
}
