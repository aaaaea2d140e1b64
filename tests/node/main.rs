//! The node's rules, driven by messages and a given clock.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

mod answers;
mod catching_up;
mod diagnostics;
mod fixture;
mod images;
mod settings;
mod targets;
