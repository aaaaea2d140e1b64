//! Bags of every make with bytes changed and their end cut off, and files of any bytes.
#![no_main]

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::sync::OnceLock;

use ettrack_bag::Bag;
use ettrack::frame::ImageBuffer;
use ettrack_message::{Header, Image, Message, ToCdr};
use ettrack_media::source::{BagSource, FrameSource};
use libfuzzer_sys::fuzz_target;
use mcap::WriteOptions;
use mcap::records::MessageHeader;

fn messages() -> Vec<Vec<u8>> {
    (0..4)
        .map(|index| {
            let data = [index; 6 * 4 * 3];
            let header = Header::default();
            Image {
                header,
                height: 4,
                width: 6,
                encoding: "rgb8",
                is_bigendian: false,
                step: 18,
                data: &data,
            }
            .to_cdr()
        })
        .collect()
}

fn mcap_file(options: WriteOptions) -> Vec<u8> {
    let mut writer = options
        .create(Cursor::new(Vec::new()))
        .expect("memory takes all");
    let schema = writer
        .add_schema(Image::TYPE, "ros2msg", b"x")
        .expect("memory takes all");
    let channel = writer
        .add_channel(schema, "/image", "cdr", &BTreeMap::new())
        .expect("memory takes all");
    for (index, message) in messages().iter().enumerate() {
        let time = index as u64;
        let header = MessageHeader {
            channel_id: channel,
            sequence: 0,
            log_time: time,
            publish_time: time,
        };
        writer
            .write_to_known_channel(&header, message)
            .expect("memory takes all");
    }
    writer.finish().expect("memory takes all");
    writer.into_inner().into_inner()
}

fn sqlite_file() -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let database = rusqlite::Connection::open(file.path()).expect("a database");
    database
        .execute_batch(
            "PRAGMA page_size = 512;
             CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
               serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
             CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
               timestamp INTEGER NOT NULL, data BLOB NOT NULL);
             INSERT INTO topics VALUES (1, '/image', 'sensor_msgs/msg/Image', 'cdr', '');",
        )
        .expect("tables");
    for (time, message) in messages().iter().enumerate() {
        database
            .execute(
                "INSERT INTO messages(topic_id, timestamp, data) VALUES (1, ?1, ?2)",
                (time as i64, message),
            )
            .expect("a row");
    }
    drop(database);
    std::fs::read(file.path()).expect("the database")
}

fn bases() -> &'static [Vec<u8>] {
    static BASES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BASES.get_or_init(|| {
        let options = || {
            WriteOptions::new()
                .chunk_size(Some(200))
                .compression_threads(0)
        };
        let plain = mcap_file(options().compression(None));
        vec![
            mcap_file(options().compression(Some(mcap::Compression::Zstd))),
            mcap_file(options().compression(Some(mcap::Compression::Lz4))),
            mcap_file(options().use_chunks(false)),
            mcap_file(options().emit_summary_records(false)),
            sqlite_file(),
            zstd::encode_all(plain.as_slice(), 1).expect("memory takes all"),
            plain,
            Vec::new(),
        ]
    })
}

/// Which bag, bytes to change, how much to keep, bytes behind it.
type Input = (u8, Vec<(u16, u8)>, u16, Vec<u8>);

fuzz_target!(|input: Input| {
    let (base, changes, keep, behind) = input;
    let mut bytes = bases()[usize::from(base) % bases().len()].clone();
    for (position, value) in changes {
        if let Some(byte) = bytes.get_mut(usize::from(position)) {
            *byte = value;
        }
    }
    // The larger half of the numbers keeps the whole.
    if keep < u16::MAX / 2 {
        bytes.truncate(usize::from(keep));
    }
    bytes.extend(behind);
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&bytes).expect("a small file");
    if let Ok(mut source) = BagSource::open(file.path(), None) {
        let mut image = ImageBuffer::empty();
        while let Ok(Some(_)) | Err(_) = source.next_into(&mut image) {}
    }
    if let Ok(bag) = Bag::open(file.path()) {
        let topics: Vec<String> = bag
            .topics()
            .iter()
            .map(|topic| topic.name.clone())
            .collect();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        if let Ok(mut messages) = bag.messages(&names) {
            while messages.next_message().is_some() {}
        }
    }
});
