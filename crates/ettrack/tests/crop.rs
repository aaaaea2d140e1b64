//! Crops against those of the authors' code (OpenCV), byte for byte, and against a plain transcription of the
//! definition if there is no golden.

use ettrack::crop::{Cropper, Normalization, Padding, SearchWindow, SubPixelWindow};
use ettrack::frame::{Encoding, Frame};
use ndarray::{Array1, Array2, Array3, Array4, ArrayD, Ix0};
use ndarray_npy::NpzReader;
use proptest::prelude::*;
use proptest::sample::select;

type Npz = NpzReader<std::fs::File>;

fn fixture(name: &str) -> Npz {
    let path = ettrack_testing::data("ettrack").join(name);
    NpzReader::new(std::fs::File::open(path).expect("the fixture is part of the repository"))
        .expect("an npz file")
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn crops_equal_the_authors() {
    let mut npz = fixture("crop.npz");
    let image: Array3<u8> = npz.by_name("image").expect("image");
    let (height, width, _) = image.dim();
    let frame = Frame::packed(
        image.as_slice().expect("standard layout"),
        width as u32,
        height as u32,
        Encoding::Rgb8,
    )
    .expect("it fits");
    let mean: Array1<f64> = npz.by_name("avg_chans").expect("mean colour");
    for (ours, theirs) in frame.mean_rgb().iter().zip(&mean) {
        assert!((ours - theirs).abs() < 1e-9, "{ours} {theirs}");
    }
    let padding = Padding::mean_of(&frame);
    // One cropper for all cases: an earlier crop must not change a later one.
    let mut cropper = Cropper::new();
    for case in 0..9 {
        let parameters: Array1<f64> = npz
            .by_name(&format!("case{case}"))
            .expect("pos.x, pos.y, out, side");
        let window = SearchWindow::centered((parameters[0], parameters[1]), parameters[3] as u32);
        let size = parameters[2] as usize;
        let mut crop = vec![0; 3 * size * size];
        cropper.crop_rgb8(&frame, window, &padding, size, &mut crop);
        let expected: ArrayD<u32> = npz.by_name(&format!("crop{case}_crc32")).expect("checksum");
        let expected = expected
            .into_dimensionality::<Ix0>()
            .expect("one number")
            .into_scalar();
        assert_eq!(crc32(&crop), expected, "case {case}: {parameters}");
        if let Ok(expected) =
            npz.by_name::<ndarray::OwnedRepr<u8>, ndarray::Ix3>(&format!("crop{case}"))
        {
            assert_eq!(
                crop,
                expected.as_slice().expect("standard layout"),
                "case {case}"
            );
        }
    }
}

#[test]
fn normalisation_equals_the_authors() {
    let mut npz = fixture("network.npz");
    let crop: Array3<u8> = npz.by_name("z_crop").expect("template crop");
    let expected: Array4<f32> = npz.by_name("z_norm").expect("template tensor");
    let (height, width, _) = crop.dim();
    let frame = Frame::packed(
        crop.as_slice().expect("standard layout"),
        width as u32,
        height as u32,
        Encoding::Rgb8,
    )
    .expect("it fits");
    let normalization =
        Normalization::new(false, 255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let mut tensor = vec![0.0; 3 * width * height];
    // A window of the network's own size is a plain copy.
    let window = SearchWindow {
        x: 0,
        y: 0,
        side: width as u32,
    };
    Cropper::new().crop_tensor(
        &frame,
        window,
        &Padding::new([0; 3]),
        width,
        &normalization,
        &mut tensor,
    );
    assert_eq!(tensor, expected.as_slice().expect("standard layout"));
}

#[test]
fn planes_follow_the_channel_order() {
    let frame = Frame::packed(&[10, 20, 30], 1, 1, Encoding::Rgb8).expect("it fits");
    let window = SearchWindow {
        x: 0,
        y: 0,
        side: 1,
    };
    let mut tensor = [0.0; 3];
    let normalization = Normalization::new(true, 1.0, [1.0, 2.0, 3.0], [1.0, 2.0, 4.0]);
    Cropper::new().crop_tensor(
        &frame,
        window,
        &Padding::new([0; 3]),
        1,
        &normalization,
        &mut tensor,
    );
    assert_eq!(tensor, [29.0, 9.0, 1.75]);
}

/// The definition, pixel by pixel: pad, cut, resize.
fn reference(frame: &Frame<'_>, window: &SearchWindow, padding: &Padding, size: usize) -> Vec<u8> {
    let side = i64::from(window.side);
    let scale = side as f64 / size as f64;
    let limit = |extent: u32, first: i64| {
        let extent = i64::from(extent);
        if padding.drops_last {
            extent - i64::from(first + side >= extent)
        } else {
            extent
        }
    };
    let (width, height) = (
        limit(frame.width(), window.x),
        limit(frame.height(), window.y),
    );
    let pixel = |x: i64, y: i64| {
        let (x, y) = (window.x + x, window.y + y);
        if x < 0 || y < 0 || x >= width || y >= height {
            return padding.color;
        }
        frame.rgb(x as u32, y as u32).expect("inside")
    };
    let axis = |k: usize, is_column: bool| {
        let at = ((k as f64 + 0.5) * scale - 0.5) as f32;
        let mut first = at.floor() as i64;
        let mut fraction = at - at.floor();
        if is_column && first < 0 {
            (first, fraction) = (0, 0.0);
        }
        if is_column && first >= side - 1 {
            (first, fraction) = (side - 1, 0.0);
        }
        let weight = |f: f32| (f * 2048.0).round_ties_even() as i32;
        (
            first.clamp(0, side - 1),
            (first + 1).clamp(0, side - 1),
            weight(1.0 - fraction),
            weight(fraction),
        )
    };
    let mut out = Vec::with_capacity(3 * size * size);
    for k in 0..size {
        let (y0, y1, b0, b1) = axis(k, false);
        for j in 0..size {
            let (x0, x1, a0, a1) = axis(j, true);
            for channel in 0..3 {
                let line = |y| {
                    i32::from(pixel(x0, y)[channel]) * a0 + i32::from(pixel(x1, y)[channel]) * a1
                };
                let value = ((b0 * (line(y0) >> 4)) >> 16) + ((b1 * (line(y1) >> 4)) >> 16);
                out.push(((value + 2) >> 2).clamp(0, 255) as u8);
            }
        }
    }
    out
}

/// The definition of a crop between pixels, pixel by pixel.
fn warp_reference(
    frame: &Frame<'_>,
    window: &SubPixelWindow,
    color: [u8; 3],
    size: usize,
) -> Vec<u8> {
    let pixel = |x: i64, y: i64| {
        let inside = |at: i64, extent: u32| (0..i64::from(extent)).contains(&at);
        if !inside(x, frame.width()) || !inside(y, frame.height()) {
            return color.map(i64::from);
        }
        let pixel = frame.rgb(x as u32, y as u32).expect("inside");
        pixel.map(i64::from)
    };
    let step =
        |first: f32, last: f32| f64::from((last - first) / (size.max(2) - 1) as f32) * 1024.0;
    let steps = (
        step(window.first.0, window.last.0),
        step(window.first.1, window.last.1),
    );
    let round = |at: f64| at.round_ties_even() as i64;
    let mut out = Vec::with_capacity(3 * size * size);
    for k in 0..size {
        let y = (round(steps.1 * k as f64 + f64::from(window.first.1) * 1024.0) + 16) >> 5;
        for j in 0..size {
            let first = round(f64::from(window.first.0) * 1024.0);
            let x = (first + round(steps.0 * j as f64) + 16) >> 5;
            let (right, below) = (x & 31, y & 31);
            let (x, y) = (x >> 5, y >> 5);
            for channel in 0..3 {
                let value = (pixel(x, y)[channel] * (32 - right)
                    + pixel(x + 1, y)[channel] * right)
                    * (32 - below)
                    + (pixel(x, y + 1)[channel] * (32 - right)
                        + pixel(x + 1, y + 1)[channel] * right)
                        * below;
                out.push(((value + 512) >> 10) as u8);
            }
        }
    }
    out
}

const ENCODINGS: [Encoding; 14] = [
    Encoding::Rgb8,
    Encoding::Bgr8,
    Encoding::Rgba8,
    Encoding::Bgra8,
    Encoding::Mono8,
    Encoding::Mono16,
    Encoding::Uyvy,
    Encoding::Yuyv,
    Encoding::Nv12,
    Encoding::Nv21,
    Encoding::BayerRggb8,
    Encoding::BayerBggr8,
    Encoding::BayerGbrg8,
    Encoding::BayerGrbg8,
];

/// The size, or the smallest one of the encoding: 3 x 3 pixels for a Bayer mosaic.
fn at_least((width, height): (u32, u32), encoding: Encoding) -> (u32, u32) {
    let least = if encoding.ros_name().starts_with("bayer") {
        3
    } else {
        1
    };
    (width.max(least), height.max(least))
}

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    (0..bytes as u64)
        .map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

type Pair = (f64, f64);

/// Compares a crop between pixels with the definition. `center` and `span` are in widths and heights of the image.
fn warp_is_the_definition(
    size_of_image: (u32, u32),
    encoding: Encoding,
    seed: u64,
    (center, span): (Pair, Pair),
    size: usize,
    color: [u8; 3],
) -> Result<(), TestCaseError> {
    let (width, height) = at_least(size_of_image, encoding);
    let stride = encoding.row_bytes(width) + 3;
    let data = noise(stride * encoding.stored_rows(height), seed);
    let frame = Frame::new(&data, width, height, stride, encoding).expect("it fits");
    let scaled = |of: Pair| (of.0 * f64::from(width), of.1 * f64::from(height));
    let (center, span) = (scaled(center), scaled(span));
    let window = SubPixelWindow::covering(center, span, size);
    let padding = Padding::new(color);
    let mut crop = vec![0; 3 * size * size];
    let mut cropper = Cropper::new();
    // A crop of another window before must not change the result.
    let other = SubPixelWindow::covering(center, (size as f64, span.0), size);
    cropper.crop_rgb8(&frame, other, &padding, size, &mut crop);
    cropper.crop_rgb8(&frame, window, &padding, size, &mut crop);
    prop_assert_eq!(crop, warp_reference(&frame, &window, color, size));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_window_of_any_image_is_the_definition(
        width in 1_u32..40,
        height in 1_u32..40,
        seed in any::<u64>(),
        center in (-80.0..120.0, -80.0..120.0),
        side in 1_u32..120,
        size in 1_usize..48,
        color in any::<[u8; 3]>(),
        drops_last in any::<bool>(),
        encoding in prop::sample::select(ENCODINGS.to_vec()),
    ) {
        let (width, height) = at_least((width, height), encoding);
        let data = noise(encoding.row_bytes(width) * encoding.stored_rows(height), seed);
        let frame = Frame::packed(&data, width, height, encoding).expect("it fits");
        let window = SearchWindow::centered(center, side);
        let padding = Padding { color, drops_last };
        let mut crop = vec![0; 3 * size * size];
        Cropper::new().crop_rgb8(&frame, window, &padding, size, &mut crop);
        prop_assert_eq!(crop, reference(&frame, &window, &padding, size));
    }

    // Most of these reach over a border, so their rows are read first.
    #[test]
    fn any_window_between_pixels_is_the_definition(
        (width, height) in (1_u32..40, 1_u32..40),
        encoding in select(&ENCODINGS),
        seed in any::<u64>(),
        center in (-0.5..1.5, -0.5..1.5),
        span in (0.02..3.0, 0.02..3.0),
        size in 1_usize..48,
        color in any::<[u8; 3]>(),
    ) {
        warp_is_the_definition((width, height), encoding, seed, (center, span), size, color)?;
    }

    // Most of these lie inside, so they are interpolated in place.
    #[test]
    fn any_window_between_pixels_of_the_image_is_the_definition(
        (width, height) in (8_u32..60, 8_u32..60),
        encoding in select(&ENCODINGS),
        seed in any::<u64>(),
        center in (0.4..0.6, 0.4..0.6),
        span in (0.02..0.8, 0.02..0.8),
        size in 1_usize..48,
        color in any::<[u8; 3]>(),
    ) {
        warp_is_the_definition((width, height), encoding, seed, (center, span), size, color)?;
    }

    #[test]
    fn no_centre_makes_a_window_that_panics(x in any::<f64>(), y in any::<f64>(), side in any::<u32>()) {
        let frame = Frame::packed(&[1, 2, 3], 1, 1, Encoding::Rgb8).expect("it fits");
        let mut crop = [0; 3 * 4 * 4];
        let window = SearchWindow::centered((x, y), side);
        Cropper::new().crop_rgb8(&frame, window, &Padding::new([9; 3]), 4, &mut crop);
        prop_assert!(window.side >= 1);
    }
}

#[test]
fn a_window_outside_the_image_gives_only_padding() {
    let data = [200; 30 * 20 * 3];
    let frame = Frame::packed(&data, 30, 20, Encoding::Rgb8).expect("it fits");
    for (x, y) in [(-50, 0), (30, 0), (0, -50), (0, 20), (1 << 40, -(1 << 40))] {
        let mut crop = [0; 3 * 8 * 8];
        let window = SearchWindow { x, y, side: 50 };
        Cropper::new().crop_rgb8(&frame, window, &Padding::new([1, 2, 3]), 8, &mut crop);
        assert!(
            crop.chunks(3).all(|pixel| pixel == [1, 2, 3]),
            "window at {x}, {y}"
        );
    }
}

/// Crops of the authors of SMAT and CompressTracker (`drops_last`, R G B) and of SparseTT (`warp`, B G R) around six
/// boxes inside, across and beyond the borders of one frame.
fn family_cases(name: &str) -> (Npz, image::RgbImage, Vec<[f64; 4]>) {
    let folder = ettrack_testing::data("family");
    let file = std::fs::File::open(folder.join(format!("{name}.npz")))
        .expect("the fixture is part of the repository");
    let mut npz = NpzReader::new(file).expect("an npz file");
    let boxes: Array2<f64> = npz.by_name("boxes").expect("boxes");
    let boxes = boxes
        .rows()
        .into_iter()
        .map(|row| [row[0], row[1], row[2], row[3]])
        .collect();
    let image = image::open(folder.join("frames/0001.png"))
        .expect("the fixture is part of the repository")
        .into_rgb8();
    (npz, image, boxes)
}

fn rgb_frame(image: &image::RgbImage) -> Frame<'_> {
    Frame::packed(
        image.as_raw(),
        image.width(),
        image.height(),
        Encoding::Rgb8,
    )
    .expect("it fits")
}

#[test]
fn crops_that_drop_the_last_row_equal_the_authors() {
    let (mut npz, image, boxes) = family_cases("crop_drops_last");
    let padding = Padding {
        color: [0; 3],
        drops_last: true,
    };
    let mut cropper = Cropper::new();
    for (case, [x, y, width, height]) in boxes.into_iter().enumerate() {
        for (kind, factor, size) in [("t", 2.0, 128), ("s", 4.0, 256)] {
            let side = ((width * height).sqrt() * factor).ceil();
            let first = |start: f64, length: f64| {
                (start + 0.5 * length - 0.5 * side).round_ties_even() as i64
            };
            let window = SearchWindow {
                x: first(x, width),
                y: first(y, height),
                side: side as u32,
            };
            let mut crop = vec![0; 3 * size * size];
            cropper.crop_rgb8(&rgb_frame(&image), window, &padding, size, &mut crop);
            let expected: Array3<u8> = npz
                .by_name(&format!("ost_{kind}_{case}"))
                .expect("the crop");
            assert!(
                crop == expected.as_slice().expect("standard layout"),
                "case {case} {kind}"
            );
        }
    }
}

#[test]
fn crops_between_pixels_equal_opencv() {
    let (mut npz, image, boxes) = family_cases("crop_warp");
    let frame = rgb_frame(&image);
    let padding = Padding::mean_of(&frame);
    let mut cropper = Cropper::new();
    for (case, [x, y, width, height]) in boxes.into_iter().enumerate() {
        let center = (x + (width - 1.0) / 2.0, y + (height - 1.0) / 2.0);
        let context = 0.5 * (width + height);
        let context_side = ((width + context) * (height + context)).sqrt();
        for (kind, size) in [("t", 127), ("s", 289)] {
            let side = (size as f64 * context_side / 127.0).round_ties_even() as u32;
            let window = SubPixelWindow::centered(center, side);
            let mut crop = vec![0; 3 * size * size];
            cropper.crop_rgb8(&frame, window, &padding, size, &mut crop);
            let expected: Array3<u8> = npz
                .by_name(&format!("stt_{kind}_{case}"))
                .expect("the crop");
            let expected: Vec<u8> = expected
                .as_slice()
                .expect("standard layout")
                .chunks_exact(3)
                .flat_map(|bgr| [bgr[2], bgr[1], bgr[0]])
                .collect();
            assert!(crop == expected, "case {case} {kind}");
        }
    }
}

/// The bytes of R, G, B pixels in another interleaved encoding.
fn interleaved(rgb: &[u8], encoding: Encoding) -> Vec<u8> {
    rgb.chunks_exact(3)
        .flat_map(|p| match encoding {
            Encoding::Bgr8 => vec![p[2], p[1], p[0]],
            Encoding::Rgba8 => vec![p[0], p[1], p[2], 77],
            Encoding::Bgra8 => vec![p[2], p[1], p[0], 77],
            _ => p.to_vec(),
        })
        .collect()
}

proptest! {
    /// A region that reaches out of the image shows what it would show of a larger image with the padding's colour around.
    #[test]
    fn a_window_between_pixels_shows_padding_around_the_image(
        encoding in select(vec![Encoding::Rgb8, Encoding::Bgr8, Encoding::Rgba8, Encoding::Bgra8]),
        (width, height) in (1_u32..40, 1_u32..40),
        (left, top) in (-240_i32..300, -240_i32..300),
        (across, down) in (1_i32..500, 1_i32..500),
        size in 1_usize..30,
        seed in any::<u32>(),
    ) {
        const AROUND: u32 = 120;
        let mut random = seed;
        let pixels: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        })
        .take((width * height * 3) as usize)
        .collect();
        let padding = Padding::new([9, 8, 7]);
        let (wide, high) = (width + 2 * AROUND, height + 2 * AROUND);
        let mut canvas = padding.color.repeat((wide * high) as usize);
        for y in 0..height {
            let row = (width * 3) as usize;
            let at = (((y + AROUND) * wide + AROUND) * 3) as usize;
            canvas[at..at + row].copy_from_slice(&pixels[y as usize * row..][..row]);
        }
        // Eighths of a pixel, which are exact.
        let window = |shift: i32| {
            let place = |eighths: i32| (eighths + 8 * shift) as f32 / 8.0;
            SubPixelWindow {
                first: (place(left), place(top)),
                last: (place(left + across), place(top + down)),
            }
        };
        let bytes = interleaved(&pixels, encoding);
        let frame = Frame::packed(&bytes, width, height, encoding).expect("it fits");
        let around = Frame::packed(&canvas, wide, high, Encoding::Rgb8).expect("it fits");
        let crop = |frame: &Frame<'_>, window: SubPixelWindow| {
            let mut crop = vec![0; 3 * size * size];
            Cropper::new().crop_rgb8(frame, window, &padding, size, &mut crop);
            crop
        };
        prop_assert_eq!(crop(&frame, window(0)), crop(&around, window(AROUND as i32)));
    }
}

