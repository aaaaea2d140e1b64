//! Pictures of which only a region was decoded so far.

use std::fmt;

use super::Frame;
use crate::crop::SearchWindow;

/// A rectangle of whole pixels. `right` and `bottom` are the first column and row beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Leftmost column.
    pub left: u32,
    /// Uppermost row.
    pub top: u32,
    /// First column to the right of it.
    pub right: u32,
    /// First row below it.
    pub bottom: u32,
}

impl Region {
    /// A picture of `width` x `height` pixels.
    pub fn whole((width, height): (u32, u32)) -> Self {
        Self {
            left: 0,
            top: 0,
            right: width,
            bottom: height,
        }
    }

    /// One pixel. Readers of pairs also read the one to the left of an odd column.
    pub(super) fn pixel(x: u32, y: u32) -> Self {
        Self {
            left: x & !1,
            top: y,
            right: x + 1,
            bottom: y + 1,
        }
    }

    /// A whole row.
    pub(super) fn row(y: u32, width: u32) -> Self {
        Self {
            left: 0,
            top: y,
            right: width,
            bottom: y + 1,
        }
    }

    /// The columns and rows between two positions, the second one included, as far as they lie in a picture of this size.
    pub(crate) fn between(columns: (i64, i64), rows: (i64, i64), size: (u32, u32)) -> Self {
        let inside = |position: i64, length: u32| position.clamp(0, i64::from(length)) as u32;
        let ends = |(first, last): (i64, i64), length: u32| {
            let (low, high) = (first.min(last), first.max(last));
            (inside(low, length), inside(high.saturating_add(1), length))
        };
        let ((left, right), (top, bottom)) = (ends(columns, size.0), ends(rows, size.1));
        Self {
            left,
            top,
            right,
            bottom,
        }
    }

    /// What a window shows of a picture of this size.
    pub fn shown(window: &SearchWindow, size: (u32, u32)) -> Self {
        let side = i64::from(window.side);
        Self::between(
            (window.x, window.x.saturating_add(side - 1)),
            (window.y, window.y.saturating_add(side - 1)),
            size,
        )
    }

    /// This region with `margin` more pixels on each side, as far as they lie in a picture of this size.
    #[must_use]
    pub fn grown(self, margin: u32, (width, height): (u32, u32)) -> Self {
        Self {
            left: self.left.saturating_sub(margin).min(width),
            top: self.top.saturating_sub(margin).min(height),
            right: self.right.saturating_add(margin).min(width),
            bottom: self.bottom.saturating_add(margin).min(height),
        }
    }

    /// Whether it has no pixels.
    pub fn is_empty(&self) -> bool {
        self.left >= self.right || self.top >= self.bottom
    }

    /// Number of its pixels.
    pub fn area(&self) -> u64 {
        let side = |low: u32, high: u32| u64::from(high.saturating_sub(low));
        side(self.left, self.right) * side(self.top, self.bottom)
    }

    /// Whether all pixels of `other` belong to it.
    pub fn contains(&self, other: &Self) -> bool {
        other.is_empty()
            || (self.left <= other.left
                && self.top <= other.top
                && self.right >= other.right
                && self.bottom >= other.bottom)
    }
}

/// Decodes the rest of a picture of which only a region was decoded.
pub trait Rest: fmt::Debug + Sync {
    /// The bytes of the whole picture, in the layout of the frame that has the region. They are decoded by the first call.
    ///
    /// There are as many bytes as that frame has. What cannot be decoded is shown as an even grey, and the decoder tells its
    /// caller of the error.
    fn whole(&self) -> &[u8];
}

/// The region of a frame that is decoded, and the way to the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partial<'a> {
    region: Region,
    rest: &'a dyn Rest,
}

impl<'a> Frame<'a> {
    /// Marks the frame as one of which only `region` is decoded. Whatever reads other pixels gets them from `rest`, so that
    /// bytes that were not decoded are never read.
    ///
    /// Encodings whose pixels depend on their neighbours (YUV, Bayer) are always read whole.
    #[must_use]
    pub fn with_region(mut self, region: Region, rest: &'a dyn Rest) -> Self {
        let region = if self.encoding.has_neighbours() {
            Region::whole((0, 0))
        } else {
            region
        };
        self.partial = Some(Partial { region, rest });
        self
    }

    /// The region whose pixels are decoded.
    pub fn region(&self) -> Region {
        self.partial
            .map_or(Region::whole((self.width, self.height)), |partial| {
                partial.region
            })
    }

    /// This frame, or the whole picture if a part of `region` is not decoded.
    ///
    /// # Panics
    /// If the decoder gives another number of bytes than [`Rest::whole`] demands.
    #[must_use]
    pub fn covering(&self, region: &Region) -> Self {
        match self.partial {
            Some(Partial { region: held, rest }) if !held.contains(region) => {
                let data = rest.whole();
                assert_eq!(data.len(), self.data.len(), "bytes of the whole picture");
                Self {
                    data,
                    partial: None,
                    ..*self
                }
            }
            _ => *self,
        }
    }

