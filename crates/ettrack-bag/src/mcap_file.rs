//! Reads one `.mcap` file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use ettrack::error_chain;
use mcap::records::{ChunkIndex, Record, op};
use mcap::sans_io::{
    LinearReadEvent, LinearReader, LinearReaderOptions, SummaryReadEvent, SummaryReader,
    SummaryReaderOptions,
};
use mcap::{McapError, McapResult, Summary};

use super::framing::{can_unpack, chunk_end, readable_part};
use super::storage::{FileTopic, Storage, StoredMessage};
use super::{BagError, LONGEST};

/// An open file and, after [`Storage::select`], the position of reading.
pub struct McapFile {
    /// The file that the user gave, for messages.
    path: PathBuf,
    stored: File,
    length: u64,
    topics: Vec<FileTopic>,
    /// The index at the end, if the file was closed cleanly and has one.
    summary: Option<Summary>,
    messages: Option<Messages>,
}

/// The two ways to read messages.
enum Messages {
    /// By the index: in the order of time, and only the chunks that hold selected topics.
    Indexed(Box<IndexedReader>),
    /// From the start, for files without an index: cut ones, or ones written without chunks.
    Linear {
        reader: Box<RecordReader>,
        numbers: HashMap<u16, usize>,
        /// Number by topic name, for channels that the file declares later.
        wanted: BTreeMap<String, usize>,
    },
}

/// Reads a file by its index.
struct IndexedReader {
    /// Chunks with selected topics that were not read yet, the earliest last.
    chunks: Vec<ChunkIndex>,
    /// Messages of the chunks that were read.
    ready: BinaryHeap<Reverse<Ready>>,
    /// Number of the topic by channel.
    numbers: HashMap<u16, usize>,
    /// Buffers of returned messages, for reuse.
    spare: Vec<Vec<u8>>,
}

/// A message that was read but not returned yet, ordered by time, then by its place in the file.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    log_time: i64,
    chunk: u64,
    place: usize,
    topic: usize,
    data: Vec<u8>,
}

impl McapFile {
    /// Opens `stored`. Messages name it `path`, which is the file the user gave.
    pub fn open(stored: &Path, path: &Path) -> Result<Self, BagError> {
        let io = |error| BagError::io(path, error);
        let mut file = File::open(stored).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        // A summary that is missing or damaged is no error: the file is then read from the start.
        let summary = read_summary(&mut file, length)
            .ok()
            .flatten()
            .filter(|summary| !summary.channels.is_empty());
        let mut opened = Self {
            path: path.to_owned(),
            stored: file,
            length,
            topics: Vec::new(),
            summary,
            messages: None,
        };
        opened.topics = match &opened.summary {
            Some(summary) => topics_of(summary),
            None => opened.scan_topics()?,
        };
        Ok(opened)
    }

    fn damage(&self, error: &McapError) -> String {
        format!(
            "{}: cut or damaged, a part of it is missing: {}",
            self.path.display(),
            error_chain(error)
        )
    }

    /// The reader by the index; `None` if there is no usable index. A file may hold its messages outside of chunks.
    fn indexed(&self, wanted: &BTreeMap<String, usize>) -> Option<IndexedReader> {
        let summary = self.summary.as_ref()?;
        // Memory is allocated for the sizes in the index, so an index with impossible sizes is not used.
        let is_possible = |chunk: &ChunkIndex| {
            chunk.compressed_size <= self.length
                && can_unpack(chunk.compressed_size, chunk.uncompressed_size)
        };
        if summary.chunk_indexes.is_empty() || !summary.chunk_indexes.iter().all(is_possible) {
            return None;
        }
        let numbers: HashMap<u16, usize> = summary
            .channels
            .iter()
            .filter_map(|(id, channel)| Some((*id, *wanted.get(&channel.topic)?)))
            .collect();
        let is_wanted = |chunk: &&ChunkIndex| {
            // A chunk without an index of its messages may hold any topic.
            let channels = &chunk.message_index_offsets;
            channels.is_empty() || channels.keys().any(|channel| numbers.contains_key(channel))
        };
        let mut chunks: Vec<_> = summary
            .chunk_indexes
            .iter()
            .filter(is_wanted)
            .cloned()
            .collect();
        chunks.sort_by_key(|chunk| Reverse((chunk.message_start_time, chunk.chunk_start_offset)));
        Some(IndexedReader {
            chunks,
            ready: BinaryHeap::new(),
            numbers,
            spare: Vec::new(),
        })
    }

    /// A reader of the whole file. All readers share the position in the file, so only one is used at a time.
    fn record_reader(&self) -> Result<RecordReader, BagError> {
        let io = |error| BagError::io(&self.path, error);
        let file = self.stored.try_clone().map_err(io)?;
        RecordReader::new(file, 0..self.length).map_err(io)
    }

