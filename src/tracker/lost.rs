//! Deciding that a target is lost, and that it is back. Described for users in docs/lost.md.
//!
//! The evidence of a frame becomes a confidence by a logistic model; the state follows the confidence with
//! hysteresis. All weights and thresholds are data: they stand in a model's manifest and can be set per tracker.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::{Gaze, Pose, Sighting, TrackState};

/// Weights and thresholds of the target-lost logic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LostSettings {
    /// Whether the logic acts. Without it the state is always `tracking` and the authors' loop runs unchanged;
    /// the confidence is given all the same.
    pub enabled: bool,
    /// From evidence to confidence.
    pub weights: Weights,
    /// Share of a new frame in the confidence, 0..=1; the rest is the confidence before it.
    pub smoothing: f64,
    /// Confidence below which a frame counts as without the target.
    pub lost_below: f64,
    /// Frames in a row without the target that make it lost.
    pub lost_after: u32,
    /// Evidence of one frame above which a lost target may be back.
    pub found_above: f64,
    /// Frames in a row with the target, in one place, that bring it back.
    pub found_after: u32,
    /// Each widening multiplies the searched window by this.
    pub widen_by: f64,
    /// Frames before the next widening.
    pub widen_every: u32,
    /// The widest search against the usual; then the search starts again with the usual window.
    pub widen_most: f64,
}

/// The logistic model of the confidence: `1 / (1 + exp(-(bias + sum of weight x feature)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Constant part.
    pub bias: f64,
    /// Of the score's logit, cut to ±6.
    pub score: f64,
    /// Of the score's logit against its mean over this target's confident frames, cut to ±6.
    pub history: f64,
    /// Of the second peak's share of the score, 0..=1.
    pub second: f64,
    /// Of the map's spread, 0..=1.
    pub spread: f64,
    /// Of the neighbouring boxes' agreement, 0..=1.
    pub agreement: f64,
    /// Of ln of the change of size and aspect, cut to 2.
    pub change: f64,
    /// Of the displacement in mean target sides, cut to 3.
    pub displacement: f64,
}

impl Default for LostSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            weights: Weights::default(),
            smoothing: 0.4,
            lost_below: 0.25,
            lost_after: 5,
            found_above: 0.6,
            found_after: 2,
            widen_by: 1.4,
            widen_every: 3,
            widen_most: 2.8,
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            bias: -3.0,
            score: 0.6,
            history: 0.5,
            second: -2.0,
            spread: -3.0,
            agreement: 6.0,
            change: -2.0,
            displacement: -0.5,
        }
    }
}

/// Share of a confident frame in the running mean of the score's logit.
const HISTORY_RATE: f64 = 0.05;

/// A candidate this many mean sides away from the last is another one.
const SAME_PLACE: f64 = 1.0;

impl LostSettings {
    /// Key, value and what is expected, for the first setting out of its range.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String, &'static str)> {
        let shares = [
            ("lost.smoothing", self.smoothing),
            ("lost.lost_below", self.lost_below),
            ("lost.found_above", self.found_above),
        ];
        for (key, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err((key, value.to_string(), "0..=1"));
            }
        }
        if self.smoothing == 0.0 {
            return Err(("lost.smoothing", "0".to_owned(), "more than 0"));
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
        let Weights {
            bias,
            score,
            history,
            second,
            spread,
            agreement,
            change,
            displacement,
        } = self.weights;
        let weights = [
            bias,
            score,
            history,
            second,
            spread,
            agreement,
            change,
            displacement,
        ];
        if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
            return Err(("lost.weights", weight.to_string(), "finite numbers"));
        }
        Ok(())
    }
}

/// What the logistic model weighs, in the order of [`Weights`] after the bias.
///
/// Public so that weights can be fitted to other data: see docs/lost.md.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Features {
    /// See [`Weights::score`].
    pub score: f64,
    /// See [`Weights::history`].
    pub history: f64,
    /// See [`Weights::second`].
    pub second: f64,
    /// See [`Weights::spread`].
    pub spread: f64,
    /// See [`Weights::agreement`].
    pub agreement: f64,
    /// See [`Weights::change`].
    pub change: f64,
    /// See [`Weights::displacement`].
    pub displacement: f64,
}

