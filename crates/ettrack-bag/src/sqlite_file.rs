//! Reads one `.db3` file, rosbag2's sqlite3 storage.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use tempfile::TempDir;

use super::BagError;
use super::storage::{FileTopic, Storage, StoredMessage};

/// An open database and, after [`Storage::select`], the messages still to read.
pub struct SqliteFile {
    /// The file that the user gave, for messages.
    path: PathBuf,
    connection: Connection,
    /// (topic id, topic) in the order of the table.
    topics: Vec<(i64, FileTopic)>,
    /// Messages still to read, the next one last.
    pending: Vec<Row>,
    /// Damage that was found when the file was opened.
    damage: Option<String>,
    /// The copy of a database that was not closed cleanly; removed when dropped.
    _copy: Option<TempDir>,
}

/// A message's row in the database.
struct Row {
    id: i64,
    topic: usize,
    time: i64,
}

/// The write-ahead log beside `path`, if it exists and is not empty.
fn log_beside(path: &Path) -> Option<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = PathBuf::from(name);
    fs::metadata(&log)
        .is_ok_and(|metadata| metadata.len() > 0)
        .then_some(log)
}

/// Opens `path` so that neither it nor the files beside it change: as an immutable file, or as a copy if a write-ahead
/// log holds messages that are not in the file yet.
fn connect(path: &Path) -> Result<(Connection, Option<TempDir>), BagError> {
    let broken = |error: rusqlite::Error| {
        BagError::broken(path, format!("not a readable sqlite3 database: {error}"))
    };
    let Some(log) = log_beside(path) else {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        return Ok((
            Connection::open_with_flags(immutable_uri(path)?, flags).map_err(broken)?,
            None,
        ));
    };
    tracing::info!(
        "{}: was not closed cleanly; reading a copy of it with {}",
        path.display(),
        log.display()
    );
    let folder = tempfile::tempdir().map_err(|error| BagError::io(&std::env::temp_dir(), error))?;
    let copy = folder.path().join("bag.db3");
    fs::copy(path, &copy).map_err(|error| BagError::io(path, error))?;
    fs::copy(&log, folder.path().join("bag.db3-wal")).map_err(|error| BagError::io(&log, error))?;
    Ok((Connection::open(&copy).map_err(broken)?, Some(folder)))
}

/// `file:` URI of an immutable database; bytes that mean something in a URI are escaped.
fn immutable_uri(path: &Path) -> Result<String, BagError> {
    let absolute = std::path::absolute(path).map_err(|error| BagError::io(path, error))?;
    let mut uri = String::from("file://");
    for &byte in absolute.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                uri.push(byte as char)
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    Ok(uri)
}

impl SqliteFile {
    /// Opens `stored`. Messages name it `path`, which is the file the user gave.
    pub fn open(stored: &Path, path: &Path) -> Result<Self, BagError> {
        let (connection, copy) = connect(stored)?;
        let topics = read_topics(&connection).map_err(|error| {
            BagError::broken(path, format!("not a readable rosbag2 database: {error}"))
        })?;
        let damage = missing_pages(stored).map(|(expected, got)| {
            format!(
                "{}: cut: expected {expected} bytes, got {got}; the last messages are missing",
                path.display()
            )
        });
        Ok(Self {
            path: path.to_owned(),
            connection,
            topics,
            pending: Vec::new(),
            damage,
            _copy: copy,
        })
    }
}

impl Storage for SqliteFile {
    fn topics(&self) -> Vec<&FileTopic> {
        self.topics.iter().map(|(_, topic)| topic).collect()
    }

    fn select(
        &mut self,
        wanted: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<Option<String>, BagError> {
        let numbers: Vec<(i64, usize)> = self
            .topics
            .iter()
            .filter_map(|(id, topic)| Some((*id, wanted(&topic.name)?)))
            .collect();
        self.pending.clear();
        let result = find_rows(&self.connection, &numbers, &mut self.pending);
        // A stable sort keeps messages of the same time in the order in which they were recorded.
        self.pending.sort_by_key(|row| row.time);
        self.pending.reverse();
        let damage = result.err().map(|error| {
            format!(
                "{}: damaged, some messages are missing: {error}",
                self.path.display()
            )
        });
        Ok(self.damage.take().or(damage))
    }

    fn next(&mut self, data: &mut Vec<u8>) -> Option<Result<StoredMessage, String>> {
        let row = self.pending.pop()?;
        let result = self
            .connection
            .prepare_cached("SELECT data FROM messages WHERE id = ?1")
            .and_then(|mut statement| {
                statement.query_row([row.id], |found| {
                    data.clear();
                    data.extend_from_slice(found.get_ref(0)?.as_bytes()?);
                    Ok(())
                })
            })
            .map(|()| StoredMessage {
                topic: row.topic,
                log_time: row.time,
            })
            .map_err(|error| {
                format!(
                    "{}: message {} is damaged: {error}",
                    self.path.display(),
                    row.id
                )
            });
        Some(result)
    }
}

fn read_topics(connection: &Connection) -> rusqlite::Result<Vec<(i64, FileTopic)>> {
    let mut statement = connection
        .prepare("SELECT id, name, type, serialization_format FROM topics ORDER BY id")?;
    let mut topics = statement
        .query_map([], |row| {
            Ok((
                row.get(0)?,
                FileTopic {
                    name: row.get(1)?,
                    type_name: row.get(2)?,
                    serialization: row.get(3)?,
                    message_count: None,
                },
            ))
        })?
        .collect::<rusqlite::Result<Vec<(i64, FileTopic)>>>()?;
    drop(statement);
    // Counting fails on a damaged database. It may still be readable in part, so the counts are then left unknown.
    if let Ok(counts) = count_messages(connection) {
        for (id, topic) in &mut topics {
            topic.message_count = Some(counts.get(id).copied().unwrap_or(0));
        }
    }
    Ok(topics)
}

/// Messages per topic id, counted in one pass because the table may be long.
fn count_messages(connection: &Connection) -> rusqlite::Result<HashMap<i64, u64>> {
    connection
        .prepare("SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id")?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })?
        .collect()
}

/// Appends the rows of all messages of the topics in `numbers`; after an error, those before it.
fn find_rows(
    connection: &Connection,
    numbers: &[(i64, usize)],
    rows: &mut Vec<Row>,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT id, topic_id, timestamp FROM messages ORDER BY id")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        // A row with other types is not from rosbag2. It is skipped, the others are read.
        let (ValueRef::Integer(id), ValueRef::Integer(topic_id), ValueRef::Integer(time)) =
            (row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?)
        else {
            continue;
        };
        if let Some(&(_, topic)) = numbers.iter().find(|(known, _)| *known == topic_id) {
            rows.push(Row { id, topic, time });
        }
    }
    Ok(())
}

/// Expected and actual length in bytes of a database that is shorter than its header says; `None` if it is complete.
/// SQLite itself reads missing pages as empty ones and reports no error.
fn missing_pages(path: &Path) -> Option<(u64, u64)> {
    let mut header = [0; 100];
    let mut file = fs::File::open(path).ok()?;
    file.read_exact(&mut header).ok()?;
    let number = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    // The count of pages is valid only if it was written with the current change counter.
    let (changes, pages, valid_for) = (number(24), number(28), number(92));
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let expected = u64::from(pages) * page_size;
    let got = file.metadata().ok()?.len();
    (changes == valid_for && got < expected).then_some((expected, got))
}
