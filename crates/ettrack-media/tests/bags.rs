//! Reads bags of all kinds that rosbag2 and other programs write: complete, cut and damaged.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use ettrack::error_chain;
use ettrack::frame::{Encoding, ImageBuffer};
use ettrack_bag::{Bag, BagError, BagWriter, image_topic};
use ettrack_media::source::{self, BagSource, FrameSource, SourceError};
use ettrack_message::{CompressedImage, Image, Message, Transport};
use ettrack_testing::messages::*;
use ettrack_testing::not_run;
use mcap::records::MessageHeader;
use proptest::prelude::*;

/// The frames of a source in the order of reading: index, stamp in nanoseconds, first pixel. Errors about one frame are text.
fn read_all(source: &mut dyn FrameSource) -> Vec<Result<(u64, i64, u8), String>> {
    let mut image = ImageBuffer::empty();
    let mut frames = Vec::new();
    loop {
        match source.next_into(&mut image) {
            Ok(Some(info)) => {
                image.frame().unwrap();
                frames.push(Ok((info.index, info.stamp_ns.unwrap_or(-1), image.data[0])));
            }
            Ok(None) => return frames,
            Err(error) => {
                assert!(error.is_about_one_frame(), "{error}");
                frames.push(Err(error_chain(&error)));
            }
        }
    }
}

/// The result of [`read_all`] for `count` test frames.
fn expected(count: usize) -> Vec<Result<(u64, i64, u8), String>> {
    (0..count)
        .map(|index| Ok((index as u64, stamp(index).as_nanoseconds(), index as u8)))
        .collect()
}

fn test_messages(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|index| raw_message(index, 32, 24, &pixels(32, 24, index as u8, (4, 4), 6)))
        .collect()
}

