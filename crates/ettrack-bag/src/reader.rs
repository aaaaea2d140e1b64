//! Reads a bag as one stream of messages, whatever its files are.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use ettrack::error_chain;

use super::BagError;
use super::compression::{self, ZSTD_MAGIC};
use super::metadata::Information;
use super::storage::{self, FileTopic, Kind, Storage, StoredMessage};

/// A topic of a bag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Name, as recorded.
    pub name: String,
    /// Message type as `package/msg/Name`.
    pub type_name: String,
    /// How its messages are serialised; only `cdr` can be read.
    pub serialization: String,
    /// Number of its messages, if known without reading them.
    pub message_count: Option<u64>,
}

/// One message of a bag.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Index of its topic in the list given to [`Bag::messages`].
    pub topic: usize,
    /// When it was recorded, nanoseconds since the epoch.
    pub log_time: i64,
    /// The serialised message.
    pub data: &'a [u8],
}

struct StoredFile {
    storage: Box<dyn Storage>,
    /// The decompressed copy of a compressed file; removed when dropped.
    _unpacked: Option<NamedTempFile>,
}

/// An open bag.
pub struct Bag {
    path: PathBuf,
    /// All its files, including the metadata.
    paths: Vec<PathBuf>,
    files: Vec<StoredFile>,
    topics: Vec<Topic>,
    /// Files that could not be opened, with the reason.
    damage: Vec<String>,
}

impl Bag {
    /// Opens a bag: a folder, or one file of it.
    ///
    /// # Errors
    /// [`BagError`] if the path cannot be read, is not a bag, or no file of the bag can be opened. If only some files
    /// cannot be opened, [`Messages::damage`] names them.
    pub fn open(path: &Path) -> Result<Self, BagError> {
        let mut paths = files_of(path)?;
        let mut files = Vec::new();
        let mut failures = Vec::new();
        for path in &paths {
            match open_file(path) {
                Ok(file) => files.push(file),
                Err(error) => failures.push(error),
            }
        }
        if files.is_empty() {
            return Err(failures
                .into_iter()
                .next()
                .unwrap_or_else(|| BagError::NotABag {
                    path: path.to_owned(),
                    got: "a bag without files".into(),
                }));
        }
        let mut topics = merge_topics(&files);
        // Where metadata exist, rosbag2 takes the serialisation format from them.
        if let Ok(Some(information)) = Information::read(path) {
            for topic in &mut topics {
                if let Some(format) = information.serialization_of(&topic.name) {
                    topic.serialization = format.to_owned();
                }
            }
        }
        let damage = failures.iter().map(|error| error_chain(error)).collect();
        if path.is_dir() {
            paths.push(path.join(super::metadata::FILE_NAME));
        }
        Ok(Self {
            path: path.to_owned(),
            paths,
            files,
            topics,
            damage,
        })
    }

    /// Whether `path` looks like a bag: a file that starts like one, or a folder with bag files or with a bag's
    /// `metadata.yaml`.
    pub fn looks_like_one(path: &Path) -> bool {
        if path.is_file() {
            return Kind::of(path).is_ok_and(|kind| kind.is_some());
        }
        super::metadata::are_in(path) || storage_files_in(path).is_ok_and(|files| !files.is_empty())
    }

    /// The files of the bag, including the metadata and those that cannot be opened.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The topics of all files together.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Topics of the type `type_name` (`package/msg/Name`).
    pub fn topics_of_type<'a>(&'a self, type_name: &'a str) -> impl Iterator<Item = &'a Topic> {
        self.topics
            .iter()
            .filter(move |topic| topic.type_name == type_name)
    }

    /// Names, types and counts of all topics in one line, for messages.
    pub fn topic_list(&self) -> String {
        if self.topics.is_empty() {
            return "nothing".into();
        }
        let list: Vec<_> = self
            .topics
            .iter()
            .map(|topic| match topic.message_count {
                Some(count) => format!("{} ({}, {count} messages)", topic.name, topic.type_name),
                None => format!("{} ({})", topic.name, topic.type_name),
            })
            .collect();
        list.join(", ")
    }

    /// The topic of this name.
    ///
    /// # Errors
    /// [`BagError::NoTopic`] with the list of topics.
    pub fn topic(&self, name: &str) -> Result<&Topic, BagError> {
        self.topics
            .iter()
            .find(|topic| topic.name == name)
            .ok_or_else(|| BagError::NoTopic {
                path: self.path.clone(),
                topic: name.to_owned(),
                available: self.topic_list(),
            })
    }

    /// The messages of `topics`, file by file, and in each file in the order of recording time.
    ///
    /// # Errors
    /// [`BagError`] if a topic does not exist or is not serialised as CDR.
    pub fn messages(mut self, topics: &[&str]) -> Result<Messages, BagError> {
        for name in topics {
            let topic = self.topic(name)?;
            if topic.serialization != "cdr" {
                return Err(BagError::Serialization {
                    path: self.path.clone(),
                    topic: topic.name.clone(),
                    got: topic.serialization.clone(),
                });
            }
        }
        let number = |name: &str| topics.iter().position(|topic| *topic == name);
        for file in &mut self.files {
            self.damage.extend(file.storage.select(&number)?);
        }
        for damage in &self.damage {
            tracing::warn!("{damage}");
        }
        self.files.reverse();
        Ok(Messages {
            files: self.files,
            stored: Vec::new(),
            unpacked: Vec::new(),
            damage: self.damage,
        })
    }
}

