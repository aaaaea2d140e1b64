//! Follow one chosen target through a camera's frames: E.T.Track and its family of efficient trackers on the CPU.
//!
//! Open a [`Tracker`] with a model folder, give it a frame and the target's box in it, then one frame after the other.
//! Each gives a [`Track`]: the box in pixels of the frame, a confidence, and whether the target is tracked or lost.
//!
//! ```
//! use ettrack::{BoundingBox, Encoding, Frame, TrackState, Tracker, TrackerOptions};
//!
//! # let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/ettrack-nano");
//! // `model` is the path of a model folder, such as models/ettrack-nano.
//! let mut tracker = Tracker::open(model, &TrackerOptions::default().with_threads(1))?;
//!
//! // Two frames of 320 x 240 pixels, R G B. A bright square moves by 4 pixels.
//! let picture = |left: usize| -> Vec<u8> {
//!     let square = |x: usize, y: usize| (left..left + 40).contains(&x) && (100..140).contains(&y);
//!     let level = |i: usize| if square(i % 320, i / 320) { 250 } else { (i % 320 / 4) as u8 };
//!     (0..320 * 240).flat_map(|i| [level(i); 3]).collect()
//! };
//! let (first, second) = (picture(150), picture(154));
//!
//! let frame = Frame::packed(&first, 320, 240, Encoding::Rgb8)?;
//! tracker.initialize(&frame, BoundingBox::new(150.0, 100.0, 40.0, 40.0))?;
//!
//! let frame = Frame::packed(&second, 320, 240, Encoding::Rgb8)?;
//! let track = tracker.update(&frame)?;
//! assert!(track.bounding_box.iou(&BoundingBox::new(154.0, 100.0, 40.0, 40.0)) > 0.5);
//! assert_eq!(track.state, TrackState::Tracking);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Coordinates
//! Pixels of the received frame, as `f64`. (0, 0) is the upper-left corner of the upper-left pixel, x grows to the right,
//! y downwards. A [`BoundingBox`] is the upper-left corner with width and height; it may reach out of the frame.
//!
//! # Errors
//! Each error says what was expected and what came. Bad input leaves a tracker as it was.
//!
//! # ONNX Runtime
//! The networks run in ONNX Runtime 1.17 or newer, which is loaded when the first model is opened;
//! [`model::runtime`] says where it is looked for, [`model::provider`] what may run them inside it.
//!
//! # How it works
//! A frame goes one way: [`frame`] → [`crop`] → [`model`] → [`families`] → [`tracker`]. The crate reads no file but the
//! model's, knows no ROS, logs nothing per frame above TRACE and starts no thread of its own. After the second frame of a
//! target it allocates no memory.
//!
//! # Features
//! `ndarray`: `follower::Inspection::score_map` as a view of rows and columns.

pub mod crop;
mod error_chain;
pub mod families;
pub mod follower;
pub mod frame;
pub mod geometry;
pub mod model;
pub mod text;
pub mod tracker;

pub use error_chain::error_chain;
pub use frame::{Encoding, Frame, FrameError};
pub use geometry::BoundingBox;
pub use model::lost::LostSettings;
pub use model::provider::{Execution, Precision, Provider};
pub use model::{ModelError, ModelFolder};
pub use tracker::{LostMode, StageTimings, Track, TrackError, TrackState, Tracker, TrackerOptions};

// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExamples;

// So must the family that docs/extending.md walks through; its hidden lines test it.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/extending.md")]
struct ExtendingExamples;