/// Writes the messages as mcap with the given options.
fn write_mcap(path: &Path, options: mcap::WriteOptions, messages: &[Vec<u8>], first: usize) {
    let mut writer = options
        .profile("ros2")
        .create(BufWriter::new(fs::File::create(path).unwrap()))
        .unwrap();
    let schema = writer.add_schema(Image::TYPE, "ros2msg", b"").unwrap();
    let channel = writer
        .add_channel(schema, "/camera/image_raw", "cdr", &BTreeMap::new())
        .unwrap();
    for (index, message) in messages.iter().enumerate() {
        let time = stamp(first + index).as_nanoseconds() as u64;
        let header = MessageHeader {
            channel_id: channel,
            sequence: 0,
            log_time: time,
            publish_time: time,
        };
        writer.write_to_known_channel(&header, message).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_written_bag_is_read_back_and_has_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_image_bag(&folder.path().join("a"), 9);
    let mut source = BagSource::open(&folder.path().join("a"), None).unwrap();
    assert_eq!(source.frame_count(), Some(9));
    assert_eq!(read_all(&mut source), expected(9));
    assert!(source.damage().is_empty());
    fs::create_dir(folder.path().join("again")).unwrap();
    let second = write_image_bag(&folder.path().join("again/a"), 9);
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

#[test]
fn a_dropped_writer_leaves_nothing_and_an_existing_bag_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    let mut bag = BagWriter::create(&path).unwrap();
    let topic = bag.add_topic("/image", Image::TYPE).unwrap();
    bag.write(topic, 1, &test_messages(1)[0]).unwrap();
    assert!(!path.exists());
    drop(bag);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is left of a dropped bag"
    );
    write_image_bag(&path, 1);
    assert!(matches!(
        BagWriter::create(&path),
        Err(BagError::Exists { .. })
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn reads_mcap_files_of_all_compressions_and_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let messages = test_messages(12);
    let options = mcap::WriteOptions::new;
    for (name, options) in [
        (
            "zstd",
            options()
                .compression(Some(mcap::Compression::Zstd))
                .chunk_size(Some(3000)),
        ),
        (
            "lz4",
            options()
                .compression(Some(mcap::Compression::Lz4))
                .chunk_size(Some(3000)),
        ),
        (
            "uncompressed",
            options().compression(None).chunk_size(Some(3000)),
        ),
        ("without_chunks", options().use_chunks(false)),
        (
            "without_indexes",
            options()
                .emit_message_indexes(false)
                .emit_chunk_indexes(false),
        ),
        ("without_summary", options().emit_summary_records(false)),
        (
            "without_repeats",
            options().repeat_channels(false).repeat_schemas(false),
        ),
    ] {
        let path = folder.path().join(format!("{name}.mcap"));
        write_mcap(&path, options, &messages, 0);
        let mut source =
            BagSource::open(&path, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(source.frame_count(), Some(12), "{name}");
        assert_eq!(read_all(&mut source), expected(12), "{name}");
        assert!(source.damage().is_empty(), "{name}: {:?}", source.damage());
    }
}

fn stamps_of(source: &mut BagSource) -> Vec<i64> {
    read_all(source)
        .into_iter()
        .map(|frame| frame.unwrap().1)
        .collect()
}

#[test]
fn damaged_chunks_of_an_indexed_file_lose_only_their_own_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.mcap");
    // Two messages per chunk.
    let options = mcap::WriteOptions::new().chunk_size(Some(4000));
    write_mcap(&path, options, &test_messages(12), 0);
    let mut bytes = fs::read(&path).unwrap();
    let chunks = mcap::Summary::read(&bytes).unwrap().unwrap().chunk_indexes;
    assert_eq!(chunks.len(), 6);
    for chunk in [&chunks[1], &chunks[4]] {
        let start = chunk.compressed_data_offset().unwrap() as usize;
        for byte in &mut bytes[start..][..chunk.compressed_size as usize] {
            *byte ^= 0xff;
        }
    }
    fs::write(&path, bytes).unwrap();
    let mut source = BagSource::open(&path, None).unwrap();
    let stamps = stamps_of(&mut source);
    let kept = [0, 1, 4, 5, 6, 7, 10, 11].map(|index| stamp(index).as_nanoseconds());
    assert_eq!(stamps, kept);
    let damage = source.damage();
    assert!(
        damage.len() == 2 && damage[0].contains("cut or damaged, a part of it is missing"),
        "{damage:?}"
    );
}

#[test]
fn damage_in_an_indexed_file_is_reported_and_loses_only_what_it_hit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.mcap");
    let messages = test_messages(12);
    let damaged = |compression, change: &dyn Fn(&mut [u8])| {
        // Four messages per chunk.
        let options = mcap::WriteOptions::new()
            .compression(compression)
            .chunk_size(Some(9000));
        write_mcap(&path, options, &messages, 0);
        let mut bytes = fs::read(&path).unwrap();
        let chunks = mcap::Summary::read(&bytes).unwrap().unwrap().chunk_indexes;
        assert_eq!(chunks.len(), 3);
        let start = chunks[1].compressed_data_offset().unwrap() as usize;
        change(&mut bytes[start..][..chunks[1].compressed_size as usize]);
        fs::write(&path, bytes).unwrap();
        let mut source = BagSource::open(&path, None).unwrap();
        let stamps = stamps_of(&mut source);
        assert_eq!(source.damage().len(), 1, "{:?}", source.damage());
        (stamps, source.damage()[0].clone())
    };
    let stamps =
        |kept: &[usize]| -> Vec<_> { kept.iter().map(|k| stamp(*k).as_nanoseconds()).collect() };

    // Only pixels are damaged: all messages can be read, and only the checksum shows the damage.
    let (read, words) = damaged(None, &|chunk| chunk[1000..1100].fill(7));
    assert_eq!(read, stamps(&(0..12).collect::<Vec<_>>()));
    assert!(words.to_lowercase().contains("crc"), "{words}");

    // Two messages and the header of a third are damaged; the index is not.
    let (read, _) = damaged(None, &|chunk| chunk[3000..7096].fill(0));
    assert_eq!(read, stamps(&[0, 1, 2, 3, 4, 5, 8, 9, 10, 11]));

    let (read, _) = damaged(Some(mcap::Compression::Zstd), &|chunk| {
        let half = chunk.len() / 2;
        chunk[half..].fill(0);
    });
    assert!(read.starts_with(&stamps(&[0, 1, 2, 3])) && read.ends_with(&stamps(&[8, 9, 10, 11])));
}

#[test]
fn reads_an_indexed_file_in_the_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mixed.mcap");
    let messages = test_messages(6);
    let mut writer = mcap::WriteOptions::new()
        .chunk_size(Some(3000))
        .create(BufWriter::new(fs::File::create(&path).unwrap()))
        .unwrap();
    let schema = writer.add_schema(Image::TYPE, "ros2msg", b"").unwrap();
    let channel = writer
        .add_channel(schema, "/image", "cdr", &BTreeMap::new())
        .unwrap();
    for index in [3, 0, 5, 1, 4, 2] {
        let time = stamp(index).as_nanoseconds() as u64;
        let header = MessageHeader {
            channel_id: channel,
            sequence: 0,
            log_time: time,
            publish_time: time,
        };
        writer
            .write_to_known_channel(&header, &messages[index])
            .unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(
        read_all(&mut BagSource::open(&path, None).unwrap()),
        expected(6)
    );
}

#[test]
fn reads_a_split_bag_as_one_stream_with_and_without_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let bag = folder.path().join("split");
    fs::create_dir(&bag).unwrap();
    let messages = test_messages(12);
    // With twelve files the alphabetical order (0, 1, 10, 11, 2, …) would be wrong.
    for (index, message) in messages.iter().enumerate() {
        let path = bag.join(format!("split_{index}.mcap"));
        write_mcap(
            &path,
            mcap::WriteOptions::new(),
            std::slice::from_ref(message),
            index,
        );
    }
    let mut source = BagSource::open(&bag, None).unwrap();
    assert_eq!(source.frame_count(), Some(12));
    assert_eq!(read_all(&mut source), expected(12));

    let metadata = "rosbag2_bagfile_information:\n  version: 9\n  storage_identifier: mcap\n  relative_file_paths:\n    - split_0.mcap\n    - split_1.mcap\n  topics_with_message_count:\n    - topic_metadata:\n        name: /camera/image_raw\n        type: sensor_msgs/msg/Image\n        serialization_format: cdr\n        offered_qos_profiles:\n          - history: keep_last\n            depth: 5\n      message_count: 2\n";
    fs::write(bag.join("metadata.yaml"), metadata).unwrap();
    assert_eq!(
        read_all(&mut BagSource::open(&bag, None).unwrap()),
        expected(2),
        "only the listed files are read"
    );

    // A listed file that is missing is reported as damage; the others are read.
    fs::remove_file(bag.join("split_0.mcap")).unwrap();
    let mut source = BagSource::open(&bag, None).unwrap();
    assert_eq!(read_all(&mut source).len(), 1);
    assert!(
        source.damage()[0].contains("split_0.mcap"),
        "{:?}",
        source.damage()
    );

    // The serialisation format is taken from the metadata.
    fs::write(
        bag.join("metadata.yaml"),
        metadata.replace(": cdr", ": other"),
    )
    .unwrap();
    let error = BagSource::open(&bag, None).err().unwrap().to_string();
    assert!(error.contains("serialised as \"other\""), "{error}");

    // Metadata that cannot be read are ignored with a warning.
    fs::write(bag.join("metadata.yaml"), "rosbag2_bagfile_information: 7").unwrap();
    assert_eq!(
        read_all(&mut BagSource::open(&bag, None).unwrap()).len(),
        11
    );
}

