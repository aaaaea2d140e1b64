//! Chooses the topic of a bag that holds the images.

use std::path::Path;

use ettrack_message::Transport;

use crate::{Bag, BagError};

/// The topic of images to read: `wanted`, or the only topic of images.
///
/// # Errors
/// [`BagError`] if `wanted` does not exist or has no images; without `wanted`, if no topic has images or several have.
pub fn image_topic(
    bag: &Bag,
    path: &Path,
    wanted: Option<&str>,
) -> Result<(String, Transport), BagError> {
    if let Some(name) = wanted {
        // Often only the compressed form of an image topic is recorded.
        let is_there = |name: &str| bag.topics().iter().any(|topic| topic.name == name);
        let other = ["compressed", "ffmpeg", "foxglove"]
            .map(|form| format!("{name}/{form}"))
            .into_iter()
            .find(|form| !is_there(name) && is_there(form));
        let name = other.as_deref().unwrap_or(name);
        let topic = bag.topic(name)?;
        let transport =
            Transport::of_type(&topic.type_name).ok_or_else(|| BagError::TopicType {
                topic: name.to_owned(),
                got: topic.type_name.clone(),
            })?;
        return Ok((name.to_owned(), transport));
    }
    let mut found = bag
        .topics()
        .iter()
        // A topic without messages is not a choice.
        .filter(|topic| topic.message_count != Some(0))
        // A depth image contains distances, in which no target is tracked.
        .filter(|topic| !topic.name.ends_with("/compressedDepth"))
        .filter_map(|topic| Some((topic.name.clone(), Transport::of_type(&topic.type_name)?)));
    let none = |expected| BagError::ImageTopic {
        path: path.to_owned(),
        expected,
        available: bag.topic_list(),
    };
    let first = found.next().ok_or_else(|| {
        none("a topic of images (sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage) or of video \
             (ffmpeg_image_transport_msgs/msg/FFMPEGPacket or foxglove_msgs/msg/CompressedVideo)")
    })?;
    match found.next() {
        None => Ok(first),
        Some(_) => Err(none(
            "one topic of images, or a choice among several by --image-topic",
        )),
    }
}
