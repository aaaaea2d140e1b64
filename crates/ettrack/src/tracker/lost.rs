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
    /// Evidence of one frame, seen in any window, above which the usual window is moved there to look closer.
    pub candidate_above: f64,
    /// Evidence of one frame, seen in the usual window, above which a lost target may be back.
    pub found_above: f64,
    /// Frames in a row with the target, in one place, that bring it back; the first may be a candidate.
    pub found_after: u32,
    /// Share of its motion that a lost target is thought to keep from frame to frame, 0..=1; 0 holds the place.
    pub coast: f64,
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
    /// Of the displacement beyond half a mean target side, in such sides, cut to 3: what a target or a camera does
    /// between two frames is no evidence against it.
    pub displacement: f64,
    /// Of the resemblance of the colours in the box with those of the target in the first frame, 0..=1.
    pub appearance: f64,
}

impl Default for LostSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            weights: Weights::default(),
            smoothing: 0.6,
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

impl Default for Weights {
    fn default() -> Self {
        Self {
            bias: -8.7,
            score: 0.3,
            history: 0.34,
            second: -1.2,
            spread: 0.0,
            agreement: 12.0,
            change: 0.0,
            displacement: -0.5,
            appearance: 0.0,
        }
    }
}

/// Share of a confident frame in the running mean of the score's logit.
const HISTORY_RATE: f64 = 0.05;

/// Share of a frame's motion in the mean motion.
const MOTION_RATE: f64 = 0.3;

/// Displacement that any target may show, in mean sides.
const PLAUSIBLE_MOTION: f32 = 0.5;

/// A candidate this many mean sides away from the last is another one.
const SAME_PLACE: f64 = 1.0;

impl LostSettings {
    /// Key, value and what is expected, for the first setting out of its range.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String, &'static str)> {
        let shares = [
            ("lost.smoothing", self.smoothing),
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
        let mut weights = [self.weights.bias]
            .into_iter()
            .chain(self.weights.factors());
        if let Some(weight) = weights.find(|weight| !weight.is_finite()) {
            return Err(("lost.weights", weight.to_string(), "finite numbers"));
        }
        Ok(())
    }
}

impl Weights {
    /// All but the bias, in the order of [`Features::values`].
    fn factors(&self) -> [f64; 8] {
        [
            self.score,
            self.history,
            self.second,
            self.spread,
            self.agreement,
            self.change,
            self.displacement,
            self.appearance,
        ]
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
    /// See [`Weights::appearance`].
    pub appearance: f64,
}

impl Features {
    /// The names of [`Features::values`], which are those of their [`Weights`].
    pub const NAMES: [&'static str; 8] = [
        "score",
        "history",
        "second",
        "spread",
        "agreement",
        "change",
        "displacement",
        "appearance",
    ];

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
            displacement: up_to(evidence.displacement - PLAUSIBLE_MOTION, 3.0),
            appearance: f64::from(evidence.appearance),
        }
    }

    /// In the order of the fields.
    pub fn values(&self) -> [f64; 8] {
        [
            self.score,
            self.history,
            self.second,
            self.spread,
            self.agreement,
            self.change,
            self.displacement,
            self.appearance,
        ]
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
    /// Mean motion of the target from frame to frame, pixels.
    motion: (f64, f64),
    /// Frame size, pixels.
    bounds: (f64, f64),
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The target is seen; `doubts` frames in a row it was not.
    Tracking {
        doubts: u32,
        trusted: Option<Trusted>,
    },
    /// The target is searched for.
    Searching { search: Search },
    /// Something like it was seen `times` times, lately at `candidate`.
    Checking {
        search: Search,
        candidate: Pose,
        times: u32,
    },
}

/// The last pose without doubt.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trusted {
    pose: Pose,
    /// Frames since then.
    age: u32,
}

/// How the search for a lost target stands.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Search {
    /// Where the target is thought to be.
    last: Pose,
    /// Where the authors' loop is, which goes on every other frame.
    drift: Pose,
    /// Frames so far, without those of a closer look.
    frames: u32,
}

impl Search {
    /// Whether the next frame is the loop's.
    fn is_of_the_loop(&self) -> bool {
        self.frames % 2 == 1
    }
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
            motion: (0.0, 0.0),
            bounds: (0.0, 0.0),
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