/// Metadata of a bag as version `version` of rosbag2 writes them, with these files.
fn metadata(version: u32, files: &[&str]) -> String {
    let files: String = files.iter().map(|file| format!("    - {file}\n")).collect();
    let topics = match version {
        ..5 => "\"\"".to_owned(),
        _ => "\n          - history: 1\n            depth: 5".to_owned(),
    };
    format!(
        "\u{feff}rosbag2_bagfile_information:\r\n  version: {version}\n  storage_identifier: sqlite3\n  \
         relative_file_paths:\n{files}  duration:\n    nanoseconds: 5\n  message_count: 5\n  custom_data: ~\n  \
         topics_with_message_count:\n    - topic_metadata:\n        name: /camera/image_raw\n        \
         type: sensor_msgs/msg/Image\n        serialization_format: cdr\n        offered_qos_profiles: {topics}\n      \
         message_count: 5\n"
    )
}

#[test]
fn a_bag_that_was_copied_renamed_or_moved_is_read_from_the_files_in_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let bag = place.path().join("parking_lot");
    fs::create_dir(&bag).unwrap();
    // Another bag under the old name still lies beside it.
    let old = place.path().join("flight");
    fs::create_dir(&old).unwrap();
    drop(write_db3(&old.join("flight_0.db3"), &db3_messages(3)));
    let database = place.path().join("five.db3");
    drop(write_db3(&database, &db3_messages(5)));
    let bytes = fs::read(&database).unwrap();
    let packed = zstd::encode_all(bytes.as_slice(), 3).unwrap();
    let absolute = old.join("flight_0.db3").display().to_string();
    let cases: [(&str, &[u8], &str); 8] = [
        ("flight_0.db3", &bytes, "flight_0.db3"),
        ("flight_0.db3", &bytes, "flight/flight_0.db3"),
        ("flight_0.db3.zstd", &packed, "flight/flight_0.db3.zstd"),
        ("flight_0.db3", &bytes, &absolute),
        ("flight_0.db3", &bytes, "flight_0.db3.zstd"),
        ("flight_0.db3.zstd", &packed, "flight_0.db3"),
        ("renamed.db3", &bytes, "flight_0.db3"),
        ("renamed.sqlite", &bytes, "flight_0.db3"),
    ];
    for version in [1, 4, 5, 9, 99] {
        for (file, content, listed) in cases {
            fs::write(bag.join(file), content).unwrap();
            fs::write(bag.join("metadata.yaml"), metadata(version, &[listed])).unwrap();
            let mut source = BagSource::open(&bag, None).unwrap();
            assert_eq!(
                read_all(&mut source),
                expected(5),
                "{version}: {file} for {listed}"
            );
            assert!(source.damage().is_empty(), "{file}: {:?}", source.damage());
            fs::remove_file(bag.join(file)).unwrap();
        }
    }
    // No file of the bag exists: the error names it, and no other file is read instead.
    let error = BagSource::open(&bag, None).err().unwrap().to_string();
    assert!(error.contains("flight_0.db3"), "{error}");
}