    /// Reads the whole file to find topics and counts, for a file without an index.
    fn scan_topics(&mut self) -> Result<Vec<FileTopic>, BagError> {
        tracing::info!(
            "{}: no index (cut, or written without one); reading the whole file",
            self.path.display()
        );
        let mut schemas = HashMap::new();
        let mut channels: BTreeMap<u16, FileTopic> = BTreeMap::new();
        let scanned = self.record_reader()?.records::<()>(|opcode, body| {
            match opcode {
                op::SCHEMA => {
                    if let Record::Schema { header, .. } = mcap::parse_record(opcode, body)? {
                        schemas.insert(header.id, header.name);
                    }
                }
                op::CHANNEL => {
                    if let Record::Channel(channel) = mcap::parse_record(opcode, body)? {
                        channels.entry(channel.id).or_insert_with(|| FileTopic {
                            name: channel.topic,
                            type_name: schemas.get(&channel.schema_id).cloned().unwrap_or_default(),
                            serialization: channel.message_encoding,
                            message_count: Some(0),
                        });
                    }
                }
                op::MESSAGE => {
                    let count = message_channel(body)
                        .and_then(|channel| channels.get_mut(&channel))
                        .and_then(|topic| topic.message_count.as_mut());
                    if let Some(count) = count {
                        *count += 1;
                    }
                }
                op::DATA_END => return Ok(ControlFlow::Break(None)),
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        });
        // Damage is reported when the messages are read, together with all other damage.
        if let Err(error) = scanned {
            tracing::debug!("{}", self.damage(&error));
        }
        Ok(channels.into_values().collect())
    }
}

impl Storage for McapFile {
    fn topics(&self) -> Vec<&FileTopic> {
        self.topics.iter().collect()
    }