    /// Starts with a new target at `pose`, beyond doubt, in frames of `width` x `height` pixels.
    pub fn start(&mut self, (width, height): (u32, u32), pose: Pose) {
        *self = Self {
            bounds: (f64::from(width), f64::from(height)),
            ..Self::new(self.settings.clone())
        };
        self.remember(pose);
    }

    /// The features of the last look.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The pose to give out of a lost target: where the loop is, with the size of the last frame without doubt, because
    /// nothing is known of a size that is not seen.
    pub fn last_pose(&self) -> Option<Pose> {
        match self.phase {
            Phase::Tracking { .. } => None,
            Phase::Searching { search } | Phase::Checking { search, .. } => Some(Pose {
                center: search.drift.center,
                ..search.last
            }),
        }
    }

    /// Where the authors' loop would go on from, if not where the last look led.
    pub fn loop_pose(&self) -> Option<Pose> {
        match self.phase {
            Phase::Tracking { .. } => None,
            Phase::Searching { search } | Phase::Checking { search, .. } => Some(search.drift),
        }
    }

    /// How to look at the next frame first. `search_scale` widens the search for a lost target.
    pub fn gaze(&self, search_scale: f64) -> Gaze {
        let settings = &self.settings;
        match self.phase {
            Phase::Searching { search } if !search.is_of_the_loop() => {
                // As many widenings as stay within the widest search, then from the start.
                let steps =
                    (settings.widen_most.ln() / settings.widen_by.ln() + 1e-9).floor() as u32 + 1;
                let step = search.frames / 2 / settings.widen_every % steps;
                Gaze {
                    reach: search_scale * settings.widen_by.powi(step as i32),
                    prefer_center: false,
                }
            }
            _ => Gaze {
                reach: 1.0,
                prefer_center: true,
            },
        }
    }

    /// Whether the target is not called lost.
    pub fn is_tracking(&self) -> bool {
        matches!(self.phase, Phase::Tracking { .. })
    }

    /// How much a look alone speaks for the target, 0..=1.
    pub fn conviction(&self, sighting: &Sighting) -> f64 {
        match sighting.best {
            Some(_) => self
                .features_of(sighting)
                .confidence(&self.settings.weights),
            None => 0.0,
        }
    }

    fn features_of(&self, sighting: &Sighting) -> Features {
        match sighting.best {
            Some(_) => Features::of(&sighting.evidence, self.mean_logit),
            None => Features::default(),
        }
    }

