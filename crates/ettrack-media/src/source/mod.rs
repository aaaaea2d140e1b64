//! Sources of frames without ROS: folders of pictures, videos, cameras, bags.

mod bag;
mod camera;
mod decoder_log;
mod ffmpeg;
mod folder;
mod probe;
mod stderr;
mod stream;

pub(crate) use stderr::StderrTail;
pub(crate) use stream::hide_password;

pub use bag::BagSource;
pub use camera::CameraSource;
#[cfg(test)]
pub(crate) use ffmpeg::ffmpeg_tests;
pub(crate) use ffmpeg::own_times;
pub use ffmpeg::{VideoSource, find_ffmpeg};
pub use folder::FolderSource;
use stream::Kind;
pub use stream::without_password;

use std::path::{Path, PathBuf};

use ettrack::frame::{FrameError, ImageBuffer};
use ettrack_bag::{Bag, BagError};
use ettrack_message::ImageError;
use ettrack_picture::PictureError;
use ettrack_video::VideoError;

/// Number, time and name of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameInfo {
    /// 0-based position in the source.
    pub index: u64,
    /// Capture time in nanoseconds since the epoch; `None` if the source has none.
    pub stamp_ns: Option<i64>,
    /// File name, topic or another name of the frame, for messages.
    pub name: String,
}

/// Why one frame cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not a picture, or it is damaged.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The pixels of a message cannot be used.
    #[error(transparent)]
    Message(#[from] ImageError),
    /// The pixel data do not match the size or encoding.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A packet of video gives no picture.
    #[error(transparent)]
    Video(#[from] VideoError),
}

/// Why a source cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// One frame cannot be used. The next call gives the frame after it.
    #[error("frame {index} ({name})")]
    Frame {
        /// 0-based position in the source.
        index: u64,
        /// Name of the frame.
        name: String,
        /// Why it cannot be used.
        source: BadFrame,
    },
    /// A folder without pictures.
    #[error("{}: expected pictures (.jpg, .jpeg, .png, .bmp, .ppm, .pgm) or a bag, found {found}", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// What the folder has instead.
        found: String,
    },
    /// A bag that cannot be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A topic was given for a source that is not a bag.
    #[error("{}: expected a bag to choose the topic {topic:?} of (--image-topic), got no bag", path.display())]
    NoTopics {
        /// The source.
        path: PathBuf,
        /// The topic.
        topic: String,
    },
    /// A file that ffmpeg knows, but without a video.
    #[error("{}: expected a video, found {found}", path.display())]
    NoVideo {
        /// The file.
        path: PathBuf,
        /// Its streams.
        found: String,
    },
    /// The pictures of a stream change their size.
    #[error("{name}: {reason}")]
    SizeChanged {
        /// The video or camera.
        name: String,
        /// The frame and both sizes.
        reason: String,
    },
    /// `ffmpeg`, which reads videos and cameras, is not installed.
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
        /// The reason, with the last lines that ffmpeg wrote.
        reason: String,
    },
}

impl SourceError {
    /// Whether only one frame is lost and reading can continue.
    pub fn is_about_one_frame(&self) -> bool {
        matches!(self, Self::Frame { .. })
    }
}

/// A stream of frames.
pub trait FrameSource {
    /// Reads the next frame into `image`, whose memory is reused; `None` at the end.
    ///
    /// # Errors
    /// [`SourceError`] if the frame cannot be read. If [`SourceError::is_about_one_frame`] holds, the next call gives the
    /// frame after it.
    fn next_into(&mut self, image: &mut ImageBuffer) -> Result<Option<FrameInfo>, SourceError>;
    /// Number of frames, if known beforehand.
    fn frame_count(&self) -> Option<u64>;
    /// Frames per second, if known.
    fn frame_rate(&self) -> Option<f64> {
        None
    }
    /// Whether the source is live. A live source does not wait for its reader and always returns the newest frame.
    fn is_live(&self) -> bool {
        false
    }
    /// The files that the source reads. They must not be overwritten meanwhile.
    fn files(&self) -> &[PathBuf] {
        &[]
    }
    /// Returns the parts that could not be read so far, such as the missing end of a cut bag. Broken frames are not listed.
    fn damage(&self) -> &[String] {
        &[]
    }
    /// Returns the number of frames so far that are damaged or missing and for which there was no error.
    fn damaged_frames(&self) -> u64 {
        0
    }
}

/// Opens a camera (`/dev/video0`, a link to one, or its number), an address that ffmpeg reads (`rtsp://…`), a pipe or `-`,
/// a bag (folder or file), a folder of pictures, or a video. `image_topic` chooses one of several topics of images in a bag
/// and is refused for other sources.
///
/// # Errors
/// [`SourceError`] if the source does not exist or has no frames that can be read.
pub fn open(
    source: &str,
    image_topic: Option<&str>,
) -> Result<Box<dyn FrameSource + Send>, SourceError> {
    let file = stream::file_behind(source);
    let path = file.as_deref().unwrap_or(Path::new(source));
    let without_topics = || match image_topic {
        None => Ok(()),
        Some(topic) => Err(SourceError::NoTopics {
            path: path.to_owned(),
            topic: topic.to_owned(),
        }),
    };
    if let Some(device) = camera::device_of(path) {
        without_topics()?;
        return Ok(Box::new(CameraSource::open(&device)?));
    }
    if file.is_none() {
        match stream::kind_of(source) {
            Some(Kind::Live) => {
                without_topics()?;
                return Ok(Box::new(CameraSource::open_stream(source)?));
            }
            Some(Kind::Recorded) => {
                without_topics()?;
                return Ok(Box::new(VideoSource::open_stream(source)?));
            }
            None => {}
        }
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
