//! The passes over whole rows: plain loops that the compiler turns into vector instructions. AVX2 is used if the
//! processor has it, which is found out at run time, else the instructions that every processor of its kind has. Whether
//! the compiler does so depends on the exact form of a loop: measure changes with `cargo bench`.

use multiversion::{multiversion, target::match_target};

use super::prefetch::Ahead;
use crate::frame::Rgbx;

/// Low bits of `resize`'s horizontal sum that are dropped before the vertical pass, so that the sum fits 15 bits.
const DROPPED_BITS: u32 = 4;

/// Bits of `warpAffine`'s sum below one level: five of a row's weights and five of a column's.
const SUM_BITS: u32 = 10;
const HALF: i32 = 1 << (SUM_BITS - 1);

/// R, G, B and a zero of each of two pixels; they fill a vector register.
pub(super) type Pair<T> = [T; 8];

/// The source pixels of two output pixels along a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taps {
    /// For each output pixel, the first of its two neighbouring source pixels.
    places: [u32; 2],
    /// Weights of the first neighbour's values, each followed by the weight of the second neighbour's value.
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

    /// For each output pixel, the first of its two neighbouring source pixels.
    pub fn places(&self) -> [usize; 2] {
        self.places.map(|place| place as usize)
    }

    /// The same for source pixels that are counted from `by` pixels later on.
    pub fn earlier(&self, by: usize) -> Self {
        Self {
            places: self.places.map(|place| place - by as u32),
            ..*self
        }
    }

    /// The weighted sums of neighbouring values. They lie side by side, so that one instruction multiplies and adds them.
    #[inline(always)]
    fn sums(&self, values: &[i16; 16]) -> [i32; 8] {
        let product = |k: usize| i32::from(values[k]) * i32::from(self.weights[k]);
        std::array::from_fn(|i| product(2 * i) + product(2 * i + 1))
    }
}

/// Writes the weighted sums of a source row's pixels into `line`, with the weights in `taps`.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn horizontal(pixels: &[Rgbx], taps: &[Taps], line: &mut [Pair<i16>]) {
    for (taps, sums) in taps.iter().zip(line) {
        let mut values = [0; 16];
        for (place, values) in taps.places.iter().zip(values.chunks_exact_mut(8)) {
            let neighbours = &pixels[*place as usize..][..2];
            for c in 0..4 {
                values[2 * c] = i16::from(neighbours[0][c]);
                values[2 * c + 1] = i16::from(neighbours[1][c]);
            }
        }
        *sums = taps.sums(&values).map(|sum| (sum >> DROPPED_BITS) as i16);
    }
}

/// Interpolates between two source rows with `weights`, and along them with `taps`. A pixel has `N` bytes, three or four,
/// with red at `R` and blue at `2 - R`. One byte after the last pixel may be read.
///
/// `next` are the source rows of a later call, whose pixels are loaded from memory during this call.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn bilinear<const N: usize, const R: usize>(
    rows: [&[u8]; 2],
    (next, ahead): ([&[u8]; 2], Ahead),
    weights: (i16, i16),
    taps: &[Taps],
    row: &mut [Pair<u8>],
) {
    let mut loaded = taps.first().map_or(0, |taps| taps.places[0] as usize * N);
    for (taps, out) in taps.iter().zip(row) {
        loaded = ahead.load(next, loaded, taps.places[1] as usize * N + 2 * N);
        *out = match_target! {
            "x86_64+avx2" => avx2::mixed::<N, R>(rows, weights, taps),
            _ => plain::<N, R>(rows, weights, taps),
        };
    }
}

/// What every processor of its kind can do.
#[cfg_attr(target_arch = "aarch64", allow(unsafe_code))]
#[inline(always)]
fn plain<const N: usize, const R: usize>(
    rows: [&[u8]; 2],
    weights: (i16, i16),
    taps: &Taps,
) -> Pair<u8> {
    // SAFETY: NEON is part of every 64-bit ARM target.
    #[cfg(target_arch = "aarch64")]
    return unsafe { neon::mixed::<N, R>(rows, weights, taps) };
    #[cfg(not(target_arch = "aarch64"))]
    mixed::<N, R>(rows, weights, taps)
}