    /// This frame with all its pixels decoded.
    #[must_use]
    pub fn completed(&self) -> Self {
        self.covering(&Region::whole((self.width, self.height)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::{Frame, Region, Rest};
    use crate::crop::{Cropper, Padding, SearchWindow, SubPixelWindow, View};
    use crate::frame::Encoding;

    const SIZE: (u32, u32) = (40, 30);

    /// Pixels of 1 where a picture is decoded, of 200 where not; the whole picture has 1 everywhere.
    #[derive(Debug)]
    struct Picture {
        whole: Vec<u8>,
        asked: AtomicU32,
    }

    impl Rest for Picture {
        fn whole(&self) -> &[u8] {
            self.asked.fetch_add(1, Ordering::Relaxed);
            &self.whole
        }
    }

    const DECODED: Region = Region {
        left: 8,
        top: 6,
        right: 24,
        bottom: 20,
    };

    fn part() -> Vec<u8> {
        let inside = |x: u32, y: u32| (8..24).contains(&x) && (6..20).contains(&y);
        (0..SIZE.1)
            .flat_map(|y| (0..SIZE.0).flat_map(move |x| [if inside(x, y) { 1 } else { 200 }; 3]))
            .collect()
    }

    /// Runs `read` on a frame of which a region is decoded. Returns its result and how often the whole picture was asked for.
    fn reading<R>(read: impl FnOnce(&Frame<'_>) -> R) -> (R, u32) {
        let picture = Picture {
            whole: vec![1; (SIZE.0 * SIZE.1 * 3) as usize],
            asked: AtomicU32::new(0),
        };
        let data = part();
        let frame = Frame::packed(&data, SIZE.0, SIZE.1, Encoding::Rgb8).expect("it fits");
        let result = read(&frame.with_region(DECODED, &picture));
        (result, picture.asked.load(Ordering::Relaxed))
    }

    #[test]
    fn no_reader_sees_a_pixel_that_is_not_decoded() {
        assert_eq!(reading(|frame| frame.rgb(8, 6)), (Some([1; 3]), 0));
        assert_eq!(reading(|frame| frame.rgb(7, 6)), (Some([1; 3]), 1));
        assert_eq!(reading(|frame| frame.rgb(23, 20)), (Some([1; 3]), 1));
        assert_eq!(reading(|frame| frame.mean_rgb()), ([1.0; 3], 1));
        let (row, asked) = reading(|frame| {
            let mut row = vec![0; SIZE.0 as usize * 3];
            frame.read_rgb_row(10, &mut row);
            row
        });
        assert!(row.iter().all(|v| *v == 1) && asked == 1);
        let (all, asked) = reading(|frame| {
            let mut all = Vec::new();
            frame.to_rgb8(&mut all);
            all
        });
        assert!(all.iter().all(|v| *v == 1) && asked == 1);
        let (data, asked) = reading(|frame| frame.data().iter().all(|v| *v == 1));
        assert!(data && asked == 1);
    }

    #[test]
    fn a_crop_asks_for_the_whole_picture_only_beyond_the_region() {
        let crop = |view: View| {
            reading(|frame| {
                let mut crop = vec![0; 3 * 9 * 9];
                Cropper::new().crop_rgb8(frame, view, &Padding::new([1; 3]), 9, &mut crop);
                crop.iter().all(|v| *v == 1)
            })
        };
        let pixels = |x, y, side| View::from(SearchWindow { x, y, side });
        assert_eq!(crop(pixels(9, 7, 12)), (true, 0));
        for (x, y) in [(5, 8), (16, 8), (9, 3), (9, 12), (-5, -5), (30, 20)] {
            assert_eq!(crop(pixels(x, y, 12)), (true, 1), "{x}, {y}");
        }
        // Beside the image there is nothing to decode.
        assert_eq!(crop(pixels(-50, 8, 12)), (true, 0));
        let between = |x, y, side| View::from(SubPixelWindow::centered((x, y), side));
        assert_eq!(crop(between(16.3, 13.2, 8)), (true, 0));
        for (x, y) in [
            (10.3, 13.2),
            (22.6, 13.2),
            (16.3, 8.2),
            (16.3, 18.0),
            (0.0, 0.0),
        ] {
            assert_eq!(crop(between(x, y, 8)), (true, 1), "{x}, {y}");
        }
    }

    #[test]
    fn windows_show_the_part_of_them_that_lies_in_the_picture() {
        let shown = |x, y, side| Region::shown(&SearchWindow { x, y, side }, SIZE);
        let region = |left, top, right, bottom| Region {
            left,
            top,
            right,
            bottom,
        };
        assert_eq!(shown(3, 4, 5), region(3, 4, 8, 9));
        assert_eq!(shown(-3, 28, 5), region(0, 28, 2, 30));
        assert!(shown(40, 3, 5).is_empty() && shown(-9, 3, 5).is_empty());
        assert_eq!(shown(i64::MAX, i64::MIN, 1).area(), 0);
        assert_eq!(region(3, 4, 8, 9).grown(4, SIZE), region(0, 0, 12, 13));
        let whole = Region::whole(SIZE);
        assert!(whole.contains(&region(3, 4, 8, 9)) && whole.contains(&shown(40, 3, 5)));
        assert!(!region(3, 4, 8, 9).contains(&whole));
    }
}
