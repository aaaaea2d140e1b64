//! Keep a camera on one chosen target: E.T.Track and its family of efficient trackers on the CPU.
//!
//! A camera frame goes one way: [`frame`] → [`crop`] → [`model`] → [`tracker`] → output.
//! [`source`] stands in front of it, [`node`] and [`eval`] behind it. The core
//! (`geometry frame crop model tracker`) does no I/O but opening a model, knows no ROS, logs nothing
//! per frame above TRACE and starts no thread of its own.

pub mod bag;
pub mod crop;
pub mod eval;
pub mod frame;
pub mod geometry;
pub mod message;
pub mod model;
pub mod node;
pub mod output;
pub mod overlay;
pub mod picture;
pub mod simulate;
pub mod source;
pub mod tracker;

// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