fn db3_messages(count: usize) -> Vec<(&'static str, &'static str, i64, Vec<u8>)> {
    test_messages(count)
        .into_iter()
        .enumerate()
        .map(|(index, data)| {
            (
                "/camera/image_raw",
                Image::TYPE,
                stamp(index).as_nanoseconds(),
                data,
            )
        })
        .collect()
}

/// All files of a folder with their bytes and times of change.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), (fs::read(&path).unwrap(), changed))
        })
        .collect()
}

#[test]
fn reads_sqlite3_in_the_order_of_time_and_changes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd name #1?.db3");
    let mut messages = db3_messages(8);
    messages.swap(2, 6);
    drop(write_db3(&path, &messages));
    let before = snapshot(folder.path());
    let mut source = BagSource::open(&path, None).unwrap();
    assert_eq!(source.frame_count(), Some(8));
    assert_eq!(read_all(&mut source), expected(8));
    drop(source);
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn reads_a_database_with_its_write_ahead_log_and_changes_neither() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live.db3");
    let messages = db3_messages(8);
    let database = write_db3(&live, &messages[..3]);
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    database
        .pragma_update(None, "wal_autocheckpoint", 0)
        .unwrap();
    for (topic, _, time, data) in &messages[3..] {
        database
            .execute(
                "INSERT INTO messages(topic_id, timestamp, data) VALUES ((SELECT id FROM topics WHERE name = ?1), ?2, ?3)",
                (topic, time, data),
            )
            .unwrap();
    }
    // The files that a killed recorder leaves.
    let left = folder.path().join("left");
    fs::create_dir(&left).unwrap();
    for name in ["live.db3", "live.db3-wal"] {
        fs::copy(folder.path().join(name), left.join(name)).unwrap();
    }
    drop(database);
    let before = snapshot(&left);
    assert_eq!(
        read_all(&mut BagSource::open(&left.join("live.db3"), None).unwrap()),
        expected(8)
    );
    assert_eq!(snapshot(&left), before);
}

