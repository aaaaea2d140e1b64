//! Decodes video that comes packet by packet, each with a stamp, as robots send it.
//!
//! A [`VideoDecoder`] takes packets as they come and delivers each picture with its packet's stamp. It never waits for a picture:
//! packets go to an `ffmpeg` process through a bounded queue. A [`FrameDecoder`] is for recordings and waits for each picture.
//!
//! A packet that depends on a missing packet gives no picture. So a decoder waits for a key frame at the start, after a lost
//! packet and after a failure. It refuses the packets before that key frame with [`VideoError::NoKeyFrame`].
//!
//! Packets must come in the order of their pictures, so B-frames are not supported. They delay the video, and the senders in
//! ROS 2 do not use them.

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
    /// The codec is not supported.
    #[error("the video is coded as {got:?}, expected h264, h265 (hevc), vp8, vp9 or av1")]
    Codec {
        /// Name of the codec, at most 60 characters.
        got: String,
    },
    /// The packet is empty or too long.
    #[error("a video packet has {got} bytes, expected 1 to {most}")]
    Length {
        /// Size of the packet, bytes.
        got: usize,
        /// Largest size, bytes.
        most: usize,
    },
    /// The packet depends on a missing packet.
    #[error("waits for a key frame, {skipped} packets so far: {why}")]
    NoKeyFrame {
        /// Number of skipped packets, including this one.
        skipped: u64,
        /// Why the decoder waits for a key frame.
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
    /// The packet gave no picture.
    #[error("ffmpeg made no picture of the packet: {reason}")]
    NoPicture {
        /// The last error messages of ffmpeg.
        reason: String,
    },
}
