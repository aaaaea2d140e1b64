//! Which topic of a bag holds the images.

use std::path::Path;

use ettrack_message::Transport;

use crate::{Bag, BagError};

/// The topic of images to read: `wanted`, or the only one.
///
/// # Errors
/// Where `wanted` is not there or holds no images, where there are no images, or several topics of them.
pub fn image_topic(
    bag: &Bag,
    path: &Path,
    wanted: Option<&str>,
) -> Result<(String, Transport), BagError> {
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
            Transport::of_type(&topic.type_name).ok_or_else(|| BagError::TopicType {
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
