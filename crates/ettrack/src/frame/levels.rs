//! The values that count as black and white in 16-bit images.

use super::{Encoding, Frame};

/// Samples along each side of an image, at most.
const GRID: u32 = 64;
/// Part of the samples at the dark and at the bright end that is ignored, because it may be dead pixels.
const STRAY: f64 = 0.001;
/// Part of the range that is added at each end, so that colder and hotter things still fit.
const MARGIN: f32 = 0.125;
/// The smallest range. Without it, the noise of an even scene would fill the whole range of greys.
const LEAST: f32 = 64.0;
/// How far the range moves towards that of the newest image, as a part of the difference. It is slow, because a tracker
/// compares the target with its earlier appearance, and fast enough for a sensor that warms up.
const STEP: f32 = 1.0 / 32.0;

/// The values that count as black and white in a stream of images of [`Encoding::Mono16`]. Cameras use only a part of the 16 bits;
/// thermal cameras use a small part that drifts. The levels follow the images slowly.
#[derive(Debug, Default)]
pub struct Levels {
    range: Option<(f32, f32)>,
    /// Memory of the samples, reused.
    samples: Vec<u16>,
}

impl Levels {
    /// Updates the levels with a new image and returns the image with them applied. With `bits` above 0, the levels are fixed: 0
    /// is black and the largest value of that many bits is white.
    pub fn follow<'a>(&mut self, frame: Frame<'a>, bits: i64) -> Frame<'a> {
        if frame.encoding() != Encoding::Mono16 {
            return frame;
        }
        self.range = match u32::try_from(bits) {
            Ok(bits @ 1..=16) => Some((0.0, ((1_u32 << bits) - 1) as f32)),
            _ => {
                let seen = self.range_of(&frame);
                let step = |old: f32, new: f32| old + STEP * (new - old);
                Some(self.range.map_or(seen, |(black, white)| {
                    (step(black, seen.0), step(white, seen.1))
                }))
            }
        };
        self.apply(frame)
    }

    /// Forgets the levels: those of the next image are taken at once.
    pub fn restart(&mut self) {
        self.range = None;
    }

    /// An image with the levels of the newest one.
    pub fn apply<'a>(&self, frame: Frame<'a>) -> Frame<'a> {
        match self.range {
            Some((black, white)) if frame.encoding() == Encoding::Mono16 => {
                // A conversion from a float ends at the limits of the integer.
                frame.with_levels(black.round() as u16, white.round() as u16)
            }
            _ => frame,
        }
    }

    /// The range that the pixels of an image take.
    fn range_of(&mut self, frame: &Frame<'_>) -> (f32, f32) {
        let (columns, rows) = (frame.width().min(GRID), frame.height().min(GRID));
        let place = |index: u32, count: u32, size: u32| {
            (u64::from(index) * u64::from(size) / u64::from(count)) as u32
        };
        self.samples.clear();
        for row in 0..rows {
            let y = place(row, rows, frame.height());
            let values = (0..columns)
                .filter_map(|column| frame.value16(place(column, columns, frame.width()), y));
            self.samples.extend(values);
        }
        let Some(last) = self.samples.len().checked_sub(1) else {
            return (0.0, f32::from(u16::MAX));
        };
        let stray = (last as f64 * STRAY) as usize;
        let mut at = |index: usize| f32::from(*self.samples.select_nth_unstable(index).1);
        let (low, high) = (at(stray), at(last - stray));
        let span = (high - low).max(LEAST) * (1.0 + 2.0 * MARGIN);
        let middle = 0.5 * (low + high);
        (middle - 0.5 * span, middle + 0.5 * span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image whose values run from `low` to `high`.
    fn ramp(low: u16, high: u16) -> Vec<u8> {
        let value = |index: u32| f64::from(low) + f64::from(high - low) * f64::from(index) / 4095.0;
        (0..4096)
            .flat_map(|index| (value(index) as u16).to_le_bytes())
            .collect()
    }

    fn frame(data: &[u8]) -> Frame<'_> {
        Frame::packed(data, 64, 64, Encoding::Mono16).unwrap()
    }

    fn grey(frame: &Frame<'_>, x: u32, y: u32) -> u8 {
        frame.rgb(x, y).unwrap()[0]
    }

    #[test]
    fn stretches_a_small_range_over_most_greys() {
        let data = ramp(7000, 7800);
        let mut levels = Levels::default();
        let shown = levels.follow(frame(&data), 0);
        let (dark, bright) = (grey(&shown, 0, 0), grey(&shown, 63, 63));
        assert!(dark < 40 && bright > 215, "{dark} to {bright}");
        assert!(
            dark > 0 && bright < 255,
            "what is colder or hotter has room"
        );
    }

    #[test]
    fn follows_a_jump_of_the_range_slowly() {
        let (cold, warm) = (ramp(7000, 7800), ramp(7000, 9400));
        let mut levels = Levels::default();
        let shown = levels.follow(frame(&cold), 0);
        let before = grey(&shown, 0, 32);
        let mut greys = Vec::new();
        for _ in 0..200 {
            let _ = levels.follow(frame(&warm), 0);
            greys.push(grey(&levels.apply(frame(&cold)), 0, 32));
        }
        let most = greys
            .windows(2)
            .map(|two| two[0].abs_diff(two[1]))
            .max()
            .unwrap();
        assert!(
            before.abs_diff(greys[0]) <= 8 && most <= 8,
            "{before}, {greys:?}"
        );
        assert!(greys[199] < before - 40, "but it is followed");
    }

    #[test]
    fn ignores_a_few_dead_pixels() {
        let data = ramp(7000, 7800);
        let mut broken = data.clone();
        broken[..4].copy_from_slice(&[0xff; 4]);
        let shown = |data: &[u8]| grey(&Levels::default().follow(frame(data), 0), 0, 32);
        assert!(shown(&data).abs_diff(shown(&broken)) <= 1);
    }

    #[test]
    fn uses_the_given_number_of_bits() {
        let data = ramp(0, 4095);
        let mut levels = Levels::default();
        for (bits, brightest) in [(12, 255), (14, 64), (16, 16), (10, 255)] {
            let shown = levels.follow(frame(&data), bits);
            assert_eq!(grey(&shown, 63, 63), brightest, "{bits} bits");
        }
    }

    #[test]
    fn leaves_other_encodings_unchanged() {
        let data = ramp(0, 65535);
        let shown = Frame::packed(&data, 128, 64, Encoding::Mono8).unwrap();
        let before = grey(&shown, 5, 5);
        assert_eq!(grey(&Levels::default().follow(shown, 10), 5, 5), before);
    }

    #[test]
    fn shows_an_even_image_as_even_grey() {
        let data = ramp(8000, 8004);
        let shown = Levels::default().follow(frame(&data), 0);
        assert!(grey(&shown, 0, 0).abs_diff(grey(&shown, 63, 63)) < 20);
    }
}
