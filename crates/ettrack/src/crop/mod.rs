//! From a frame to a network's input: cuts the search region out of the camera's bytes, pads, resizes and normalises
//! it.
//!
//! Only the region's pixels are read and converted, and no padded copy is made: a pixel outside the image has the
//! padding colour. The resize gives the same bytes as OpenCV's `resize(..., INTER_LINEAR)` on 8-bit images, because the
//! authors' networks saw those in training: coefficients of 11 bits, a horizontal pass, then a vertical one with its
//! own rounding, no antialiasing. Regions that begin between pixels give the same bytes as OpenCV 4's
//! `warpAffine(..., INTER_LINEAR)`: positions in steps of 1/32 pixel (OpenCV 5 gives other bytes).

mod in_place;
mod normalization;
mod outside;
mod passes;
mod prefetch;
mod sampling;

use std::ops::Range;

use crate::frame::{Frame, Region, Rgbx};
use in_place::{InPlace, interpolate};
pub use normalization::Normalization;
pub use outside::outside;
use passes::{Pair, Taps};
use prefetch::Ahead;
use sampling::{Mix, Resize, Sampling, Warp};

/// A square of whole source pixels, which is resized to the network's input.
///
/// It may reach out of the image on any side, or lie outside it completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchWindow {
    /// Column of the leftmost pixel.
    pub x: i64,
    /// Row of the uppermost pixel.
    pub y: i64,
    /// Pixels along each side, at least 1.
    pub side: u32,
}

/// Windows farther away than this hold only padding. The limit keeps sums from overflowing.
const FARTHEST: f64 = (1_u64 << 40) as f64;

impl SearchWindow {
    /// The window of `side` pixels around `center` (pixels), rounded as trackers derived from SiamFC do: its first
    /// pixel is `center - (side + 1) / 2`, half to even.
    pub fn centered(center: (f64, f64), side: u32) -> Self {
        let half = (f64::from(side.max(1)) + 1.0) / 2.0;
        Self::from_corner((center.0 - half, center.1 - half), side)
    }

    /// The window of `side` pixels from `corner` (pixels) on, rounded half to even.
    pub fn from_corner(corner: (f64, f64), side: u32) -> Self {
        let first = |place: f64| place.round_ties_even().clamp(-FARTHEST, FARTHEST) as i64;
        Self {
            x: first(corner.0),
            y: first(corner.1),
            side: side.max(1),
        }
    }
}

/// A rectangle that may begin between two pixels, as trackers derived from PySOT and SiamFC++ crop it: scaled and shifted
/// but not sheared. In the precision of their code, `f32`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubPixelWindow {
    /// Where the centre of the upper-left output pixel lies, in pixel indices of the image (x, y).
    pub first: (f32, f32),
    /// Where the centre of the lower-right output pixel lies.
    pub last: (f32, f32),
}

impl SubPixelWindow {
    /// The window of `side` pixels around `center`, in pixel indices.
    pub fn centered(center: (f64, f64), side: u32) -> Self {
        let half = (side.max(1) as f32 - 1.0) / 2.0;
        let center = [center.0, center.1].map(|c| c.clamp(-FARTHEST, FARTHEST) as f32);
        Self {
            first: (center[0] - half, center[1] - half),
            last: (center[0] + half, center[1] + half),
        }
    }

    /// The window that covers `span` pixels along x and y around `center` with `size` output pixels a side.
    ///
    /// `center` is in image coordinates, see [`crate::geometry`]: half a pixel more than in pixel indices.
    pub fn covering(center: (f64, f64), span: (f64, f64), size: usize) -> Self {
        let size = size.max(1) as f64;
        let ends = |center: f64, span: f64| {
            let half = span * (size - 1.0) / size / 2.0;
            [-half, half].map(|d| (center - 0.5 + d).clamp(-FARTHEST, FARTHEST) as f32)
        };
        let [[left, right], [top, bottom]] = [ends(center.0, span.0), ends(center.1, span.1)];
        Self {
            first: (left, top),
            last: (right, bottom),
        }
    }