impl Features {
    /// The features of `evidence`, given the mean logit of the target's confident frames.
    pub fn of(evidence: &Evidence, mean_logit: Option<f64>) -> Self {
        let score = logit(evidence.score);
        let share = if evidence.score > 0.0 {
            f64::from(evidence.second / evidence.score).clamp(0.0, 1.0)
        } else {
            1.0
        };
        // Not clamp: a number that is none counts as the worst.
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
            displacement: up_to(evidence.displacement, 3.0),
        }
    }

    /// The confidence that `weights` give, 0..=1.
    pub fn confidence(&self, weights: &Weights) -> f64 {
        let sum = weights.bias
            + weights.score * self.score
            + weights.history * self.history
            + weights.second * self.second
            + weights.spread * self.spread
            + weights.agreement * self.agreement
            + weights.change * self.change
            + weights.displacement * self.displacement;
        1.0 / (1.0 + (-sum).exp())
    }
}

fn logit(score: f32) -> f64 {
    let score = f64::from(score).clamp(1e-4, 1.0 - 1e-4);
    (score / (1.0 - score)).ln().clamp(-6.0, 6.0)
}

/// What to do after a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Action {
    /// Move and resize by the authors' rules.
    Follow,
    /// Leave position and size.
    Stay,
    /// Go there, with that size.
    Place(Pose),
}

/// What the logic makes of a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    pub action: Action,
    pub state: TrackState,
    pub confidence: f32,
}

/// The state machine between looking and following.
#[derive(Debug, Clone)]
pub(crate) struct LostLogic {
    settings: LostSettings,
    /// Smoothed confidence; none before the first look.
    confidence: Option<f64>,
    mean_logit: Option<f64>,
    features: Features,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The target is seen; `doubts` frames in a row it was not. `trusted` is the last pose without doubt.
    Tracking { doubts: u32, trusted: Option<Pose> },
    /// The target is searched for around `last`, for `frames` frames so far.
    Searching { last: Pose, frames: u32 },
    /// Something like it was seen `times` times at `candidate`.
    Checking {
        last: Pose,
        frames: u32,
        candidate: Pose,
        times: u32,
    },
}

const START: Phase = Phase::Tracking {
    doubts: 0,
    trusted: None,
};

impl LostLogic {
    pub fn new(settings: LostSettings) -> Self {
        Self {
            settings,
            confidence: None,
            mean_logit: None,
            features: Features::default(),
            phase: START,
        }
    }

    pub fn settings(&self) -> &LostSettings {
        &self.settings
    }

    /// Takes other settings from the next frame on.
    pub fn set(&mut self, settings: LostSettings) {
        self.settings = settings;
        if !self.settings.enabled {
            self.phase = START;
        }
    }

