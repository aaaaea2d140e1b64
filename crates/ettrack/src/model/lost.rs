//! The section `lost` of a manifest: weights and thresholds of the target-lost logic.

use serde::{Deserialize, Serialize};

/// Defines [`Weights`] and [`Features`] from one list of features with their default weights.
macro_rules! weights_and_features {
    ($($(#[$doc:meta])* $name:ident = $default:expr,)*) => {
        /// The logistic model of the confidence: `1 / (1 + exp(-(bias + sum of weight x feature)))`.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Weights {
            /// Constant part.
            pub bias: f64,
            $($(#[$doc])* pub $name: f64,)*
        }

        impl Default for Weights {
            fn default() -> Self {
                Self { bias: -8.7, $($name: $default,)* }
            }
        }

        /// What the logistic model weighs. Public so that weights can be fitted to other data: see docs/lost.md.
        #[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
        pub struct Features {
            $($(#[$doc])* pub $name: f64,)*
        }

        impl Features {
            /// The names of [`Features::values`]; the [`Weights`] have the same ones.
            pub const NAMES: [&'static str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

            /// The features in the order of [`Self::NAMES`].
            pub fn values(&self) -> [f64; Self::NAMES.len()] {
                [$(self.$name),*]
            }
        }

        impl Weights {
            /// All weights but the bias, in the order of [`Features::NAMES`].
            pub fn factors(&self) -> [f64; Features::NAMES.len()] {
                [$(self.$name),*]
            }
        }
    };
}

weights_and_features! {
    /// The score's logit, limited to ±6.
    score = 0.3,
    /// The score's logit minus its mean over this target's confident frames, limited to ±6.
    history = 0.34,
    /// The second peak's share of the score, 0..=1.
    second = -1.2,
    /// The spread of the score map, 0..=1.
    spread = 0.0,
    /// The agreement of the neighbouring cells' boxes, 0..=1.
    agreement = 12.0,
    /// ln of the change of size and aspect, 0..=2.
    change = 0.0,
    /// The displacement beyond half a mean target side, in mean target sides, 0..=3. A target or a camera may move by
    /// half a side between two frames, so that much is no evidence against the target.
    displacement = -0.5,
    /// Similarity of the colours in the box and of those of the target in the first frame, 0..=1.
    appearance = 0.0,
}

/// Weights and thresholds of the target-lost logic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LostSettings {
    /// Whether the logic acts. Without it the state is always `tracking` and the authors' loop runs unchanged.
    /// The confidence is computed in both cases.
    pub enabled: bool,
    /// From evidence to confidence.
    pub weights: Weights,
    /// Share of a new frame in the confidence, above 0 to 1; the rest is the confidence before it.
    pub smoothing: f64,
    /// Factor of `smoothing` for a frame that supports the target more than the confidence before it, above 0 to 1. With
    /// less than 1 confidence is lost at once and comes back slowly: after a doubt the box may be on something that
    /// resembles the target.
    pub regain: f64,
    /// A frame whose confidence is below this is reported as lost, even before the search for the target begins; 0: never.
    pub report_below: f64,
    /// A frame whose evidence is below this counts as one without the target.
    pub lost_below: f64,
    /// The search for the target begins after this many frames in a row without it.
    pub lost_after: u32,
    /// Evidence of one frame, in a search region of any size, from which the place is checked in the usual region.
    pub candidate_above: f64,
    /// Evidence of one frame, in the usual search region, from which a lost target may be back.
    pub found_above: f64,
    /// The target is found after this many frames in a row with it, in one place. The first may be a candidate.
    pub found_after: u32,
    /// Share of its motion that a lost target is assumed to keep from frame to frame, 0..=1; 0 keeps the place.
    pub coast: f64,
    /// Each widening multiplies the side of the search region by this.
    pub widen_by: f64,
    /// Number of searches before the next widening.
    pub widen_every: u32,
    /// Side of the widest search region relative to the usual one. After it the search starts again with the usual one.
    pub widen_most: f64,
}

impl Default for LostSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            weights: Weights::default(),
            smoothing: 0.6,
            regain: 1.0,
            report_below: 0.0,
            lost_below: 0.35,
            lost_after: 5,
            candidate_above: 0.04,
            found_above: 0.5,
            found_after: 2,
            coast: 0.9,
            widen_by: 1.4,
            widen_every: 2,
            widen_most: 2.0,
        }
    }
}

impl LostSettings {
    /// Checks the range of each setting.
    ///
    /// # Errors
    /// Key, value and what is expected, for the first setting out of its range.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String, &'static str)> {
        let shares = [
            ("lost.smoothing", self.smoothing),
            ("lost.regain", self.regain),
            ("lost.report_below", self.report_below),
            ("lost.lost_below", self.lost_below),
            ("lost.candidate_above", self.candidate_above),
            ("lost.found_above", self.found_above),
            ("lost.coast", self.coast),
        ];
        for (key, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err((key, value.to_string(), "0..=1"));
            }
        }
        for (key, share) in [shares[0], shares[1]] {
            if share == 0.0 {
                return Err((key, "0".to_owned(), "more than 0"));
            }
        }
        let counts = [
            ("lost.lost_after", self.lost_after),
            ("lost.found_after", self.found_after),
            ("lost.widen_every", self.widen_every),
        ];
        for (key, value) in counts {
            if !(1..=1000).contains(&value) {
                return Err((key, value.to_string(), "1..=1000"));
            }
        }
        if !(1.01..=8.0).contains(&self.widen_by) {
            return Err(("lost.widen_by", self.widen_by.to_string(), "1.01..=8"));
        }
        if !(1.0..=8.0).contains(&self.widen_most) {
            return Err(("lost.widen_most", self.widen_most.to_string(), "1..=8"));
        }
        let mut weights = [self.weights.bias]
            .into_iter()
            .chain(self.weights.factors());
        if let Some(weight) = weights.find(|weight| !weight.is_finite()) {
            return Err(("lost.weights", weight.to_string(), "finite numbers"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Features, LostSettings};

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        #[derive(serde::Deserialize)]
        struct Documented {
            lost: LostSettings,
        }
        let text = include_str!("../../../../docs/lost.md");
        let block = text
            .split("```yaml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .expect("a block of YAML");
        let documented: Documented = serde_yaml::from_str(block).expect("settings");
        assert_eq!(documented.lost, LostSettings::default());
        assert_eq!(block.lines().count(), 1 + 14, "each setting is documented");
        for name in Features::NAMES {
            assert!(text.contains(&format!("| `{name}` |")), "{name}");
        }
        assert!(LostSettings::default().check().is_ok());
    }
}
