//! What a tracker family and the tracker exchange: where to look, what was seen there, what is reported.
//!
//! A family implements [`Follower`]. [`crate::tracker::Tracker`] calls it once or more per frame and reports one
//! [`Track`].

mod evidence;
mod track;

pub use evidence::{Corners, Evidence};
pub use track::{StageTimings, Track, TrackState};

use crate::crop::{Padding, SearchWindow, View};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::ModelError;
use crate::model::provider::Execution;
use crate::model::runtime::Runtime;

/// The tracking loop of a family with its network.
///
/// Looking and following are two calls, so that what was seen can be judged before it moves the tracker.
pub trait Follower: Send + std::fmt::Debug {
    /// Takes a new target. The box is valid and overlaps the frame.
    ///
    /// # Errors
    /// [`ModelError`] if the network fails.
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), ModelError>;

    /// Runs the network on the search region around the current pose, and adds the time of the crop and of the network
    /// to `timings`.
    ///
    /// Gives `None` if the network's output holds no usable number.
    ///
    /// # Errors
    /// [`ModelError`] if the network fails.
    fn look(
        &mut self,
        frame: &Frame<'_>,
        request: &SearchRequest,
        timings: &mut StageTimings,
    ) -> Result<Option<Candidate>, ModelError>;

    /// What [`Self::look`] would cut out of a frame for this request; `None` for a family that does not tell.
    fn view(&self, _request: &SearchRequest) -> Option<View> {
        None
    }

    /// Moves and resizes to a candidate by the family's rules.
    fn follow(&mut self, candidate: &Candidate);

    /// Goes to a pose that [`Self::pose`] gave before, or to one with another centre.
    fn place(&mut self, pose: Pose);

    /// Centre and size as the family keeps them; may reach out of the image.
    fn pose(&self) -> Pose;

    /// Called once at the end of each frame with what is reported. A family that refreshes its template does it here.
    ///
    /// # Errors
    /// [`ModelError`] if the network fails.
    fn end_frame(&mut self, _frame: &Frame<'_>, _track: &Track) -> Result<(), ModelError> {
        Ok(())
    }

    /// The box to report for a pose.
    fn reported(&self, pose: Pose) -> BoundingBox {
        pose.bounding_box()
    }

    /// A reported box as the family's authors write it into result files.
    fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox {
        bounding_box
    }

    /// The search region and the network's outputs of the last look.
    fn inspect(&self) -> Inspection<'_>;

    /// The ONNX Runtime that runs the network.
    fn runtime(&self) -> &Runtime;

    /// What runs it inside ONNX Runtime, and in which numbers.
    fn execution(&self) -> &Execution;
}

/// Centre and size of a target, pixels of the frame.
///
/// The centre is kept as it is: derived from an edge it would move by a rounding error, which may move the next
/// search region by a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// x and y of the centre. Each family says whether it counts from the corner or the centre of the first pixel.
    pub center: (f64, f64),
    /// Extent along x.
    pub width: f64,
    /// Extent along y.
    pub height: f64,
}

impl Pose {
    /// The box with this centre and size.
    pub fn bounding_box(&self) -> BoundingBox {
        BoundingBox::from_center(self.center, self.width, self.height)
    }

    /// The same pose with sides of at most `factor` times those of `before`.
    #[must_use]
    pub fn grown_at_most(self, before: &Self, factor: f64) -> Self {
        Self {
            width: self.width.min(before.width * factor),
            height: self.height.min(before.height * factor),
            ..self
        }
    }

    /// Distance of another centre, in units of this target's mean side.
    pub fn displacement_of(&self, other: &Self) -> f32 {
        let (dx, dy) = (
            other.center.0 - self.center.0,
            other.center.1 - self.center.1,
        );
        (dx.hypot(dy) / (self.width * self.height).sqrt()) as f32
    }
}

impl From<BoundingBox> for Pose {
    fn from(target: BoundingBox) -> Self {
        Self {
            center: target.center(),
            width: target.width,
            height: target.height,
        }
    }
}

/// Which part of a frame to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchRequest {
    /// Side of the search region relative to the family's usual one, 1 or more.
    pub scale: f64,
    /// Whether places near the region's centre are preferred, as the authors do. A lost target may be anywhere.
    pub prefer_center: bool,
}

