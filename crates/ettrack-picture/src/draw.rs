//! Draws boxes and labels on an RGB picture.

use font8x8::UnicodeFonts;
use image::{Rgb, RgbImage};

use ettrack::frame::Frame;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{Track, TrackState};

/// Red, green, blue, 0..=255.
pub type Color = [u8; 3];

/// Colour of a tracked target.
pub const GREEN: Color = [60, 220, 90];
/// Colour of a lost target: the box around which the search goes on.
pub const ORANGE: Color = [255, 150, 30];
/// Colour of the ground truth.
pub const WHITE: Color = [255, 255, 255];
/// Colour of labels that are less important.
pub const GRAY: Color = [150, 150, 150];

/// Side of one letter, pixels, before magnification.
const LETTER: u32 = 8;

/// Copies a frame of any encoding into an RGB picture of the same size.
pub fn to_rgb_image(frame: &Frame<'_>) -> RgbImage {
    let mut bytes = Vec::new();
    frame.to_rgb8(&mut bytes);
    // A Frame's size always fits its data, so the fallback is never taken.
    RgbImage::from_raw(frame.width(), frame.height(), bytes).unwrap_or_default()
}

/// Draws the box of a track with its confidence: green while tracking, a dashed orange box while lost.
pub fn draw_track(picture: &mut RgbImage, track: &Track) {
    let (color, dashed, word) = match track.state {
        TrackState::Tracking => (GREEN, false, ""),
        TrackState::Lost => (ORANGE, true, "LOST "),
    };
    draw_box(picture, &track.bounding_box, color, dashed);
    let label = format!("{word}{:.2}", track.confidence);
    let (_, height) = text_size(picture, &label);
    let x = clamp_to_i64(track.bounding_box.x);
    let above = clamp_to_i64(track.bounding_box.y) - i64::from(height) - 2;
    draw_label(picture, x, above.max(0), &label, color);
}

/// Factor for line width and letters, so that they stay readable: 1 up to 639 pixels of width, at most 8.
fn magnification(picture: &RgbImage) -> u32 {
    (picture.width() / 640 + 1).min(8)
}

/// Draws the outline of a box (in pixels, clipped to the picture). The line is two pixels wide, and two more for each 640
/// pixels of the picture's width. A box that is not finite or lies outside is not drawn.
pub fn draw_box(picture: &mut RgbImage, target: &BoundingBox, color: Color, dashed: bool) {
    let edges = [
        target.x,
        target.y,
        target.x + target.width,
        target.y + target.height,
    ];
    if edges.iter().any(|edge| !edge.is_finite()) || target.width < 0.0 || target.height < 0.0 {
        return;
    }
    let [left, top, right, bottom] = edges.map(clamp_to_i64);
    let width = i64::from(magnification(picture)) * 2;
    let (columns, rows) = (i64::from(picture.width()), i64::from(picture.height()));
    let dash = width * 4;
    let mut put = |x: i64, y: i64, along: i64| {
        let gap = dashed && along.rem_euclid(2 * dash) >= dash;
        if !gap && (0..columns).contains(&x) && (0..rows).contains(&y) {
            picture.put_pixel(x as u32, y as u32, Rgb(color));
        }
    };
    for offset in 0..width {
        for x in left.max(0)..right.min(columns) {
            put(x, top + offset, x - left);
            put(x, bottom - 1 - offset, x - left);
        }
        for y in top.max(0)..bottom.min(rows) {
            put(left + offset, y, y - top);
            put(right - 1 - offset, y, y - top);
        }
    }
}

/// Rounds to whole pixels and limits the value, so that sums cannot overflow.
fn clamp_to_i64(value: f64) -> i64 {
    value.round().clamp(-1e6, 1e6) as i64
}

/// Width and height in pixels of a label with this text in this picture, margin included.
pub fn text_size(picture: &RgbImage, text: &str) -> (u32, u32) {
    let scale = magnification(picture);
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    (
        letters.saturating_mul(LETTER * scale) + 2 * scale,
        (LETTER + 2) * scale,
    )
}

