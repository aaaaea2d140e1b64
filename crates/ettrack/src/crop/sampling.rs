//! Which source pixels an output pixel is interpolated from, with which weights: the positions and the integer
//! arithmetic of OpenCV's functions.

use super::{Padding, SearchWindow, SubPixelWindow};
use crate::frame::Frame;

/// One of OpenCV's functions applied to one window.
pub(super) trait Sampling {
    /// The part of the image that this sampling uses: columns, rows.
    fn extent(&self) -> (i64, i64);
    /// The two image columns of output column `k`: neighbours, or the second has no weight.
    fn column(&self, k: usize) -> Mix;
    /// The two image rows of output row `k`.
    fn row(&self, k: usize) -> Mix;
    /// The first and the last image column that output column `k` takes a share of, however small.
    fn columns_of(&self, k: usize) -> (i64, i64);
    /// The first and the last image row that output row `k` takes a share of, however small.
    fn rows_of(&self, k: usize) -> (i64, i64);
}

/// Two source positions, the first one never after the second, and their weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mix {
    pub positions: (i64, i64),
    pub weights: (i16, i16),
}

impl Mix {
    /// The first and the last position with a weight.
    fn touched(&self) -> (i64, i64) {
        let (first, second) = self.positions;
        match self.weights {
            (0, _) => (second, second),
            (_, 0) => (first, first),
            _ => (first, second),
        }
    }
}

/// `resize(..., INTER_LINEAR)`: weights of 11 bits, positions kept inside the window.
pub(super) struct Resize {
    window: SearchWindow,
    extent: (i64, i64),
    scale: f64,
}

impl Resize {
    const ONE: f32 = 2048.0;

    pub fn new(frame: &Frame<'_>, window: &SearchWindow, padding: &Padding, size: usize) -> Self {
        let extent = |pixels: u32, first: i64| {
            let pixels = i64::from(pixels);
            if padding.drops_last && first + i64::from(window.side) >= pixels {
                pixels - 1
            } else {
                pixels
            }
        };
        Self {
            window: *window,
            extent: (
                extent(frame.width(), window.x),
                extent(frame.height(), window.y),
            ),
            scale: f64::from(window.side) / size as f64,
        }
    }

    /// The source index at or below output `k`'s position, and the remaining fraction.
    fn position(&self, k: usize) -> (i64, f32) {
        let at = ((k as f64 + 0.5) * self.scale - 0.5) as f32;
        let floor = at.floor();
        (floor as i64, at - floor)
    }

    /// The first and the last pixel of the window that output `k` takes a share of, also one that has no weight of 11 bits.
    fn touched(&self, k: usize) -> (i64, i64) {
        let last = i64::from(self.window.side) - 1;
        let (at, fraction) = self.position(k);
        let next = if fraction > 0.0 { at + 1 } else { at };
        (at.clamp(0, last), next.clamp(0, last))
    }

    fn weights(fraction: f32) -> (i16, i16) {
        let first = ((1.0 - fraction) * Self::ONE).round_ties_even();
        let second = (fraction * Self::ONE).round_ties_even();
        (first as i16, second as i16)
    }
}

impl Sampling for Resize {
    fn extent(&self) -> (i64, i64) {
        self.extent
    }

    fn column(&self, k: usize) -> Mix {
        let last = i64::from(self.window.side) - 1;
        let (mut at, mut fraction) = self.position(k);
        if at < 0 {
            (at, fraction) = (0, 0.0);
        }
        if at >= last {
            (at, fraction) = (last, 0.0);
        }
        Mix {
            positions: (self.window.x + at, self.window.x + (at + 1).min(last)),
            weights: Self::weights(fraction),
        }
    }

    fn row(&self, k: usize) -> Mix {
        let last = i64::from(self.window.side) - 1;
        let (at, fraction) = self.position(k);
        // OpenCV keeps the fraction of rows outside, unlike that of columns.
        let inside = |row: i64| self.window.y + row.clamp(0, last);
        Mix {
            positions: (inside(at), inside(at + 1)),
            weights: Self::weights(fraction),
        }
    }

    fn columns_of(&self, k: usize) -> (i64, i64) {
        let (first, last) = self.touched(k);
        (self.window.x + first, self.window.x + last)
    }

    fn rows_of(&self, k: usize) -> (i64, i64) {
        let (first, last) = self.touched(k);
        (self.window.y + first, self.window.y + last)
    }
}

/// `warpAffine(..., INTER_LINEAR | WARP_INVERSE_MAP)` with scale and shift: weights of 5 bits. Their products have 10
/// bits and are exactly 1/32 of OpenCV's, which have 15.
pub(super) struct Warp {
    first: (f64, f64),
    step: (f64, f64),
    extent: (i64, i64),
}

impl Warp {
    pub fn new(frame: &Frame<'_>, window: &SubPixelWindow, size: usize) -> Self {
        // The authors' code computes the matrix in f32 and passes it on in f64.
        let step = |first: f32, last: f32| f64::from((last - first) / (size.max(2) - 1) as f32);
        Self {
            first: (f64::from(window.first.0), f64::from(window.first.1)),
            step: (
                step(window.first.0, window.last.0),
                step(window.first.1, window.last.1),
            ),
            extent: (i64::from(frame.width()), i64::from(frame.height())),
        }
    }

    /// From a position in 1/1024 pixel, rounding towards 1/32.
    fn mix(position: i64) -> Mix {
        let position = (position + 16) >> 5;
        let (at, fraction) = (position >> 5, (position & 31) as i16);
        Mix {
            positions: (at, at + 1),
            weights: (32 - fraction, fraction),
        }
    }
}

impl Sampling for Warp {
    fn extent(&self) -> (i64, i64) {
        self.extent
    }

    fn column(&self, k: usize) -> Mix {
        // For columns OpenCV rounds the shift and the scaled index separately, for rows their sum.
        let shift = (self.first.0 * 1024.0).round_ties_even() as i64;
        Self::mix(shift + (self.step.0 * k as f64 * 1024.0).round_ties_even() as i64)
    }

    fn row(&self, k: usize) -> Mix {
        let position = (self.step.1 * k as f64 + self.first.1) * 1024.0;
        Self::mix(position.round_ties_even() as i64)
    }

    fn columns_of(&self, k: usize) -> (i64, i64) {
        self.column(k).touched()
    }

    fn rows_of(&self, k: usize) -> (i64, i64) {
        self.row(k).touched()
    }
}
