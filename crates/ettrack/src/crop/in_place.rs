//! `warpAffine` straight from the camera's bytes, if these are pixels of three or four interleaved bytes.
//!
//! Output pixels outside the image, and those at its border, are made from copied rows. All others are interpolated in
//! place. So a region that reaches out of the image takes little longer than one inside.

use std::ops::Range;

use super::passes::{self, Pair, Taps};
use super::prefetch::Ahead;
use super::sampling::{Mix, Sampling, Warp};
use super::{Line, MARGIN, pixels_of, read};
use crate::frame::{Encoding, Frame, Rgbx};

/// Bytes that [`passes::bilinear`] reads of a row from the first of two neighbours on.
const READ: usize = 8;

/// One of [`passes::bilinear`].
type Bilinear = fn([&[u8]; 2], ([&[u8]; 2], Ahead), (i16, i16), &[Taps], &mut [Pair<u8>]);

/// The bytes of a pixel, and the function for them; `None` for encodings that are not interleaved R, G, B.
fn function(encoding: Encoding) -> Option<(usize, Bilinear)> {
    match encoding {
        Encoding::Rgb8 => Some((3, passes::bilinear::<3, 0>)),
        Encoding::Bgr8 => Some((3, passes::bilinear::<3, 2>)),
        Encoding::Rgba8 => Some((4, passes::bilinear::<4, 0>)),
        Encoding::Bgra8 => Some((4, passes::bilinear::<4, 2>)),
        _ => None,
    }
}

/// Interpolates rows that were read with their margins.
pub(super) fn interpolate(
    rows: [&[Rgbx]; 2],
    weights: (i16, i16),
    taps: &[Taps],
    row: &mut [Pair<u8>],
) {
    // The rows are in the cache, and loading them ahead changes nothing.
    let rows = rows.map(<[_]>::as_flattened);
    passes::bilinear::<4, 0>(rows, (rows, Ahead::Near), weights, taps, row);
}

/// Which pairs of output pixels of a row are interpolated in place.
pub(super) struct InPlace<'f> {
    frame: &'f Frame<'f>,
    bilinear: Bilinear,
    /// Image columns that the output row reads.
    columns: Range<u32>,
    /// Their first byte in a row.
    first: usize,
    /// How far ahead rows are loaded from memory.
    ahead: Ahead,
    /// The pairs whose pixels all lie inside the image.
    inner: Range<usize>,
    /// The other pairs, and where the copied rows hold what they read; even if nothing.
    edges: [(Range<usize>, Range<usize>); 2],
}

impl<'f> InPlace<'f> {
    /// `None` if the frame has another encoding, or no pair lies inside it. `inside` then holds the taps of the pairs inside.
    pub fn new(
        frame: &'f Frame<'f>,
        columns: Range<u32>,
        taps: &[Taps],
        inside: &mut Vec<Taps>,
    ) -> Option<Self> {
        let (bytes, bilinear) = function(frame.encoding())?;
        let first = columns.start as usize * bytes;
        let row = frame.encoding().row_bytes(frame.width());
        let is_inside = |taps: &Taps| {
            taps.places()
                .iter()
                .all(|&place| place >= MARGIN && first + (place - MARGIN) * bytes + READ <= row)
        };
        let from = taps.iter().position(is_inside)?;
        let count = taps[from..].iter().take_while(|taps| is_inside(taps));
        let inner = from..from + count.count();
        inside.clear();
        inside.extend(taps[inner.clone()].iter().map(|taps| taps.earlier(MARGIN)));
        let edges = [0..inner.start, inner.end..taps.len()].map(|pairs| {
            let places = || taps[pairs.clone()].iter().flat_map(Taps::places);
            let most = MARGIN + columns.len();
            let inside = |place: usize| place.clamp(MARGIN, most);
            // Runs begin at even columns, see `Frame::read_rgbx`.
            let low = inside(places().min().unwrap_or(most)) & !1;
            let high = inside(places().max().map_or(0, |place| place + 2));
            (pairs, low..high.max(low))
        });
        Some(Self {
            frame,
            bilinear,
            ahead: Ahead::of(columns.len() * bytes),
            columns,
            first,
            inner,
            edges,
        })
    }

    /// Calls `put(k, row)` with every output row, top to bottom.
    #[expect(clippy::too_many_arguments, reason = "the cropper's buffers")]
    pub fn warp(
        &self,
        sampling: &Warp,
        size: usize,
        color: Rgbx,
        taps: &[Taps],
        inside: &[Taps],
        pixels: &mut [Vec<Rgbx>; 2],
        row: &mut [Pair<u8>],
        mut put: impl FnMut(usize, &[Rgbx]),
    ) {
        let (_, height) = sampling.extent();
        let line = |y: i64| match (0..height).contains(&y) {
            true => Line::Row(y as u32),
            false => Line::Padding,
        };
        for k in 0..size {
            let Mix { positions, weights } = sampling.row(k);
            match [positions.0, positions.1].map(line) {
                [Line::Row(upper), Line::Row(lower)] => {
                    let next = sampling
                        .row((k + self.ahead.rows()).min(size - 1))
                        .positions;
                    let next = [next.0, next.1].map(|y| y.clamp(0, height - 1) as u32);
                    let [rows, next] = [[upper, lower], next].map(|rows| rows.map(|y| self.row(y)));
                    let out = &mut row[self.inner.clone()];
                    (self.bilinear)(rows, (next, self.ahead), weights, inside, out);
                    for (pairs, places) in &self.edges {
                        if pairs.is_empty() {
                            continue;
                        }
                        for (y, pixels) in [upper, lower].into_iter().zip(&mut *pixels) {
                            self.read_edge(y, places, pixels);
                        }
                        let rows = [&pixels[0][..], &pixels[1]];
                        interpolate(rows, weights, &taps[pairs.clone()], &mut row[pairs.clone()]);
                    }
                }
                [Line::Padding, Line::Padding] => {
                    let [r, g, b, x] = color;
                    row.fill([r, g, b, x, r, g, b, x]);
                }
                lines => {
                    for (line, pixels) in lines.into_iter().zip(&mut *pixels) {
                        read(self.frame, line, &self.columns, color, pixels);
                    }
                    interpolate([&pixels[0], &pixels[1]], weights, taps, row);
                }
            }
            put(k, pixels_of(row, size));
        }
    }

    /// A row of the image from the first column on.
    fn row(&self, y: u32) -> &'f [u8] {
        &self.frame.stored_row(y as usize)[self.first..]
    }

    /// Reads what the pairs at one end of the row need.
    fn read_edge(&self, y: u32, places: &Range<usize>, pixels: &mut [Rgbx]) {
        let first = self.columns.start + (places.start - MARGIN) as u32;
        self.frame.read_rgbx(y, first, &mut pixels[places.clone()]);
    }
}
