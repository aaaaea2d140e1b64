//! Writes a bag folder: one mcap file and `metadata.yaml`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use mcap::records::MessageHeader;
use mcap::{Compression, McapError, WriteOptions, Writer};

use super::BagError;
use super::metadata::{
    self, File as MetadataFile, Information, Nanoseconds, NanosecondsSinceEpoch, TopicMetadata,
    TopicWithCount,
};
use ettrack_files::{OutputError, PendingFolder};
use ettrack_message::definition;

/// Version of `metadata.yaml`: the one of ROS 2 Humble, which all later versions read too.
const METADATA_VERSION: u32 = 5;

/// The quality of service "reliable, keep the last 10, volatile" as rosbag2 writes it. The numbers are those of `rmw`.
const QOS: &str = "- history: 1
  depth: 10
  reliability: 1
  durability: 2
  deadline:
    sec: 9223372036
    nsec: 854775807
  lifespan:
    sec: 9223372036
    nsec: 854775807
  liveliness: 1
  liveliness_lease_duration:
    sec: 9223372036
    nsec: 854775807
  avoid_ros_namespace_conventions: false";

/// A topic of the bag being written.
struct WrittenTopic {
    channel: u16,
    name: String,
    type_name: String,
    count: u32,
}

/// Writes a bag under a temporary name. [`BagWriter::finish`] completes it and gives it its name; if the writer is dropped
/// before, nothing is left. The same messages give the same bytes.
pub struct BagWriter {
    path: PathBuf,
    folder: PendingFolder,
    file_name: String,
    writer: Writer<BufWriter<File>>,
    topics: Vec<WrittenTopic>,
    /// Times of the first and of the last message.
    span: Option<(i64, i64)>,
}

impl BagWriter {
    /// Starts the bag folder `path`. Missing folders above it are made.
    ///
    /// # Errors
    /// [`BagError::Exists`] if `path` exists, [`BagError::Output`] if its parent folder cannot be written.
    pub fn create(path: &Path) -> Result<Self, BagError> {
        if path.exists() {
            return Err(BagError::Exists {
                path: path.to_owned(),
            });
        }
        let Some(name) = path.file_name() else {
            return Err(BagError::broken(path, "expected the name of a new folder"));
        };
        let file_name = format!("{}_0.mcap", name.to_string_lossy());
        let folder = PendingFolder::create(path)?;
        let path = path.to_owned();
        let file = File::create_new(folder.path().join(&file_name))
            .map_err(|error| folder.error_at(folder.path(), error))?;
        let writer = WriteOptions::new()
            .profile("ros2")
            .library(concat!("ettrack ", env!("CARGO_PKG_VERSION")))
            .compression(Some(Compression::Zstd))
            // Several threads would split the data differently each time; one thread always writes the same bytes.
            .compression_threads(0)
            .create(BufWriter::new(file))
            .map_err(|error| write_error(&path, error))?;
        Ok(Self {
            path,
            folder,
            file_name,
            writer,
            topics: Vec::new(),
            span: None,
        })
    }

    /// Adds a topic and returns its number for [`BagWriter::write`].
    ///
    /// # Errors
    /// [`BagError`] if the type has no definition in `ettrack-message`, or the file cannot be written.
    pub fn add_topic(&mut self, name: &str, type_name: &str) -> Result<usize, BagError> {
        let Some(text) = definition(type_name) else {
            return Err(BagError::broken(
                &self.path,
                format!("no definition of the message type {type_name}"),
            ));
        };
        let error = |error| write_error(&self.path, error);
        let schema = self
            .writer
            .add_schema(type_name, "ros2msg", text.as_bytes())
            .map_err(error)?;
        let metadata = BTreeMap::from([("offered_qos_profiles".to_owned(), QOS.to_owned())]);
        let channel = self
            .writer
            .add_channel(schema, name, "cdr", &metadata)
            .map_err(error)?;
        self.topics.push(WrittenTopic {
            channel,
            name: name.into(),
            type_name: type_name.into(),
            count: 0,
        });
        Ok(self.topics.len() - 1)
    }

    /// Writes one message, recorded at `log_time` (nanoseconds since the epoch).
    ///
    /// # Errors
    /// [`BagError`] if the file cannot be written, or `topic` did not come from [`BagWriter::add_topic`].
    pub fn write(&mut self, topic: usize, log_time: i64, message: &[u8]) -> Result<(), BagError> {
        let Some(topic) = self.topics.get_mut(topic) else {
            return Err(BagError::broken(
                &self.path,
                format!("no topic number {topic} was added"),
            ));
        };
        let time = log_time.max(0).unsigned_abs();
        let header = MessageHeader {
            channel_id: topic.channel,
            sequence: topic.count,
            log_time: time,
            publish_time: time,
        };
        self.writer
            .write_to_known_channel(&header, message)
            .map_err(|error| write_error(&self.path, error))?;
        topic.count += 1;
        let (first, last) = self.span.unwrap_or((log_time, log_time));
        self.span = Some((first.min(log_time), last.max(log_time)));
        Ok(())
    }

    /// Completes the bag, syncs it to the disk and gives it its name.
    ///
    /// # Errors
    /// [`BagError::Output`] if a file cannot be written, [`BagError::Exists`] if something has got that name meanwhile.
    pub fn finish(mut self) -> Result<(), BagError> {
        self.writer
            .finish()
            .map_err(|error| write_error(&self.path, error))?;
        let metadata = self
            .information()
            .into_yaml()
            .map_err(|error| BagError::broken(&self.path, error))?;
        let file = self.folder.path().join(metadata::FILE_NAME);
        fs::write(&file, metadata).map_err(|error| self.folder.error_at(&file, error))?;
        if self.path.exists() {
            return Err(BagError::Exists { path: self.path });
        }
        Ok(self.folder.commit()?)
    }

    fn information(&self) -> Information {
        let (first, last) = self.span.unwrap_or((0, 0));
        let starting_time = NanosecondsSinceEpoch {
            nanoseconds_since_epoch: first,
        };
        let duration = Nanoseconds {
            nanoseconds: last.saturating_sub(first),
        };
        let message_count = self.topics.iter().map(|topic| u64::from(topic.count)).sum();
        let topics_with_message_count = self
            .topics
            .iter()
            .map(|topic| TopicWithCount {
                topic_metadata: TopicMetadata {
                    name: topic.name.clone(),
                    type_name: topic.type_name.clone(),
                    serialization_format: "cdr".into(),
                    offered_qos_profiles: QOS.into(),
                },
                message_count: topic.count.into(),
            })
            .collect();
        Information {
            version: METADATA_VERSION,
            storage_identifier: "mcap".into(),
            duration,
            starting_time,
            message_count,
            topics_with_message_count,
            compression_format: String::new(),
            compression_mode: String::new(),
            relative_file_paths: vec![self.file_name.clone()],
            files: vec![MetadataFile {
                path: self.file_name.clone(),
                starting_time,
                duration,
                message_count,
            }],
        }
    }
}

fn write_error(path: &Path, error: McapError) -> BagError {
    match error {
        McapError::Io(source) => OutputError {
            path: path.to_owned(),
            source,
        }
        .into(),
        error => BagError::broken(path, error),
    }
}
