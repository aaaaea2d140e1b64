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
        let compressed = format!("{name}/compressed");
        let is_there = |name: &str| bag.topics().iter().any(|topic| topic.name == name);
        let name = match !is_there(name) && is_there(&compressed) {
            true => &compressed,
            false => name,
        };
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
        .filter_map(|topic| Some((topic.name.clone(), Transport::of_type(&topic.type_name)?)));
    let none = |expected| BagError::ImageTopic {
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
