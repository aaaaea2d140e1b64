//! Video of a topic or a bag: packets in, images out.

use ettrack_message::{CdrError, ImageMessage, Transport};
use ettrack_video::{Packet, VideoError};

/// Why there is no image of a message of video.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoImage {
    /// It is malformed.
    #[error(transparent)]
    Message(#[from] CdrError),
    /// It is a whole image, which the node takes as it is.
    #[error("expected a packet of video, got a {}", .0.type_name())]
    Image(Transport),
    /// It cannot be decoded.
    #[error(transparent)]
    Video(#[from] VideoError),
}

/// Does `work` on the packet in a message, with the frame that the message names.
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

/// An image as the node takes it.
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