/// The bytes of two output pixels.
#[cfg_attr(all(target_arch = "aarch64", not(test)), expect(dead_code))]
#[inline(always)]
fn mixed<const N: usize, const R: usize>(
    rows: [&[u8]; 2],
    weights: (i16, i16),
    taps: &Taps,
) -> Pair<u8> {
    let mut values = [0; 16];
    for (place, values) in taps.places.iter().zip(values.chunks_exact_mut(8)) {
        let [upper, lower] = rows.map(|row| &row[*place as usize * N..][..N + 3]);
        for (c, from) in [R, 1, 2 - R].into_iter().enumerate() {
            for (k, at) in [from, from + N].into_iter().enumerate() {
                values[2 * c + k] =
                    i16::from(upper[at]) * weights.0 + i16::from(lower[at]) * weights.1;
            }
        }
    }
    taps.sums(&values)
        .map(|sum| ((sum + HALF) >> SUM_BITS) as u8)
}

/// Two pixels, and two more bytes if a pixel has three.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn eight(row: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&row[at..][..8]);
    u64::from_le_bytes(bytes)
}

/// The same with NEON, which every 64-bit ARM processor has: the compiler makes no vector instructions of the loop.
#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::{
        uint16x4_t, vcombine_u16, vcreate_u8, vdup_n_u8, vextq_u16, vget_lane_u64, vget_low_u16,
        vmlal_n_u16, vmlal_u8, vmovn_u16, vmull_n_u16, vmull_u8, vreinterpret_u64_u8, vrshrn_n_u32,
        vtbl1_u8,
    };

    use super::{Pair, SUM_BITS, Taps, eight};

    #[inline]
    #[target_feature(enable = "neon")]
    pub fn mixed<const N: usize, const R: usize>(
        rows: [&[u8]; 2],
        weights: (i16, i16),
        taps: &Taps,
    ) -> Pair<u8> {
        let one = |k: usize| -> uint16x4_t {
            let at = taps.places[k] as usize * N;
            let [upper, lower] = rows.map(|row| vcreate_u8(eight(row, at)));
            // Weights of rows are 0 to 32, so a sum has 13 bits.
            let values = vmull_u8(upper, vdup_n_u8(weights.0 as u8));
            let values = vmlal_u8(values, lower, vdup_n_u8(weights.1 as u8));
            let next = match N {
                3 => vextq_u16::<3>(values, values),
                _ => vextq_u16::<4>(values, values),
            };
            let [first, second] = [0, 1].map(|of| taps.weights[8 * k + of] as u16);
            let sums = vmull_n_u16(vget_low_u16(values), first);
            let sums = vmlal_n_u16(sums, vget_low_u16(next), second);
            // Rounds as adding `HALF` does.
            vrshrn_n_u32::<{ SUM_BITS as i32 }>(sums)
        };
        let bytes = vmovn_u16(vcombine_u16(one(0), one(1)));
        // R, G, B and a zero, which a place outside gives.
        let [red, blue] = [R as u8, 2 - R as u8];
        let order = [red, 1, blue, 255, 4 + red, 5, 4 + blue, 255];
        let ordered = vtbl1_u8(bytes, vcreate_u8(u64::from_le_bytes(order)));
        vget_lane_u64::<0>(vreinterpret_u64_u8(ordered)).to_le_bytes()
    }
}

