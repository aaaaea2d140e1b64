//! Where frames come from without ROS: image folders, videos, cameras, bags.

mod bag;
mod camera;
mod ffmpeg;
mod folder;
mod words;

pub(crate) use words::LastWords;

pub use bag::BagSource;
pub use camera::CameraSource;
pub use ffmpeg::{VideoSource, find_ffmpeg};
pub use folder::FolderSource;

use std::path::{Path, PathBuf};

use ettrack::frame::{FrameError, ImageBuffer};
use ettrack_bag::{Bag, BagError};
use ettrack_message::ImageError;
use ettrack_picture::PictureError;

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

/// Why one frame cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// No picture, or a cut one.
    #[error("{0}")]
    Picture(#[from] PictureError),
    /// A message without usable pixels.
    #[error("{0}")]
    Message(#[from] ImageError),
    /// Pixels that do not fit the size or encoding.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

/// Why a source cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// One frame cannot be used; the next call gives the frame behind it.
    #[error("frame {index} ({name}): {reason}")]
    Frame {
        /// 0-based position in the source.
        index: u64,
        /// The frame, in words.
        name: String,
        /// What is wrong with it.
        reason: BadFrame,
    },
    /// A folder that holds no pictures.
    #[error("{}: expected pictures (.jpg, .jpeg, .png, .bmp, .ppm, .pgm) or a bag, found {found}", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// A bag that cannot be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A topic asked for in what has none.
    #[error("{}: expected a bag to choose the topic {topic:?} of (--image-topic), got no bag", path.display())]
    NoTopics {
        /// The source.
        path: PathBuf,
        /// The topic.
        topic: String,
    },
    /// Videos and cameras are read through a program that is not there.
    #[error(
        "videos and cameras are read through the program `ffmpeg`, which was not found in PATH; install it \
         (Debian, Ubuntu: apt install ffmpeg), or give a folder of pictures or a bag"
    )]
    NoFfmpeg,
    /// `ffmpeg` could not read the video or camera.
    #[error("{name}: ffmpeg could not read it: {reason}")]
    Ffmpeg {
        /// The video or camera.
        name: String,
        /// What ffmpeg said.
        reason: String,
    },
}

impl SourceError {
    /// Whether only one frame is lost and reading can go on.
    pub fn is_about_one_frame(&self) -> bool {
        matches!(self, Self::Frame { .. })
    }
}

/// A stream of frames.
pub trait FrameSource {
    /// Reads the next frame into `image`, whose memory is reused; `None` at the end.
    ///
    /// # Errors
    /// After an error for which [`SourceError::is_about_one_frame`] holds, the next call gives the next frame.
    fn next_into(&mut self, image: &mut ImageBuffer) -> Result<Option<FrameInfo>, SourceError>;
    /// Number of frames, where known beforehand.
    fn frame_count(&self) -> Option<u64>;
    /// Frames per second, where known.
    fn frame_rate(&self) -> Option<f64> {
        None
    }
    /// The files that it reads, as far as there are any: they must not be written to meanwhile.
    fn files(&self) -> &[PathBuf] {
        &[]
    }
    /// What was passed over so far beside broken frames, such as the missing end of a cut bag.
    fn damage(&self) -> &[String] {
        &[]
    }
}

/// Opens what `source` names: a camera (`/dev/video0`), a bag (folder or file), a folder of pictures, a video.
/// `image_topic` chooses among several topics of images of a bag, and is refused for all else.
///
/// # Errors
/// Where there is nothing of that name, or it holds no frames that can be read.
pub fn open(source: &str, image_topic: Option<&str>) -> Result<Box<dyn FrameSource>, SourceError> {
    let path = Path::new(source);
    let without_topics = || match image_topic {
        None => Ok(()),
        Some(topic) => Err(SourceError::NoTopics {
            path: path.to_owned(),
            topic: topic.to_owned(),
        }),
    };
    if camera::is_camera(path) {
        without_topics()?;
        return Ok(Box::new(CameraSource::open(path)?));
    }
    let metadata = std::fs::metadata(path).map_err(|error| SourceError::Io {
        path: path.to_owned(),
        source: error,
    })?;
    if Bag::looks_like_one(path) {
        return Ok(Box::new(BagSource::open(path, image_topic)?));
    }
    without_topics()?;
    if metadata.is_dir() {
        Ok(Box::new(FolderSource::open(path)?))
    } else {
        Ok(Box::new(VideoSource::open(path)?))
    }
}