#[test]
fn reads_compressed_files_and_compressed_messages() {
    let folder = tempfile::tempdir().unwrap();
    let messages = test_messages(5);
    let plain = folder.path().join("plain.mcap");
    write_mcap(&plain, mcap::WriteOptions::new(), &messages, 0);
    let database = folder.path().join("plain.db3");
    drop(write_db3(&database, &db3_messages(5)));
    for (path, name) in [(&plain, "file.mcap.zstd"), (&database, "file.db3.zstd")] {
        let packed = folder.path().join(name);
        fs::write(
            &packed,
            zstd::encode_all(fs::File::open(path).unwrap(), 3).unwrap(),
        )
        .unwrap();
        assert_eq!(
            read_all(&mut BagSource::open(&packed, None).unwrap()),
            expected(5),
            "{name}"
        );
    }

    let packed: Vec<_> = messages
        .iter()
        .map(|message| zstd::encode_all(message.as_slice(), 3).unwrap())
        .collect();
    let mcap = folder.path().join("messages.mcap");
    write_mcap(&mcap, mcap::WriteOptions::new(), &packed, 0);
    assert_eq!(
        read_all(&mut BagSource::open(&mcap, None).unwrap()),
        expected(5)
    );
    let database = folder.path().join("messages.db3");
    let mut rows = db3_messages(5);
    for (row, packed) in rows.iter_mut().zip(packed) {
        row.3 = packed;
    }
    rows[2].3.truncate(20);
    drop(write_db3(&database, &rows));
    let mut source = BagSource::open(&database, None).unwrap();
    assert_eq!(read_all(&mut source).len(), 4);
    assert!(
        source.damage()[0].contains("compressed message is damaged"),
        "{:?}",
        source.damage()
    );
}

#[test]
fn reading_stops_before_a_record_that_is_longer_than_its_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("overlong.mcap");
    let messages = test_messages(3);
    let options = mcap::WriteOptions::new().compression(None);
    write_mcap(&path, options, &messages, 0);
    let mut bytes = fs::read(&path).unwrap();
    // Without its end the file has no index and is read from its start.
    bytes.truncate(bytes.len() - 20);
    let length = 22 + messages[2].len() as u64;
    let head: Vec<u8> = [0x05].into_iter().chain(length.to_le_bytes()).collect();
    let last = bytes
        .windows(head.len())
        .rposition(|window| window == head)
        .unwrap();
    for length in [length + 1, length + 50, u64::MAX] {
        bytes[last + 1..last + 9].copy_from_slice(&length.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let mut source = BagSource::open(&path, None).unwrap();
        let frames = read_all(&mut source);
        assert_eq!(frames.len(), 2, "{length}");
        assert!(frames.iter().all(Result::is_ok));
        assert!(!source.damage().is_empty(), "{length}");
    }
}

#[test]
fn no_memory_is_allocated_for_lengths_that_the_file_cannot_hold() {
    const CLAIM: [u8; 8] = 900_000_000_u64.to_le_bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.mcap");
    let options = mcap::WriteOptions::new()
        .chunk_size(Some(1000))
        .compression(Some(mcap::Compression::Zstd));
    write_mcap(&path, options, &test_messages(5), 0);
    let mut bytes = fs::read(&path).unwrap();
    let summary = mcap::Summary::read(&bytes).unwrap().unwrap();
    let chunk = summary.chunk_indexes[2].clone();

    // A false length in the index only: the file is read from its start, and nothing is missing.
    let sizes = [chunk.compressed_size, chunk.uncompressed_size].map(u64::to_le_bytes);
    let index = bytes
        .windows(16)
        .rposition(|window| window == sizes.concat())
        .unwrap();
    bytes[index + 8..index + 16].copy_from_slice(&CLAIM);
    fs::write(&path, &bytes).unwrap();
    let mut source = BagSource::open(&path, None).unwrap();
    assert_eq!(read_all(&mut source), expected(5));
    assert!(source.damage().is_empty(), "{:?}", source.damage());

    // A false length of a record in a chunk: all messages before it are read.
    let mut inside = bytes[..chunk.chunk_start_offset as usize].to_vec();
    let records = [[0x05].as_slice(), &CLAIM, &[0; 50]].concat();
    let packed = zstd::encode_all(records.as_slice(), 1).unwrap();
    let body = [
        [0; 16].as_slice(),
        &(records.len() as u64).to_le_bytes(),
        &[0; 4],
        &4_u32.to_le_bytes(),
        b"zstd",
        &(packed.len() as u64).to_le_bytes(),
        &packed,
    ]
    .concat();
    inside.push(0x06);
    inside.extend((body.len() as u64).to_le_bytes());
    inside.extend(body);
    fs::write(&path, &inside).unwrap();
    let mut source = BagSource::open(&path, None).unwrap();
    assert_eq!(read_all(&mut source), expected(2));
    let damage = source.damage().join("\n");
    assert!(damage.contains("length exceeds limit"), "{damage}");

    // A false length in the chunk's header too: the same.
    let head = chunk.chunk_start_offset as usize + 9 + 16;
    bytes[head..head + 8].copy_from_slice(&CLAIM);
    fs::write(&path, &bytes).unwrap();
    let mut source = BagSource::open(&path, None).unwrap();
    assert_eq!(read_all(&mut source), expected(2));
    assert!(!source.damage().is_empty());
}

