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
        let Files { mut paths, damage } = files_of(path)?;
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
        let failures = failures.iter().map(|error| error_chain(error));
        let damage = damage.into_iter().chain(failures).collect();
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
        super::metadata::are_in(path)
            || storage_files_in(path).is_ok_and(|files| !files.is_empty())
            || only_ros1_bag_in(path).is_some()
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
    let is_pipe = fs::metadata(path).is_ok_and(|data| !data.is_file());
    if is_pipe {
        // Nothing is read from a pipe, because its bytes could not be read a second time.
        return Err(BagError::NotABag {
            path: path.to_owned(),
            got: "a pipe or a device, which cannot be read twice".into(),
        });
    }
    let not_a_bag = |path: &Path| {
        let got = match fs::metadata(path).map(|metadata| metadata.len()) {
            Ok(0) => "an empty file".to_owned(),
            Ok(length) => format!("a file of {length} bytes that starts as neither"),
            Err(error) => error.to_string(), // An error of the system has no cause.
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

/// The files of a bag in the order in which they were recorded, and what is missing.
struct Files {
    paths: Vec<PathBuf>,
    damage: Vec<String>,
}

/// The files of the bag `path`, a file or a folder.
///
/// The files in the folder count, even if the metadata list other ones, because a bag may have been copied, moved, renamed or
/// compressed after the metadata were written. The metadata give the order of the files.
fn files_of(path: &Path) -> Result<Files, BagError> {
    let metadata = fs::metadata(path).map_err(|error| BagError::io(path, error))?;
    if !metadata.is_dir() {
        return Ok(Files {
            paths: vec![path.to_owned()],
            damage: Vec::new(),
        });
    }
    // With damaged metadata the files are still read: the order follows from their names.
    let information = Information::read(path).unwrap_or_else(|error| {
        tracing::warn!("{}; using all bag files of the folder", error_chain(&error));
        None
    });
    let mut there = storage_files_in(path)?;
    if there.is_empty() && information.is_some() {
        there = files_that_start_like_bags_in(path)?;
    }
    let files = match information {
        Some(information) => {
            tracing::debug!(
                "{}: version {}, storage {:?}, {} messages, compression {:?} {:?}",
                path.display(),
                information.version,
                information.storage_identifier,
                information.message_count,
                information.compression_mode,
                information.compression_format
            );
            match_names(path, &information.relative_file_paths, there)
        }
        None => Files {
            paths: there,
            damage: Vec::new(),
        },
    };
    if files.paths.is_empty() {
        if let Some(old) = only_ros1_bag_in(path) {
            return Err(BagError::Ros1 { path: old });
        }
        return Err(match files.damage.into_iter().next() {
            Some(missing) => BagError::broken(path, missing),
            None => BagError::NotABag {
                path: path.to_owned(),
                got: "a folder without bag files".into(),
            },
        });
    }
    Ok(files)
}

/// Returns the files of `folder` that the metadata list, or the files that have replaced them.
fn match_names(folder: &Path, listed: &[String], there: Vec<PathBuf>) -> Files {
    if listed.is_empty() {
        return Files {
            paths: there,
            damage: Vec::new(),
        };
    }
    // Old versions of rosbag2 wrote the paths relative to the parent folder; others wrote absolute ones.
    let names = listed.iter().map(|listed| {
        let listed = listed.trim_end_matches('/');
        listed.rsplit(['/', '\\']).next().unwrap_or(listed)
    });
    let mut paths = Vec::new();
    let mut missing = Vec::new();
    for name in names {
        let packed = format!("{name}.zstd");
        let unpacked = name.strip_suffix(".zstd").unwrap_or(name);
        // This also finds links, whose targets may have other names, and files with an unusual extension.
        let found = [name, &packed, unpacked]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file());
        match found {
            Some(found) if !paths.contains(&found) => paths.push(found),
            Some(_) => {}
            None => missing.push(name.to_owned()),
        }
    }
    let unlisted: Vec<_> = there.iter().filter(|path| !paths.contains(path)).collect();
    if missing.is_empty() {
        for path in unlisted {
            tracing::info!(
                "{}: metadata.yaml does not list it, so it is left out",
                path.display()
            );
        }
        return Files {
            paths,
            damage: Vec::new(),
        };
    }
    let names = missing.join(", ");
    let folder_name = folder.display();
    // The files were renamed: as many unlisted files exist as listed ones are missing, or no listed file exists.
    if !unlisted.is_empty() && (paths.is_empty() || unlisted.len() == missing.len()) {
        tracing::info!(
            "{folder_name}: metadata.yaml lists {names}, which is not there; \
             reading all bag files of the folder in the order of their names"
        );
        let lost = (paths.len() + missing.len()).saturating_sub(there.len());
        let damage = (lost > 0).then(|| {
            format!(
                "{folder_name}: metadata.yaml lists {} files, {} of them are not there ({names})",
                listed.len(),
                lost
            )
        });
        return Files {
            paths: there,
            damage: damage.into_iter().collect(),
        };
    }
    let damage = missing
        .iter()
        .map(|name| {
            format!(
                "{}: metadata.yaml lists it, but it is not there",
                folder.join(name).display()
            )
        })
        .collect();
    Files { paths, damage }
}

/// Files of a folder whose first bytes are those of a bag, whatever their names, in natural order.
fn files_that_start_like_bags_in(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let io = |error| BagError::io(folder, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_file() && matches!(Kind::of(&path), Ok(Some(_))) {
            files.push(path);
        }
    }
    files.sort_by(|a, b| ettrack_files::natural_order(a.as_os_str(), b.as_os_str()));
    Ok(files)
}

/// A bag of ROS 1 in a folder that has neither pictures nor files of ROS 2.
fn only_ros1_bag_in(folder: &Path) -> Option<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() || path.extension().is_none_or(|extension| extension != "bag") {
            continue;
        }
        if matches!(Kind::of(&path), Ok(Some(Kind::Ros1))) {
            found.push(path);
        }
    }
    found.sort();
    let pictures = || {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| {
            path.extension().is_some_and(|extension| {
                ["jpg", "jpeg", "png", "bmp", "ppm", "pgm"]
                    .iter()
                    .any(|known| extension.eq_ignore_ascii_case(known))
            })
        })
    };
    let first = found.into_iter().next()?;
    (!pictures()).then_some(first)
}

/// Bag files of a folder in natural order (`bag_2` before `bag_10`).
fn storage_files_in(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let io = |error| BagError::io(folder, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let bare = name.strip_suffix(".zstd").unwrap_or(&name);
        // Hidden files do not count: some systems leave `._bag_0.mcap` beside `bag_0.mcap`.
        let is_named_so = bare.ends_with(".mcap") || bare.ends_with(".db3");
        if is_named_so && !bare.starts_with('.') && path.is_file() {
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
