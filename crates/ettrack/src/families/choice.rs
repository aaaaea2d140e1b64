//! Choosing a cell by score, change of size and aspect, and distance from the region's centre, as SiamRPN, SiamFC++ and
//! trackers derived from them do.

use super::{Constant, Family, needed};
use crate::model::{Constants, Refusal};

pub(super) const WINDOW_INFLUENCE: Constant = Constant::needed(
    "window_influence",
    0.0..=1.0,
    "weight of the cosine window against the score",
);
pub(super) const PENALTY_K: Constant = Constant::needed(
    "penalty_k",
    0.0..=f64::MAX,
    "how much changes of size and aspect lower the score",
);
pub(super) const LEARNING_RATE: Constant = Constant::needed(
    "learning_rate",
    0.0..=1.0,
    "weight of the new size in the smoothed one",
);

/// Constants of the choice and of the size's smoothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Penalty {
    pub window_influence: f64,
    pub penalty_k: f64,
    pub learning_rate: f64,
}

/// The chosen cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub cell: usize,
    /// Factor that lowers the score for the change, 0..=1.
    pub penalty: f64,
    /// Change of size times change of aspect, at least 1.
    pub change: f64,
}

impl Penalty {
    /// The constants of a model.
    ///
    /// # Errors
    /// [`Refusal`] if one is missing.
    pub fn of(family: &dyn Family, constants: &Constants) -> Result<Self, Refusal> {
        let value = |constant: &Constant| {
            let key = format!("tracking.*.{}", constant.name);
            needed(family, constants.get(constant.name), &key)
        };
        Ok(Self {
            window_influence: value(&WINDOW_INFLUENCE)?,
            penalty_k: value(&PENALTY_K)?,
            learning_rate: value(&LEARNING_RATE)?,
        })
    }

    /// The best cell for a `target` of this width and height in search pixels; `size` gives the width and height of a
    /// cell's box. `None` if no cell holds a usable number. Without `prefer_center` the cosine window has no weight.
    pub fn choose(
        &self,
        scores: &[f32],
        cosine: &[f64],
        target: (f64, f64),
        size: impl Fn(usize) -> (f64, f64),
        prefer_center: bool,
    ) -> Option<Choice> {
        let influence = if prefer_center {
            self.window_influence
        } else {
            0.0
        };
        let target_side = padded_side(target.0, target.1);
        let target_aspect = target.0 / target.1;
        let mut best = None;
        let mut best_score = f64::NEG_INFINITY;
        for (cell, (&score, &cosine)) in scores.iter().zip(cosine).enumerate() {
            let (width, height) = size(cell);
            let size_change = change(padded_side(width, height) / target_side);
            let aspect_change = change(target_aspect / (width / height));
            let change = aspect_change * size_change;
            let penalty = (-(change - 1.0) * self.penalty_k).exp();
            let score = penalty * f64::from(score) * (1.0 - influence) + cosine * influence;
            // False for NaN, which comes from a box without area (0/0) or from the network.
            if score > best_score {
                best_score = score;
                best = Some(Choice {
                    cell,
                    penalty,
                    change,
                });
            }
        }
        best
    }
}

/// numpy's symmetric Hann window, `side` x `side`, row-major: zero at the border.
pub(super) fn hann(side: usize) -> Vec<f64> {
    let hann =
        |i: usize| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / (side as f64 - 1.0)).cos();
    (0..side * side)
        .map(|cell| hann(cell / side) * hann(cell % side))
        .collect()
}

/// Side of the square with the area of the box and half its mean side around it.
pub(super) fn padded_side(width: f64, height: f64) -> f64 {
    let padding = (width + height) * 0.5;
    ((width + padding) * (height + padding)).sqrt()
}

/// The ratio or its inverse, whichever is at least 1.
pub(super) fn change(ratio: f64) -> f64 {
    // Not max(), which would drop NaN.
    let inverse = 1.0 / ratio;
    if ratio < inverse { inverse } else { ratio }
}
