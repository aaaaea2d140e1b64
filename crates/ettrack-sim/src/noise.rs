//! Random numbers and smooth noise from a seed; the same in every run.

/// The random number generator SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

/// Hash of a 64-bit number.
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The upper bits of a number as a value in 0..1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        unit(mix(self.0))
    }

    /// Uniform between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

fn lattice(seed: u64, x: i64, y: i64) -> f64 {
    let key = (x as u64).wrapping_mul(0x8da6_b343) ^ (y as u64).wrapping_mul(0xd816_3841);
    unit(mix(seed ^ key))
}

/// Smooth noise of wavelength 1, 0..1. With `period`, it repeats after that many units.
pub(super) fn value(seed: u64, x: f64, y: f64, period: Option<i64>) -> f64 {
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = (x - x0, y - y0);
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    let wrap = |i: i64| period.map_or(i, |period| i.rem_euclid(period));
    let at = |dx: i64, dy: i64| lattice(seed, wrap(x0 as i64 + dx), wrap(y0 as i64 + dy));
    let (sx, sy) = (smooth(fx), smooth(fy));
    let top = at(0, 0) + (at(1, 0) - at(0, 0)) * sx;
    let bottom = at(0, 1) + (at(1, 1) - at(0, 1)) * sx;
    top + (bottom - top) * sy
}

/// Noise of several wavelengths, each half as long and half as strong as the one before; 0..1.
pub(super) fn fractal(seed: u64, x: f64, y: f64, octaves: u32, period: Option<i64>) -> f64 {
    let (mut sum, mut weight, mut total, mut scale) = (0.0, 1.0, 0.0, 1_i64);
    for octave in 0..octaves {
        let inner = period.map(|period| period * scale);
        let stretch = scale as f64;
        sum += weight * value(seed + u64::from(octave), x * stretch, y * stretch, inner);
        total += weight;
        weight *= 0.5;
        scale *= 2;
    }
    sum / total
}