/// The messages of some topics of a bag, one after the other.
pub struct Messages {
    /// Files still to read, the current one last.
    files: Vec<StoredFile>,
    stored: Vec<u8>,
    unpacked: Vec<u8>,
    damage: Vec<String>,
}

impl Messages {
    /// The next message; `None` at the end. Damaged parts are skipped: see [`Messages::damage`].
    pub fn next_message(&mut self) -> Option<Message<'_>> {
        let found = loop {
            let file = self.files.last_mut()?;
            match file.storage.next(&mut self.stored) {
                None => {
                    self.files.pop();
                }
                Some(Err(damage)) => self.note(damage),
                Some(Ok(message)) if !self.stored.starts_with(&ZSTD_MAGIC) => {
                    break (message, false);
                }
                Some(Ok(message)) => {
                    match compression::unpack_message(&self.stored, &mut self.unpacked) {
                        Ok(()) => break (message, true),
                        Err(damage) => self.note(damage),
                    }
                }
            }
        };
        let (StoredMessage { topic, log_time }, packed) = found;
        Some(Message {
            topic,
            log_time,
            data: if packed { &self.unpacked } else { &self.stored },
        })
    }

    /// What could not be read so far, one line each. Each line was also logged as a warning.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    fn note(&mut self, damage: String) {
        tracing::warn!("{damage}");
        self.damage.push(damage);
    }
}

fn open_file(path: &Path) -> Result<StoredFile, BagError> {
    let not_a_bag = |path: &Path| {
        let got = match fs::metadata(path).map(|metadata| metadata.len()) {
            Ok(0) => "an empty file".to_owned(),
            Ok(length) => format!("a file of {length} bytes that starts as neither"),
            Err(error) => error.to_string(), // of the system, without a cause
        };
        BagError::NotABag {
            path: path.to_owned(),
            got,
        }
    };
    let (stored, unpacked) = match Kind::of(path)? {
        Some(Kind::Zstd) => {
            let unpacked = compression::unpack_file(path)?;
            (unpacked.path().to_owned(), Some(unpacked))
        }
        _ => (path.to_owned(), None),
    };
    let kind = Kind::of(&stored)?.ok_or_else(|| not_a_bag(path))?;
    let storage = storage::open(kind, &stored, path)?;
    Ok(StoredFile {
        storage,
        _unpacked: unpacked,
    })
}

/// The files of a bag in the order in which they were recorded.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, BagError> {
    let metadata = fs::metadata(path).map_err(|error| BagError::io(path, error))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    // With damaged metadata the files are still read: the order follows from their names.
    let information = Information::read(path).unwrap_or_else(|error| {
        tracing::warn!("{}; using all bag files of the folder", error_chain(&error));
        None
    });
    if let Some(information) = information {
        tracing::debug!(
            "{}: version {}, storage {:?}, {} messages, compression {:?} {:?}",
            path.display(),
            information.version,
            information.storage_identifier,
            information.message_count,
            information.compression_mode,
            information.compression_format
        );
        // Old versions of rosbag2 wrote the paths relative to the parent folder.
        let listed: Vec<PathBuf> = information
            .relative_file_paths
            .iter()
            .map(|name| {
                [path.join(name), path.with_file_name(name)]
                    .into_iter()
                    .find(|path| path.is_file())
                    .unwrap_or_else(|| path.join(name))
            })
            .collect();
        if !listed.is_empty() {
            return Ok(listed);
        }
    }
    let files = storage_files_in(path)?;
    if files.is_empty() {
        return Err(BagError::NotABag {
            path: path.to_owned(),
            got: "a folder without bag files".into(),
        });
    }
    Ok(files)
}

/// Bag files of a folder in natural order (`bag_2` before `bag_10`).
fn storage_files_in(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let io = |error| BagError::io(folder, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let bare = name.strip_suffix(".zstd").unwrap_or(&name);
        if bare.ends_with(".mcap") || bare.ends_with(".db3") {
            files.push(path);
        }
    }
    files.sort_by(|a, b| ettrack_files::natural_order(a.as_os_str(), b.as_os_str()));
    Ok(files)
}

/// Topics of all files by name, with their counts added up.
fn merge_topics(files: &[StoredFile]) -> Vec<Topic> {
    let mut topics: Vec<Topic> = Vec::new();
    let mut add = |topic: &FileTopic| match topics.iter_mut().find(|known| known.name == topic.name)
    {
        Some(known) => {
            known.message_count = known
                .message_count
                .zip(topic.message_count)
                .map(|(a, b)| a + b);
        }
        None => topics.push(Topic {
            name: topic.name.clone(),
            type_name: full_type_name(&topic.type_name),
            serialization: topic.serialization.clone(),
            message_count: topic.message_count,
        }),
    };
    for file in files {
        file.storage.topics().into_iter().for_each(&mut add);
    }
    topics
}

/// Completes `package/Name` to `package/msg/Name`. Early rosbag2 and other writers leave out the middle.
fn full_type_name(name: &str) -> String {
    match name.split_once('/') {
        Some((package, rest)) if !rest.contains('/') => format!("{package}/msg/{rest}"),
        _ => name.to_owned(),
    }
}