impl SearchRequest {
    /// The family's usual search.
    pub const USUAL: Self = Self {
        scale: 1.0,
        prefer_center: true,
    };
}

/// The place in a search region that resembles the target most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The network's box, pixels of the frame.
    pub pose: Pose,
    /// Cell of the score map, row-major; `None` in a family without a score map.
    pub cell: Option<usize>,
    /// Weight of the new size in the family's smoothing, 0..=1.
    pub rate: f64,
    /// What the network's output says for and against this candidate being the target.
    pub evidence: Evidence,
    /// Largest factor by which a side may grow if this candidate is followed, because an object that looks like the target is near
    /// it. Infinite without such an object.
    pub most_growth: f64,
}

/// What the network saw in the last look, for tests, drawing and tuning.
///
/// With a search scale above 1 a frame may be searched three times. The last look need not be the one that was followed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Inspection<'a> {
    /// The whole pixels that were searched.
    pub window: SearchWindow,
    /// The region that was cut out exactly.
    pub view: View,
    /// What surrounds the image.
    pub padding: Padding,
    /// Side of the network's search image, pixels.
    pub search_size: usize,
    /// What was cut out, as the network reads it: three planes of `search_size` x `search_size` normalised values.
    pub search_image: &'a [f32],
    /// The template images that the network reads next, in the order of the manifest's keys: three planes each.
    pub template_images: [Option<&'a [f32]>; 2],
    /// The network's outputs as it gave them, row-major, in the order in which the family reads them.
    pub outputs: &'a [Vec<f32>],
    /// Scores 0..=1, `map_side` x `map_side`, row-major; empty in a family without a score map.
    pub scores: &'a [f32],
    /// Cells along each side of the score map; 0 in a family without one.
    pub map_side: usize,
    /// Centre of the map's first cell, pixels of the frame (x, y).
    pub first_cell: (f64, f64),
    /// From one cell to the next, pixels of the frame along x and y.
    pub cell_step: (f64, f64),
    /// The chosen cell; `None` before the first update, where nothing was usable, and without a score map.
    pub best: Option<usize>,
    /// The network's box, pixels of the frame; where nothing was usable, the target as it was.
    pub candidate: BoundingBox,
    /// The evidence for the candidate.
    pub evidence: Evidence,
}

impl<'a> Inspection<'a> {
    /// A look at `view` that gave `candidate`. `reported` is its box, or the target as it was without a candidate.
    pub fn new(
        view: View,
        padding: Padding,
        search_size: usize,
        outputs: &'a [Vec<f32>],
        candidate: Option<&Candidate>,
        reported: BoundingBox,
    ) -> Self {
        Self {
            window: view.enclosing(),
            view,
            padding,
            search_size,
            search_image: &[],
            template_images: [None; 2],
            outputs,
            scores: &[],
            map_side: 0,
            first_cell: (0.0, 0.0),
            cell_step: (0.0, 0.0),
            best: candidate.and_then(|candidate| candidate.cell),
            candidate: reported,
            evidence: candidate.map_or_else(Evidence::default, |candidate| candidate.evidence),
        }
    }

    /// The same look with the images that the network read.
    #[must_use]
    pub fn with_images(mut self, search: &'a [f32], templates: [Option<&'a [f32]>; 2]) -> Self {
        (self.search_image, self.template_images) = (search, templates);
        self
    }

    /// The same look with its score map of `map_side` x `map_side` cells.
    #[must_use]
    pub fn with_scores(mut self, scores: &'a [f32], map_side: usize) -> Self {
        (self.scores, self.map_side) = (scores, map_side);
        self
    }

    /// The same look with the place of the map's cells in the frame: the centre of the first one and the step to the next.
    #[must_use]
    pub fn with_cells(mut self, first: (f64, f64), step: (f64, f64)) -> Self {
        (self.first_cell, self.cell_step) = (first, step);
        self
    }

    /// The scores 0..=1 as rows and columns; `None` in a family without a score map.
    #[cfg(feature = "ndarray")]
    pub fn score_map(&self) -> Option<ndarray::ArrayView2<'a, f32>> {
        let shape = (self.map_side, self.map_side);
        ndarray::ArrayView2::from_shape(shape, self.scores)
            .ok()
            .filter(|map| !map.is_empty())
    }
}
