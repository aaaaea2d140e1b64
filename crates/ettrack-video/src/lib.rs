//! Pictures of coded video that comes packet by packet, each with a stamp, as robots send it.
//!
//! A [`VideoDecoder`] takes packets as they come and hands over each picture with its packet's stamp. It never waits: packets
//! go to an `ffmpeg` process through a bounded queue. A [`FrameDecoder`] waits for the picture of each packet, for recordings.
//!
//! A packet that builds on one that is missing has no picture of its own. So a decoder waits for a key frame at the start,
//! after a lost packet and after a failure, and refuses what comes before with [`VideoError::NoKeyFrame`].
//!
//! Packets come in the order of their pictures: streams with B-frames, which look ahead, are not for robots, and the senders in
//! ROS 2 use none.

mod codec;
mod decoder;
mod process;
mod sync;
mod units;

pub use codec::Codec;
pub use decoder::{Packet, VideoDecoder, Wait};
pub use process::{Picture, find_ffmpeg};
pub use sync::FrameDecoder;

/// Why a packet gives no picture.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// A codec that is not decoded here.
    #[error("the video is coded as {got:?}, expected h264, h265 (hevc), vp8, vp9 or av1")]
    Codec {
        /// Its name.
        got: String,
    },
    /// A packet of no or too many bytes.
    #[error("a video packet has {got} bytes, expected 1 to {most}")]
    Length {
        /// Bytes of the packet.
        got: usize,
        /// The most.
        most: usize,
    },
    /// The packet builds on one that is missing.
    #[error("waits for a key frame, {skipped} packets so far: {why}")]
    NoKeyFrame {
        /// Packets that were skipped, this one included.
        skipped: u64,
        /// What is missing.
        why: Wait,
    },
    /// `ffmpeg` is not installed.
    #[error(
        "video is decoded by the program `ffmpeg`, which was not found in PATH; install it (Debian, Ubuntu: apt install ffmpeg)"
    )]
    NoFfmpeg,
    /// `ffmpeg` could not be started.
    #[error("ffmpeg could not be started")]
    Start(#[source] std::io::Error),
    /// No picture came of the packet.
    #[error("ffmpeg made no picture of the packet: {reason}")]
    NoPicture {
        /// Its last words.
        reason: String,
    },
}