#[test]
fn a_bag_cut_at_any_byte_gives_the_messages_before_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let messages = test_messages(10);
    let options = || mcap::WriteOptions::new().chunk_size(Some(5000));
    let whole = folder.path().join("whole");
    let cut = folder.path().join("cut");
    for (name, storage) in [
        ("zstd", 0),
        ("lz4", 1),
        ("plain", 2),
        ("without_chunks", 3),
        ("sqlite", 4),
    ] {
        match storage {
            0 => write_mcap(
                &whole,
                options().compression(Some(mcap::Compression::Zstd)),
                &messages,
                0,
            ),
            1 => write_mcap(
                &whole,
                options().compression(Some(mcap::Compression::Lz4)),
                &messages,
                0,
            ),
            2 => write_mcap(&whole, options().compression(None), &messages, 0),
            3 => write_mcap(&whole, options().use_chunks(false), &messages, 0),
            _ => {
                fs::remove_file(&whole).unwrap();
                drop(write_db3(&whole, &db3_messages(10)));
            }
        }
        let bytes = fs::read(&whole).unwrap();
        let step = (bytes.len() / 120).max(1);
        let mut most = 0;
        for length in (0..bytes.len()).step_by(step) {
            fs::write(&cut, &bytes[..length]).unwrap();
            let Ok(mut source) = BagSource::open(&cut, None) else {
                continue;
            };
            let frames = read_all(&mut source);
            for (index, frame) in frames.iter().enumerate() {
                // sqlite3 may also lose messages in the middle, but each one that is read must be correct.
                match frame {
                    Ok((_, time, value)) => {
                        assert_eq!(
                            *time,
                            stamp(usize::from(*value)).as_nanoseconds(),
                            "{name} at {length}"
                        );
                        assert!(
                            storage == 4 || usize::from(*value) == index,
                            "{name} at {length}"
                        );
                    }
                    Err(error) => panic!("{name} cut at {length}: {error}"),
                }
            }
            assert!(
                frames.len() == 10 || !source.damage().is_empty(),
                "{name}: {length} of {}",
                bytes.len()
            );
            assert!(
                storage == 4 || frames.len() >= most,
                "{name}: more bytes must not give fewer frames"
            );
            most = most.max(frames.len());
        }
        assert!(
            most >= 5,
            "{name}: expected at least 5 of 10 messages of a cut bag, got {most}"
        );
    }
}

#[test]
fn skips_broken_frames_and_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    let picture = |index: usize| jpeg(32, 24, &pixels(32, 24, index as u8 * 20, (4, 4), 6));
    let mut bag = BagWriter::create(&path).unwrap();
    let topic = bag
        .add_topic("/image/compressed", CompressedImage::TYPE)
        .unwrap();
    let short = picture(2);
    for (index, message) in [
        compressed_message(0, "jpeg", &picture(0)),
        compressed_message(1, "rgb8; jpeg compressed bgr8", &picture(1)),
        compressed_message(2, "jpeg", &short[..short.len() / 2]),
        compressed_message(3, "16UC1; compressedDepth", &[0; 40]),
        compressed_message(4, "jpeg", &picture(4))[..50].to_vec(),
        compressed_message(5, "png", &picture(5)),
    ]
    .iter()
    .enumerate()
    {
        bag.write(topic, index as i64, message).unwrap();
    }
    bag.finish().unwrap();
    let frames = read_all(&mut BagSource::open(&path, None).unwrap());
    let good: Vec<_> = frames.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false, false, true], "{frames:?}");
    assert!(frames[2].as_ref().unwrap_err().contains("jpeg is cut"));
    assert!(
        frames[3]
            .as_ref()
            .unwrap_err()
            .contains("16UC1; compressedDepth")
    );
    assert!(
        frames[4]
            .as_ref()
            .unwrap_err()
            .contains("message ends in `data`")
    );
    assert!(
        frames[5].as_ref().unwrap().0 == 5,
        "broken frames count in the index"
    );
}

