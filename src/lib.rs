//! The rules of the ROS 2 node, independent of ROS: what it does with each message, and what it publishes.
//!
//! [`NodeCore`] takes messages as CDR bytes and answers with messages. It uses no middleware, starts no thread and reads only the
//! clock that it is given. An adapter to a middleware moves messages in and out. [`replay`] does this with bags, and tests do it
//! directly, so all of them run the same node.

mod arguments;
mod bearing;
mod core;
mod diagnostics;
mod flow;
pub mod follow;
mod history;
pub mod inbox;
mod log;
#[cfg(feature = "mavlink")]
pub mod mavlink;
pub mod names;
pub mod overrides;
pub mod parameters;
#[cfg(feature = "replay")]
pub mod replay;
#[cfg(feature = "ros")]
pub mod ros;
mod tracker;
#[cfg(any(feature = "replay", feature = "ros"))]
mod video;
#[cfg(feature = "web")]
pub mod web;
pub mod worker;

pub use self::core::{Clock, Glance, NodeCore, Output, Place};
pub use bearing::bearing;
pub use history::Bounds;
pub use log::Level;
pub use tracker::open_tracker;

use ettrack::follower::Inspection;
use ettrack::frame::Region;
use ettrack::tracker::{SingleObjectTracker, TrackError};

/// What the node needs from a tracker in addition to tracking: settings that change while it runs.
pub trait NodeTracker: SingleObjectTracker {
    /// Uses these settings from the next frame on.
    ///
    /// # Errors
    /// [`TrackError::Setting`] for a setting out of its range; then nothing has changed.
    fn configure(&mut self, settings: &TrackerSettings) -> Result<(), TrackError>;
    /// The region of the next frame that the tracker searches first. Of compressed images only this region is decoded, and more
    /// if more is read. `None` if it is not known: then images are decoded whole.
    fn next_region(&self) -> Option<Region> {
        None
    }
    /// The search region and the maps of the newest frame, if the tracker provides them.
    fn inspection(&self) -> Option<Inspection<'_>> {
        None
    }
}

/// The node's parameters that a tracker can change while it runs. `None` means the value of the model's folder.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackerSettings {
    /// Side of the search region in multiples of the authors' side.
    pub search_scale: f64,
    /// Whether the target may be called lost.
    pub lost_detection: bool,
    /// Confidence below which a frame is reported as lost.
    pub report_threshold: Option<f64>,
    /// Evidence below which a frame counts as without the target.
    pub confidence_threshold: Option<f64>,
    /// Confidence of one frame above which a lost target may be back.
    pub recovery_threshold: Option<f64>,
    /// Frames in a row without the target until it is searched for.
    pub lost_after_frames: Option<u32>,
    /// Frames in a row with the target that bring it back.
    pub found_after_frames: Option<u32>,
    /// The widest search region for a lost target, in multiples of the usual side.
    pub widest_search: Option<f64>,
}

/// The model in use, for diagnostics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name and folder.
    pub name: String,
    /// Version of ONNX Runtime.
    pub runtime: String,
    /// What runs it inside ONNX Runtime, such as `cpu, exact (f32)`.
    pub execution: String,
}
