//! The `metadata.yaml` of a bag folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::BagError;

/// Name of the file in a bag's folder.
pub const FILE_NAME: &str = "metadata.yaml";

/// Its only key. Other programs write files of the same name without this key.
const KEY: &str = "rosbag2_bagfile_information";

/// Whether `folder` has metadata of a bag, complete or damaged.
pub fn are_in(folder: &Path) -> bool {
    std::fs::read(folder.join(FILE_NAME))
        .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(KEY))
}

/// The whole file: one key that holds the information.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    rosbag2_bagfile_information: Information,
}

/// What rosbag2 writes about a bag. Versions of rosbag2 differ in their other keys, which are ignored.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Information {
    pub version: u32,
    pub storage_identifier: String,
    pub duration: Nanoseconds,
    pub starting_time: NanosecondsSinceEpoch,
    pub message_count: u64,
    pub topics_with_message_count: Vec<TopicWithCount>,
    pub compression_format: String,
    pub compression_mode: String,
    pub relative_file_paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct Nanoseconds {
    pub nanoseconds: i64,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(default)]
pub struct NanosecondsSinceEpoch {
    pub nanoseconds_since_epoch: i64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicWithCount {
    pub topic_metadata: TopicMetadata,
    pub message_count: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicMetadata {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub serialization_format: String,
    /// Text in the version that is written here. Later versions have a list, which is ignored.
    #[serde(deserialize_with = "text_or_nothing")]
    pub offered_qos_profiles: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct File {
    pub path: String,
    pub starting_time: NanosecondsSinceEpoch,
    pub duration: Nanoseconds,
    pub message_count: u64,
}

fn text_or_nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = serde_yaml::Value::deserialize(deserializer)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}

impl Information {
    /// Reads `folder/metadata.yaml`; `None` if it does not exist.
    pub fn read(folder: &Path) -> Result<Option<Self>, BagError> {
        let path = folder.join(FILE_NAME);
        let text = match std::fs::read(&path) {
            // Names in another encoding are of no use, but the rest of the file is.
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BagError::io(&path, error)),
        };
        let document: Document = serde_yaml::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| BagError::broken(&path, error))?;
        Ok(Some(document.rosbag2_bagfile_information))
    }

    /// The text of the file.
    #[cfg(feature = "mcap")]
    pub fn into_yaml(self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(&Document {
            rosbag2_bagfile_information: self,
        })
    }

    /// How the messages of `topic` are serialised, if the file says so.
    pub fn serialization_of(&self, topic: &str) -> Option<&str> {
        self.topics_with_message_count
            .iter()
            .map(|counted| &counted.topic_metadata)
            .find(|metadata| metadata.name == topic && !metadata.serialization_format.is_empty())
            .map(|metadata| metadata.serialization_format.as_str())
    }
}