#[test]
fn reads_frames_that_change_size_and_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag");
    let mut bag = BagWriter::create(&path).unwrap();
    let topic = bag.add_topic("/image", Image::TYPE).unwrap();
    let image = |width: u32, height: u32, encoding: &'static str, step: u32, length: usize| {
        use ettrack_message::ToCdr;
        Image {
            header: header(0),
            height,
            width,
            encoding,
            is_bigendian: true,
            step,
            data: &vec![7; length],
        }
        .to_cdr()
    };
    for message in [
        image(4, 3, "rgb8", 12, 36),
        image(6, 2, "mono16", 16, 32),
        image(4, 3, "rgb8", 12, 35),
        image(4, 3, "32FC1", 16, 48),
        image(0, 0, "rgb8", 0, 0),
        image(4, 4, "nv12", 4, 24),
    ] {
        bag.write(topic, 0, &message).unwrap();
    }
    bag.finish().unwrap();
    let mut source = BagSource::open(&path, None).unwrap();
    let mut image = ImageBuffer::empty();
    source.next_into(&mut image).unwrap();
    assert_eq!((image.width, image.encoding), (4, Encoding::Rgb8));
    source.next_into(&mut image).unwrap();
    assert_eq!(
        (image.width, image.stride, image.encoding, image.big_endian),
        (6, 16, Encoding::Mono16, true)
    );
    for words in [
        "35 bytes, expected 36",
        "\"32FC1\" is not supported",
        "0x0 pixels",
    ] {
        let error = error_chain(&source.next_into(&mut image).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
    source.next_into(&mut image).unwrap();
    assert_eq!(image.encoding, Encoding::Nv12);
}

#[test]
fn finds_the_only_image_topic_and_refuses_to_choose_among_several() {
    let folder = tempfile::tempdir().unwrap();
    let image = test_messages(1).remove(0);
    let write = |name: &str, topics: &[(&'static str, &'static str)]| {
        let path = folder.path().join(name);
        let rows: Vec<_> = topics
            .iter()
            .map(|(topic, kind)| (*topic, *kind, 1, image.clone()))
            .collect();
        drop(write_db3(&path, &rows));
        path
    };
    let none = write("none.db3", &[("/chatter", "std_msgs/msg/String")]);
    let error = BagSource::open(&none, None).err().unwrap().to_string();
    assert!(
        error.contains("/chatter (std_msgs/msg/String, 1 messages)"),
        "{error}"
    );
    let two = write(
        "two.db3",
        &[("/left", "sensor_msgs/Image"), ("/right", Image::TYPE)],
    );
    let error = BagSource::open(&two, None).err().unwrap().to_string();
    assert!(
        error.contains("--image-topic") && error.contains("/left") && error.contains("/right"),
        "{error}"
    );
    assert_eq!(
        read_all(&mut BagSource::open(&two, Some("/left")).unwrap()).len(),
        1
    );
    assert!(matches!(
        BagSource::open(&two, Some("/middle")),
        Err(SourceError::Bag(BagError::NoTopic { .. }))
    ));
    assert!(matches!(
        BagSource::open(&none, Some("/chatter")),
        Err(SourceError::Bag(BagError::TopicType { .. }))
    ));
    // A folder of pictures has no topics.
    let picture = folder.path().join("frames/0.jpg");
    fs::create_dir(picture.parent().unwrap()).unwrap();
    fs::write(&picture, jpeg(8, 8, &pixels(8, 8, 90, (2, 2), 3))).unwrap();
    let frames = picture.parent().unwrap().to_str().unwrap();
    let error = source::open(frames, Some("/left")).err().unwrap();
    assert!(error.to_string().contains("got no bag"), "{error}");
    assert_eq!(read_all(&mut *source::open(frames, None).unwrap()).len(), 1);
    // A metadata.yaml of another program does not make the folder a bag; a damaged one of a bag does.
    let metadata = folder.path().join("frames/metadata.yaml");
    fs::write(&metadata, "camera: front\n").unwrap();
    assert_eq!(read_all(&mut *source::open(frames, None).unwrap()).len(), 1);
    fs::write(&metadata, "rosbag2_bagfile_information: [").unwrap();
    let error = source::open(frames, None).err().unwrap().to_string();
    assert!(error.contains("a folder without bag files"), "{error}");
    // Only the compressed form of an image topic may be recorded.
    let compressed = write(
        "compressed.db3",
        &[
            ("/left/compressed", CompressedImage::TYPE),
            ("/right", Image::TYPE),
            ("/right/compressed", CompressedImage::TYPE),
        ],
    );
    let bag = Bag::open(&compressed).unwrap();
    let choice = |wanted| image_topic(&bag, &compressed, Some(wanted)).unwrap();
    assert_eq!(
        choice("/left"),
        ("/left/compressed".to_owned(), Transport::Compressed)
    );
    assert_eq!(choice("/right"), ("/right".to_owned(), Transport::Raw));
}

#[test]
fn refuses_other_files_and_says_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.mcap");
    fs::write(&empty, "").unwrap();
    let text = folder.path().join("text.db3");
    fs::write(&text, "hello, this is no database at all").unwrap();
    for (path, words) in [
        (empty.as_path(), "an empty file"),
        (&text, "33 bytes that starts as neither"),
        (Path::new("/nonexistent/bag"), "No such file"),
    ] {
        let error = error_chain(&Bag::open(path).err().unwrap());
        assert!(error.contains(words), "{error}");
    }
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    assert!(
        Bag::open(&nothing)
            .err()
            .unwrap()
            .to_string()
            .contains("a folder without bag files")
    );
    let error = source::open(nothing.to_str().unwrap(), None)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("expected pictures"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Changed bytes anywhere in a bag give frames or errors, never a panic.
    #[test]
    fn damaged_bags_never_panic(sqlite: bool, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bag");
        if sqlite {
            drop(write_db3(&path, &db3_messages(3)));
        } else {
            write_mcap(&path, mcap::WriteOptions::new().chunk_size(Some(3000)), &test_messages(3), 0);
        }
        let mut bytes = fs::read(&path).unwrap();
        for (position, value) in changes {
            let at = position.index(bytes.len());
            bytes[at] = value;
        }
        fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
        if let Ok(mut source) = BagSource::open(&path, None) {
            read_all(&mut source);
        }
    }

    /// Random bytes behind the first bytes of each format.
    #[test]
    fn random_bytes_never_panic(start in 0..3_usize, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bag");
        let magic = [mcap::MAGIC, b"SQLite format 3\0", &[0x28, 0xb5, 0x2f, 0xfd]][start];
        fs::write(&path, [magic, &bytes].concat()).unwrap();
        if let Ok(mut source) = BagSource::open(&path, None) {
            read_all(&mut source);
        }
    }
}

/// Reads all messages of all bags below the folder in the variable `ETTRACK_TEST_BAGS`, and prints the result for each.
#[test]
fn reads_bags_of_other_programs_or_refuses_them_with_a_reason() {
    let Some(root) = std::env::var_os("ETTRACK_TEST_BAGS") else {
        not_run("bags of other programs", "ETTRACK_TEST_BAGS is not set");
        return;
    };
    let mut folders = vec![PathBuf::from(&root)];
    let mut bags = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "mcap" || extension == "db3")
            {
                bags.push(path);
            }
        }
    }
    bags.sort();
    assert!(!bags.is_empty(), "no bags in {}", root.display());
    for path in bags {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let bag = match Bag::open(&path) {
            Ok(bag) => bag,
            Err(error) => {
                println!("{name}: refused: {error}");
                continue;
            }
        };
        let topics: Vec<_> = bag.topics().to_vec();
        let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let mut messages = match bag.messages(&names) {
            Ok(messages) => messages,
            Err(error) => {
                println!("{name}: refused: {error}");
                continue;
            }
        };
        let mut count = 0;
        while messages.next_message().is_some() {
            count += 1;
        }
        let promised: Option<u64> = topics.iter().map(|topic| topic.message_count).sum();
        let images = match BagSource::open(&path, None) {
            Ok(mut source) => format!("{} frames", read_all(&mut source).len()),
            Err(_) => "no topic of images".into(),
        };
        println!(
            "{name}: {count} of {promised:?} messages on {} topics, {images}, damage {:?}",
            topics.len(),
            messages.damage()
        );
        assert!(
            promised == Some(count) || !messages.damage().is_empty(),
            "{name}"
        );
    }
}
