//! Times of cropping with normalisation, by encoding and by window size.
//!
//! `cargo bench --bench stages`. Times of the network and of whole frames: `ettrack bench`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ettrack::crop::{Cropper, Normalization, Padding, SearchWindow, SubPixelWindow, View};
use ettrack::frame::{Encoding, Frame};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
/// E.T.Track's usual search size.
const SIZE: usize = 256;

fn crop(criterion: &mut Criterion) {
    let normalization =
        Normalization::new(false, 255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let padding = Padding::new([100, 110, 120]);
    let mut cropper = Cropper::new();
    let mut tensor = vec![0.0; 3 * SIZE * SIZE];
    let mut group = criterion.benchmark_group("crop_to_256");
    for encoding in [
        Encoding::Rgb8,
        Encoding::Bgr8,
        Encoding::Bgra8,
        Encoding::Mono8,
        Encoding::Yuyv,
        Encoding::Nv12,
        Encoding::BayerRggb8,
    ] {
        let bytes = encoding.row_bytes(WIDTH) * encoding.stored_rows(HEIGHT);
        let data: Vec<u8> = (0..bytes).map(|i| (i * 7) as u8).collect();
        let Ok(frame) = Frame::packed(&data, WIDTH, HEIGHT, encoding) else {
            continue;
        };
        // Enlarged, about equal, reduced, and with more than half outside the image.
        for (name, x, side) in [
            ("100", 300, 100),
            ("300", 300, 300),
            ("700", 10, 700),
            ("700_outside", -400, 700),
        ] {
            let window = SearchWindow { x, y: 5, side };
            let half = f64::from(side) / 2.0;
            let between = SubPixelWindow::centered((x as f64 + half + 0.3, 5.3 + half), side);
            for (view, kind) in [
                (View::from(window), "pixels"),
                (View::from(between), "between_pixels"),
            ] {
                let id = BenchmarkId::new(format!("{kind}/{}", encoding.ros_name()), name);
                group.bench_function(id, |bencher| {
                    bencher.iter(|| {
                        cropper.crop_tensor(
                            &frame,
                            view,
                            &padding,
                            SIZE,
                            &normalization,
                            &mut tensor,
                        );
                        black_box(&tensor);
                    });
                });
            }
        }
    }
    group.finish();
}

/// Crops of frames that lie in memory and not in the processor's caches, as a camera delivers them: eight frames take turns.
fn crop_from_memory(criterion: &mut Criterion) {
    const FRAMES: u32 = 8;
    const SIZE: usize = 224;
    let normalization = Normalization::new(false, 1.0, [0.0; 3], [1.0; 3]);
    let padding = Padding::new([100, 110, 120]);
    let mut cropper = Cropper::new();
    let mut tensor = vec![0.0; 3 * SIZE * SIZE];
    let mut group = criterion.benchmark_group("crop_from_memory_to_224");
    for (width, height, side) in [(640, 480, 280), (1920, 1080, 760), (3840, 2160, 1680)] {
        let row = Encoding::Rgb8.row_bytes(width);
        let frames: Vec<Vec<u8>> = (0..FRAMES)
            .map(|n| {
                (0..row * height as usize)
                    .map(|i| (i + n as usize) as u8)
                    .collect()
            })
            .collect();
        for (name, x, y) in [
            ("inside", 0.5, 0.5),
            ("above", 0.5, 0.2),
            ("left", 0.15, 0.5),
        ] {
            let center = (x * f64::from(width) + 0.3, y * f64::from(height) + 0.3);
            let view = View::from(SubPixelWindow::centered(center, side));
            let mut next = 0;
            let id = BenchmarkId::new(format!("{width}x{height}"), name);
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    next = (next + 1) % frames.len();
                    let Ok(frame) = Frame::packed(&frames[next], width, height, Encoding::Rgb8)
                    else {
                        return;
                    };
                    cropper.crop_tensor(&frame, view, &padding, SIZE, &normalization, &mut tensor);
                    black_box(&tensor);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, crop, crop_from_memory);
criterion_main!(benches);