    /// Judges what was seen from `pose`, the position and size before the frame.
    pub fn judge(&mut self, sighting: &Sighting, pose: Pose) -> Verdict {
        self.features = self.features_of(sighting);
        let seen = match sighting.best {
            Some(_) => self.features.confidence(&self.settings.weights),
            None => 0.0,
        };
        let share = self.settings.smoothing;
        let is_elsewhere = self.looks_elsewhere();
        let confidence = self.confidence.map_or(seen, |before| {
            // What is seen elsewhere can speak against the box that is given out, never for it.
            let seen = if is_elsewhere { seen.min(before) } else { seen };
            share * seen + (1.0 - share) * before
        });
        self.confidence = Some(confidence);
        let follow = if sighting.best.is_some() {
            Action::Follow
        } else {
            Action::Stay
        };
        let action = if self.settings.enabled {
            self.advance(sighting, pose, seen, follow)
        } else {
            follow
        };
        let tracking = self.is_tracking();
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
            confidence: self.confidence.unwrap_or(confidence) as f32,
        }
    }

    /// Keeps the pose after a look: where the target was seen beyond doubt, or where the loop has gone.
    pub fn remember(&mut self, pose: Pose) {
        match &mut self.phase {
            Phase::Tracking { doubts: 0, trusted } => {
                if let Some(Trusted { pose: before, age }) = *trusted {
                    let frames = f64::from(age.max(1));
                    let (dx, dy) = (
                        (pose.center.0 - before.center.0) / frames,
                        (pose.center.1 - before.center.1) / frames,
                    );
                    self.motion.0 += MOTION_RATE * (dx - self.motion.0);
                    self.motion.1 += MOTION_RATE * (dy - self.motion.1);
                }
                *trusted = Some(Trusted { pose, age: 0 });
            }
            // The look was the loop's.
            Phase::Searching { search } if !search.is_of_the_loop() => search.drift = pose,
            _ => {}
        }
    }

    /// Where to look next, if not where the last look led.
    pub fn next_pose(&self) -> Option<Pose> {
        match self.phase {
            Phase::Searching { search } if search.is_of_the_loop() => Some(search.drift),
            Phase::Searching { search } => Some(search.last),
            Phase::Tracking { .. } | Phase::Checking { .. } => None,
        }
    }

    /// Whether the next look is not at the box that is given out.
    fn looks_elsewhere(&self) -> bool {
        match self.phase {
            Phase::Tracking { .. } => false,
            Phase::Searching { search } => !search.is_of_the_loop(),
            Phase::Checking {
                search, candidate, ..
            } => search.drift.center != candidate.center,
        }
    }

    fn advance(&mut self, sighting: &Sighting, pose: Pose, seen: f64, follow: Action) -> Action {
        let settings = &self.settings;
        let is_there = sighting.best.is_some();
        let is_found = is_there && seen >= settings.found_above;
        match self.phase {
            Phase::Tracking { doubts, trusted } => {
                let trusted = trusted.map(|trusted| Trusted {
                    age: trusted.age.saturating_add(1),
                    ..trusted
                });
                if seen >= settings.lost_below {
                    self.phase = Phase::Tracking { doubts: 0, trusted };
                    return follow;
                }
                let doubts = doubts + 1;
                if doubts < settings.lost_after {
                    self.phase = Phase::Tracking { doubts, trusted };
                    return follow;
                }
                // Searched for where it was last seen beyond doubt: since then the box may have slid onto
                // something else.
                let mut last = trusted.map_or(pose, |trusted| trusted.pose);
                for _ in 0..doubts {
                    last = self.coast(last);
                }
                let search = Search {
                    last,
                    drift: pose,
                    frames: 0,
                };
                self.phase = Phase::Searching { search };
                follow
            }
            Phase::Searching { mut search } => {
                let is_of_the_loop = search.is_of_the_loop();
                search.last = self.coast(search.last);
                search.frames = search.frames.saturating_add(1);
                // A look into a widened window gives a place to look closer at, never the target itself.
                let (is_candidate, size, action) = if is_of_the_loop {
                    (is_found, pose, follow)
                } else {
                    let resembles = seen >= self.settings.candidate_above;
                    (is_there && resembles, search.last, Action::Stay)
                };
                if !is_candidate {
                    self.phase = Phase::Searching { search };
                    return action;
                }
                let candidate = Pose {
                    center: sighting.candidate.center,
                    ..size
                };
                if is_of_the_loop {
                    search.drift = candidate;
                    return self.check(search, candidate, 1, follow);
                }
                self.look_closer(search, candidate, 1)
            }
            Phase::Checking {
                mut search,
                candidate,
                times,
            } => {
                search.last = self.coast(search.last);
                if is_found && same_place(&candidate, &sighting.candidate) {
                    let candidate = Pose {
                        center: sighting.candidate.center,
                        ..candidate
                    };
                    return self.check(search, candidate, times + 1, follow);
                }
                self.phase = Phase::Searching { search };
                Action::Stay
            }
        }
    }

    /// Goes to what was seen, and trusts it once it was seen often enough.
    fn check(&mut self, search: Search, candidate: Pose, times: u32, follow: Action) -> Action {
        if times >= self.settings.found_after {
            self.phase = START;
            self.motion = (0.0, 0.0);
            // What was smoothed belongs to the time without the target.
            self.confidence = Some(self.features.confidence(&self.settings.weights));
            return follow;
        }
        self.look_closer(search, candidate, times)
    }

    /// Goes to what was seen `times` times, for the usual window around it.
    fn look_closer(&mut self, search: Search, candidate: Pose, times: u32) -> Action {
        self.phase = Phase::Checking {
            search,
            candidate,
            times,
        };
        Action::Place(candidate)
    }

    /// Where a lost target is thought to be a frame later: it goes on ever more slowly, inside the image.
    fn coast(&mut self, last: Pose) -> Pose {
        self.motion.0 *= self.settings.coast;
        self.motion.1 *= self.settings.coast;
        let (x, y) = (last.center.0 + self.motion.0, last.center.1 + self.motion.1);
        Pose {
            center: (x.min(self.bounds.0).max(0.0), y.min(self.bounds.1).max(0.0)),
            ..last
        }
    }
}

