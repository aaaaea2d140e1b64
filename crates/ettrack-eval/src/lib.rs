//! One-pass and robustness evaluation on the benchmarks: datasets, measures, result files, report.

pub mod archive;
pub mod dataset;
pub mod metrics;
pub mod presence;
pub mod recording;
pub mod report;
pub mod results;
pub mod runner;
pub mod score;
