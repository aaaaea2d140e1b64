//! From a frame to a network's input: the search window of a target, cut out, padded, resized and
//! normalised straight from the camera's bytes.
//!
//! Nothing but the window's pixels is read or converted, and no padded copy is made: a pixel outside the
//! image is the padding colour wherever it is asked for. The resize has the bytes of OpenCV's
//! `resize(..., INTER_LINEAR)` on 8-bit images, because the authors' networks saw those in training:
//! coefficients of 11 bits, a horizontal pass, then a vertical one with its own rounding, no antialiasing.
//! Windows between pixels have those of OpenCV 4's `warpAffine(..., INTER_LINEAR)`: positions in steps of
//! 1/32 pixel (OpenCV 5 gives other bytes).

use crate::frame::Frame;

/// A square of source pixels: what a network gets to see, before it is resized.
///
/// May reach beyond the image on any side, or lie outside it altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchWindow {
    /// Column of the leftmost pixel.
    pub x: i64,
    /// Row of the uppermost pixel.
    pub y: i64,
    /// Pixels along each side, at least 1.
    pub side: u32,
}

/// Windows farther away than this hold nothing but padding; the bound keeps sums from overflowing.
const FARTHEST: f64 = (1_u64 << 40) as f64;

impl SearchWindow {
    /// The window of `side` pixels around `center` (pixels), rounded as SiamFC's descendants do: its first
    /// pixel is `center - (side + 1) / 2`, half to even.
    pub fn centered(center: (f64, f64), side: u32) -> Self {
        let side = side.max(1);
        let half = (f64::from(side) + 1.0) / 2.0;
        let first =
            |center: f64| (center - half).round_ties_even().clamp(-FARTHEST, FARTHEST) as i64;
        Self {
            x: first(center.0),
            y: first(center.1),
            side,
        }
    }
}

/// A square that need not begin at a pixel: the crop of PySOT's and SiamFC++'s descendants that shear nothing,
/// scale and shift. In the precision of their code, `f32`.
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

/// What a network gets to see of an image.
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
    /// as padding: what the crop of STARK, OSTrack and their descendants does.
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

    /// The mean colour of `frame`, fractions cut off.
    pub fn mean_of(frame: &Frame<'_>) -> Self {
        Self::new(frame.mean_rgb().map(|mean| mean as u8))
    }
}

/// How 8-bit pixels become a network's numbers: `(value / scale - mean) / std` per channel, in `f32` and in
/// this order of operations.
#[derive(Debug, Clone)]
pub struct Normalization {
    /// Per plane of the tensor, the number for each 8-bit value.
    tables: [[f32; 256]; 3],
    /// Per plane of the tensor, its channel in R, G, B.
    channels: [usize; 3],
}

impl Normalization {
    /// `mean` and `std` are in the order of the tensor's planes: B, G, R where `bgr`, else R, G, B.
    pub fn new(bgr: bool, scale: f32, mean: [f32; 3], std: [f32; 3]) -> Self {
        let mut tables = [[0.0; 256]; 3];
        for (plane, table) in tables.iter_mut().enumerate() {
            for (value, entry) in table.iter_mut().enumerate() {
                *entry = (value as f32 / scale - mean[plane]) / std[plane];
            }
        }
        Self {
            tables,
            channels: if bgr { [2, 1, 0] } else { [0, 1, 2] },
        }
    }
}

/// How output pixels are mixed of source pixels: the positions and the integer arithmetic of one of OpenCV's
/// functions.
trait Sampling {
    /// Bits of a horizontal sum that the vertical pass drops.
    const DROPPED_BITS: u32;
    /// Pixels of the image that exist for this sampling: columns, rows.
    fn extent(&self) -> (i64, i64);
    /// The two image columns that output column `k` mixes, and their weights.
    fn column(&self, k: usize) -> Mix;
    /// The same of rows.
    fn row(&self, k: usize) -> Mix;
    /// A byte of two horizontal sums times their weights.
    fn round(above: i32, below: i32) -> u8;
}

/// Two source positions and their weights.
#[derive(Debug, Clone, Copy)]
struct Mix {
    positions: (i64, i64),
    weights: (u16, u16),
}

/// `resize(..., INTER_LINEAR)`: weights of 11 bits, positions kept inside the window.
struct Resize {
    window: SearchWindow,
    extent: (i64, i64),
    scale: f64,
}

impl Resize {
    const ONE: f32 = 2048.0;

