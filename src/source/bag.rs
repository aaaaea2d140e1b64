//! The images of one topic of a bag.

use std::path::{Path, PathBuf};

use crate::bag::{Bag, Messages};
use crate::frame::ImageBuffer;
use crate::message::{CompressedImage, FromCdr, Header, Image, Message};

use super::{BadFrame, FrameInfo, FrameSource, SourceError};

/// How images are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `sensor_msgs/msg/Image`.
    Raw,
    /// `sensor_msgs/msg/CompressedImage`.
    Compressed,
}

impl Transport {
    fn of_type(type_name: &str) -> Option<Self> {
        match type_name {
            Image::TYPE => Some(Self::Raw),
            CompressedImage::TYPE => Some(Self::Compressed),
            _ => None,
        }
    }
}

/// The topic of images to read: `wanted`, or the only one.
///
/// # Errors
/// Where `wanted` is not there or holds no images, where there are no images, or several topics of them.
pub fn image_topic(
    bag: &Bag,
    path: &Path,
    wanted: Option<&str>,
) -> Result<(String, Transport), SourceError> {
    if let Some(name) = wanted {
        // Of an image topic often its compressed form alone is recorded.
        let compressed = format!("{name}/compressed");
        let is_there = |name: &str| bag.topics().iter().any(|topic| topic.name == name);
        let name = match !is_there(name) && is_there(&compressed) {
            true => &compressed,
            false => name,
        };
        let topic = bag.topic(name)?;
        let transport =
            Transport::of_type(&topic.type_name).ok_or_else(|| SourceError::TopicType {
                topic: name.to_owned(),
                got: topic.type_name.clone(),
            })?;
        return Ok((name.to_owned(), transport));
    }
    let mut found = bag
        .topics()
        .iter()
        // A topic that was recorded without a message is no choice.
        .filter(|topic| topic.message_count != Some(0))
        .filter_map(|topic| Some((topic.name.clone(), Transport::of_type(&topic.type_name)?)));
    let none = |expected| SourceError::ImageTopic {
        path: path.to_owned(),
        expected,
        available: bag.topic_list(),
    };
    let first = found.next().ok_or_else(|| {
        none("a topic of images (sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage)")
    })?;
    match found.next() {
        None => Ok(first),
        Some(_) => Err(none(
            "one topic of images, or a choice among several by --image-topic",
        )),
    }
}

/// Images of a bag as frames.
pub struct BagSource {
    messages: Messages,
    topic: String,
    transport: Transport,
    count: Option<u64>,
    next: u64,
    files: Vec<PathBuf>,
}

impl BagSource {
    /// Opens the bag `path` (folder or file) and its topic `wanted`, or its only topic of images.
    ///
    /// # Errors
    /// Where the bag cannot be opened or the topic cannot be chosen.
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
            count,
            next: 0,
            files,
        })
    }
}

/// Decodes or copies the pixels of one message.
fn fill(transport: Transport, data: &[u8], image: &mut ImageBuffer) -> Result<Header, BadFrame> {
    match transport {
        Transport::Compressed => {
            let message = CompressedImage::from_cdr(data)?;
            message.decode_into(image)?;
            Ok(message.header)
        }
        Transport::Raw => {
            let message = Image::from_cdr(data)?;
            let frame = message.frame()?;
            image.data.clear();
            image.data.extend_from_slice(frame.data());
            image.width = frame.width();
            image.height = frame.height();
            image.stride = frame.stride();
            image.encoding = frame.encoding();
            image.big_endian = message.is_bigendian;
            Ok(message.header)
        }
    }
}

impl FrameSource for BagSource {
    fn next_into(&mut self, image: &mut ImageBuffer) -> Result<Option<FrameInfo>, SourceError> {
        let Some(message) = self.messages.next_message() else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        match fill(self.transport, message.data, image) {
            Ok(header) => Ok(Some(FrameInfo {
                index,
                stamp_ns: Some(header.stamp.as_nanoseconds()),
                name: self.topic.clone(),
            })),
            Err(reason) => Err(SourceError::Frame {
                index,
                name: self.topic.clone(),
                reason,
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
