//! The storage formats of bags: recognizes them by a file's first bytes, and defines the trait that each reader implements.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::BagError;
use crate::compression::ZSTD_MAGIC;

/// A topic of one file of a bag.
#[derive(Debug, Clone)]
pub struct FileTopic {
    pub name: String,
    pub type_name: String,
    pub serialization: String,
    pub message_count: Option<u64>,
}

/// Topic and time of a message whose bytes were read.
#[derive(Debug, Clone, Copy)]
pub struct StoredMessage {
    pub topic: usize,
    pub log_time: i64,
}

/// One file of a bag, open for reading.
pub trait Storage: Send {
    /// The topics that the file holds.
    fn topics(&self) -> Vec<&FileTopic>;
    /// Prepares to read the topics for which `number` gives a number. Returns the damage found on the way, if any.
    fn select(
        &mut self,
        number: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<Option<String>, BagError>;
    /// Reads the next message into `data`; `None` at the end. After an error the next call continues with the next message
    /// that can be read.
    fn next(&mut self, data: &mut Vec<u8>) -> Option<Result<StoredMessage, String>>;
}

/// The format of a file, recognized by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Mcap,
    Sqlite,
    Zstd,
    /// A bag of ROS 1, which is refused by name.
    Ros1,
}

impl Kind {
    /// `None` for a file of another format.
    pub fn of(path: &Path) -> Result<Option<Self>, BagError> {
        let io = |error| BagError::io(path, error);
        let mut start = Vec::new();
        fs::File::open(path)
            .map_err(io)?
            .take(16)
            .read_to_end(&mut start)
            .map_err(io)?;
        let kinds: [(Self, &[u8]); 4] = [
            (Self::Mcap, b"\x89MCAP0\r\n"),
            (Self::Sqlite, b"SQLite format 3\0"),
            (Self::Zstd, &ZSTD_MAGIC),
            (Self::Ros1, b"#ROSBAG V"),
        ];
        Ok(kinds
            .into_iter()
            .find(|(_, magic)| start.starts_with(magic))
            .map(|(kind, _)| kind))
    }
}

/// Opens `stored`, a file of this kind. Messages name it `path`, which is the file the user gave.
pub fn open(kind: Kind, stored: &Path, path: &Path) -> Result<Box<dyn Storage>, BagError> {
    match kind {
        #[cfg(feature = "mcap")]
        Kind::Mcap => Ok(Box::new(crate::mcap_file::McapFile::open(stored, path)?)),
        #[cfg(feature = "sqlite")]
        Kind::Sqlite => Ok(Box::new(crate::sqlite_file::SqliteFile::open(
            stored, path,
        )?)),
        #[cfg(not(feature = "mcap"))]
        Kind::Mcap => Err(not_built(stored, path, "mcap")),
        #[cfg(not(feature = "sqlite"))]
        Kind::Sqlite => Err(not_built(stored, path, "sqlite")),
        Kind::Ros1 => Err(BagError::Ros1 {
            path: path.to_owned(),
        }),
        Kind::Zstd => Err(BagError::broken(
            path,
            "compressed twice; expected a bag inside",
        )),
    }
}

#[cfg(not(all(feature = "mcap", feature = "sqlite")))]
fn not_built(_stored: &Path, path: &Path, feature: &str) -> BagError {
    BagError::broken(
        path,
        format!(
            "this program was built without the feature `{feature}` of ettrack-bag, which reads such files"
        ),
    )
}
