//! Reads the images of one topic of a bag.

use std::path::{Path, PathBuf};

use ettrack::frame::ImageBuffer;
use ettrack_bag::{Bag, Messages, image_topic};
use ettrack_message::{CdrError, Header, ImageError, Transport, read_image};
use ettrack_video::{FrameDecoder, Packet};

use super::{BadFrame, FrameInfo, FrameSource, SourceError};

/// The images of a bag as frames.
pub struct BagSource {
    messages: Messages,
    topic: String,
    transport: Transport,
    /// Decodes video.
    decoder: FrameDecoder,
    count: Option<u64>,
    next: u64,
    files: Vec<PathBuf>,
}

impl BagSource {
    /// Opens the bag `path` (folder or file) and its topic `wanted`, or its only topic of images.
    ///
    /// # Errors
    /// [`SourceError::Bag`] if the bag cannot be opened or the topic cannot be chosen.
    pub fn open(path: &Path, wanted: Option<&str>) -> Result<Self, SourceError> {
        let bag = Bag::open(path)?;
        let (topic, transport) = image_topic(&bag, path, wanted)?;
        let count = bag.topic(&topic)?.message_count;
        let files = bag.paths().to_vec();
        let messages = bag.messages(&[&topic])?;
        Ok(Self {
            messages,
            topic,
            transport,
            decoder: FrameDecoder::default(),
            count,
            next: 0,
            files,
        })
    }
}

/// Reads the pixels of a message, or decodes the packet in it.
fn read(
    decoder: &mut FrameDecoder,
    transport: Transport,
    bytes: &[u8],
    image: &mut ImageBuffer,
) -> Result<Header, BadFrame> {
    let message = |error: CdrError| BadFrame::Message(ImageError::Message(error));
    let Some(packet) = transport.packet(bytes).map_err(message)? else {
        return Ok(read_image(transport, bytes, image)?);
    };
    decoder.decode(
        &Packet {
            codec: packet.codec,
            stamp: packet.header.stamp.as_nanoseconds(),
            number: packet.number,
            is_key: packet.is_key,
            data: packet.data,
        },
        image,
    )?;
    Ok(packet.header)
}

impl FrameSource for BagSource {
    fn next_into(&mut self, image: &mut ImageBuffer) -> Result<Option<FrameInfo>, SourceError> {
        let Some(message) = self.messages.next_message() else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        match read(&mut self.decoder, self.transport, message.data, image) {
            Ok(header) => Ok(Some(FrameInfo {
                index,
                stamp_ns: Some(header.stamp.as_nanoseconds()),
                name: self.topic.clone(),
            })),
            Err(error) => Err(SourceError::Frame {
                index,
                name: self.topic.clone(),
                source: error,
            }),
        }
    }

    fn frame_count(&self) -> Option<u64> {
        self.count
    }

    fn files(&self) -> &[PathBuf] {
        &self.files
    }

    fn damage(&self) -> &[String] {
        self.messages.damage()
    }
}
