//! The colours in the middle of a target's box, compared with those of the first frame.
//!
//! A network may take an object of the same size in the same place for the target, for instance what hides it. Their
//! colours tell the two apart.

use std::ops::Range;

use crate::crop::{Cropper, Padding, SearchWindow};
use crate::follower::Pose;
use crate::frame::Frame;

/// Levels of each colour channel: few, because the light changes.
const LEVELS: usize = 4;
const BINS: usize = LEVELS * LEVELS * LEVELS;

/// Share of the box's width and height that is compared: near its border lies background.
const CORE: f64 = 0.7;

/// Samples along the longer side of the core.
const SAMPLES: usize = 32;

/// Square roots of the colours' shares: the products of two histograms' bins add up to their similarity.
type Histogram = [f32; BINS];

/// The colours of a target when it was chosen.
#[derive(Debug)]
pub struct Appearance {
    cropper: Cropper,
    pixels: Vec<u8>,
    target: Histogram,
}

impl Default for Appearance {
    fn default() -> Self {
        Self::new()
    }
}

impl Appearance {
    /// Without a target.
    pub fn new() -> Self {
        Self {
            cropper: Cropper::new(),
            pixels: vec![0; 3 * SAMPLES * SAMPLES],
            target: [0.0; BINS],
        }
    }

    /// Takes the colours at `target` as those to compare with.
    pub fn start(&mut self, frame: &Frame<'_>, target: &Pose) {
        self.target = self.colors(frame, target);
        // Of a target that reaches out of the image, the visible part counts as the whole.
        let shown: f32 = self.target.iter().map(|root| root * root).sum();
        if shown > 0.0 {
            self.target = self.target.map(|root| root / shown.sqrt());
        }
    }

    /// Similarity of the colours at `pose` and of the target's, 0..=1 (Bhattacharyya's coefficient). The part of `pose`
    /// outside the image counts as different.
    pub fn similarity(&mut self, frame: &Frame<'_>, pose: &Pose) -> f32 {
        let here = self.colors(frame, pose);
        let sum: f32 = here.iter().zip(&self.target).map(|(a, b)| a * b).sum();
        sum.clamp(0.0, 1.0)
    }

    /// The colours that the frame shows at a pose, as shares of the whole pose; empty for a pose that is no box.
    fn colors(&mut self, frame: &Frame<'_>, pose: &Pose) -> Histogram {
        let mut histogram = [0.0; BINS];
        let longer = pose.width.max(pose.height);
        if !(longer.is_finite() && pose.width > 0.0 && pose.height > 0.0) {
            return histogram;
        }
        let side = (CORE * longer).round().clamp(1.0, f64::from(u16::MAX)) as u32;
        let window = SearchWindow::centered(pose.center, side);
        self.cropper.crop_rgb8(
            frame,
            window,
            &Padding::new([0; 3]),
            SAMPLES,
            &mut self.pixels,
        );
        let margin = |side: f64| {
            let share = 0.5 * (1.0 - side / longer);
            ((share * SAMPLES as f64) as usize).min(SAMPLES / 2 - 1)
        };
        let shown = |first, length, side| inside(first, length, window.side, margin(side));
        let columns = shown(window.x, frame.width(), pose.width);
        let rows = shown(window.y, frame.height(), pose.height);
        let level = |value: u8| usize::from(value) * LEVELS / 256;
        for line in
            self.pixels[3 * SAMPLES * rows.start..3 * SAMPLES * rows.end].chunks_exact(3 * SAMPLES)
        {
            for pixel in line[3 * columns.start..3 * columns.end].chunks_exact(3) {
                let bin = pixel
                    .iter()
                    .fold(0, |bin, value| bin * LEVELS + level(*value));
                histogram[bin] += 1.0;
            }
        }
        let across = |side: f64| SAMPLES - 2 * margin(side);
        let count = (across(pose.width) * across(pose.height)) as f32;
        histogram.map(|of_bin: f32| (of_bin / count).sqrt())
    }
}

