//! rosbag2 bags: reading sqlite3 and mcap, plain, compressed, split, cut; writing mcap.
//!
//! A bag is read and never changed. What a file is, is told from its first bytes and not from its name.
//! `metadata.yaml` is used where it is there and not needed where it is not. A file that is cut or damaged
//! gives all messages that can be read, and [`Messages::damage`] says what could not.

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

pub use image_topic::image_topic;
pub use reader::{Bag, Message, Messages, Topic};
#[cfg(feature = "mcap")]
pub use writer::BagWriter;

/// The longest message, chunk or decompressed file part that is read, bytes: a 16384x16384 image in `rgba8`,
/// rounded up. Lengths above it are damage, and no memory is set aside for them.
const LONGEST: usize = 1 << 30;

/// Why a bag cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    /// The system refused a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is no bag.
    #[error("{}: expected a bag (an mcap or sqlite3 file, or a folder of them), got {got}", path.display())]
    NotABag {
        /// The file.
        path: PathBuf,
        /// What it is.
        got: String,
    },
    /// A bag that is none on closer look.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A topic that the bag does not hold.
    #[error("{}: no topic {topic:?}; the bag has: {available}", path.display())]
    NoTopic {
        /// The bag.
        path: PathBuf,
        /// The topic asked for.
        topic: String,
        /// The topics that are there, with their types.
        available: String,
    },
    /// A topic whose messages are in another form than CDR.
    #[error("{}: topic {topic:?} is serialised as {got:?}; only \"cdr\" is read", path.display())]
    Serialization {
        /// The bag.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// What the bag says.
        got: String,
    },
    /// A bag without a single topic of images, or with several to choose from.
    #[error("{}: expected {expected}; the bag has: {available}", path.display())]
    ImageTopic {
        /// The bag.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// All topics with their types.
        available: String,
    },
    /// A topic that holds no images.
    #[error(
        "topic {topic:?} is of type {got}, expected sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage"
    )]
    TopicType {
        /// The topic.
        topic: String,
        /// Its type.
        got: String,
    },
    /// Output that is there already.
    #[error("{}: exists already; choose another name or remove it", path.display())]
    Exists {
        /// The bag to write.
        path: PathBuf,
    },
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