    fn select(
        &mut self,
        wanted: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<Option<String>, BagError> {
        let numbered: BTreeMap<String, usize> = self
            .topics
            .iter()
            .filter_map(|topic| Some((topic.name.clone(), wanted(&topic.name)?)))
            .collect();
        self.messages = Some(match self.indexed(&numbered) {
            Some(reader) => Messages::Indexed(Box::new(reader)),
            None => Messages::Linear {
                reader: Box::new(self.record_reader()?),
                numbers: HashMap::new(),
                wanted: numbered,
            },
        });
        Ok(None)
    }

    fn next(&mut self, data: &mut Vec<u8>) -> Option<Result<StoredMessage, String>> {
        let result = match self.messages.as_mut()? {
            Messages::Indexed(reader) => match reader.next(&self.stored, self.length, data) {
                // The damage is in one chunk: the others can be read.
                Err(error) => return Some(Err(self.damage(&error))),
                message => message,
            },
            Messages::Linear {
                reader,
                numbers,
                wanted,
            } => next_linear(reader, numbers, wanted, data),
        };
        match result {
            Ok(Some(message)) => Some(Ok(message)),
            Ok(None) => {
                self.messages = None;
                None
            }
            Err(error) => {
                self.messages = None;
                Some(Err(self.damage(&error)))
            }
        }
    }
}

fn read_summary(file: &mut File, length: u64) -> McapResult<Option<Summary>> {
    let options = SummaryReaderOptions::default()
        .with_file_size(length)
        .with_record_length_limit(usize::try_from(length).unwrap_or(LONGEST).min(LONGEST));
    let mut reader = SummaryReader::new_with_options(options);
    while let Some(event) = reader.next_event() {
        match event? {
            SummaryReadEvent::ReadRequest(need) => {
                let read = file.read(reader.insert(need))?;
                reader.notify_read(read);
            }
            SummaryReadEvent::SeekRequest(to) => reader.notify_seeked(file.seek(to)?),
        }
    }
    Ok(reader.finish())
}

/// Topics of the channels, in the order of their numbers.
fn topics_of(summary: &Summary) -> Vec<FileTopic> {
    let channels: BTreeMap<_, _> = summary.channels.iter().collect();
    channels
        .into_iter()
        .map(|(id, channel)| FileTopic {
            name: channel.topic.clone(),
            type_name: channel
                .schema
                .as_ref()
                .map(|schema| schema.name.clone())
                .unwrap_or_default(),
            serialization: channel.message_encoding.clone(),
            message_count: summary
                .stats
                .as_ref()
                .map(|stats| stats.channel_message_counts.get(id).copied().unwrap_or(0)),
        })
        .collect()
}

/// The first field of a message record.
fn message_channel(body: &[u8]) -> Option<u16> {
    body.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// Nanoseconds as a signed number, which rosbag2 uses; greater times are limited to its maximum.
fn time(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

impl IndexedReader {
    /// The next message in the order of time. An error is about one chunk; the next call continues behind it.
    fn next(
        &mut self,
        file: &File,
        length: u64,
        data: &mut Vec<u8>,
    ) -> McapResult<Option<StoredMessage>> {
        // A chunk that begins before the first ready message may hold an earlier one.
        while let Some(chunk) = self.chunks.pop_if(|chunk| {
            let first = self.ready.peek();
            first.is_none_or(|Reverse(first)| time(chunk.message_start_time) < first.log_time)
        }) {
            self.read(file, length, chunk.chunk_start_offset)?;
        }
        Ok(self.ready.pop().map(|Reverse(mut message)| {
            std::mem::swap(data, &mut message.data);
            self.spare.push(message.data);
            StoredMessage {
                topic: message.topic,
                log_time: message.log_time,
            }
        }))
    }

    /// Reads the messages of the chunk at offset `chunk`, up to its end or the first damage.
    fn read(&mut self, file: &File, length: u64, chunk: u64) -> McapResult<()> {
        if chunk >= length {
            return Err(McapError::UnexpectedEof);
        }
        let end = chunk_end(&mut &*file, chunk)?.ok_or(McapError::BadChunkStartOffset(chunk))?;
        let mut reader = RecordReader::new(file.try_clone()?, chunk..end.min(length))?;
        let mut place = 0;
        reader.records::<()>(|opcode, body| {
            if opcode == op::MESSAGE {
                let mut data = self.spare.pop().unwrap_or_default();
                match read_message(body, &self.numbers, &mut data)? {
                    Some(StoredMessage { topic, log_time }) => self.ready.push(Reverse(Ready {
                        log_time,
                        chunk,
                        place,
                        topic,
                        data,
                    })),
                    None => self.spare.push(data),
                }
                place += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }
}

/// Reads a message record into `data` if its channel has a number.
fn read_message(
    body: &[u8],
    numbers: &HashMap<u16, usize>,
    data: &mut Vec<u8>,
) -> McapResult<Option<StoredMessage>> {
    let number = message_channel(body).and_then(|channel| numbers.get(&channel));
    let Some(&topic) = number else {
        return Ok(None);
    };
    let Record::Message {
        header,
        data: message,
    } = mcap::parse_record(op::MESSAGE, body)?
    else {
        return Ok(None);
    };
    data.clear();
    data.extend_from_slice(&message);
    Ok(Some(StoredMessage {
        topic,
        log_time: time(header.log_time),
    }))
}

fn next_linear(
    reader: &mut RecordReader,
    numbers: &mut HashMap<u16, usize>,
    wanted: &BTreeMap<String, usize>,
    data: &mut Vec<u8>,
) -> McapResult<Option<StoredMessage>> {
    reader.records(|opcode, body| {
        match opcode {
            op::CHANNEL => {
                if let Record::Channel(channel) = mcap::parse_record(opcode, body)?
                    && let Some(&number) = wanted.get(&channel.topic)
                {
                    numbers.insert(channel.id, number);
                }
            }
            op::MESSAGE => {
                if let Some(message) = read_message(body, numbers, data)? {
                    return Ok(ControlFlow::Break(Some(message)));
                }
            }
            // Only indexes follow behind the data.
            op::DATA_END => return Ok(ControlFlow::Break(None)),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Reads the records of a part of a file, one after the other.
struct RecordReader {
    reader: LinearReader,
    input: BufReader<File>,
    /// Bytes of the readable part that were not read yet.
    left: u64,
}

/// Bytes requested at once, so that a record that claims more than the file holds costs no memory.
const READ_AT_ONCE: usize = 1 << 20;

impl RecordReader {
    /// The records in `range`; a range that starts at 0 is a whole file. All readers share the position in the file, so only
    /// one is used at a time.
    fn new(mut file: File, range: Range<u64>) -> io::Result<Self> {
        let is_whole = range.start == 0;
        let first = match is_whole {
            true => mcap::MAGIC.len() as u64,
            false => range.start,
        };
        file.seek(SeekFrom::Start(0))?;
        let mut heads = BufReader::with_capacity(1 << 12, file);
        let part = readable_part(&mut heads, first..range.end)?;
        let mut file = heads.into_inner();
        file.seek(SeekFrom::Start(range.start))?;
        let longest = usize::try_from(part.longest_record).unwrap_or(LONGEST);
        let options = LinearReaderOptions::default()
            .with_skip_start_magic(!is_whole)
            .with_skip_end_magic(!is_whole)
            .with_record_length_limit(longest.min(LONGEST))
            .with_validate_chunk_crcs(true);
        Ok(Self {
            reader: LinearReader::new_with_options(options),
            input: BufReader::with_capacity(1 << 16, file),
            left: part.length.saturating_sub(range.start),
        })
    }

    /// Calls `visit` with each record (opcode, body) until it breaks, or until the part ends (`None`).
    fn records<T>(
        &mut self,
        mut visit: impl FnMut(u8, &[u8]) -> McapResult<ControlFlow<Option<T>>>,
    ) -> McapResult<Option<T>> {
        while let Some(event) = self.reader.next_event() {
            let need = match event? {
                LinearReadEvent::ReadRequest(need) => need,
                LinearReadEvent::Record { opcode, data } => match visit(opcode, data)? {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(value) => return Ok(value),
                },
            };
            if self.left == 0 {
                // The reader of the mcap crate decides whether the file may end here.
                self.reader.notify_read(0);
                continue;
            }
            if need as u64 > self.left {
                return Err(McapError::UnexpectedEof);
            }
            let read = self
                .input
                .read(self.reader.insert(need.min(READ_AT_ONCE)))?;
            self.left -= read as u64;
            self.reader.notify_read(read);
        }
        Ok(None)
    }
}
