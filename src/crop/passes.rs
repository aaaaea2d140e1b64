//! The two passes of a resize over whole rows, as plain loops that the compiler makes vector instructions of: those of
//! AVX2 where the processor has it, found at run time, else those every processor of its kind has. Whether it does is
//! a matter of their exact form: `cargo bench` tells.

use multiversion::multiversion;

use super::sampling::Sampling;
use crate::frame::Rgbx;

/// Bits of a horizontal sum that the vertical pass does not see; without them it fits 15 bits.
pub(super) const DROPPED_BITS: u32 = 4;

/// Bits of a sum of both passes below one level: five of a row's weights, five of a column's and those above.
const SUM_BITS: u32 = 10 + DROPPED_BITS;
const HALF: i32 = 1 << (SUM_BITS - 1);

/// R, G, B and a zero of two pixels, a vector's worth.
pub(super) type Pair<T> = [T; 8];

/// Where two output pixels come from along a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taps {
    /// Of either one, the first of the two neighbouring pixels that it mixes.
    places: [u32; 2],
    /// Weights of the first neighbours' values, each followed by that of the second's.
    weights: [i16; 16],
}

impl Taps {
    /// Sets output pixel `k`, 0 or 1.
    pub fn set(&mut self, k: usize, place: u32, weights: (i16, i16)) {
        self.places[k] = place;
        for pair in self.weights[8 * k..][..8].chunks_exact_mut(2) {
            pair.copy_from_slice(&[weights.0, weights.1]);
        }
    }
}

/// Weighs the pixels of a source row into `line`, as `taps` say.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn horizontal(pixels: &[Rgbx], taps: &[Taps], line: &mut [Pair<i16>]) {
    for (taps, sums) in taps.iter().zip(line) {
        let weighed = weigh(pixels, taps);
        for (sum, weighed) in sums.iter_mut().zip(weighed) {
            *sum = (weighed >> DROPPED_BITS) as i16;
        }
    }
}

/// The sums of neighbours that `taps` say, of two output pixels.
#[inline(always)]
fn weigh<T: Copy + Default + Into<i32>>(row: &[[T; 4]], taps: &Taps) -> [i32; 8] {
    let a = &row[taps.places[0] as usize..][..2];
    let b = &row[taps.places[1] as usize..][..2];
    // Neighbours side by side: one instruction multiplies and adds them.
    let mut values = [T::default(); 16];
    for c in 0..4 {
        values[2 * c] = a[0][c];
        values[2 * c + 1] = a[1][c];
        values[2 * c + 8] = b[0][c];
        values[2 * c + 9] = b[1][c];
    }
    let product = |k: usize| values[k].into() * i32::from(taps.weights[k]);
    std::array::from_fn(|i| product(2 * i) + product(2 * i + 1))
}

/// Weighs two source rows into `mixed`, without rounding.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn mix(upper: &[Rgbx], lower: &[Rgbx], weights: (i16, i16), mixed: &mut [[i16; 4]]) {
    let (upper, lower) = (upper.as_flattened(), lower.as_flattened());
    for ((sum, above), below) in mixed.as_flattened_mut().iter_mut().zip(upper).zip(lower) {
        *sum = i16::from(*above) * weights.0 + i16::from(*below) * weights.1;
    }
}

/// Weighs the pixels of a mixed row into bytes, as `taps` say.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn finish(mixed: &[[i16; 4]], taps: &[Taps], row: &mut [Pair<u8>]) {
    for (taps, out) in taps.iter().zip(row) {
        for (out, weighed) in out.iter_mut().zip(weigh(mixed, taps)) {
            *out = ((weighed + HALF) >> SUM_BITS) as u8;
        }
    }
}

/// Weighs two lines into bytes, with OpenCV's truncations.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn vertical<S: Sampling>(
    upper: &[Pair<i16>],
    lower: &[Pair<i16>],
    weights: (i16, i16),
    row: &mut [Pair<u8>],
) {
    let (upper, lower) = (upper.as_flattened(), lower.as_flattened());
    for ((out, above), below) in row.as_flattened_mut().iter_mut().zip(upper).zip(lower) {
        *out = S::blend((*above, *below), weights);
    }
}
