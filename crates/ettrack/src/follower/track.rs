//! What a tracker reports of a frame.

use std::time::Duration;

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

/// Time spent on one frame, stage by stage, over all its searches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageTimings {
    /// Cutting, resizing and normalising the search region.
    pub crop: Duration,
    /// ONNX Runtime.
    pub network: Duration,
    /// From the network's outputs to a track.
    pub decode: Duration,
}

/// What a tracker reports of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Track {
    /// Where the target is, pixels of the frame; it may reach out of the frame.
    pub bounding_box: BoundingBox,
    /// How much the evidence supports the box, 0..=1.
    pub confidence: f32,
    /// Tracking or lost.
    pub state: TrackState,
    /// How long each stage took.
    pub timings: StageTimings,
}

impl Track {
    /// A track whose stages took no time.
    pub fn new(bounding_box: BoundingBox, confidence: f32, state: TrackState) -> Self {
        Self {
            bounding_box,
            confidence,
            state,
            timings: StageTimings::default(),
        }
    }

    /// The track of the frame in which the target was chosen: the chosen box, with full confidence.
    pub fn chosen(bounding_box: BoundingBox) -> Self {
        Self::new(bounding_box, 1.0, TrackState::Tracking)
    }
}
