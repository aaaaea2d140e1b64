//! Trackers: a target in, one [`Track`] per frame out.

use std::time::Duration;

use crate::frame::Frame;
use crate::geometry::BoundingBox;

/// Whether the target is believed to be where the box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackState {
    /// The box holds the target.
    Tracking,
    /// The target is not seen; the box is where the search goes on.
    Lost,
}

/// Time spent on one frame, stage by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimings {
    /// Cutting, resizing and normalising the search region.
    pub crop: Duration,
    /// ONNX Runtime.
    pub network: Duration,
    /// From score and box maps to a track.
    pub decode: Duration,
}

/// What a tracker says of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// Where the target is, pixels of the frame.
    pub bounding_box: BoundingBox,
    /// How much the evidence supports the box, 0..=1.
    pub confidence: f32,
    /// Tracking or lost.
    pub state: TrackState,
    /// Where the time went.
    pub timings: StageTimings,
}

/// Why a frame could not be tracked.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    /// `update` before `initialize`.
    #[error("no target yet: call initialize with a frame and a box first")]
    NotInitialized,
}

/// One target followed through a stream of frames: the two calls every tracker of this crate has.
pub trait SingleObjectTracker {
    /// Takes `target` in `frame` as the target from now on; may be called again at any time.
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError>;
    /// Finds the target in the next frame.
    fn update(&mut self, frame: &Frame<'_>) -> Result<Track, TrackError>;
}