/// Whether two poses' centres are nearer than the target is long.
fn same_place(a: &Pose, b: &Pose) -> bool {
    let ((ax, ay), (bx, by)) = (a.center, b.center);
    (ax - bx).hypot(ay - by) <= SAME_PLACE * (a.width * a.height).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{Action, LostLogic, LostSettings, Phase, Pose, Sighting, TrackState};
    use crate::tracker::evidence::Evidence;

    const HERE: Pose = Pose {
        center: (100.0, 80.0),
        width: 30.0,
        height: 20.0,
    };

    fn sighting(is_there: bool, center: (f64, f64)) -> Sighting {
        let evidence = if is_there {
            Evidence {
                score: 0.99,
                second: 0.05,
                spread: 0.03,
                agreement: 0.85,
                ..Evidence::default()
            }
        } else {
            Evidence {
                score: 0.6,
                second: 0.55,
                spread: 0.4,
                agreement: 0.3,
                ..Evidence::default()
            }
        };
        Sighting {
            best: Some(7),
            candidate: Pose { center, ..HERE },
            rate: 0.5,
            evidence,
        }
    }

    fn logic() -> LostLogic {
        let mut logic = LostLogic::new(LostSettings::default());
        logic.start((320, 240), HERE);
        for _ in 0..10 {
            let verdict = logic.judge(&sighting(true, HERE.center), HERE);
            assert_eq!(
                (verdict.action, verdict.state),
                (Action::Follow, TrackState::Tracking)
            );
            assert!(verdict.confidence > 0.9, "{}", verdict.confidence);
            logic.remember(HERE);
        }
        logic
    }

    /// Shows nothing until the target is lost, and counts the frames.
    fn lose(logic: &mut LostLogic) -> u32 {
        let slid = Pose {
            center: (140.0, 80.0),
            width: 44.0,
            height: 44.0,
        };
        for frame in 1..100 {
            let verdict = logic.judge(&sighting(false, slid.center), slid);
            if verdict.state == TrackState::Lost {
                // The loop goes on, the search at the last place and size without doubt.
                assert_eq!(verdict.action, Action::Follow);
                logic.remember(slid);
                assert_eq!(logic.next_pose(), Some(HERE));
                // Where the loop is, with the size that was seen.
                let given_out = Pose {
                    center: slid.center,
                    ..HERE
                };
                assert_eq!(logic.last_pose(), Some(given_out));
                assert!(verdict.confidence < 0.1, "{}", verdict.confidence);
                return frame;
            }
            assert_eq!(verdict.action, Action::Follow);
            logic.remember(slid);
        }
        panic!("never lost");
    }

    #[test]
    fn it_takes_some_frames_to_lose_a_target_and_one_good_frame_resets_the_count() {
        let mut logic = logic();
        let after = LostSettings::default().lost_after;
        for _ in 1..after {
            assert_eq!(
                logic.judge(&sighting(false, HERE.center), HERE).state,
                TrackState::Tracking
            );
        }
        logic.judge(&sighting(true, HERE.center), HERE);
        assert_eq!(lose(&mut logic), after);
    }

    #[test]
    fn the_search_widens_step_by_step_and_starts_again() {
        let mut logic = logic();
        logic.set(LostSettings {
            widen_every: 2,
            widen_most: 2.8,
            ..LostSettings::default()
        });
        lose(&mut logic);
        let mut reaches = Vec::new();
        for frame in 0..32 {
            let gaze = logic.gaze(1.0);
            // Every other frame is the loop's, in the usual window.
            let is_of_the_loop = frame % 2 == 1;
            assert_eq!(gaze.prefer_center, is_of_the_loop);
            if is_of_the_loop {
                assert_eq!(gaze.reach, 1.0);
            } else {
                reaches.push((gaze.reach * 100.0).round() as u32);
            }
            logic.judge(&sighting(false, HERE.center), HERE);
        }
        assert_eq!(
            reaches,
            [
                100, 100, 140, 140, 196, 196, 274, 274, 100, 100, 140, 140, 196, 196, 274, 274
            ]
        );
    }

    #[test]
    fn the_loop_goes_on_from_where_it_was_and_may_see_the_target_first() {
        let mut logic = logic();
        lose(&mut logic);
        let nothing = sighting(false, HERE.center);
        assert_eq!(logic.judge(&nothing, HERE).action, Action::Stay);
        logic.remember(HERE);
        // From where it slid to, it follows what it sees, believed or not.
        let mut pose = logic.next_pose().expect("a frame of the loop");
        assert_eq!(pose.center, (140.0, 80.0));
        pose.center.0 += 10.0;
        let verdict = logic.judge(&sighting(false, pose.center), pose);
        assert_eq!(
            (verdict.action, verdict.state),
            (Action::Follow, TrackState::Lost)
        );
        logic.remember(pose);
        // The box that is given out goes with the loop and keeps its size; the search stays where it was.
        let given_out = |pose: Pose| {
            Some(Pose {
                center: pose.center,
                ..HERE
            })
        };
        assert_eq!(logic.last_pose(), given_out(pose));
        assert_eq!(logic.next_pose(), Some(HERE));
        assert_eq!(logic.judge(&nothing, HERE).action, Action::Stay);
        logic.remember(HERE);
        assert_eq!(logic.next_pose(), Some(pose));
        // What convinces the loop twice in a row, at its size, is the target.
        pose.center.0 += 10.0;
        let verdict = logic.judge(&sighting(true, pose.center), pose);
        assert_eq!(
            (verdict.action, verdict.state),
            (Action::Place(pose), TrackState::Lost)
        );
        logic.remember(pose);
        assert_eq!(logic.next_pose(), None);
        assert_eq!(logic.last_pose(), given_out(pose));
        let verdict = logic.judge(&sighting(true, pose.center), pose);
        assert_eq!(
            (verdict.action, verdict.state),
            (Action::Follow, TrackState::Tracking)
        );
        assert_eq!(logic.last_pose(), None, "found");
    }

    #[test]
    fn a_target_comes_back_once_a_closer_look_confirms_it() {
        for found_after in [1, 2] {
            comes_back_once_confirmed(found_after);
        }
    }

    fn comes_back_once_confirmed(found_after: u32) {
        let mut logic = logic();
        logic.set(LostSettings {
            found_after,
            ..LostSettings::default()
        });
        lose(&mut logic);
        let there = (160.0, 90.0);
        let verdict = logic.judge(&sighting(true, there), HERE);
        // Goes there with the size it had, but is not convinced yet.
        assert_eq!(
            verdict.action,
            Action::Place(Pose {
                center: there,
                ..HERE
            })
        );
        assert_eq!(verdict.state, TrackState::Lost);
        assert_eq!(logic.gaze(1.0).reach, 1.0);
        assert_eq!(
            logic.next_pose(),
            None,
            "the closer look is where it is placed"
        );
        let verdict = logic.judge(
            &sighting(true, there),
            Pose {
                center: there,
                ..HERE
            },
        );
        assert_eq!(
            (verdict.action, verdict.state),
            (Action::Follow, TrackState::Tracking)
        );
        assert!(verdict.confidence > 0.9, "{}", verdict.confidence);
    }

    #[test]
    fn a_candidate_that_a_closer_look_does_not_show_is_left_again() {
        for second in [
            sighting(false, (160.0, 90.0)),
            sighting(true, (260.0, 190.0)),
        ] {
            let mut logic = logic();
            lose(&mut logic);
            logic.judge(&sighting(true, (160.0, 90.0)), HERE);
            let verdict = logic.judge(&second, HERE);
            assert_eq!(
                (verdict.action, verdict.state),
                (Action::Stay, TrackState::Lost)
            );
            // The loop's turn, then the search's, at the old place.
            logic.remember(HERE);
            let drift = logic.next_pose().expect("the loop's");
            logic.judge(&sighting(false, drift.center), drift);
            logic.remember(drift);
            assert_eq!(logic.next_pose(), Some(HERE));
        }
    }

    #[test]
    fn a_lost_target_coasts_ever_more_slowly_and_stays_in_the_image() {
        let mut logic = LostLogic::new(LostSettings::default());
        logic.start((320, 240), HERE);
        let mut pose = HERE;
        for _ in 0..30 {
            logic.judge(&sighting(true, pose.center), pose);
            pose.center.0 += 6.0;
            logic.remember(pose);
        }
        let mut places = Vec::new();
        for _ in 0..60 {
            logic.judge(&sighting(false, pose.center), pose);
            if let Phase::Searching { search } = logic.phase {
                places.push(search.last.center.0);
            }
        }
        let steps: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            steps[0] > 1.0 && steps.windows(2).all(|pair| pair[1] <= pair[0]),
            "{steps:?}"
        );
        assert!(
            places.iter().all(|x| (0.0..=320.0).contains(x)),
            "{places:?}"
        );
    }

    #[test]
    fn frames_in_doubt_do_not_make_a_target_faster() {
        let steady = |doubted: fn(i32) -> bool| {
            let mut logic = LostLogic::new(LostSettings::default());
            logic.start((320, 240), HERE);
            let mut pose = HERE;
            for frame in 0..40 {
                pose.center.0 += 6.0;
                logic.judge(&sighting(!doubted(frame), pose.center), pose);
                logic.remember(pose);
            }
            logic.motion
        };
        let (sure, doubtful) = (steady(|_| false), steady(|frame| frame % 4 != 3));
        assert!((sure.0 - 6.0).abs() < 0.1, "{sure:?}");
        // Fewer steps are seen, none of them longer.
        assert!(doubtful.0 > 3.0 && doubtful.0 <= 6.0, "{doubtful:?}");
        assert_eq!((sure.1, doubtful.1), (0.0, 0.0));
    }

    #[test]
    fn a_target_that_is_hidden_at_once_is_searched_for_where_it_was_given() {
        let mut logic = LostLogic::new(LostSettings::default());
        logic.start((320, 240), HERE);
        assert_eq!(lose(&mut logic), LostSettings::default().lost_after);
    }

    #[test]
    fn what_is_seen_elsewhere_does_not_speak_for_the_box() {
        let mut logic = logic();
        lose(&mut logic);
        // A look for the target, which shows something like it far from where the loop is.
        let there = (160.0, 90.0);
        let before = logic.judge(&sighting(false, HERE.center), HERE).confidence;
        logic.remember(HERE);
        let drift = logic.next_pose().expect("the loop's");
        logic.judge(&sighting(false, drift.center), drift);
        logic.remember(drift);
        let verdict = logic.judge(&sighting(true, there), HERE);
        assert!(matches!(verdict.action, Action::Place(_)), "{verdict:?}");
        assert!(verdict.confidence <= before, "{verdict:?} after {before}");
        assert_eq!(logic.loop_pose(), Some(drift));
        assert_eq!(
            logic.last_pose().map(|pose| pose.center),
            Some(drift.center)
        );
        // Until it is the target.
        let verdict = logic.judge(
            &sighting(true, there),
            Pose {
                center: there,
                ..HERE
            },
        );
        assert_eq!(verdict.state, TrackState::Tracking);
        assert!(verdict.confidence > 0.9, "{verdict:?}");
        assert_eq!(logic.loop_pose(), None);
    }

    #[test]
    fn switched_off_it_only_gives_the_confidence() {
        let mut logic = LostLogic::new(LostSettings {
            enabled: false,
            ..LostSettings::default()
        });
        logic.start((320, 240), HERE);
        for frame in 0..50 {
            let verdict = logic.judge(&sighting(frame < 10, HERE.center), HERE);
            assert_eq!(
                (verdict.action, verdict.state),
                (Action::Follow, TrackState::Tracking)
            );
            assert_eq!(
                verdict.confidence > 0.5,
                frame < 10,
                "frame {frame}: {}",
                verdict.confidence
            );
            assert_eq!(
                (logic.gaze(1.0).reach, logic.gaze(1.0).prefer_center),
                (1.0, true)
            );
        }
        let nothing = Sighting {
            best: None,
            ..sighting(true, HERE.center)
        };
        assert_eq!(logic.judge(&nothing, HERE).action, Action::Stay);
    }

    #[test]
    fn what_is_in_the_place_of_the_target_but_has_other_colors_is_told_apart() {
        let mut settings = LostSettings::default();
        settings.weights.bias = -13.5;
        settings.weights.appearance = 6.0;
        let mut logic = LostLogic::new(settings);
        logic.start((320, 240), HERE);
        let mut judge = |appearance| {
            let mut seen = sighting(true, HERE.center);
            seen.evidence.appearance = appearance;
            logic.judge(&seen, HERE).confidence
        };
        assert!(judge(0.9) > 0.8);
        let covered = [judge(0.1), judge(0.1), judge(0.1)];
        assert!(covered[2] < 0.35, "{covered:?}");
    }

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
        assert_eq!(block.lines().count(), 1 + 12, "each setting is there");
        assert!(LostSettings::default().check().is_ok());
    }
}
