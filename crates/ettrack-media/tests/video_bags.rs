//! Tests that packets of H.264 in bags become frames with their stamps.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::path::Path;
use std::process::{Command, Stdio};

use ettrack::frame::ImageBuffer;
use ettrack_bag::BagWriter;
use ettrack_media::source;
use ettrack_message::{CompressedVideo, FfmpegPacket, Header, Stamp, ToCdr};
use ettrack_testing::not_run;

fn stamp(number: usize) -> Stamp {
    Stamp::from_nanoseconds(1_000_000_000 + number as i64 * 33_000_000)
}

/// Returns grey frames that get brighter, coded as H.264. Every fifth is a key frame. `None` if there is no encoder.
fn packets() -> Option<Vec<Vec<u8>>> {
    let coded = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg("color=c=black:s=64x48:r=30,geq=lum=16+8*N:cb=128:cr=128")
        .args(["-frames:v", "12", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-tune", "zerolatency", "-g", "5"])
        .args(["-x264-params", "aud=1:scenecut=0", "-f", "h264", "-"])
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let Some(coded) = coded else {
        not_run("video in bags", "there is no ffmpeg with libx264");
        return None;
    };
    let data = coded.stdout;
    let starts: Vec<_> = (0..data.len().saturating_sub(4))
        .filter(|&at| data[at..].starts_with(&[0, 0, 0, 1, 9]))
        .chain([data.len()])
        .collect();
    let cut = |two: &[usize]| data[two[0]..two[1]].to_vec();
    Some(starts.windows(2).map(cut).collect())
}

fn header(number: usize) -> Header {
    Header {
        stamp: stamp(number),
        frame_id: "camera_optical".into(),
    }
}

/// Writes a bag of packets. The first packet has the number `first`.
fn write<M: ToCdr>(path: &Path, topic: &str, first: usize, messages: impl Iterator<Item = M>) {
    let mut bag = BagWriter::create(path).unwrap();
    let topic = bag.add_topic(topic, M::TYPE).unwrap();
    for (number, message) in messages.enumerate().skip(first) {
        let time = stamp(number).as_nanoseconds();
        bag.write(topic, time, &message.to_cdr()).unwrap();
    }
    bag.finish().unwrap();
}

/// Returns stamp and grey of each frame, and the errors.
fn read(path: &Path, topic: Option<&str>) -> (Vec<(i64, u8)>, Vec<String>) {
    let mut frames = source::open(path.to_str().unwrap(), topic).unwrap();
    let mut image = ImageBuffer::empty();
    let (mut seen, mut errors) = (Vec::new(), Vec::new());
    loop {
        match frames.next_into(&mut image) {
            Ok(Some(info)) => seen.push((info.stamp_ns.unwrap(), image.data[0])),
            Ok(None) => return (seen, errors),
            Err(error) if error.is_about_one_frame() => {
                errors.push(ettrack::error_chain(&error));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn decodes_both_kinds_of_packets_with_their_stamps() {
    let Some(packets) = packets() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let as_ffmpeg = packets
        .iter()
        .enumerate()
        .map(|(number, data)| FfmpegPacket {
            header: header(number),
            width: 64,
            height: 48,
            encoding: "h264;yuv420p;bgr8;bgr8",
            pts: number as u64,
            flags: u8::from(number % 5 == 0),
            is_bigendian: false,
            data,
        });
    let as_foxglove = packets
        .iter()
        .enumerate()
        .map(|(number, data)| CompressedVideo {
            header: header(number),
            data,
            format: "h264",
        });
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    write(&one, "/camera/image_raw/ffmpeg", 0, as_ffmpeg.clone());
    write(&other, "/camera/video", 0, as_foxglove);
    // The name of the raw images also finds the topic of video, as it finds that of compressed images.
    for (path, topic) in [(&one, Some("/camera/image_raw")), (&other, None)] {
        let (seen, errors) = read(path, topic);
        assert_eq!(errors, [""; 0]);
        let stamps: Vec<_> = seen.iter().map(|(stamp, _)| *stamp).collect();
        let expected: Vec<_> = (0..12)
            .map(|number| stamp(number).as_nanoseconds())
            .collect();
        assert_eq!(stamps, expected);
        assert!(seen.windows(2).all(|two| two[0].1 < two[1].1), "{seen:?}");
    }
    // A bag that begins between two key frames.
    let late = folder.path().join("late");
    write(&late, "/camera/image_raw/ffmpeg", 3, as_ffmpeg);
    let (seen, errors) = read(&late, None);
    assert_eq!((seen.len(), errors.len()), (7, 2));
    assert!(
        errors[1].contains("waits for a key frame, 2 packets so far"),
        "{errors:?}"
    );
    assert_eq!(seen[0].0, stamp(5).as_nanoseconds());
}
