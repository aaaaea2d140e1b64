//! Makes pictures, messages and bags for tests.

use std::path::{Path, PathBuf};

use ettrack_bag::BagWriter;
use ettrack_message::{CompressedImage, Header, Image, Message, Stamp, ToCdr};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// Nanoseconds between frames: 10 frames per second.
pub const PERIOD: i64 = 100_000_000;

/// Stamp of frame `index` of a test stream.
pub fn stamp(index: usize) -> Stamp {
    Stamp::from_nanoseconds(1_700_000_000_000_000_000 + index as i64 * PERIOD)
}

/// Header of frame `index` of a test stream.
pub fn header(index: usize) -> Header {
    Header {
        stamp: stamp(index),
        frame_id: "camera_optical".into(),
    }
}

/// A grey `rgb8` picture whose pixels are all `value`, except for a square of `side` white ones at (x, y).
pub fn pixels(width: u32, height: u32, value: u8, (x, y): (u32, u32), side: u32) -> Vec<u8> {
    let mut data = vec![value; (width * height * 3) as usize];
    for row in y..(y + side).min(height) {
        for column in x..(x + side).min(width) {
            let at = ((row * width + column) * 3) as usize;
            data[at..at + 3].fill(255);
        }
    }
    data
}

/// An `Image` message of `width` x `height` pixels in `rgb8`.
pub fn raw_message(index: usize, width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let step = width * 3;
    Image {
        header: header(index),
        height,
        width,
        encoding: "rgb8",
        is_bigendian: false,
        step,
        data,
    }
    .to_cdr()
}

/// A JPEG file of `rgb8` pixels.
pub fn jpeg(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 95)
        .write_image(data, width, height, ExtendedColorType::Rgb8)
        .unwrap();
    file
}

/// A `CompressedImage` message.
pub fn compressed_message(index: usize, format: &str, data: &[u8]) -> Vec<u8> {
    CompressedImage {
        header: header(index),
        format,
        data,
    }
    .to_cdr()
}

/// Writes messages (topic, type, log time, bytes) as a `.db3` file in rosbag2's layout.
pub fn write_db3(path: &Path, messages: &[(&str, &str, i64, Vec<u8>)]) -> rusqlite::Connection {
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
               serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
             CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
               timestamp INTEGER NOT NULL, data BLOB NOT NULL);
             CREATE INDEX timestamp_idx ON messages (timestamp ASC);",
        )
        .unwrap();
    for (topic, type_name, time, data) in messages {
        database
            .execute(
                "INSERT INTO topics(name, type, serialization_format, offered_qos_profiles)
                 SELECT ?1, ?2, 'cdr', '' WHERE NOT EXISTS (SELECT 1 FROM topics WHERE name = ?1)",
                (topic, type_name),
            )
            .unwrap();
        database
            .execute(
                "INSERT INTO messages(topic_id, timestamp, data)
                 VALUES ((SELECT id FROM topics WHERE name = ?1), ?2, ?3)",
                (topic, time, data),
            )
            .unwrap();
    }
    database
}

/// Writes a bag of one topic of `count` raw images of 32 x 24 pixels whose grey value is the frame's index.
pub fn write_image_bag(path: &Path, count: usize) -> PathBuf {
    let mut bag = BagWriter::create(path).unwrap();
    let topic = bag.add_topic("/camera/image_raw", Image::TYPE).unwrap();
    for index in 0..count {
        let data = pixels(32, 24, index as u8, (4, 4), 6);
        let message = raw_message(index, 32, 24, &data);
        bag.write(topic, stamp(index).as_nanoseconds(), &message)
            .unwrap();
    }
    bag.finish().unwrap();
    path.join(format!(
        "{}_0.mcap",
        path.file_name().unwrap().to_string_lossy()
    ))
}
