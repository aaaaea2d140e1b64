//! Sample frames with boxes, small enough to be part of the page.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;

use ettrack::frame::ImageBuffer;
use ettrack::geometry::BoundingBox;
use ettrack_media::source::{FolderSource, FrameSource};
use ettrack_picture::{Color, draw_box, to_rgb_image};

/// Width of a sample in pixels.
const WIDTH: u32 = 300;
/// Height of a sample in pixels.
const HEIGHT: u32 = 225;
/// Quality of the JPEGs, 1..=100.
const QUALITY: u8 = 72;

/// Cuts out the region around `focus` from an image file, scales it and draws the boxes, the last one on top.
///
/// Returns the picture as a `data:` address, or `None` if the image cannot be read. Then the report does not have this sample.
pub(super) fn sample(
    path: &Path,
    focus: &BoundingBox,
    boxes: &[(BoundingBox, Color)],
) -> Option<String> {
    let mut image = ImageBuffer::empty();
    FolderSource::from_files(vec![path.to_owned()])
        .next_into(&mut image)
        .ok()??;
    let picture = to_rgb_image(&image.frame().ok()?);
    let (x, y, width, height) = window(&picture, focus);
    let cut = image::imageops::crop_imm(&picture, x, y, width, height).to_image();
    let mut small = image::imageops::resize(&cut, WIDTH, HEIGHT, FilterType::Triangle);
    let (sx, sy) = (
        f64::from(WIDTH) / f64::from(width),
        f64::from(HEIGHT) / f64::from(height),
    );
    for (one, color) in boxes {
        let moved = BoundingBox::new(
            (one.x - f64::from(x)) * sx,
            (one.y - f64::from(y)) * sy,
            one.width * sx,
            one.height * sy,
        );
        draw_box(&mut small, &moved, *color, false);
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode_image(&small)
        .ok()?;
    Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

/// A region around `focus` with the sample's ratio of sides and several times the size of `focus`, moved into the picture.
fn window(picture: &RgbImage, focus: &BoundingBox) -> (u32, u32, u32, u32) {
    let (columns, rows) = (f64::from(picture.width()), f64::from(picture.height()));
    let ratio = f64::from(WIDTH) / f64::from(HEIGHT);
    let wanted = (focus.width.max(focus.height * ratio) * 3.0).max(f64::from(WIDTH) * 0.6);
    let width = wanted.min(columns).min(rows * ratio).max(1.0);
    let height = (width / ratio).max(1.0);
    let (cx, cy) = focus.center();
    let x = (cx - 0.5 * width).clamp(0.0, (columns - width).max(0.0));
    let y = (cy - 0.5 * height).clamp(0.0, (rows - height).max(0.0));
    (
        x as u32,
        y as u32,
        (width as u32).max(1),
        (height as u32).max(1),
    )
}
