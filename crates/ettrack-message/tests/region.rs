//! A tracker that reads compressed images region by region gives the boxes that it gives of whole images.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use ettrack::frame::ImageBuffer;
use ettrack::{BoundingBox, LostMode, TrackState, Tracker, TrackerOptions};
use ettrack_message::{ImageMessage, Transport};
use ettrack_testing::messages::compressed_message;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

const FRAMES: u32 = 50;
const SIDE: f64 = 40.0;

/// A way through the pictures: the target's place in a frame, `None` where it is hidden.
type Way = fn(u32, (f64, f64)) -> Option<(f64, f64)>;

/// Along the upper border, along the left one, into the lower right corner, and hidden for some time, then elsewhere.
const WAYS: [(&str, Way); 4] = [
    ("upper border", |n, (width, _)| {
        Some((60.0 + f64::from(n) * 3.0_f64.min(width / 100.0), 3.0))
    }),
    ("left border", |n, (_, height)| {
        Some((2.0, height / 2.0 + 30.0 * (f64::from(n) / 8.0).sin()))
    }),
    ("corner", |n, (width, height)| {
        let away = f64::from(40_u32.saturating_sub(n)) * 2.0;
        Some((width - SIDE + 12.0 - away, height - SIDE + 9.0 - away))
    }),
    ("hidden", |n, (width, height)| match n {
        0..12 => Some((60.0 + f64::from(n) * 2.0, 80.0)),
        12..32 => None,
        _ => Some((width - 120.0, height - 110.0)),
    }),
];

/// A textured ground with a textured square.
fn picture((width, height): (u32, u32), target: Option<(f64, f64)>) -> Vec<u8> {
    let (left, top) = target.unwrap_or((-1e4, -1e4));
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (u, v) = ((f64::from(x) - left) as i64, (f64::from(y) - top) as i64);
            let is_target = (0..SIDE as i64).contains(&u) && (0..SIDE as i64).contains(&v);
            pixels.extend(if is_target {
                [
                    230 - (u / 6 * 20) as u8,
                    ((u / 10 + v / 10) % 2 * 200) as u8,
                    (v * 5) as u8,
                ]
            } else {
                let ground = ((x / 16 + y / 16) % 3 * 30) as u8 + (x * y % 13) as u8;
                [70 + ground / 2, 90 + ground / 3, 60 + ground]
            });
        }
    }
    pixels
}

fn messages(size: (u32, u32), sampling: SamplingFactor, way: Way) -> Vec<ImageMessage> {
    let place = |n| way(n, (f64::from(size.0), f64::from(size.1)));
    (0..FRAMES)
        .map(|n| {
            let mut file = Vec::new();
            let mut encoder = Encoder::new(&mut file, 90);
            encoder.set_sampling_factor(sampling);
            let pixels = picture(size, place(n));
            let [width, height] = [size.0, size.1].map(|side| side as u16);
            encoder
                .encode(&pixels, width, height, ColorType::Rgb)
                .unwrap();
            ImageMessage::Cdr {
                transport: Transport::Compressed,
                bytes: compressed_message(n as usize, "jpeg", &file),
            }
        })
        .collect()
}

/// How often something happened in a run.
#[derive(Debug, Default)]
struct Seen {
    parts: u32,
    lost: u32,
}

/// Tracks with two trackers, one on whole images and one region by region, and compares all that they give.
fn compare(
    messages: &[ImageMessage],
    options: &TrackerOptions,
    target: BoundingBox,
    what: &str,
) -> Seen {
    let model = ettrack_testing::repository("models/ettrack-nano");
    let mut on_whole = Tracker::open(&model, options).unwrap();
    let mut by_region = Tracker::open(&model, options).unwrap();
    let (mut part, mut rest, mut whole) = (
        ImageBuffer::empty(),
        ImageBuffer::empty(),
        ImageBuffer::empty(),
    );
    let mut seen = Seen::default();
    for (n, message) in messages.iter().enumerate() {
        let (_, frame) = message.read(&mut whole).unwrap();
        if n == 0 {
            on_whole.initialize(&frame, target).unwrap();
            by_region.initialize(&frame, target).unwrap();
            continue;
        }
        let expected = on_whole.update(&frame).unwrap();
        let wanted = by_region.next_region();
        let image = message
            .read_region(wanted.as_ref(), &mut part, &mut rest)
            .unwrap();
        let got = by_region.update(&image.frame()).unwrap();
        assert_eq!(got.bounding_box, expected.bounding_box, "{what}, frame {n}");
        assert_eq!(
            got.confidence.to_bits(),
            expected.confidence.to_bits(),
            "{what}, frame {n}"
        );
        assert_eq!(got.state, expected.state, "{what}, frame {n}");
        let maps = on_whole.inspect().outputs == by_region.inspect().outputs;
        assert!(maps, "{what}, frame {n}: the network's outputs");
        seen.parts += u32::from(image.is_part());
        seen.lost += u32::from(got.state == TrackState::Lost);
        image.finish().unwrap();
        part.data.fill(0xaa);
        rest.data.fill(0x55);
    }
    seen
}

#[test]
fn boxes_are_those_of_whole_images_at_every_border_and_for_a_lost_target() {
    for (size, sampling) in [
        ((640, 480), SamplingFactor::F_2_2),
        ((501, 377), SamplingFactor::F_2_1),
        ((640, 360), SamplingFactor::F_1_1),
    ] {
        for (name, way) in WAYS {
            let messages = messages(size, sampling, way);
            let (x, y) = way(0, (f64::from(size.0), f64::from(size.1))).unwrap();
            let target = BoundingBox::new(x, y, SIDE, SIDE);
            for scale in [1.0, 2.5] {
                let options = TrackerOptions::default()
                    .with_threads(1)
                    .with_lost(LostMode::FromModel)
                    .with_search_scale(scale);
                let what = format!("{size:?}, {name}, search scale {scale}");
                let seen = compare(&messages, &options, target, &what);
                println!("{what}: {seen:?}");
                // Else nothing was compared.
                assert!(seen.parts > 0, "{what}: {seen:?}");
                assert!(
                    name == "hidden" || scale > 1.0 || seen.parts > FRAMES / 2,
                    "{what}: {seen:?}"
                );
                assert!(name != "hidden" || seen.lost > 0, "{what}: {seen:?}");
            }
        }
    }
}
