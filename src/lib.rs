//! The ROS 2 node without ROS: what it does with each message, and what it publishes.
//!
//! [`NodeCore`] takes messages as CDR bytes and answers with messages; it knows no middleware, starts no
//! thread and reads no clock but the one it is given. An adapter to a middleware brings messages in and out;
//! [`replay`] does so with bags, and tests do so directly: it is the same node everywhere.

mod arguments;
mod bearing;
mod core;
mod diagnostics;
mod flow;
pub mod follow;
mod history;
pub mod inbox;
mod levels;
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
pub use levels::Levels;
pub use log::Level;
pub use tracker::open_tracker;

use ettrack::follower::Inspection;
use ettrack::tracker::{SingleObjectTracker, TrackError};

/// What the node needs of a tracker beside tracking: settings that change while it runs.
pub trait NodeTracker: SingleObjectTracker {
    /// Takes settings from the next frame on.
    ///
    /// # Errors
    /// [`TrackError::Setting`] for a setting out of its range; then nothing has changed.
    fn configure(&mut self, settings: &TrackerSettings) -> Result<(), TrackError>;
    /// What the last look at an image showed the network, where the tracker tells.
    fn inspection(&self) -> Option<Inspection<'_>> {
        None
    }
}

/// The node's parameters that a tracker takes while it runs. `None`: as the model's folder says.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackerSettings {
    /// Side of the searched window against the authors'.
    pub search_scale: f64,
    /// Whether the target may be called lost.
    pub lost_detection: bool,
    /// Confidence below which a frame counts as without the target.
    pub confidence_threshold: Option<f64>,
    /// Confidence of one frame above which a lost target may be back.
    pub recovery_threshold: Option<f64>,
    /// Frames in a row without the target that make it lost.
    pub lost_after_frames: Option<u32>,
    /// Frames in a row with the target that bring it back.
    pub found_after_frames: Option<u32>,
    /// The widest search of a lost target against the usual one.
    pub widest_search: Option<f64>,
}

/// The model in use, for diagnostics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name and folder.
    pub name: String,
    /// What runs it, with its version.
    pub runtime: String,
}