    /// Forgets the old target.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings.clone());
    }

    /// The features of the last look.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Whether the target is lost: the box to give is then [`Self::last_pose`].
    pub fn last_pose(&self) -> Option<Pose> {
        match self.phase {
            Phase::Tracking { .. } => None,
            Phase::Searching { last, .. } | Phase::Checking { last, .. } => Some(last),
        }
    }

    /// How to look at the next frame.
    pub fn gaze(&self) -> Gaze {
        let reach = match self.phase {
            Phase::Tracking { .. } | Phase::Checking { .. } => 1.0,
            Phase::Searching { frames, .. } => {
                let settings = &self.settings;
                // As many widenings as stay within the widest search, then from the start.
                let steps =
                    (settings.widen_most.ln() / settings.widen_by.ln() + 1e-9).floor() as u32 + 1;
                settings
                    .widen_by
                    .powi((frames / settings.widen_every % steps) as i32)
            }
        };
        Gaze {
            reach,
            prefer_center: !matches!(self.phase, Phase::Searching { .. }),
        }
    }

    /// Judges what was seen from `pose`, the position and size before the frame.
    pub fn judge(&mut self, sighting: &Sighting, pose: Pose) -> Verdict {
        let seen = if sighting.best.is_some() {
            self.features = Features::of(&sighting.evidence, self.mean_logit);
            self.features.confidence(&self.settings.weights)
        } else {
            self.features = Features::default();
            0.0
        };
        let share = self.settings.smoothing;
        let confidence = self
            .confidence
            .map_or(seen, |before| share * seen + (1.0 - share) * before);
        self.confidence = Some(confidence);
        let follow = if sighting.best.is_some() {
            Action::Follow
        } else {
            Action::Stay
        };
        let action = if self.settings.enabled {
            self.advance(sighting, pose, seen, confidence, follow)
        } else {
            follow
        };
        let tracking = matches!(self.phase, Phase::Tracking { .. });
        if tracking && seen >= self.settings.found_above {
            let score = logit(sighting.evidence.score);
            self.mean_logit = Some(
                self.mean_logit
                    .map_or(score, |mean| mean + HISTORY_RATE * (score - mean)),
            );
        }
        Verdict {
            action,
            state: if tracking {
                TrackState::Tracking
            } else {
                TrackState::Lost
            },
            confidence: confidence as f32,
        }
    }

    /// Keeps the pose after a frame in which the target was seen beyond doubt.
    pub fn remember(&mut self, pose: Pose) {
        if let Phase::Tracking { doubts: 0, trusted } = &mut self.phase {
            *trusted = Some(pose);
        }
    }

    fn advance(
        &mut self,
        sighting: &Sighting,
        pose: Pose,
        seen: f64,
        confidence: f64,
        follow: Action,
    ) -> Action {
        let settings = &self.settings;
        let found = sighting.best.is_some() && seen >= settings.found_above;
        match self.phase {
            Phase::Tracking { doubts, trusted } => {
                if confidence >= settings.lost_below {
                    self.phase = Phase::Tracking { doubts: 0, trusted };
                    return follow;
                }
                let doubts = doubts + 1;
                if doubts < settings.lost_after {
                    self.phase = Phase::Tracking { doubts, trusted };
                    return follow;
                }
                // Back to where it was last seen beyond doubt: since then the box may have slid onto something
                // else.
                let last = trusted.unwrap_or(pose);
                self.phase = Phase::Searching { last, frames: 0 };
                Action::Place(last)
            }
            Phase::Searching { last, frames } => {
                if !found {
                    self.phase = Phase::Searching {
                        last,
                        frames: frames.saturating_add(1),
                    };
                    return Action::Stay;
                }
                self.check(sighting, last, frames, 1, follow)
            }
            Phase::Checking {
                last,
                frames,
                candidate,
                times,
            } => {
                if !found || !same_place(&candidate, &sighting.candidate) {
                    self.phase = Phase::Searching {
                        last,
                        frames: frames.saturating_add(1),
                    };
                    return Action::Place(last);
                }
                self.check(sighting, last, frames, times + 1, follow)
            }
        }
    }

    /// Goes to what was seen, and trusts it once it was seen often enough.
    fn check(
        &mut self,
        sighting: &Sighting,
        last: Pose,
        frames: u32,
        times: u32,
        follow: Action,
    ) -> Action {
        if times >= self.settings.found_after {
            self.phase = START;
            // What was smoothed belongs to the time without the target.
            self.confidence = Some(self.features.confidence(&self.settings.weights));
            return follow;
        }
        let candidate = Pose {
            center: sighting.candidate.center,
            ..last
        };
        self.phase = Phase::Checking {
            last,
            frames,
            candidate,
            times,
        };
        Action::Place(candidate)
    }
}

/// Whether two boxes' centres are nearer than the target is long.
fn same_place(a: &Pose, b: &Pose) -> bool {
    let ((ax, ay), (bx, by)) = (a.center, b.center);
    (ax - bx).hypot(ay - by) <= SAME_PLACE * (a.width * a.height).sqrt()
}