/// Writes `text` in dark letters on a rectangle of the colour `plate` with its upper-left corner at (x, y), clipped to the
/// picture. Letters without a glyph are shown as `?`.
pub fn draw_label(picture: &mut RgbImage, x: i64, y: i64, text: &str, plate: Color) {
    let scale = i64::from(magnification(picture));
    let (width, height) = text_size(picture, text);
    let (columns, rows) = (i64::from(picture.width()), i64::from(picture.height()));
    let mut put = |x: i64, y: i64, color: Color| {
        if (0..columns).contains(&x) && (0..rows).contains(&y) {
            picture.put_pixel(x as u32, y as u32, Rgb(color));
        }
    };
    for dy in 0..i64::from(height) {
        for dx in 0..i64::from(width).min(columns.max(0) + 1_000_000) {
            put(x + dx, y + dy, plate);
        }
    }
    let mut left = x + scale;
    for letter in text.chars() {
        let glyph = font8x8::BASIC_FONTS
            .get(letter)
            .or_else(|| font8x8::BASIC_FONTS.get('?'))
            .unwrap_or_default();
        for (row, bits) in (0_i64..).zip(glyph) {
            for column in 0..i64::from(LETTER) {
                if bits >> column & 1 == 1 {
                    for dy in 0..scale {
                        for dx in 0..scale {
                            put(
                                left + column * scale + dx,
                                y + (row + 1) * scale + dy,
                                [16, 16, 16],
                            );
                        }
                    }
                }
            }
        }
        left += i64::from(LETTER) * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(picture: &RgbImage, color: Color) -> usize {
        picture.pixels().filter(|pixel| pixel.0 == color).count()
    }

    #[test]
    fn draws_a_box_as_an_outline_two_pixels_wide() {
        let mut picture = RgbImage::new(40, 30);
        draw_box(
            &mut picture,
            &BoundingBox::new(5.0, 6.0, 20.0, 10.0),
            GREEN,
            false,
        );
        assert_eq!(count(&picture, GREEN), 20 * 10 - 16 * 6);
        assert_eq!(picture.get_pixel(5, 6).0, GREEN);
        assert_eq!(picture.get_pixel(24, 15).0, GREEN);
        assert_eq!(picture.get_pixel(25, 15).0, [0, 0, 0]);
    }

    #[test]
    fn skips_boxes_that_are_not_finite_and_clips_large_ones() {
        let mut picture = RgbImage::new(40, 30);
        for bad in [
            BoundingBox::new(f64::NAN, 1.0, 5.0, 5.0),
            BoundingBox::new(1.0, 1.0, f64::INFINITY, 5.0),
            BoundingBox::new(1.0, 1.0, -5.0, 5.0),
            BoundingBox::new(1e300, 1.0, 5.0, 5.0),
            BoundingBox::new(-1e9, -1e9, 2e9, 2e9),
        ] {
            draw_box(&mut picture, &bad, GREEN, false);
        }
        assert_eq!(count(&picture, GREEN), 0);
        draw_box(
            &mut picture,
            &BoundingBox::new(-10.0, 5.0, 100.0, 10.0),
            GREEN,
            true,
        );
        assert!(count(&picture, GREEN) > 0);
    }

    #[test]
    fn draws_a_lost_track_dashed_with_a_label() {
        let mut picture = RgbImage::new(200, 100);
        let mut track = Track::new(
            BoundingBox::new(20.0, 30.0, 50.0, 40.0),
            0.42,
            TrackState::Lost,
        );
        draw_track(&mut picture, &track);
        let lost = count(&picture, ORANGE);
        assert!(lost > 0);
        assert_eq!(count(&picture, GREEN), 0);
        track.state = TrackState::Tracking;
        draw_track(&mut picture, &track);
        assert!(count(&picture, GREEN) > 0);
        // The label has letters.
        assert!(count(&picture, [16, 16, 16]) > 20);
    }
}