    fn new(frame: &Frame<'_>, window: &SearchWindow, padding: &Padding, size: usize) -> Self {
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

    /// The source index below output `k`'s position, and the fraction above.
    fn position(&self, k: usize) -> (i64, f32) {
        let at = ((k as f64 + 0.5) * self.scale - 0.5) as f32;
        let floor = at.floor();
        (floor as i64, at - floor)
    }

    fn weights(fraction: f32) -> (u16, u16) {
        let first = ((1.0 - fraction) * Self::ONE).round_ties_even();
        let second = (fraction * Self::ONE).round_ties_even();
        (first as u16, second as u16)
    }
}

impl Sampling for Resize {
    const DROPPED_BITS: u32 = 4;

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

    fn round(above: i32, below: i32) -> u8 {
        (((above >> 16) + (below >> 16) + 2) >> 2) as u8
    }
}

/// `warpAffine(..., INTER_LINEAR | WARP_INVERSE_MAP)` with scale and shift: weights of 5 bits.
struct Warp {
    first: (f64, f64),
    step: (f64, f64),
    extent: (i64, i64),
}

impl Warp {
    fn new(frame: &Frame<'_>, window: &SubPixelWindow, size: usize) -> Self {
        // The authors' code makes the matrix in f32 and hands it over in f64.
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
        let (at, fraction) = (position >> 5, (position & 31) as u16);
        Mix {
            positions: (at, at + 1),
            weights: (32 - fraction, fraction),
        }
    }
}

impl Sampling for Warp {
    const DROPPED_BITS: u32 = 0;

    fn extent(&self) -> (i64, i64) {
        self.extent
    }

    fn column(&self, k: usize) -> Mix {
        // Shift and scaled index are rounded apart here, together in rows: so does OpenCV.
        let shift = (self.first.0 * 1024.0).round_ties_even() as i64;
        Self::mix(shift + (self.step.0 * k as f64 * 1024.0).round_ties_even() as i64)
    }

    fn row(&self, k: usize) -> Mix {
        let position = (self.step.1 * k as f64 + self.first.1) * 1024.0;
        Self::mix(position.round_ties_even() as i64)
    }

    fn round(above: i32, below: i32) -> u8 {
        // The products of two 5-bit weights: OpenCV's weights of 15 bits are 32 times these.
        ((above + below + 512) >> 10) as u8
    }
}

/// Where an output pixel comes from along a row: two places of [`Cropper::pixels`] and their weights.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: u32,
    second: u32,
    weights: (u16, u16),
}

/// Three colours in lanes of 21 bits, so that one multiplication weighs all: 255 x 2048 takes 19 bits.
fn spread(rgb: [u8; 3]) -> u64 {
    u64::from(rgb[0]) | u64::from(rgb[1]) << 21 | u64::from(rgb[2]) << 42
}