    /// The whole pixels that it touches.
    pub fn enclosing(&self) -> SearchWindow {
        let low = |first: f32| first.floor() as i64;
        let (x, y) = (low(self.first.0), low(self.first.1));
        let side = |first: i64, last: f32| (last.ceil() as i64 - first + 1).max(1) as u32;
        SearchWindow {
            x,
            y,
            side: side(x, self.last.0).max(side(y, self.last.1)),
        }
    }
}

/// The part of an image that a network sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum View {
    /// Whole pixels, resized.
    Pixels(SearchWindow),
    /// Between pixels, warped.
    SubPixel(SubPixelWindow),
}

impl View {
    /// The whole pixels that it touches.
    pub fn enclosing(&self) -> SearchWindow {
        match self {
            Self::Pixels(window) => *window,
            Self::SubPixel(window) => window.enclosing(),
        }
    }
}

impl From<SearchWindow> for View {
    fn from(window: SearchWindow) -> Self {
        Self::Pixels(window)
    }
}

impl From<&SearchWindow> for View {
    fn from(window: &SearchWindow) -> Self {
        Self::Pixels(*window)
    }
}

impl From<SubPixelWindow> for View {
    fn from(window: SubPixelWindow) -> Self {
        Self::SubPixel(window)
    }
}

/// What surrounds the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// R, G, B outside the image.
    pub color: [u8; 3],
    /// Whether a window that reaches or crosses the right (lower) border sees the image's last column (row)
    /// as padding, as the crop of STARK, OSTrack and trackers derived from them does.
    pub drops_last: bool,
}

impl Padding {
    /// A colour around the whole image.
    pub fn new(color: [u8; 3]) -> Self {
        Self {
            color,
            drops_last: false,
        }
    }

    /// The mean colour of `frame`, rounded down.
    pub fn mean_of(frame: &Frame<'_>) -> Self {
        Self::new(frame.mean_rgb().map(|mean| mean as u8))
    }
}

/// Cuts, pads, resizes and normalises search windows. Its buffers are reused from call to call.
#[derive(Debug, Default)]
pub struct Cropper {
    /// Horizontal taps of the output columns, two by two.
    taps: Vec<Taps>,
    /// Those of them that are interpolated in place, see [`InPlace`].
    inside: Vec<Taps>,
    /// Two source rows at the columns that the taps read, between two pixels of padding on either side.
    pixels: [Vec<Rgbx>; 2],
    /// Two source rows after `resize`'s horizontal pass, in 1/128 of a level.
    lines: [Vec<Pair<i16>>; 2],
    /// One output row.
    row: Vec<Pair<u8>>,
}

/// Padding pixels on either side of a source row: a tap reads a pixel and its right neighbour.
const MARGIN: usize = 2;

/// The source row that a line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Nothing,
    Padding,
    Row(u32),
}

impl Cropper {
    /// A cropper without buffers; the first crop of each size makes them.
    pub fn new() -> Self {
        Self::default()
    }

    /// The view of `frame` as `size` x `size` pixels, normalised, in `out`: three planes of `size` x `size`.
    ///
    /// # Panics
    /// Where `out` does not hold 3 x size x size numbers.
    pub fn crop_tensor(
        &mut self,
        frame: &Frame<'_>,
        view: impl Into<View>,
        padding: &Padding,
        size: usize,
        normalization: &Normalization,
        out: &mut [f32],
    ) {
        let plane_len = size * size;
        assert_eq!(
            out.len(),
            3 * plane_len,
            "numbers of a {size} x {size} tensor"
        );
        self.sample(frame, &view.into(), padding, size, |k, row| {
            for (plane, numbers) in out.chunks_exact_mut(plane_len).enumerate() {
                normalization.apply(plane, row, &mut numbers[k * size..][..size]);
            }
        });
    }