/// The same with instructions chosen by hand: the compiler needs four times as many for the sums of products.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_cvtsi128_si64, _mm_packus_epi16, _mm_packus_epi32, _mm_set_epi64x,
        _mm_unpackhi_epi8, _mm_unpacklo_epi8, _mm256_add_epi32, _mm256_castsi256_si128,
        _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set_m128i,
        _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi8, _mm256_setr_epi16,
        _mm256_shuffle_epi8, _mm256_srli_epi32,
    };

    use super::{HALF, Pair, SUM_BITS, Taps, eight};

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn mixed<const N: usize, const R: usize>(
        rows: [&[u8]; 2],
        weights: (i16, i16),
        taps: &Taps,
    ) -> Pair<u8> {
        let [a, b] = [0, 1].map(|k| taps.places[k] as usize * N);
        let eight = |row, at| eight(row, at) as i64;
        let upper = _mm_set_epi64x(eight(rows[0], b), eight(rows[0], a));
        let lower = _mm_set_epi64x(eight(rows[1], b), eight(rows[1], a));
        // Bytes of both rows side by side, one output pixel in each half.
        let bytes = _mm256_set_m128i(
            _mm_unpackhi_epi8(upper, lower),
            _mm_unpacklo_epi8(upper, lower),
        );
        let values = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(weights.0 | weights.1 << 8));
        let values = _mm256_shuffle_epi8(values, side_by_side::<N, R>());
        let sums = _mm256_madd_epi16(values, vector(&taps.weights));
        let sums = _mm256_add_epi32(sums, _mm256_set1_epi32(HALF));
        let levels = _mm256_srli_epi32::<{ SUM_BITS as i32 }>(sums);
        let (first, second) = (
            _mm256_castsi256_si128(levels),
            _mm256_extracti128_si256::<1>(levels),
        );
        let words = _mm_packus_epi32(first, second);
        _mm_cvtsi128_si64(_mm_packus_epi16(words, words)).to_le_bytes()
    }

    /// The order in which the values of each channel of two neighbouring pixels lie side by side: R, G, B and zero.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn side_by_side<const N: usize, const R: usize>() -> __m256i {
        let word = |value: usize| [2 * value as i8, 2 * value as i8 + 1];
        let [[r0, r1], [g0, g1], [b0, b1]] = [R, 1, 2 - R].map(word);
        let [[r2, r3], [g2, g3], [b2, b3]] = [R + N, 1 + N, 2 - R + N].map(word);
        #[rustfmt::skip]
        let order = _mm256_setr_epi8(
            r0, r1, r2, r3, g0, g1, g2, g3, b0, b1, b2, b3, -1, -1, -1, -1,
            r0, r1, r2, r3, g0, g1, g2, g3, b0, b1, b2, b3, -1, -1, -1, -1,
        );
        order
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

/// Writes the weighted sum of two lines as bytes, truncated as OpenCV does.
#[multiversion(targets("x86_64+avx2"))]
pub(super) fn vertical(
    upper: &[Pair<i16>],
    lower: &[Pair<i16>],
    weights: (i16, i16),
    row: &mut [Pair<u8>],
) {
    let (upper, lower) = (upper.as_flattened(), lower.as_flattened());
    let high = |sum: i16, weight: i16| ((i32::from(sum) * i32::from(weight)) >> 16) as i16;
    for ((out, above), below) in row.as_flattened_mut().iter_mut().zip(upper).zip(lower) {
        *out = ((high(*above, weights.0) + high(*below, weights.1) + 2) >> 2) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::{Ahead, Pair, Taps, bilinear, mixed};

    fn the_processors_own_instructions_give_the_same_bytes<const N: usize, const R: usize>() {
        let mut random = 1_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        let rows = [(); 2].map(|()| -> Vec<_> { (0..40 * N).map(|_| next(256) as u8).collect() });
        let mut taps = vec![Taps::default(); 200];
        for taps in &mut taps {
            for k in 0..2 {
                let second = next(33) as i16;
                taps.set(k, next(38), (32 - second, second));
            }
        }
        let mut row: Vec<Pair<u8>> = vec![[0; 8]; taps.len()];
        for below in 0..=32 {
            let weights = (32 - below, below);
            let rows = [&rows[0][..], &rows[1]];
            bilinear::<N, R>(rows, (rows, Ahead::Near), weights, &taps, &mut row);
            for (out, taps) in row.iter().zip(&taps) {
                assert_eq!(*out, mixed::<N, R>(rows, weights, taps));
            }
            assert!(row.as_flattened().iter().any(|byte| *byte > 200));
        }
    }

    #[test]
    fn vector_instructions_give_the_same_bytes_for_every_layout() {
        the_processors_own_instructions_give_the_same_bytes::<3, 0>();
        the_processors_own_instructions_give_the_same_bytes::<3, 2>();
        the_processors_own_instructions_give_the_same_bytes::<4, 0>();
        the_processors_own_instructions_give_the_same_bytes::<4, 2>();
    }
}
