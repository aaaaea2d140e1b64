//! Makes targets disappear from real sequences, the same way in each run.

use std::path::PathBuf;

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::dataset::Sequence;
use ettrack::frame::{Encoding, ImageBuffer};
use ettrack::geometry::BoundingBox;
use ettrack_media::source::{FolderSource, FrameSource, SourceError};
use ettrack_picture::to_rgb_image;

/// Least number of frames of a sequence that is edited.
const SHORTEST: usize = 40;
/// The target disappears at these parts of a sequence.
const STARTS: [f64; 2] = [0.3, 0.65];
/// Length of a disappearance as a part of the sequence.
const SPAN: f64 = 0.12;
/// Least and greatest length of a disappearance in frames.
const SPAN_LIMITS: (usize, usize) = (8, 45);
/// Number of frames in which a board slides over the target.
const SLIDE: usize = 5;
/// Size of the covered region, in sizes of the target's box.
const MARGIN: f64 = 1.25;
/// Colour of the board.
const BOARD: [u8; 3] = [118, 116, 112];

/// How the target is made to disappear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Frames are not edited: only the sequence's own disappearances count.
    None,
    /// Frames are replaced by those of another sequence.
    Cut,
    /// The pixels beside the target are copied over it.
    Paint,
    /// A grey board slides over the target and then away.
    Board,
}

impl Edit {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "as is",
            Self::Cut => "cut",
            Self::Paint => "paint",
            Self::Board => "board",
        }
    }
}

/// Whether a frame shows the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// The target is visible.
    Present,
    /// The target is not visible.
    Absent,
    /// The target is partly covered. The frame does not count, because neither answer is wrong.
    Partly,
}

/// A sequence whose target disappears.
#[derive(Debug, Clone)]
pub struct EditedSequence {
    /// Name of the original sequence.
    pub name: String,
    /// How the target disappears.
    pub edit: Edit,
    /// The target in the first frame.
    pub first_box: BoundingBox,
    /// True box per frame, also while the target is covered.
    pub truth: Vec<Option<BoundingBox>>,
    /// Whether the target is visible, per frame.
    pub sight: Vec<Sight>,
    frames: Vec<PathBuf>,
    elsewhere: Vec<PathBuf>,
    spans: Vec<(usize, usize)>,
}

/// Whether each frame shows the target, as its benchmark says.
fn sights(sequence: &Sequence, truth: &[Option<BoundingBox>]) -> Vec<Sight> {
    let visible = |frame: usize| {
        sequence
            .visible
            .as_ref()
            .is_none_or(|visible| visible.get(frame).copied().unwrap_or(true))
    };
    truth
        .iter()
        .enumerate()
        .map(|(frame, truth)| {
            if truth.is_some() && visible(frame) {
                Sight::Present
            } else {
                Sight::Absent
            }
        })
        .collect()
}

impl EditedSequence {
    /// Plans the edit. `None` if the sequence is too short or has no truth, if its target never disappears (with
    /// [`Edit::None`]), or if there are no other frames to cut to (with [`Edit::Cut`]).
    pub fn new(sequence: &Sequence, edit: Edit, elsewhere: &[PathBuf]) -> Option<Self> {
        let truth = sequence.truth.clone()?;
        let length = sequence.frames.len();
        if edit != Edit::None && length < SHORTEST || edit == Edit::Cut && elsewhere.is_empty() {
            return None;
        }
        let mut sight = sights(sequence, &truth);
        let mut spans = Vec::new();
        if edit != Edit::None {
            let span = ((length as f64 * SPAN) as usize).clamp(SPAN_LIMITS.0, SPAN_LIMITS.1);
            for start in STARTS {
                let start = (length as f64 * start) as usize;
                spans.push((start, start + span));
                sight[start..start + span].fill(Sight::Absent);
                if edit == Edit::Board {
                    sight[start - SLIDE..start].fill(Sight::Partly);
                    sight[start + span..start + span + SLIDE].fill(Sight::Partly);
                }
            }
        }
        sight.contains(&Sight::Absent).then(|| Self {
            name: sequence.name.clone(),
            edit,
            first_box: sequence.first_box,
            truth,
            sight,
            frames: sequence.frames.clone(),
            elsewhere: elsewhere.to_vec(),
            spans,
        })
    }

