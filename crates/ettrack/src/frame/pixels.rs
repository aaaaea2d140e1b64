//! Reads pixels of every encoding as R, G, B, one run of a row at a time.
//!
//! The loops have no branches, so that the compiler turns them into vector instructions. AVX2 is used if the processor
//! has it, which is found out at run time.

use multiversion::multiversion;

use super::{Encoding, Frame};

/// R, G, B and a zero: four bytes fill one lane of a vector.
pub(crate) type Rgbx = [u8; 4];

/// Reads `out.len()` pixels of row `y` from column `first` on; all lie inside the image.
///
/// `first` is even, because pairs of pixels with common chroma, and tiles of a Bayer mosaic, begin at even columns.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn read(frame: &Frame<'_>, y: u32, first: u32, out: &mut [Rgbx]) {
    assert!(first.is_multiple_of(2), "a run begins at an even column");
    if out.is_empty() {
        return;
    }
    let row = frame.stored_row(y as usize);
    let first = first as usize;
    match frame.encoding {
        Encoding::Rgb8 => each_of_3::<0, 2>(&row[first * 3..], out),
        Encoding::Bgr8 => each_of_3::<2, 0>(&row[first * 3..], out),
        Encoding::Rgba8 => each(&row[first * 4..], out, |[r, g, b, _]| [r, g, b, 0]),
        Encoding::Bgra8 => each(&row[first * 4..], out, |[b, g, r, _]| [r, g, b, 0]),
        Encoding::Mono8 => each(&row[first..], out, |[v]| [v, v, v, 0]),
        Encoding::Mono16 => {
            let row = &row[first * 2..];
            match frame.levels {
                None | Some((0, u16::MAX)) => each_16(row, frame.big_endian, out, grey16),
                Some(levels) => {
                    let levels = Levels16::new(levels);
                    each_16(row, frame.big_endian, out, |value| levels.grey(value));
                }
            }
        }
        Encoding::Uyvy => {
            let (pairs, _) = row[first * 2..].as_chunks();
            each_pair(pairs.iter().map(|&[u, y0, v, y1]| [y0, y1, u, v]), out);
        }
        Encoding::Yuyv => {
            let (pairs, _) = row[first * 2..].as_chunks();
            each_pair(pairs.iter().map(|&[y0, u, y1, v]| [y0, y1, u, v]), out);
        }
        Encoding::Nv12 | Encoding::Nv21 => {
            let chroma = frame.stored_row(frame.height as usize + y as usize / 2);
            let (luma, _) = row[first..].as_chunks();
            let (chroma, _) = chroma[first..].as_chunks();
            let pairs = luma.iter().zip(chroma);
            if frame.encoding == Encoding::Nv12 {
                each_pair(pairs.map(|(&[y0, y1], &[u, v])| [y0, y1, u, v]), out);
            } else {
                each_pair(pairs.map(|(&[y0, y1], &[v, u])| [y0, y1, u, v]), out);
            }
        }
        Encoding::BayerRggb8 => bayer(frame, y, first, (0, 0), out),
        Encoding::BayerBggr8 => bayer(frame, y, first, (1, 1), out),
        Encoding::BayerGbrg8 => bayer(frame, y, first, (0, 1), out),
        Encoding::BayerGrbg8 => bayer(frame, y, first, (1, 0), out),
    }
}

/// Pixels of `N` bytes.
#[inline(always)]
fn each<const N: usize>(row: &[u8], out: &mut [Rgbx], pixel: impl Fn([u8; N]) -> Rgbx) {
    let (pixels, _) = row.as_chunks();
    for (out, &bytes) in out.iter_mut().zip(pixels) {
        *out = pixel(bytes);
    }
}

/// Pixels of 3 bytes, red at `R` and blue at `B`, four at a time to fill a vector.
#[inline(always)]
fn each_of_3<const R: usize, const B: usize>(row: &[u8], out: &mut [Rgbx]) {
    let (fours, rest) = out.as_chunks_mut::<4>();
    let (twelves, _) = row.as_chunks::<12>();
    for (out, p) in fours.iter_mut().zip(twelves) {
        *out = [
            [p[R], p[1], p[B], 0],
            [p[3 + R], p[4], p[3 + B], 0],
            [p[6 + R], p[7], p[6 + B], 0],
            [p[9 + R], p[10], p[9 + B], 0],
        ];
    }
    each(&row[fours.len() * 12..], rest, |p: [u8; 3]| {
        [p[R], p[1], p[B], 0]
    });
}

/// Values of 16 bits in either byte order.
#[inline(always)]
fn each_16(row: &[u8], big_endian: bool, out: &mut [Rgbx], pixel: impl Fn(u16) -> Rgbx) {
    if big_endian {
        each(row, out, |bytes| pixel(u16::from_be_bytes(bytes)));
    } else {
        each(row, out, |bytes| pixel(u16::from_le_bytes(bytes)));
    }
}

/// Scales 65535 to 255, as cv_bridge does.
#[inline(always)]
fn grey16(value: u16) -> Rgbx {
    let value = ((u32::from(value) + 128) / 257) as u8;
    [value, value, value, 0]
}

/// Values of 16 bits as greys: black becomes 0 and white 255, in between rounded.
struct Levels16 {
    black: u16,
    span: u32,
    /// 255 / span as a fraction of 2^24.
    scale: u64,
}

impl Levels16 {
    const SHIFT: u32 = 24;

    fn new((black, white): (u16, u16)) -> Self {
        let span = u32::from(white.saturating_sub(black)).max(1);
        let scale = (255_u64 << Self::SHIFT).div_ceil(u64::from(span));
        Self { black, span, scale }
    }