    /// The view of `frame` as `size` x `size` pixels of interleaved R, G, B in `out`.
    ///
    /// # Panics
    /// Where `out` does not hold 3 x size x size bytes.
    pub fn crop_rgb8(
        &mut self,
        frame: &Frame<'_>,
        view: impl Into<View>,
        padding: &Padding,
        size: usize,
        out: &mut [u8],
    ) {
        assert_eq!(
            out.len(),
            3 * size * size,
            "bytes of {size} x {size} pixels"
        );
        self.sample(frame, &view.into(), padding, size, |k, row| {
            let line = out[k * size * 3..][..size * 3].chunks_exact_mut(3);
            for (out, pixel) in line.zip(row) {
                out.copy_from_slice(&pixel[..3]);
            }
        });
    }

    /// Calls `put(k, row)` with every output row, top to bottom.
    fn sample(
        &mut self,
        frame: &Frame<'_>,
        view: &View,
        padding: &Padding,
        size: usize,
        put: impl FnMut(usize, &[Rgbx]),
    ) {
        if size == 0 {
            return;
        }
        let [r, g, b] = padding.color;
        let color = [r, g, b, 0];
        match view {
            View::Pixels(window) => {
                let sampling = Resize::new(frame, window, padding, size);
                let frame = frame.covering(&touched(frame, &sampling, size));
                self.resize(&frame, &sampling, color, size, put);
            }
            View::SubPixel(window) => {
                let sampling = Warp::new(frame, window, size);
                let frame = frame.covering(&touched(frame, &sampling, size));
                self.warp(&frame, &sampling, color, size, put);
            }
        }
    }

    /// Each source row goes through the horizontal pass once, because that pass takes longest.
    fn resize(
        &mut self,
        frame: &Frame<'_>,
        sampling: &Resize,
        color: Rgbx,
        size: usize,
        mut put: impl FnMut(usize, &[Rgbx]),
    ) {
        let columns = self.prepare(frame, sampling, color, size);
        let Self {
            taps,
            pixels: [pixels, _],
            lines,
            row,
            ..
        } = self;
        let weigh = |source: Line, line: &mut [Pair<i16>]| {
            read(frame, source, &columns, color, pixels);
            passes::horizontal(pixels, taps, line);
        };
        by_rows(
            (frame, &columns),
            sampling,
            size,
            lines,
            weigh,
            |k, [upper, lower], weights| {
                passes::vertical(upper, lower, weights, row);
                put(k, pixels_of(row, size));
            },
        );
    }

    /// Interpolates in place where the pixels lie in the image as interleaved bytes. Otherwise two rows are read first.
    fn warp(
        &mut self,
        frame: &Frame<'_>,
        sampling: &Warp,
        color: Rgbx,
        size: usize,
        mut put: impl FnMut(usize, &[Rgbx]),
    ) {
        let columns = self.prepare(frame, sampling, color, size);
        let Self {
            taps,
            inside,
            pixels,
            row,
            ..
        } = self;
        if let Some(in_place) = InPlace::new(frame, columns.clone(), taps, inside) {
            in_place.warp(sampling, size, color, taps, inside, pixels, row, put);
            return;
        }
        let load = |source: Line, pixels: &mut [Rgbx]| read(frame, source, &columns, color, pixels);
        by_rows(
            (frame, &columns),
            sampling,
            size,
            pixels,
            load,
            |k, rows, weights| {
                interpolate(rows, weights, taps, row);
                put(k, pixels_of(row, size));
            },
        );
    }

    /// Sizes the buffers, makes the taps, and gives the image columns that they read.
    fn prepare<S: Sampling>(
        &mut self,
        frame: &Frame<'_>,
        sampling: &S,
        color: Rgbx,
        size: usize,
    ) -> Range<u32> {
        let (width, _) = sampling.extent();
        let inside = |column: i64| column.clamp(0, width);
        // Columns are in ascending order, so the outermost ones belong to the first and the last output pixel.
        let start = inside(sampling.column(0).positions.0) & !1;
        let end = inside(sampling.column(size - 1).positions.1 + 1).max(start);
        let margin = MARGIN as i64;

        let pairs = size.div_ceil(2);
        self.taps.clear();
        self.taps.resize(pairs, Taps::default());
        self.inside.reserve(pairs);
        for k in 0..size {
            let Mix { positions, weights } = sampling.column(k);
            let place = (positions.0 - start).clamp(-margin, end - start) + margin;
            self.taps[k / 2].set(k % 2, place as u32, weights);
            if k + 1 == size && k.is_multiple_of(2) {
                // The second pixel of the last pair does not exist. It reads what the first one reads.
                self.taps[k / 2].set(1, place as u32, weights);
            }
        }
        // No window reads more columns than the image has, so the buffers never grow after the first crop.
        let most = frame.width() as usize + 2 * MARGIN;
        let read = (end - start) as usize + 2 * MARGIN;
        for line in &mut self.pixels {
            refill(line, color, read, most);
        }
        for line in &mut self.lines {
            line.resize(pairs, [0; 8]);
        }
        self.row.resize(pairs, [0; 8]);
        start as u32..end as u32
    }
}

