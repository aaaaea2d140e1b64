//! From the evidence of one frame to the confidence that the target is in the box.

use crate::follower::{Candidate, Evidence};
use crate::model::lost::{Features, Weights};

/// Weight of a new confident frame in the mean of the score's logit.
const HISTORY_RATE: f64 = 0.05;

/// Displacement that any target may show between two frames, in mean sides.
const PLAUSIBLE_MOTION: f32 = 0.5;

impl Features {
    /// The features of `evidence`; `mean_logit` is the mean logit of the target's confident frames.
    pub fn of(evidence: &Evidence, mean_logit: Option<f64>) -> Self {
        let score = logit(evidence.score);
        let share = if evidence.score > 0.0 {
            f64::from(evidence.second / evidence.score).clamp(0.0, 1.0)
        } else {
            1.0
        };
        // Not clamp alone: NaN and infinity count as the worst value.
        let up_to = |value: f32, most: f64| {
            if value.is_finite() {
                f64::from(value).clamp(0.0, most)
            } else {
                most
            }
        };
        Self {
            score,
            history: mean_logit.map_or(0.0, |mean| (score - mean).clamp(-6.0, 6.0)),
            second: share,
            spread: f64::from(evidence.spread),
            agreement: f64::from(evidence.agreement),
            change: up_to(evidence.change, 2.0),
            displacement: up_to(evidence.displacement - PLAUSIBLE_MOTION, 3.0),
            appearance: f64::from(evidence.appearance),
        }
    }

    /// The confidence that `weights` give, 0..=1.
    pub fn confidence(&self, weights: &Weights) -> f64 {
        let sum = self
            .values()
            .iter()
            .zip(weights.factors())
            .fold(weights.bias, |sum, (value, weight)| sum + weight * value);
        1.0 / (1.0 + (-sum).exp())
    }
}

fn logit(score: f32) -> f64 {
    let score = f64::from(score).clamp(1e-4, 1.0 - 1e-4);
    (score / (1.0 - score)).ln().clamp(-6.0, 6.0)
}

/// The confidence over the frames of one target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Confidence {
    /// Smoothed; none before the first frame.
    smoothed: Option<f64>,
    /// Mean of the score's logit over confident frames.
    mean_logit: Option<f64>,
    /// Of the last frame.
    features: Features,
}

impl Confidence {
    /// The features of the last frame.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// How much one look alone supports its candidate, 0..=1; 0 without a candidate.
    pub fn of_look(&self, candidate: Option<&Candidate>, weights: &Weights) -> f64 {
        candidate.map_or(0.0, |candidate| {
            Features::of(&candidate.evidence, self.mean_logit).confidence(weights)
        })
    }

    /// Takes the look of a frame, and gives its evidence and the smoothed confidence.
    ///
    /// A look elsewhere than at the reported box may lower the confidence of that box, but never raise it.
    pub fn take(
        &mut self,
        candidate: Option<&Candidate>,
        weights: &Weights,
        smoothing: f64,
        regain: f64,
        is_elsewhere: bool,
    ) -> (f64, f64) {
        self.features = candidate.map_or_else(Features::default, |candidate| {
            Features::of(&candidate.evidence, self.mean_logit)
        });
        let evidence = self.of_look(candidate, weights);
        let smoothed = self.smoothed.map_or(evidence, |before| {
            let counted = if is_elsewhere {
                evidence.min(before)
            } else {
                evidence
            };
            let share = if counted > before {
                smoothing * regain
            } else {
                smoothing
            };
            share * counted + (1.0 - share) * before
        });
        self.smoothed = Some(smoothed);
        (evidence, smoothed)
    }

    /// Replaces the smoothed confidence by that of the last frame: what was smoothed belongs to the time without the
    /// target.
    pub fn restart(&mut self, weights: &Weights) -> f64 {
        let confidence = self.features.confidence(weights);
        self.smoothed = Some(confidence);
        confidence
    }

    /// Counts the candidate of a confident frame in the mean of the score's logit.
    pub fn count(&mut self, candidate: &Candidate) {
        let score = logit(candidate.evidence.score);
        self.mean_logit = Some(
            self.mean_logit
                .map_or(score, |mean| mean + HISTORY_RATE * (score - mean)),
        );
    }
}
