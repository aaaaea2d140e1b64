//! Images of every transport and encoding, and messages that are damaged.

use std::sync::Arc;

use ettrack_message::*;
use ettrack_node::parameters::Parameters;
use ettrack_node::{Level, Output};
use ettrack_testing::messages::*;

use super::fixture::*;

#[test]
fn treats_an_image_in_the_middlewares_memory_like_any_other() {
    /// Memory of a middleware. The test sees whether it is still held.
    struct Lent(Arc<Vec<u8>>);
    impl HeldImage for Lent {
        fn image(&self) -> Image<'_> {
            Image::from_cdr(&self.0).unwrap()
        }
    }
    let mut node = Bench::with(Parameters {
        history_frames: 2,
        ..Parameters::default()
    });
    let mut memory = Vec::new();
    let mut lend = |index: usize, pixels: &[u8]| {
        let message = Arc::new(raw_message(index, 32, 24, pixels));
        memory.push(Arc::downgrade(&message));
        let held = memory
            .iter()
            .map(|old| old.upgrade().is_some())
            .collect::<Vec<_>>();
        (ImageMessage::Held(Box::new(Lent(message))), held)
    };
    node.roi(ROI);
    for index in 0..5 {
        let (image, _) = lend(index, &vec![index as u8; 32 * 24 * 3]);
        assert_eq!(image.size(), 32 * 24 * 3);
        node.core.on_image(image, &node.clock, &mut node.out);
        let answer = target(&std::mem::take(&mut node.out));
        assert_eq!(answer.header, header(index));
    }
    let (short, held) = lend(5, &[1; 7]);
    assert_eq!(
        held,
        [false, false, false, true, true, true],
        "two are kept"
    );
    node.core.on_image(short, &node.clock, &mut node.out);
    assert!(
        matches!(&node.out[..], [Output::Log(Level::Warn, line)] if line.contains("image refused"))
    );
    let (_image, held) = lend(6, &[]);
    assert_eq!(
        held[3..],
        [true, true, false, true],
        "a bad one is not kept"
    );
}

#[test]
fn counts_and_reports_undecodable_video_packets() {
    let mut bench = Bench::new();
    bench.frame(1);
    bench
        .core
        .on_undecoded(7, "waits for a key frame", &bench.clock, &mut bench.out);
    let out = bench.settle();
    assert_eq!(
        logs(&out),
        [(Level::Warn, "image refused: waits for a key frame".into())]
    );
    let status = bench.diagnostics(1.0).unwrap();
    let value = |key: &str| {
        &status
            .values
            .iter()
            .find(|(known, _)| known == key)
            .unwrap()
            .1
    };
    assert_eq!(
        (
            value("frames received").as_str(),
            value("bad messages").as_str()
        ),
        ("8", "7")
    );
    assert!(status.message.contains("7 bad"), "{}", status.message);
}

#[test]
fn counts_bad_messages_and_logs_them_once_a_second() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    let good = raw_message(1, 32, 24, &vec![1; 32 * 24 * 3]);
    let bad: Vec<Vec<u8>> = vec![
        good[..good.len() / 2].to_vec(),
        raw_message(1, 32, 24, &[1; 100]),
        Vec::new(),
        Image {
            header: header(1),
            height: 24,
            width: 32,
            encoding: "32FC1",
            is_bigendian: false,
            step: 128,
            data: &[0; 24 * 128],
        }
        .to_cdr(),
        raw_message(1, 0, 0, &[]),
    ];
    let count = bad.len();
    let mut lines = Vec::new();
    for bytes in bad {
        let out = node.message(1, bytes);
        assert!(
            out.iter().all(|output| matches!(output, Output::Log(..))),
            "nothing is published: {out:?}"
        );
        lines.extend(logs(&out));
    }
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].1.contains("image refused: message ends in `data`"),
        "{lines:?}"
    );
    let status = node.diagnostics(1.0).unwrap();
    assert_eq!(status.level, DiagnosticLevel::Warn);
    assert_eq!(
        status.value("bad messages"),
        Some(count.to_string().as_str())
    );
    assert!(
        status
            .value("last bad message")
            .unwrap()
            .contains("0x0 pixels")
    );

    // One second later the line comes again, with the number of the others.
    let out = node.message(30, vec![1, 2]);
    assert!(logs(&out)[0].1.contains("(and 4 more since"), "{out:?}");
    assert_eq!(
        target(&node.frame(31)).state,
        TargetState::Tracking,
        "the node goes on"
    );

    // The other topics.
    for topic in 0..3 {
        node.clock.now.set(node.clock.now.get() + 2_000_000_000);
        match topic {
            0 => node
                .core
                .on_roi(&[0, 1, 0, 0, 7], &node.clock, &mut node.out),
            1 => node
                .core
                .on_detection(&[0, 9, 0, 0], &node.clock, &mut node.out),
            _ => node.core.on_camera_info(&[], &node.clock, &mut node.out),
        }
        let out = std::mem::take(&mut node.out);
        assert!(logs(&out)[0].1.contains("refused"), "{out:?}");
    }
}

#[test]
fn tracks_compressed_images_and_refuses_truncated_ones() {
    let mut node = Bench::new();
    let picture = jpeg(32, 24, &pixels(32, 24, 40, (4, 4), 6));
    let mut send = |index: usize, format: &str, data: &[u8]| {
        let bytes = compressed_message(index, format, data);
        let image = ImageMessage::Cdr {
            transport: Transport::Compressed,
            bytes,
        };
        node.core.on_image(image, &node.clock, &mut node.out);
        std::mem::take(&mut node.out)
    };
    let image = target(&send(0, "bgr8; jpeg compressed bgr8", &picture));
    assert_eq!((image.state, image.header), (TargetState::Idle, header(0)));
    let out = send(1, "jpeg", &picture[..picture.len() - 20]);
    assert!(logs(&out)[0].1.contains("jpeg is cut"), "{out:?}");
    target(&send(2, "jpeg", &picture));
}

#[test]
fn gives_the_target_up_when_the_size_changes_but_not_the_encoding() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    let grey = Image {
        header: header(1),
        height: 24,
        width: 32,
        encoding: "mono8",
        is_bigendian: false,
        step: 32,
        data: &[1; 24 * 32],
    };
    assert_eq!(
        target(&node.message(1, grey.to_cdr())).state,
        TargetState::Tracking
    );
    let out = node.message(2, raw_message(2, 16, 12, &[1; 16 * 12 * 3]));
    assert_eq!(target(&out).state, TargetState::Idle);
    assert!(
        logs(&out)[0].1.contains("from 32x24 to 16x12 pixels"),
        "{out:?}"
    );
}
