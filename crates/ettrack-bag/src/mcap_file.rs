//! One `.mcap` file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use mcap::records::{ChunkIndex, Record, op};
use mcap::sans_io::{
    LinearReadEvent, LinearReader, LinearReaderOptions, SummaryReadEvent, SummaryReader,
    SummaryReaderOptions,
};
use mcap::{McapError, McapResult, Summary};

use super::framing::{can_unpack, chunk_end, sound};
use super::storage::{FileTopic, Storage, StoredMessage};
use super::{BagError, LONGEST};

/// An open file and, where messages were asked for, how far they were read.
pub struct McapFile {
    /// The file as the user knows it, for messages.
    path: PathBuf,
    stored: File,
    length: u64,
    topics: Vec<FileTopic>,
    /// The index at the end, where the file has one and was closed cleanly.
    summary: Option<Summary>,
    messages: Option<Messages>,
}

/// Two ways through a file.
enum Messages {
    /// By the index: in the order of time, only the chunks that hold wanted topics.
    Indexed(Box<IndexedWay>),
    /// From the front, for files without an index: cut, or written without chunks.
    Linear {
        way: Box<LinearWay>,
        numbers: HashMap<u16, usize>,
        /// Number by topic name, for channels that are yet to come.
        wanted: BTreeMap<String, usize>,
    },
}

/// How far a file was read by its index.
struct IndexedWay {
    /// Chunks with wanted topics that were not read yet, the earliest last.
    chunks: Vec<ChunkIndex>,
    /// Messages of the chunks that were read.
    ready: BinaryHeap<Reverse<Ready>>,
    /// Number of the topic by channel.
    numbers: HashMap<u16, usize>,
    /// Memory of messages that were given out.
    spare: Vec<Vec<u8>>,
}

/// A message that waits for those before it, in the order of time, then of the file.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    log_time: i64,
    chunk: u64,
    place: usize,
    topic: usize,
    data: Vec<u8>,
}

impl McapFile {
    /// Opens `stored`; `path` is what the user calls it.
    pub fn open(stored: &Path, path: &Path) -> Result<Self, BagError> {
        let io = |error| BagError::io(path, error);
        let mut file = File::open(stored).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        // No summary where it is cut off or damaged: then the file is read from the front.
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
            "{}: cut or damaged, a part of it is missing: {error}",
            self.path.display()
        )
    }

    /// The way by the index, where there is one: a file may hold its messages outside of chunks.
    fn indexed(&self, wanted: &BTreeMap<String, usize>) -> Option<IndexedWay> {
        let summary = self.summary.as_ref()?;
        // Room is made for what the index says, so an index that cannot be right is as good as none.
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
            // Without an index of its messages a chunk may hold any.
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
        Some(IndexedWay {
            chunks,
            ready: BinaryHeap::new(),
            numbers,
            spare: Vec::new(),
        })
    }

    /// The file from its beginning. Both ways share the position in the file, and only one is used at a time.
    fn linear_way(&self) -> Result<LinearWay, BagError> {
        let io = |error| BagError::io(&self.path, error);
        let file = self.stored.try_clone().map_err(io)?;
        LinearWay::new(file, 0..self.length).map_err(io)
    }

    /// Topics and counts of a file without an index, by reading all of it.
    fn scan_topics(&mut self) -> Result<Vec<FileTopic>, BagError> {
        tracing::info!(
            "{}: no index (cut, or written without); reading it from the front",
            self.path.display()
        );
        let mut schemas = HashMap::new();
        let mut channels: BTreeMap<u16, FileTopic> = BTreeMap::new();
        let scanned = self.linear_way()?.records::<()>(|opcode, body| {
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
        // Damage is told when the messages are read, together with all other damage.
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
            Some(way) => Messages::Indexed(Box::new(way)),
            None => Messages::Linear {
                way: Box::new(self.linear_way()?),
                numbers: HashMap::new(),
                wanted: numbered,
            },
        });
        Ok(None)
    }

    fn next(&mut self, data: &mut Vec<u8>) -> Option<Result<StoredMessage, String>> {
        let result = match self.messages.as_mut()? {
            Messages::Indexed(way) => match way.next(&self.stored, self.length, data) {
                // One chunk's damage: the others can be read.
                Err(error) => return Some(Err(self.damage(&error))),
                message => message,
            },
            Messages::Linear {
                way,
                numbers,
                wanted,
            } => next_linear(way, numbers, wanted, data),
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

/// Nanoseconds as rosbag2 counts them; what lies beyond is the far future in any case.
fn time(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

impl IndexedWay {
    /// The next message in the order of time. After an error, which is one chunk's, the next call goes on.
    fn next(
        &mut self,
        file: &File,
        length: u64,
        data: &mut Vec<u8>,
    ) -> McapResult<Option<StoredMessage>> {
        // A chunk that begins earlier than what is ready may hold the next one.
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

    /// Reads the messages of the chunk at `chunk`, as far as it is sound.
    fn read(&mut self, file: &File, length: u64, chunk: u64) -> McapResult<()> {
        if chunk >= length {
            return Err(McapError::UnexpectedEof);
        }
        let end = chunk_end(&mut &*file, chunk)?.ok_or(McapError::BadChunkStartOffset(chunk))?;
        let mut way = LinearWay::new(file.try_clone()?, chunk..end.min(length))?;
        let mut place = 0;
        way.records::<()>(|opcode, body| {
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

/// Reads a message record into `data`, if its channel has a number.
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
    way: &mut LinearWay,
    numbers: &mut HashMap<u16, usize>,
    wanted: &BTreeMap<String, usize>,
    data: &mut Vec<u8>,
) -> McapResult<Option<StoredMessage>> {
    way.records(|opcode, body| {
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
            // Behind the data only indexes follow.
            op::DATA_END => return Ok(ControlFlow::Break(None)),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Part of a file read from its front.
struct LinearWay {
    reader: LinearReader,
    input: BufReader<File>,
    /// Bytes of the part, as far as it is sound, that were not read yet.
    left: u64,
}

/// Bytes asked for at once: a record that claims more than the file holds costs no memory.
const READ_AT_ONCE: usize = 1 << 20;

impl LinearWay {
    /// The records in `range`; a whole file from 0 on. All ways share the position in the file, so only one is used at a
    /// time.
    fn new(mut file: File, range: Range<u64>) -> io::Result<Self> {
        let is_whole = range.start == 0;
        let first = match is_whole {
            true => mcap::MAGIC.len() as u64,
            false => range.start,
        };
        file.seek(SeekFrom::Start(0))?;
        let mut heads = BufReader::with_capacity(1 << 12, file);
        let sound = sound(&mut heads, first..range.end)?;
        let mut file = heads.into_inner();
        file.seek(SeekFrom::Start(range.start))?;
        let longest = usize::try_from(sound.longest_record).unwrap_or(LONGEST);
        let options = LinearReaderOptions::default()
            .with_skip_start_magic(!is_whole)
            .with_skip_end_magic(!is_whole)
            .with_record_length_limit(longest.min(LONGEST))
            .with_validate_chunk_crcs(true);
        Ok(Self {
            reader: LinearReader::new_with_options(options),
            input: BufReader::with_capacity(1 << 16, file),
            left: sound.length.saturating_sub(range.start),
        })
    }

    /// Shows each record (opcode, body) to `visit` until it breaks off or the file ends (`None`).
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
                // The reader knows whether this is a good place to end.
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