    /// A sequence as it is, whether its target disappears or not; `None` without published truth.
    pub fn unedited(sequence: &Sequence) -> Option<Self> {
        let truth = sequence.truth.clone()?;
        Some(Self {
            name: sequence.name.clone(),
            edit: Edit::None,
            first_box: sequence.first_box,
            sight: sights(sequence, &truth),
            truth,
            frames: sequence.frames.clone(),
            elsewhere: Vec::new(),
            spans: Vec::new(),
        })
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// File name of a frame, for messages.
    pub fn frame_name(&self, index: usize) -> String {
        self.frames[index].display().to_string()
    }

    /// Reads frame `index` (0-based) into `image` and edits it.
    ///
    /// # Errors
    /// [`SourceError`] if the image cannot be read.
    pub fn read(&self, index: usize, image: &mut ImageBuffer) -> Result<(), SourceError> {
        load(&self.frames[index], image)?;
        let Some((start, end)) = self
            .spans
            .iter()
            .copied()
            .find(|(start, end)| index + SLIDE >= *start && index < *end + SLIDE)
        else {
            return Ok(());
        };
        let inside = (start..end).contains(&index);
        match self.edit {
            Edit::None => Ok(()),
            Edit::Cut if inside => {
                let (width, height) = (image.width, image.height);
                let other = &self.elsewhere[index % self.elsewhere.len()];
                load(other, image)?;
                let Some(picture) = picture(image) else {
                    return Ok(());
                };
                let fitted = imageops::resize(&picture, width, height, FilterType::Triangle);
                store(fitted, image);
                Ok(())
            }
            Edit::Paint if inside => {
                self.cover(index, image, paint_beside);
                Ok(())
            }
            Edit::Board => {
                // Shift of the board in its own widths: it comes from the left, covers the target at 0, and leaves to the right.
                let slide = SLIDE as f64;
                let shift = if index < start {
                    -((start - index) as f64 / slide)
                } else if index >= end {
                    (index + 1 - end) as f64 / slide
                } else {
                    0.0
                };
                self.cover(index, image, |picture, region| {
                    let board = BoundingBox {
                        x: region.x + shift * region.width,
                        ..*region
                    };
                    fill(picture, &board, |_, _, _| BOARD);
                });
                Ok(())
            }
            Edit::Cut | Edit::Paint => Ok(()),
        }
    }

    fn cover(
        &self,
        index: usize,
        image: &mut ImageBuffer,
        draw: impl FnOnce(&mut RgbImage, &BoundingBox),
    ) {
        let (Some(target), Some(mut picture)) = (self.truth[index], picture(image)) else {
            return;
        };
        let (cx, cy) = target.center();
        let (width, height) = (target.width * MARGIN + 4.0, target.height * MARGIN + 4.0);
        let region = BoundingBox::new(cx - 0.5 * width, cy - 0.5 * height, width, height);
        draw(&mut picture, &region);
        store(picture, image);
    }
}

fn load(path: &std::path::Path, image: &mut ImageBuffer) -> Result<(), SourceError> {
    FolderSource::from_files(vec![path.to_owned()]).next_into(image)?;
    Ok(())
}

/// The picture; `None` if the pixels do not form a frame, which is reported when the tracker reads them.
fn picture(image: &ImageBuffer) -> Option<RgbImage> {
    image.frame().ok().map(|frame| to_rgb_image(&frame))
}

fn store(picture: RgbImage, image: &mut ImageBuffer) {
    image.width = picture.width();
    image.height = picture.height();
    image.stride = picture.width() as usize * 3;
    image.encoding = Encoding::Rgb8;
    image.big_endian = false;
    image.data = picture.into_raw();
}

/// Sets the pixels of a region, clipped to the picture.
fn fill(
    picture: &mut RgbImage,
    region: &BoundingBox,
    color: impl Fn(&RgbImage, u32, u32) -> [u8; 3],
) {
    let (width, height) = picture.dimensions();
    let columns = region.x.max(0.0) as u32..((region.x + region.width).max(0.0) as u32).min(width);
    for y in region.y.max(0.0) as u32..((region.y + region.height).max(0.0) as u32).min(height) {
        for x in columns.clone() {
            let new = color(picture, x, y);
            picture.put_pixel(x, y, image::Rgb(new));
        }
    }
}

/// Copies the pixels from the side with more room over the region. Pixels outside of the picture get the board's colour.
fn paint_beside(picture: &mut RgbImage, region: &BoundingBox) {
    let width = f64::from(picture.width());
    let room_left = region.x;
    let room_right = width - region.x - region.width;
    let step = region.width.ceil();
    let shift = if room_right >= room_left { step } else { -step };
    let source = picture.clone();
    fill(picture, region, |_, x, y| {
        let from = f64::from(x) + shift;
        if (0.0..width).contains(&from) {
            source.get_pixel(from as u32, y).0
        } else {
            BOARD
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(folder: &std::path::Path, frames: usize) -> Sequence {
        let target = BoundingBox::new(20.0, 10.0, 8.0, 8.0);
        let files = (0..frames)
            .map(|index| {
                let path = folder.join(format!("{index:03}.png"));
                let mut picture = RgbImage::from_pixel(64, 32, image::Rgb([30, 90, 30]));
                fill(&mut picture, &target, |_, _, _| [200, 0, 0]);
                picture.save(&path).unwrap();
                path
            })
            .collect();
        Sequence {
            name: "s".to_owned(),
            frames: files,
            first_box: target,
            truth: Some(vec![Some(target); frames]),
            visible: None,
            length: 0,
        }
    }

    fn red(sequence: &EditedSequence, index: usize) -> usize {
        let mut image = ImageBuffer::empty();
        sequence.read(index, &mut image).unwrap();
        assert_eq!((image.width, image.height), (64, 32));
        let picture = picture(&image).unwrap();
        picture.pixels().filter(|pixel| pixel.0[0] > 150).count()
    }

    #[test]
    fn the_target_is_covered_in_exactly_the_marked_frames() {
        let folder = tempfile::tempdir().unwrap();
        let source = sequence(folder.path(), 60);
        let elsewhere = folder.path().join("elsewhere.png");
        RgbImage::from_pixel(100, 20, image::Rgb([0, 0, 90]))
            .save(&elsewhere)
            .unwrap();
        for edit in [Edit::Cut, Edit::Paint, Edit::Board] {
            let edited =
                EditedSequence::new(&source, edit, std::slice::from_ref(&elsewhere)).unwrap();
            let absent = edited
                .sight
                .iter()
                .filter(|sight| **sight == Sight::Absent)
                .count();
            assert_eq!(absent, 16, "{edit:?}");
            for index in 0..60 {
                let red = red(&edited, index);
                match edited.sight[index] {
                    Sight::Present => assert_eq!(red, 64, "{edit:?} {index}"),
                    Sight::Absent => assert_eq!(red, 0, "{edit:?} {index}"),
                    Sight::Partly => assert!(red <= 64, "{edit:?} {index}"),
                }
            }
        }
    }

    #[test]
    fn leaves_out_sequences_that_cannot_be_edited() {
        let folder = tempfile::tempdir().unwrap();
        let short = sequence(folder.path(), 30);
        assert!(EditedSequence::new(&short, Edit::Paint, &[]).is_none());
        assert!(EditedSequence::new(&short, Edit::None, &[]).is_none());
        let mut own = short;
        own.visible = Some((0..30).map(|frame| frame < 20).collect());
        let own = EditedSequence::new(&own, Edit::None, &[]).unwrap();
        assert_eq!(own.sight[19..21], [Sight::Present, Sight::Absent]);
    }
}
