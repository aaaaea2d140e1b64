//! Keep a camera on one chosen target: E.T.Track and its family of efficient trackers on the CPU.
//!
//! A camera frame goes one way: [`frame`] → [`crop`] → [`model`] → [`tracker`]. This crate does no I/O but opening a
//! model, knows no ROS, logs nothing per frame above TRACE and starts no thread of its own.

pub mod crop;
pub mod frame;
pub mod geometry;
pub mod model;
pub mod tracker;

// The README's example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ReadmeExamples;
