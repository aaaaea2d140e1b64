//! From 8-bit pixels to a network's numbers.

use multiversion::multiversion;

use crate::frame::Rgbx;

/// How 8-bit pixels become a network's numbers: `(value / scale - mean) / std` per channel, in `f32` and in
/// this order of operations.
#[derive(Debug, Clone)]
pub struct Normalization {
    planes: [Plane; 3],
    /// Whether to compute each number. Without an instruction that multiplies and adds, looking it up is faster.
    calculates: bool,
}

/// One plane of the tensor.
#[derive(Debug, Clone)]
struct Plane {
    /// Its channel in R, G, B.
    channel: u32,
    /// The number for each 8-bit value.
    table: [f32; 256],
    formula: Formula,
}

/// The same numbers, computed without divisions.
#[derive(Debug, Clone, Copy)]
struct Formula {
    scale: Reciprocal,
    mean: f32,
    std: Reciprocal,
}

/// `1 / divisor` as a sum of two numbers with twice the precision of one. A product with it, rounded once, equals the
/// quotient.
#[derive(Debug, Clone, Copy)]
struct Reciprocal {
    high: f32,
    low: f32,
}

impl Normalization {
    /// `mean` and `std` are in the order of the tensor's planes: B, G, R where `bgr`, else R, G, B.
    pub fn new(bgr: bool, scale: f32, mean: [f32; 3], std: [f32; 3]) -> Self {
        let planes = [0, 1, 2].map(|plane| Plane {
            channel: if bgr { 2 - plane as u32 } else { plane as u32 },
            table: std::array::from_fn(|value| (value as f32 / scale - mean[plane]) / std[plane]),
            formula: Formula {
                scale: Reciprocal::of(scale),
                mean: mean[plane],
                std: Reciprocal::of(std[plane]),
            },
        });
        Self {
            calculates: multiplies_and_adds() && planes.iter().all(Plane::is_exact),
            planes,
        }
    }

    /// The numbers of a row of pixels in a plane of the tensor.
    pub(super) fn apply(&self, plane: usize, row: &[Rgbx], numbers: &mut [f32]) {
        let Plane {
            channel,
            table,
            formula,
        } = &self.planes[plane];
        if self.calculates {
            calculate(formula, *channel, row, numbers);
        } else {
            for (number, pixel) in numbers.iter_mut().zip(row) {
                *number = table[usize::from(pixel[*channel as usize])];
            }
        }
    }
}

impl Plane {
    /// Whether the formula gives the same bits as the table for every value.
    fn is_exact(&self) -> bool {
        let mut values = (0..=u8::MAX).zip(&self.table);
        values.all(|(value, number)| self.formula.of(value).to_bits() == number.to_bits())
    }
}

impl Formula {
    #[inline(always)]
    fn of(&self, value: u8) -> f32 {
        let scaled = self.scale.times(f32::from(value));
        self.std.times(scaled - self.mean)
    }
}

impl Reciprocal {
    fn of(divisor: f32) -> Self {
        let whole = 1.0 / f64::from(divisor);
        let high = whole as f32;
        Self {
            high,
            low: (whole - f64::from(high)) as f32,
        }
    }

    #[inline(always)]
    fn times(self, value: f32) -> f32 {
        value.mul_add(self.high, value * self.low)
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn calculate(formula: &Formula, channel: u32, row: &[Rgbx], numbers: &mut [f32]) {
    for (number, pixel) in numbers.iter_mut().zip(row) {
        // The compiler makes a vector instruction of a shift of the whole pixel, but not of the choice of a byte.
        *number = formula.of((u32::from_le_bytes(*pixel) >> (8 * channel)) as u8);
    }
}

/// Whether the processor computes `a * b + c` in one instruction.
fn multiplies_and_adds() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

#[cfg(test)]
mod tests {
    use super::Normalization;

    #[test]
    fn computed_numbers_equal_those_of_divisions() {
        let row: Vec<_> = (0..=255_u8).map(|v| [v, 255 - v, v / 2, 0]).collect();
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        for (bgr, scale, mean, std) in [
            (false, 255.0, mean, std),
            (true, 255.0, mean, std),
            (
                true,
                1.0,
                [103.53, 116.28, 123.675],
                [57.375, 57.12, 58.395],
            ),
            (false, 1.0, [0.0; 3], [1.0; 3]),
        ] {
            let normalization = Normalization::new(bgr, scale, mean, std);
            let looked_up = Normalization {
                calculates: false,
                ..normalization.clone()
            };
            let calculated = Normalization {
                calculates: true,
                ..normalization
            };
            for plane in 0..3 {
                let channel = if bgr { 2 - plane } else { plane };
                let (mut a, mut b) = ([0.0; 256], [0.0; 256]);
                looked_up.apply(plane, &row, &mut a);
                calculated.apply(plane, &row, &mut b);
                for (pixel, (a, b)) in row.iter().zip(a.into_iter().zip(b)) {
                    let value = f32::from(pixel[channel]);
                    let expected = (value / scale - mean[plane]) / std[plane];
                    assert_eq!(
                        (a.to_bits(), b.to_bits()),
                        (expected.to_bits(), expected.to_bits())
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_that_cannot_be_computed_exactly_are_looked_up() {
        // A reciprocal that is not finite, and one that rounds to zero.
        for std in [0.0, f32::MAX] {
            let normalization = Normalization::new(false, 255.0, [0.5; 3], [std; 3]);
            let mut numbers = [0.0];
            normalization.apply(0, &[[255, 0, 0, 0]], &mut numbers);
            assert_eq!(numbers[0].to_bits(), (0.5 / std).to_bits());
        }
    }
}
