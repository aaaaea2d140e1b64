//! rosbag2 bags without ROS: reads sqlite3 and mcap files, plain, compressed, split or damaged; writes mcap.
//!
//! Reading never changes a bag. The format of a file is recognized by its first bytes, not by its name. `metadata.yaml`
//! is used if it exists, but it is not required. From a cut or damaged file all messages that can be read are read, and
//! [`Messages::damage`] says what is missing.
//!
//! ```
//! use ettrack_bag::{Bag, BagWriter};
//! use ettrack_message::{FromCdr, Message, RegionOfInterest, ToCdr};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("bag");
//! let roi = RegionOfInterest { x_offset: 310, y_offset: 120, width: 64, height: 96, do_rectify: false };
//! let mut bag = BagWriter::create(&path)?;
//! let topic = bag.add_topic("/initial_roi", RegionOfInterest::TYPE)?;
//! bag.write(topic, 1_700_000_000_000_000_000, &roi.to_cdr())?;
//! bag.finish()?;
//!
//! let mut messages = Bag::open(&path)?.messages(&["/initial_roi"])?;
//! while let Some(message) = messages.next_message() {
//!     assert_eq!(RegionOfInterest::from_cdr(message.data)?, roi);
//! }
//! assert!(messages.damage().is_empty());
//! # Ok(())
//! # }
//! ```

mod compression;
#[cfg(feature = "mcap")]
mod framing;
mod image_topic;
#[cfg(feature = "mcap")]
mod mcap_file;
mod metadata;
mod reader;
#[cfg(feature = "sqlite")]
mod sqlite_file;
mod storage;
#[cfg(feature = "mcap")]
mod writer;

use std::path::PathBuf;

use ettrack_files::OutputError;

pub use image_topic::image_topic;
pub use reader::{Bag, Message, Messages, Topic};
#[cfg(feature = "mcap")]
pub use writer::BagWriter;

/// Limit in bytes of a message, a chunk or a decompressed part of a file: a 16384x16384 image in `rgba8`, rounded up. A
/// greater length counts as damage, and no memory is allocated for it.
const LONGEST: usize = 1 << 30;

/// Why a bag cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file or folder that is not a bag.
    #[error("{}: expected a bag (an mcap or sqlite3 file, or a folder of them), got {got}", path.display())]
    NotABag {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        got: String,
    },
    /// A bag of ROS 1.
    #[error(
        "{}: a bag of ROS 1, expected one of ROS 2; convert it: pip install rosbags; rosbags-convert --src {} --dst {}",
        path.display(), path.display(), path.with_extension("").display()
    )]
    Ros1 {
        /// The file.
        path: PathBuf,
    },
    /// A file that starts like a bag but cannot be read, or a bag that cannot be written as asked.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The bag has no topic of that name.
    #[error("{}: no topic {topic:?}; the bag has: {available}", path.display())]
    NoTopic {
        /// The bag.
        path: PathBuf,
        /// The topic asked for.
        topic: String,
        /// The topics of the bag, with their types.
        available: String,
    },
    /// The messages of a topic are serialised in another format than CDR.
    #[error("{}: topic {topic:?} is serialised as {got:?}; only \"cdr\" is read", path.display())]
    Serialization {
        /// The bag.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// The format that the bag names.
        got: String,
    },
    /// The bag has no topic of images, or several.
    #[error("{}: expected {expected}; the bag has: {available}", path.display())]
    ImageTopic {
        /// The bag.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
        /// All topics with their types.
        available: String,
    },
    /// The chosen topic has no images.
    #[error(
        "topic {topic:?} is of type {got}, expected sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage"
    )]
    TopicType {
        /// The topic.
        topic: String,
        /// Its type.
        got: String,
    },
    /// The bag to write exists already.
    #[error("{}: exists already; choose another name or remove it", path.display())]
    Exists {
        /// The bag to write.
        path: PathBuf,
    },
    /// A file of the bag cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl BagError {
    fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn broken(path: &std::path::Path, reason: impl std::fmt::Display) -> Self {
        Self::Broken {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
