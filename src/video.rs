//! Reads packets of video from messages of a topic or a bag, and makes images for the node.

use ettrack_message::{CdrError, ImageMessage, Transport};
use ettrack_video::{Packet, VideoError};

/// Why a message of video gives no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoImage {
    /// The message is malformed.
    #[error(transparent)]
    Message(#[from] CdrError),
    /// The message is an image and not a packet of video.
    #[error("expected a packet of video, got a {}", .0.type_name())]
    Image(Transport),
    /// The packet cannot be decoded.
    #[error(transparent)]
    Video(#[from] VideoError),
}

/// Calls `work` with the packet in a message and with the message's `frame_id`.
pub(crate) fn with_packet<R>(
    transport: Transport,
    bytes: &[u8],
    work: impl FnOnce(&Packet<'_>, &str) -> Result<R, VideoError>,
) -> Result<R, NoImage> {
    let told = transport.packet(bytes)?.ok_or(NoImage::Image(transport))?;
    let packet = Packet {
        codec: told.codec,
        stamp: told.header.stamp.as_nanoseconds(),
        number: told.number,
        is_key: told.is_key,
        data: told.data,
    };
    Ok(work(&packet, &told.header.frame_id)?)
}

/// Returns a decoded picture as an image message for the node.
pub(crate) fn image_of(
    stamp: i64,
    frame_id: &str,
    image: ettrack::frame::ImageBuffer,
) -> ImageMessage {
    ImageMessage::Held(Box::new(ettrack_message::DecodedImage {
        header: ettrack_message::Header {
            stamp: ettrack_message::Stamp::from_nanoseconds(stamp),
            frame_id: frame_id.to_owned(),
        },
        image,
    }))
}