    #[inline(always)]
    fn grey(&self, value: u16) -> Rgbx {
        let above = u32::from(value.saturating_sub(self.black)).min(self.span);
        let value =
            ((u64::from(above) * self.scale + (1 << (Self::SHIFT - 1))) >> Self::SHIFT) as u8;
        [value, value, value, 0]
    }
}

/// Pairs of pixels as two luminances, U and V. Of the last pair, only the first pixel may be needed.
#[inline(always)]
fn each_pair(mut pairs: impl Iterator<Item = [u8; 4]>, out: &mut [Rgbx]) {
    let (whole, rest) = out.as_chunks_mut();
    for (out, [y0, y1, u, v]) in whole.iter_mut().zip(&mut pairs) {
        *out = [yuv_to_rgb(y0, u, v), yuv_to_rgb(y1, u, v)];
    }
    for (out, [y0, _, u, v]) in rest.iter_mut().zip(pairs) {
        *out = yuv_to_rgb(y0, u, v);
    }
}

/// BT.601, limited range, in OpenCV's 20-bit fixed point.
#[inline(always)]
fn yuv_to_rgb(y: u8, u: u8, v: u8) -> Rgbx {
    const SHIFT: i32 = 20;
    const ROUND: i32 = 1 << (SHIFT - 1);
    let luma = (i32::from(y) - 16).max(0) * 1_220_542;
    let u = i32::from(u) - 128;
    let v = i32::from(v) - 128;
    let byte = |sum: i32| ((luma + ROUND + sum) >> SHIFT).clamp(0, 255) as u8;
    [
        byte(1_673_527 * v),
        byte(-852_492 * v - 409_993 * u),
        byte(2_116_026 * u),
        0,
    ]
}

/// Bilinear demosaicing. The outermost pixels repeat their inner neighbours, as in OpenCV.
///
/// `red` is the parity of the column and of the row that hold red.
#[inline(always)]
fn bayer(frame: &Frame<'_>, y: u32, first: usize, red: (usize, usize), out: &mut [Rgbx]) {
    let y = y.clamp(1, frame.height - 2) as usize;
    let rows = [y - 1, y, y + 1].map(|row| frame.stored_row(row));
    // Every row holds green and one of red and blue.
    match (y % 2 == red.1, red.0 == 0) {
        (true, true) => mosaic_row::<true, true>(rows, first, out),
        (true, false) => mosaic_row::<true, false>(rows, first, out),
        (false, true) => mosaic_row::<false, false>(rows, first, out),
        (false, false) => mosaic_row::<false, true>(rows, first, out),
    }
}

/// Demosaics the middle one of three rows from column `first` on. `RED`: the row holds red and not blue. `EVEN`: in the
/// even columns.
#[inline(always)]
fn mosaic_row<const RED: bool, const EVEN: bool>(rows: [&[u8]; 3], first: usize, out: &mut [Rgbx]) {
    let last = rows[1].len() - 1;
    let count = out.len();
    // Pairs of pixels that have neighbours on both sides.
    let skipped = usize::from(first == 0);
    let (pairs, _) = out.as_chunks_mut();
    let end = pairs.len().min((last - first) / 2);
    if skipped < end {
        let pairs = &mut pairs[skipped..end];
        let rows = rows.map(|row| &row[first + 2 * skipped - 1..=first + 2 * end]);
        mosaic_pairs::<RED, EVEN>(rows, pairs);
    }
    for i in (0..count.min(2 * skipped)).chain(2 * end..count) {
        let x = (first + i).clamp(1, last - 1);
        let rows = rows.map(|row| &row[x - 1..=x + 1]);
        out[i] = demosaic::<RED>(rows, 1, x.is_multiple_of(2) == EVEN);
    }
}

/// Demosaics pairs of pixels whose first one is in an even column, with the cells to their left and right.
#[multiversion(targets("x86_64+avx2"))]
fn mosaic_pairs<const RED: bool, const EVEN: bool>(rows: [&[u8]; 3], pairs: &mut [[Rgbx; 2]]) {
    let [above, row, below] = rows.map(|row| &row[..2 * pairs.len() + 2]);
    let above = above.windows(4).step_by(2);
    let row = row.windows(4).step_by(2);
    let below = below.windows(4).step_by(2);
    for (((out, above), row), below) in pairs.iter_mut().zip(above).zip(row).zip(below) {
        let rows = [above, row, below];
        *out = [
            demosaic::<RED>(rows, 1, EVEN),
            demosaic::<RED>(rows, 2, !EVEN),
        ];
    }
}

/// The pixel at `x` of the middle one of three rows. `RED`: the row holds red and not blue beside green. `is_own`: the
/// cell at `x` holds that colour and not green.
#[inline(always)]
fn demosaic<const RED: bool>([above, row, below]: [&[u8]; 3], x: usize, is_own: bool) -> Rgbx {
    let half = |a: u8, b: u8| ((u16::from(a) + u16::from(b) + 1) >> 1) as u8;
    let quarter = |a: u8, b: u8, c: u8, d: u8| {
        ((u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d) + 2) >> 2) as u8
    };
    let (left, right) = (x - 1, x + 1);
    let [own, green, other] = if is_own {
        [
            row[x],
            quarter(above[x], below[x], row[left], row[right]),
            quarter(above[left], above[right], below[left], below[right]),
        ]
    } else {
        // The row's colour is to the left and right, the other one above and below.
        [
            half(row[left], row[right]),
            row[x],
            half(above[x], below[x]),
        ]
    };
    if RED {
        [own, green, other, 0]
    } else {
        [other, green, own, 0]
    }
}