#[test]
fn a_window_between_pixels_may_lie_anywhere() {
    let image = image::RgbImage::from_pixel(5, 4, image::Rgb([200, 100, 50]));
    let padding = Padding::new([1, 2, 3]);
    for center in [(1e12, -1e12), (-3.0, 2.0), (2.0, 1.5), (f64::NAN, 0.0)] {
        for side in [0, 1, 2, 3000] {
            let window = SubPixelWindow::centered(center, side);
            let mut crop = vec![0; 3 * 8 * 8];
            Cropper::new().crop_rgb8(&rgb_frame(&image), window, &padding, 8, &mut crop);
            let within = |channel: usize, low: u8, high: u8| {
                crop.iter()
                    .skip(channel)
                    .step_by(3)
                    .all(|v| (low..=high).contains(v))
            };
            assert!(within(0, 1, 200) && within(1, 2, 100) && within(2, 3, 50));
            let touched = window.enclosing();
            assert!(touched.side >= 1);
        }
    }
}

#[test]
fn a_window_that_covers_a_span_shows_it_whole() {
    let image = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([6 * x as u8, 8 * y as u8, 7]));
    let frame = rgb_frame(&image);
    let padding = Padding::new([0; 3]);
    let crop = |center, span| {
        let mut crop = vec![0; 3 * 8 * 8];
        let window = SubPixelWindow::covering(center, span, 8);
        Cropper::new().crop_rgb8(&frame, window, &padding, 8, &mut crop);
        image::RgbImage::from_raw(8, 8, crop).expect("8 x 8 pixels")
    };
    // One output pixel per pixel: those of columns 10..18 and rows 4..12 as they are.
    let same = crop((14.0, 8.0), (8.0, 8.0));
    for (x, y, pixel) in same.enumerate_pixels() {
        assert_eq!(pixel, image.get_pixel(10 + x, 4 + y));
    }
    // Two columns and three rows to an output pixel, which shows what lies at its centre.
    let wide = crop((14.0, 14.0), (16.0, 24.0));
    for (x, y, pixel) in wide.enumerate_pixels() {
        let column = 6.0 + 2.0 * (f64::from(x) + 0.5) - 0.5;
        let row = 2.0 + 3.0 * (f64::from(y) + 0.5) - 0.5;
        assert!((f64::from(pixel[0]) - 6.0 * column).abs() <= 1.0);
        assert!((f64::from(pixel[1]) - 8.0 * row).abs() <= 1.0);
    }
}
