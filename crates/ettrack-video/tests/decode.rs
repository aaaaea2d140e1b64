//! Tests the decoder with packets of a real encoder.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use ettrack::frame::ImageBuffer;
use ettrack_video::{FrameDecoder, Packet, Picture, VideoDecoder, VideoError, Wait};

/// Returns the stamp of a frame, nanoseconds.
fn stamp(number: usize) -> i64 {
    1_700_000_000_000_000_000 + number as i64 * 33_333_333
}

/// Returns grey frames that get brighter, coded as H.264. Every eighth is a key frame. `None` if there is no encoder.
fn packets(frames: usize, width: u32, height: u32) -> Option<Vec<Vec<u8>>> {
    let size = format!("{width}x{height}");
    let source = format!("color=c=black:s={size}:r=30,geq=lum=16+3*N:cb=128:cr=128");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &source])
        .args(["-frames:v", &frames.to_string(), "-c:v", "libx264"])
        .args(["-preset", "ultrafast", "-tune", "zerolatency", "-g", "8"])
        .args(["-x264-params", "aud=1:scenecut=0", "-f", "h264", "-"])
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let Some(output) = output else {
        // Directly to standard error, because the test harness hides the output of a passing test.
        let _ = writeln!(
            std::io::stderr(),
            "not tested: decoding: there is no ffmpeg with libx264"
        );
        return None;
    };
    // Each packet (access unit) begins with a delimiter.
    let data = output.stdout;
    let starts: Vec<_> = (0..data.len().saturating_sub(4))
        .filter(|&at| data[at..].starts_with(&[0, 0, 0, 1, 9]))
        .chain([data.len()])
        .collect();
    let packets: Vec<_> = starts
        .windows(2)
        .map(|two| data[two[0]..two[1]].to_vec())
        .collect();
    assert_eq!(packets.len(), frames);
    Some(packets)
}

fn packet(number: usize, data: &[u8]) -> Packet<'_> {
    Packet {
        codec: "libx264",
        stamp: stamp(number),
        number: Some(number as u64),
        is_key: false,
        data,
    }
}

/// Returns the number of the frame in a picture, by its grey.
fn frame_of(image: &ImageBuffer) -> f64 {
    let middle = image.stride * image.height as usize / 2;
    // The video's grey from 16 to 235 is 0 to 255 in the picture.
    f64::from(image.data[middle]) * 219.0 / 255.0 / 3.0
}

#[test]
fn returns_the_picture_of_each_packet() {
    let Some(packets) = packets(30, 64, 48) else {
        return;
    };
    let mut decoder = FrameDecoder::default();
    let mut image = ImageBuffer::empty();
    for (number, data) in packets.iter().enumerate() {
        decoder.decode(&packet(number, data), &mut image).unwrap();
        assert_eq!((image.width, image.height), (64, 48));
        let seen = frame_of(&image);
        assert!((seen - number as f64).abs() < 0.7, "{seen} for {number}");
    }
}

#[test]
fn waits_for_a_key_frame_at_the_start_and_after_a_gap() {
    let Some(packets) = packets(30, 64, 48) else {
        return;
    };
    let mut decoder = FrameDecoder::default();
    let mut image = ImageBuffer::empty();
    let mut outcomes = Vec::new();
    for (number, data) in packets.iter().enumerate().skip(3) {
        // The eleventh packet is lost.
        if number == 11 {
            continue;
        }
        outcomes.push(match decoder.decode(&packet(number, data), &mut image) {
            Ok(()) => {
                let seen = frame_of(&image);
                assert!((seen - number as f64).abs() < 0.7, "{seen} for {number}");
                (number, None)
            }
            Err(VideoError::NoKeyFrame { skipped, why }) => (number, Some((skipped, why))),
            Err(error) => panic!("{number}: {error}"),
        });
    }
    for (number, refused) in outcomes {
        let expected = match number {
            3..8 => Some((number as u64 - 2, Wait::Start)),
            12..16 => Some((number as u64 - 11, Wait::Lost)),
            _ => None,
        };
        assert_eq!(refused, expected, "{number}");
    }
}

#[test]
fn goes_on_after_a_restart_and_after_a_change_of_size() {
    let (Some(small), Some(large)) = (packets(4, 64, 48), packets(4, 96, 64)) else {
        return;
    };
    let mut decoder = FrameDecoder::default();
    let mut image = ImageBuffer::empty();
    for (number, data) in small.iter().chain(&large).enumerate() {
        decoder.decode(&packet(number, data), &mut image).unwrap();
        assert_eq!(image.width, if number < 4 { 64 } else { 96 });
    }
    // The stream begins again, such as a bag that is played twice.
    for (number, data) in small.iter().enumerate() {
        decoder.decode(&packet(number, data), &mut image).unwrap();
        assert_eq!(image.width, 64);
    }
}

#[test]
fn delivers_pictures_during_the_stream_and_goes_on_after_damaged_packets() {
    let Some(packets) = packets(24, 64, 48) else {
        return;
    };
    let (sender, pictures) = mpsc::channel();
    let mut decoder = VideoDecoder::new(move |picture: Picture| {
        // Sending fails if the test has ended.
        let _ = sender.send(picture.stamp);
    });
    for (number, data) in packets.iter().enumerate() {
        let mut data = data.clone();
        if number == 12 {
            data[9..].fill(0x55);
        }
        decoder.push(&packet(number, &data)).unwrap();
        if number == 0 {
            assert_eq!(pictures.recv_timeout(Duration::from_secs(20)), Ok(stamp(0)));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut last = stamp(0);
    while last != stamp(23) {
        let next = pictures.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(next > last);
        last = next;
    }
}

#[test]
fn sees_no_gap_in_constant_or_uneven_packet_numbers() {
    let Some(packets) = packets(8, 64, 48) else {
        return;
    };
    for numbers in [[0; 8], [0, 33, 66, 100, 133, 166, 200, 233]] {
        let mut decoder = VideoDecoder::new(|_| {});
        for (at, data) in packets.iter().enumerate() {
            let packet = Packet {
                number: Some(numbers[at]),
                ..packet(at, data)
            };
            decoder.push(&packet).unwrap();
        }
    }
}

#[test]
fn reports_packets_that_cannot_be_decoded() {
    let mut decoder = VideoDecoder::new(|_| {});
    let bad = |codec, data: &'static [u8]| Packet {
        codec,
        stamp: 1,
        number: None,
        is_key: true,
        data,
    };
    let error = decoder.push(&bad("theora", &[1])).unwrap_err();
    assert!(
        error.to_string().contains("\"theora\", expected h264"),
        "{error}"
    );
    assert!(matches!(
        decoder.push(&bad("h264", &[])),
        Err(VideoError::Length { got: 0, .. })
    ));
    let error = decoder.push(&bad("h264", &[0, 0, 1, 0x41, 1])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("waits for a key frame, 1 packets"),
        "{error}"
    );
}
