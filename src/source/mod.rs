//! Where frames come from without ROS: image folders, videos, cameras, bags.

use crate::frame::ImageBuffer;

/// What a source knows of a frame beside its pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameInfo {
    /// 0-based position in the source.
    pub index: u64,
    /// Capture time, nanoseconds since the epoch (or the video's start), where the source has one.
    pub stamp_ns: Option<i64>,
    /// File name, topic, or other words to name the frame by in a message.
    pub name: String,
}

/// Why a source cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A stream of frames.
pub trait FrameSource {
    /// Reads the next frame into `image`, whose memory is reused; `None` at the end.
    fn next_into(&mut self, image: &mut ImageBuffer) -> Result<Option<FrameInfo>, SourceError>;
    /// Number of frames, where known beforehand.
    fn frame_count(&self) -> Option<u64>;
}