/// The pixels of the frame that a crop reads. Rows are read from an even column on, see [`Frame::read_rgbx`].
fn touched<S: Sampling>(frame: &Frame<'_>, sampling: &S, size: usize) -> Region {
    let (first, last) = (0, size - 1);
    let columns = (
        sampling.column(first).positions.0 & !1,
        sampling.column(last).positions.1,
    );
    let rows = (
        sampling.row(first).positions.0,
        sampling.row(last).positions.1,
    );
    Region::between(columns, rows, (frame.width(), frame.height()))
}

/// The first `size` pixels of a row of pairs; the last pair may hold one pixel more.
fn pixels_of(row: &[Pair<u8>], size: usize) -> &[Rgbx] {
    let (pixels, _) = row.as_flattened().as_chunks();
    &pixels[..size]
}

/// Reads a source row at `columns` into `pixels`, between its margins.
fn read(frame: &Frame<'_>, source: Line, columns: &Range<u32>, color: Rgbx, pixels: &mut [Rgbx]) {
    let run = &mut pixels[MARGIN..MARGIN + columns.len()];
    match source {
        Line::Row(y) => frame.read_rgbx(y, columns.start, run),
        Line::Padding | Line::Nothing => run.fill(color),
    }
}

/// Fills a buffer with `len` times `value`. The first call reserves memory for `most`.
fn refill<T: Copy>(buffer: &mut Vec<T>, value: T, len: usize, most: usize) {
    buffer.clear();
    buffer.reserve(most);
    buffer.resize(len, value);
}

/// Calls `mix(k, rows, weights)` for every output row, top to bottom, with its two source rows, which `load` wrote into
/// `lines`.
///
/// Each source row is loaded once: the lower line of one output row becomes the upper line of a later one. The `columns` of
/// rows that come later are brought from memory before.
fn by_rows<S: Sampling, T>(
    (frame, columns): (&Frame<'_>, &Range<u32>),
    sampling: &S,
    size: usize,
    lines: &mut [Vec<T>; 2],
    mut load: impl FnMut(Line, &mut [T]),
    mut mix: impl FnMut(usize, [&[T]; 2], (i16, i16)),
) {
    let (_, height) = sampling.extent();
    let source = |row: i64| {
        if (0..height).contains(&row) {
            Line::Row(row as u32)
        } else {
            Line::Padding
        }
    };
    let [first, end] = [columns.start, columns.end].map(|x| frame.encoding().row_bytes(x));
    let ahead = Ahead::of(end - first);
    let mut held = [Line::Nothing; 2];
    for k in 0..size {
        let (upper, lower) = sampling.row((k + ahead.rows()).min(size - 1)).positions;
        let next = [upper, lower].map(|y| y.clamp(0, height.max(1) - 1) as usize);
        ahead.load(next.map(|y| frame.stored_row(y)), first, end);
        let Mix { positions, weights } = sampling.row(k);
        let wanted = [source(positions.0), source(positions.1)];
        if held[0] != wanted[0] && held[1] == wanted[0] {
            lines.swap(0, 1);
            held.swap(0, 1);
        }
        for i in 0..2 {
            if held[i] != wanted[i] {
                load(wanted[i], &mut lines[i]);
                held[i] = wanted[i];
            }
        }
        mix(k, [&lines[0], &lines[1]], weights);
    }
}
