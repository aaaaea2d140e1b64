//! Making targets disappear from real sequences, the same way every time.

use std::path::PathBuf;

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::dataset::Sequence;
use ettrack::frame::{Encoding, ImageBuffer};
use ettrack::geometry::BoundingBox;
use ettrack_media::source::{FolderSource, FrameSource, SourceError};
use ettrack_picture::to_rgb_image;

/// Fewest frames of a sequence that is edited: time to follow, to lose, and to find again.
const SHORTEST: usize = 40;
/// The target disappears at these parts of a sequence …
const STARTS: [f64; 2] = [0.3, 0.65];
/// … for this part of it, within these limits of frames.
const SPAN: f64 = 0.12;
const SPAN_LIMITS: (usize, usize) = (8, 45);
/// Frames in which a board slides over the target.
const SLIDE: usize = 5;
/// What covers the target reaches this much beyond its box.
const MARGIN: f64 = 1.25;
/// Colour of the board.
const BOARD: [u8; 3] = [118, 116, 112];

/// How the target is made to disappear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Not at all: disappearances are the sequence's own.
    None,
    /// The frames are replaced by those of another place.
    Cut,
    /// What lies beside the target is painted over it.
    Paint,
    /// A grey board slides over the target and away again.
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
    /// It can be seen.
    Present,
    /// It cannot.
    Absent,
    /// In part: neither answer is wrong, the frame does not count.
    Partly,
}

/// A sequence whose target disappears.
#[derive(Debug, Clone)]
pub struct EditedSequence {
    /// The sequence it is made of.
    pub name: String,
    /// How.
    pub edit: Edit,
    /// The target in the first frame.
    pub first_box: BoundingBox,
    /// Per frame, where the target is (or would be, were it not hidden).
    pub truth: Vec<Option<BoundingBox>>,
    /// Per frame.
    pub sight: Vec<Sight>,
    frames: Vec<PathBuf>,
    elsewhere: Vec<PathBuf>,
    spans: Vec<(usize, usize)>,
}

impl EditedSequence {
    /// `None` where the sequence is too short, has no truth, never loses its target (with [`Edit::None`]), or there is no
    /// other place to cut to.
    pub fn new(sequence: &Sequence, edit: Edit, elsewhere: &[PathBuf]) -> Option<Self> {
        let truth = sequence.truth.clone()?;
        let length = sequence.frames.len();
        if edit != Edit::None && length < SHORTEST || edit == Edit::Cut && elsewhere.is_empty() {
            return None;
        }
        let visible = |frame: usize| {
            sequence
                .visible
                .as_ref()
                .is_none_or(|visible| visible.get(frame).copied().unwrap_or(true))
        };
        let mut sight: Vec<_> = truth
            .iter()
            .enumerate()
            .map(|(frame, truth)| {
                if truth.is_some() && visible(frame) {
                    Sight::Present
                } else {
                    Sight::Absent
                }
            })
            .collect();
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

    /// Frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// A frame's file name, for messages.
    pub fn frame_name(&self, index: usize) -> String {
        self.frames[index].display().to_string()
    }

    /// Reads frame `index` and edits it.
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
                // 1 while it hides the target, less while it comes (from the left) and goes (to the right).
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

/// `None` for pixels that form no frame, which the tracker's side reports.
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

/// Sets the pixels of a region, as far as it lies inside the picture.
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

/// Copies what lies on the side with more room; where there is no room on either side, the board's colour.
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
    fn the_target_is_gone_exactly_where_the_truth_says() {
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
    fn what_cannot_be_edited_is_left_out() {
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
