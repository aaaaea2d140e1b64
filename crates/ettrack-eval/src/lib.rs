//! Evaluation of trackers on the field's benchmarks, and on bags recorded from the ROS 2 node.
//!
//! - [`dataset`] finds and reads sequences.
//! - [`runner`] runs a tracker over them and continues interrupted runs. [`shard`] divides a long run.
//! - [`metrics`] and [`score`] compare boxes with the truth.
//! - [`results`] and [`archive`] write the files that other tools and benchmark servers read.
//! - [`report`] writes a page with plots.
//! - [`suite`] compares trackers over several folders. [`interval`] computes the interval of a mean.
//! - [`region`] reads VOT's regions. [`vot_measures`] computes VOT's accuracy and robustness.
//! - [`recording`] scores the answers in a bag. [`presence`] scores the state LOST.
//!
//! ```
//! use ettrack::geometry::BoundingBox;
//! use ettrack_eval::dataset::{self, Dataset, DatasetOptions};
//! use ettrack_eval::metrics::{Scores, frame_errors};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let root = folder.path();
//! # std::fs::create_dir_all(root.join("Deer/img"))?;
//! # std::fs::write(root.join("Deer/img/0001.jpg"), "")?;
//! # std::fs::write(root.join("Deer/img/0002.jpg"), "")?;
//! # std::fs::write(root.join("Deer/groundtruth_rect.txt"), "11,21,30,40\n12,21,30,40\n")?;
//! // Score a tracker that never moves its box.
//! let otb100 = Dataset::find("otb100")?;
//! for entry in dataset::list(otb100, root, DatasetOptions::default(), &[])? {
//!     let sequence = entry.load()?;
//!     assert_eq!(sequence.first_box, BoundingBox::new(10.0, 20.0, 30.0, 40.0));
//!     let boxes = vec![sequence.first_box; sequence.frames.len()];
//!     let errors = frame_errors(&otb100.protocol, &boxes, &sequence, None)?;
//!     println!("{}: success AUC {:.3}", sequence.name, Scores::of(&errors).success_auc);
//! }
//! # Ok(())
//! # }
//! ```

pub mod archive;
pub mod dataset;
pub mod interval;
pub mod metrics;
pub mod presence;
pub mod recording;
pub mod region;
pub mod report;
pub mod results;
pub mod runner;
pub mod score;
pub mod shard;
pub mod suite;
pub mod vot_measures;

// The example of the page on data sets must compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/extending-datasets.md")]
struct ExtendingExamples;