/// Cuts, pads, resizes and normalises search windows. Its buffers are reused from call to call.
#[derive(Debug, Default)]
pub struct Cropper {
    /// Horizontal taps.
    taps: Vec<Tap>,
    /// The image columns that the taps read, in order; place 0 of `pixels` is the padding, so column `i` of
    /// this list lies at place `i + 1`.
    columns: Vec<u32>,
    /// One source row at those columns.
    pixels: Vec<u64>,
    /// Two source rows after the horizontal pass, three planes each, in 1/128 or 1/32 of a level.
    lines: [Vec<i16>; 2],
    /// One output row, three planes.
    row: Vec<u8>,
}

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
            for (plane, (table, channel)) in normalization
                .tables
                .iter()
                .zip(normalization.channels)
                .enumerate()
            {
                let line = &mut out[plane * plane_len + k * size..][..size];
                for (number, value) in line.iter_mut().zip(&row[channel * size..][..size]) {
                    *number = table[usize::from(*value)];
                }
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
            let (red, rest) = row.split_at(size);
            let (green, blue) = rest.split_at(size);
            let line = out[k * size * 3..][..size * 3].chunks_exact_mut(3);
            for (((pixel, r), g), b) in line.zip(red).zip(green).zip(blue) {
                pixel.copy_from_slice(&[*r, *g, *b]);
            }
        });
    }

    /// Calls `put(k, row)` with every output row, top to bottom: `size` values of R, then of G, then of B.
    fn sample(
        &mut self,
        frame: &Frame<'_>,
        view: &View,
        padding: &Padding,
        size: usize,
        put: impl FnMut(usize, &[u8]),
    ) {
        let color = spread(padding.color);
        match view {
            View::Pixels(window) => {
                let sampling = Resize::new(frame, window, padding, size);
                self.resample(frame, &sampling, color, size, put);
            }
            View::SubPixel(window) => {
                self.resample(frame, &Warp::new(frame, window, size), color, size, put);
            }
        }
    }

    fn resample<S: Sampling>(
        &mut self,
        frame: &Frame<'_>,
        sampling: &S,
        color: u64,
        size: usize,
        mut put: impl FnMut(usize, &[u8]),
    ) {
        let (width, height) = sampling.extent();
        self.prepare(sampling, width, size, color);

        let Self {
            taps,
            columns,
            pixels,
            lines,
            row,
        } = self;
        let [upper, lower] = lines;
        let (mut in_upper, mut in_lower) = (Line::Nothing, Line::Nothing);
        for k in 0..size {
            let Mix { positions, weights } = sampling.row(k);
            let source = |row: i64| {
                if (0..height).contains(&row) {
                    Line::Row(row as u32)
                } else {
                    Line::Padding
                }
            };
            let (wanted_upper, wanted_lower) = (source(positions.0), source(positions.1));
            // Each source row goes through the horizontal pass once: what was the lower line becomes the
            // upper one as the window moves down.
            if in_upper != wanted_upper && in_lower == wanted_upper {
                std::mem::swap(upper, lower);
                std::mem::swap(&mut in_upper, &mut in_lower);
            }
            if in_upper != wanted_upper {
                horizontal_pass::<S>(frame, wanted_upper, columns, pixels, taps, upper);
                in_upper = wanted_upper;
            }
            if in_lower != wanted_lower {
                horizontal_pass::<S>(frame, wanted_lower, columns, pixels, taps, lower);
                in_lower = wanted_lower;
            }
            vertical_pass::<S>(upper, lower, weights, row);
            put(k, row);
        }
    }

    /// Sizes the buffers and finds which image columns the output reads.
    fn prepare<S: Sampling>(&mut self, sampling: &S, width: i64, size: usize, padding: u64) {
        // At most two columns per output pixel, so that later windows never grow a buffer.
        self.columns.clear();
        self.columns.reserve(2 * size);
        self.taps.clear();
        self.taps.reserve(size);
        for k in 0..size {
            let Mix { positions, weights } = sampling.column(k);
            let first = self.place(positions.0, width);
            let second = self.place(positions.1, width);
            self.taps.push(Tap {
                first,
                second,
                weights,
            });
        }
        self.pixels.clear();
        self.pixels.resize(2 * size + 1, padding);
        for line in &mut self.lines {
            line.resize(3 * size, 0);
        }
        self.row.resize(3 * size, 0);
    }

    /// The place in `pixels` of an image column. Columns are asked for in order, or one back.
    fn place(&mut self, column: i64, width: i64) -> u32 {
        if !(0..width).contains(&column) {
            return 0;
        }
        let column = column as u32;
        match self.columns.last() {
            Some(&last) if column <= last => self.columns.len() as u32 - (last - column),
            _ => {
                self.columns.push(column);
                self.columns.len() as u32
            }
        }
    }
}

/// Weighs the columns of a source row into `line`.
fn horizontal_pass<S: Sampling>(
    frame: &Frame<'_>,
    source: Line,
    columns: &[u32],
    pixels: &mut [u64],
    taps: &[Tap],
    line: &mut [i16],
) {
    let padding = pixels[0];
    match source {
        Line::Row(y) => {
            let places = &mut pixels[1..];
            frame.for_each_in_row(y, columns.iter().copied(), |i, rgb| places[i] = spread(rgb));
        }
        Line::Padding | Line::Nothing => pixels.fill(padding),
    }
    let (red, rest) = line.split_at_mut(taps.len());
    let (green, blue) = rest.split_at_mut(taps.len());
    for (((tap, r), g), b) in taps.iter().zip(red).zip(green).zip(blue) {
        let sum = pixels[tap.first as usize] * u64::from(tap.weights.0)
            + pixels[tap.second as usize] * u64::from(tap.weights.1);
        // Without the dropped bits a sum fits 15 bits.
        *r = (sum >> S::DROPPED_BITS & 0x7fff) as i16;
        *g = (sum >> (21 + S::DROPPED_BITS) & 0x7fff) as i16;
        *b = (sum >> (42 + S::DROPPED_BITS) & 0x7fff) as i16;
    }
}

/// Weighs two lines into bytes, with OpenCV's truncations.
fn vertical_pass<S: Sampling>(upper: &[i16], lower: &[i16], weights: (u16, u16), row: &mut [u8]) {
    let (above, below) = (i32::from(weights.0), i32::from(weights.1));
    for ((out, a), b) in row.iter_mut().zip(upper).zip(lower) {
        *out = S::round(above * i32::from(*a), below * i32::from(*b));
    }
}
