//! The interval of a mean over targets: percentiles of the bootstrap (Efron, 1979) over targets.
//!
//! A tracker often follows a target to the end or loses it completely. So a mean over a few dozen targets depends on the
//! choice of the targets. The interval contains the means of 95 % of the sets that are drawn from the targets with
//! replacement.

/// Number of sets that are drawn.
const DRAWS: usize = 10_000;

/// Share of the drawn means below the interval. The share above it is the same.
const TAIL: f64 = 0.025;

/// A mean, and the interval that contains 95 % of the means of drawn sets.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// Mean of all values.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Returns the interval of the mean of `values`, one value per target; `None` if there are no values. The same values
    /// give the same interval in every run and on every machine.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let mut random = SplitMix(0);
        let mut means: Vec<f64> = (0..DRAWS)
            .map(|_| (0..count).map(|_| values[random.below(count)]).sum::<f64>() / count as f64)
            .collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| means[(share * (DRAWS - 1) as f64).round() as usize];
        Some(Self {
            mean,
            low: at(TAIL),
            high: at(1.0 - TAIL),
        })
    }

    /// Whether zero is outside the interval.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014). It needs few lines and gives the same numbers on every machine.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `count` - 1, all with the same probability.
    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Interval;

    #[test]
    fn the_interval_of_a_normal_sample_is_that_of_the_mean() {
        // 0.5 +- 0.1, spread evenly: the standard error is 0.1 / sqrt(3) / sqrt(count).
        let count = 400;
        let values: Vec<f64> = (0..count)
            .map(|k| 0.4 + 0.2 * (f64::from(k) + 0.5) / f64::from(count))
            .collect();
        let interval = Interval::of(&values).expect("there are values");
        let error = 0.1 / 3.0_f64.sqrt() / f64::from(count).sqrt();
        assert!((interval.mean - 0.5).abs() < 1e-9);
        assert!(
            (interval.low - (0.5 - 1.96 * error)).abs() < 0.1 * error,
            "{interval:?}"
        );
        assert!(
            (interval.high - (0.5 + 1.96 * error)).abs() < 0.1 * error,
            "{interval:?}"
        );
        assert!(interval.excludes_zero());
    }

    #[test]
    fn the_same_values_give_the_same_interval() {
        let values = [0.1, -0.3, 0.2, 0.05, -0.01];
        assert_eq!(Interval::of(&values), Interval::of(&values));
        let interval = Interval::of(&values).expect("there are values");
        assert!(interval.low < interval.mean && interval.mean < interval.high);
        assert!(!interval.excludes_zero(), "{interval:?}");
    }

    #[test]
    fn no_value_gives_no_interval_and_one_gives_itself() {
        assert_eq!(Interval::of(&[]), None);
        let alone = Interval {
            mean: 0.7,
            low: 0.7,
            high: 0.7,
        };
        assert_eq!(Interval::of(&[0.7]), Some(alone));
    }
}