/// Which samples of a window of `side` pixels from `first` on come from inside an image `length` pixels long. A `margin`
/// of samples at both ends does not count. The padding around an image says nothing about the target.
fn inside(first: i64, length: u32, side: u32, margin: usize) -> Range<usize> {
    let place =
        |sample: usize| first as f64 + (sample as f64 + 0.5) * f64::from(side) / SAMPLES as f64;
    let end = SAMPLES - margin;
    let from = (margin..end).find(|s| place(*s) >= 0.5).unwrap_or(end);
    let to = (from..end).find(|s| place(*s) > f64::from(length) - 0.5);
    from..to.unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::{Appearance, Pose};
    use crate::frame::{Encoding, Frame};

    const SIDE: usize = 96;

    /// A picture with a block of `color` in the middle of a green ground.
    fn picture(color: [u8; 3]) -> Vec<u8> {
        let middle = 32..64;
        (0..SIDE * SIDE)
            .flat_map(|i| {
                let inside = middle.contains(&(i % SIDE)) && middle.contains(&(i / SIDE));
                if inside { color } else { [20, 200, 20] }
            })
            .collect()
    }

    fn frame(bytes: &[u8]) -> Frame<'_> {
        Frame::packed(bytes, SIDE as u32, SIDE as u32, Encoding::Rgb8).expect("it fits")
    }

    fn block(x: f64, width: f64, height: f64) -> Pose {
        Pose {
            center: (x, 48.0),
            width,
            height,
        }
    }

    #[test]
    fn a_target_is_similar_to_itself_anywhere_and_not_to_what_covers_it() {
        let red = picture([200, 20, 20]);
        let mut appearance = Appearance::new();
        appearance.start(&frame(&red), &block(48.0, 32.0, 32.0));
        let mut of = |bytes: &[u8], pose| appearance.similarity(&frame(bytes), &pose);
        assert!(of(&red, block(48.0, 32.0, 32.0)) > 0.999);
        // Another light, within the levels.
        assert!(of(&picture([215, 40, 30]), block(48.0, 32.0, 32.0)) > 0.999);
        // Half on it, beside it, under a board.
        let half = of(&red, block(64.0, 32.0, 32.0));
        assert!((0.6..0.8).contains(&half), "{half}");
        assert_eq!(of(&red, block(16.0, 24.0, 24.0)), 0.0);
        assert_eq!(of(&picture([118, 116, 112]), block(48.0, 32.0, 32.0)), 0.0);
    }

    #[test]
    fn only_colors_inside_the_box_count_at_any_aspect() {
        let red = picture([200, 20, 20]);
        let mut appearance = Appearance::new();
        appearance.start(&frame(&red), &block(48.0, 32.0, 32.0));
        // Higher than the block: a square window would show the green on both sides of a narrow box.
        let narrow = appearance.similarity(&frame(&red), &block(48.0, 4.0, 44.0));
        let needle = appearance.similarity(&frame(&red), &block(48.0, 0.01, 44.0));
        assert!(narrow > 0.999 && needle > 0.999, "{narrow} {needle}");
    }

    #[test]
    fn a_pose_that_is_no_box_or_outside_the_image_has_similarity_0() {
        let red = picture([200, 20, 20]);
        let mut appearance = Appearance::new();
        appearance.start(&frame(&red), &block(48.0, 32.0, 32.0));
        for pose in [
            block(48.0, 0.0, 10.0),
            block(48.0, f64::NAN, 10.0),
            block(48.0, f64::INFINITY, 10.0),
            block(1e12, 10.0, 10.0),
        ] {
            assert_eq!(appearance.similarity(&frame(&red), &pose), 0.0, "{pose:?}");
        }
    }

    #[test]
    fn the_padding_around_the_image_has_no_color() {
        for color in [[10, 10, 10], [200, 20, 20]] {
            let picture = vec![color; SIDE * SIDE].concat();
            let mut appearance = Appearance::new();
            appearance.start(&frame(&picture), &block(48.0, 32.0, 32.0));
            let green = vec![[20, 200, 20]; SIDE * SIDE].concat();
            for x in [0.0, 96.0] {
                // Half of the box is outside the image and counts as different, for any colour of the padding.
                let over = block(x, 32.0, 32.0);
                let half = appearance.similarity(&frame(&picture), &over);
                assert!(
                    (half - 0.5_f32.sqrt()).abs() < 0.05,
                    "{color:?} {x}: {half}"
                );
                assert_eq!(appearance.similarity(&frame(&green), &over), 0.0);
                // A target that was chosen there resembles itself.
                let mut chosen = Appearance::new();
                chosen.start(&frame(&picture), &over);
                let whole = chosen.similarity(&frame(&picture), &block(48.0, 32.0, 32.0));
                assert!(whole > 0.999, "{color:?} {x}: {whole}");
            }
            for x in [-40.0, 140.0] {
                let beyond = block(x, 32.0, 32.0);
                assert_eq!(
                    appearance.similarity(&frame(&picture), &beyond),
                    0.0,
                    "{color:?} {x}"
                );
            }
        }
    }
}
