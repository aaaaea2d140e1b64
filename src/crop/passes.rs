//! The two passes of a resize over whole rows, as plain loops that the compiler makes vector instructions of: those of
//! AVX2 where the processor has it, found at run time, else those every processor of its kind has. Whether it does is
//! a matter of their exact form: `cargo bench` tells.

use multiversion::{multiversion, target::match_target};

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
        *out = match_target! {
            "x86_64+avx2" => avx2::finished(mixed, taps),
            _ => finished(mixed, taps),
        };
    }
}

/// The bytes of two output pixels.
#[inline(always)]
fn finished(mixed: &[[i16; 4]], taps: &Taps) -> Pair<u8> {
    weigh(mixed, taps).map(|sum| ((sum + HALF) >> SUM_BITS) as u8)
}

/// The same in instructions chosen by hand: of 16-bit products and their sums the compiler makes four times as many.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_cvtsi128_si64, _mm_packus_epi16, _mm_packus_epi32, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_set1_epi32,
        _mm256_setr_epi8, _mm256_setr_epi16, _mm256_shuffle_epi8, _mm256_srli_epi32,
    };

    use super::{HALF, Pair, SUM_BITS, Taps};

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn finished(mixed: &[[i16; 4]], taps: &Taps) -> Pair<u8> {
        let a = &mixed[taps.places[0] as usize..][..2];
        let b = &mixed[taps.places[1] as usize..][..2];
        let mut values = [0; 16];
        values[..8].copy_from_slice(a.as_flattened());
        values[8..].copy_from_slice(b.as_flattened());
        let sums = _mm256_madd_epi16(side_by_side(vector(&values)), vector(&taps.weights));
        let sums = _mm256_add_epi32(sums, _mm256_set1_epi32(HALF));
        let levels = _mm256_srli_epi32::<{ SUM_BITS as i32 }>(sums);
        let (first, second) = (
            _mm256_castsi256_si128(levels),
            _mm256_extracti128_si256::<1>(levels),
        );
        let words = _mm_packus_epi32(first, second);
        _mm_cvtsi128_si64(_mm_packus_epi16(words, words)).to_le_bytes()
    }

    /// Of two neighbouring pixels in each half, the values of each channel side by side.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn side_by_side(pixels: __m256i) -> __m256i {
        #[rustfmt::skip]
        let order = _mm256_setr_epi8(
            0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
            0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
        );
        _mm256_shuffle_epi8(pixels, order)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn vector(v: &[i16; 16]) -> __m256i {
        _mm256_setr_epi16(
            v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12], v[13],
            v[14], v[15],
        )
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

#[cfg(test)]
mod tests {
    use super::{Pair, Taps, finish, finished};

    #[test]
    fn the_processors_own_instructions_give_the_same_bytes() {
        let mut random = 1_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        // Sums of weights 32 of a row, and 512 of a column.
        let mixed: Vec<_> = (0..40)
            .map(|_| [(); 4].map(|()| (next(256) * 32) as i16))
            .collect();
        let mut taps = vec![Taps::default(); 200];
        for taps in &mut taps {
            for k in 0..2 {
                let second = 16 * next(33) as i16;
                taps.set(k, next(39), (512 - second, second));
            }
        }
        let mut row: Vec<Pair<u8>> = vec![[0; 8]; taps.len()];
        finish(&mixed, &taps, &mut row);
        for (out, taps) in row.iter().zip(&taps) {
            assert_eq!(*out, finished(&mixed, taps));
        }
        assert!(row.as_flattened().iter().any(|byte| *byte > 250));
    }
}
