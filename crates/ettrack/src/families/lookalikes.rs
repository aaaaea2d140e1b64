//! What the loop of `anchor_free` does about objects that look like the target: they get a lower score, and the box does
//! not grow over them.
//!
//! Both use the [`Classifier`], which needs `outputs.features` in the manifest. Without the constants of this file the
//! authors' loop runs unchanged.

use super::classifier::{Classifier, Place};
use super::{Condition, Constant};
use crate::follower::{Pose, Track, TrackState};
use crate::model::{Constants, Manifest};

const WITH_FEATURES: Option<Condition> = Some(Condition {
    words: "`outputs.features`",
    holds: |manifest| manifest.outputs.features.is_some(),
});

pub(super) const CLASSIFIER_WEIGHT: Constant = Constant::optional(
    "classifier_weight",
    0.0..=1.0,
    WITH_FEATURES,
    "how much a low response of the classifier lowers a score; 0 where not given",
);
pub(super) const LOOKALIKE_ABOVE: Constant = Constant::optional(
    "lookalike_above",
    0.0..=f64::MAX,
    WITH_FEATURES,
    "share of the target's response from which another place counts as a look-alike; 0, and where not given: never",
);
pub(super) const LOOKALIKE_GROWTH: Constant = Constant::optional(
    "lookalike_growth",
    0.0..=f64::MAX,
    WITH_FEATURES,
    "largest growth of a side in a frame with a look-alike, as a share of it; 0 where not given",
);

/// Where the first frame is searched: shifts in sides of the target, and its size there.
const FIRST_LOOKS: [(f64, f64, f64); 9] = [
    (0.0, 0.0, 1.0),
    (0.7, 0.21, 1.0),
    (-0.7, -0.21, 1.0),
    (0.21, -0.7, 1.0),
    (-0.21, 0.7, 1.0),
    (0.42, 0.42, 1.15),
    (-0.42, 0.42, 0.87),
    (0.42, -0.42, 0.87),
    (-0.42, -0.42, 1.15),
];

/// The classifier learns from each frame of this many.
const LEARN_EVERY: u32 = 3;

/// Least confidence of a frame from which the classifier learns.
const LEAST_CONFIDENCE: f32 = 0.5;

/// Least response at the chosen cell of such a frame.
const LEAST_RESPONSE: f32 = 0.2;

/// Response at the chosen cell below which no share of it is taken.
const WEAK_RESPONSE: f32 = 0.05;

/// How far from the chosen cell a look-alike may be, cells: nearer ones are the target itself, and the box cannot grow
/// over farther ones.
const NEAR: std::ops::RangeInclusive<usize> = 2..=6;

/// The classifier of a target with what was seen in the last look.
#[derive(Debug)]
pub(super) struct Lookalikes {
    weight: f32,
    /// Infinite for never.
    above: f32,
    growth: f64,
    classifier: Classifier,
    /// Cells a side.
    side: usize,
    /// Frames since the target was given.
    frames: u32,
    /// Scores of the last look, lowered by the classifier.
    scores: Vec<f32>,
    /// Response at the chosen cell of the last look.
    response: f32,
}

impl Lookalikes {
    /// What the manifest asks for in maps of `side` x `side` cells; `None` if that is nothing.
    pub fn of(manifest: &Manifest, constants: &Constants, side: usize) -> Option<Self> {
        let features = manifest.outputs.features.as_ref()?;
        let value = |constant: &Constant| constants.get(constant.name).unwrap_or(0.0);
        let (weight, above) = (value(&CLASSIFIER_WEIGHT), value(&LOOKALIKE_ABOVE));
        if weight == 0.0 && above == 0.0 {
            return None;
        }
        Some(Self {
            weight: weight as f32,
            above: if above > 0.0 {
                above as f32
            } else {
                f32::INFINITY
            },
            growth: value(&LOOKALIKE_GROWTH),
            classifier: Classifier::new(features.channels, side),
            side,
            frames: 0,
            scores: vec![0.0; side * side],
            response: 0.0,
        })
    }

    /// Starts with a new target.
    pub fn restart(&mut self) {
        self.classifier.restart();
        (self.frames, self.response) = (0, 0.0);
    }

    /// How many looks at the first frame are learnt.
    pub fn first_looks() -> usize {
        FIRST_LOOKS.len()
    }

    /// From where the look `index` at the first frame is made, for a target at `target`.
    pub fn first_look(target: Pose, index: usize) -> Pose {
        let (along_x, along_y, size) = FIRST_LOOKS[index];
        Pose {
            center: (
                target.center.0 + along_x * target.width,
                target.center.1 + along_y * target.height,
            ),
            width: target.width * size,
            height: target.height * size,
        }
    }

    /// Learns from the features of a look at the first frame.
    pub fn learn_first(&mut self, index: usize, features: &[f32], target: Place) {
        self.classifier.look(features);
        self.classifier.learn_first(target, FIRST_LOOKS.len());
        if index + 1 == FIRST_LOOKS.len() {
            self.classifier.solve();
        }
    }

    /// Reads the features of a look and gives its scores, lowered where the classifier does not respond.
    pub fn lowered(&mut self, features: &[f32], scores: &[f32]) -> &[f32] {
        self.classifier.look(features);
        let responses = self.classifier.responses();
        for ((lowered, &score), response) in self.scores.iter_mut().zip(scores).zip(responses) {
            *lowered = score * (1.0 - self.weight + self.weight * response.clamp(0.0, 1.0));
        }
        &self.scores
    }

    /// Notes the response at the chosen cell. Returns the largest factor by which a side may grow there: it is limited if there is
    /// a look-alike near the cell.
    pub fn chosen(&mut self, cell: usize) -> f64 {
        self.response = self.classifier.responses()[cell];
        let share = self.rival(cell) / self.response.max(WEAK_RESPONSE);
        if share > self.above {
            1.0 + self.growth
        } else {
            f64::INFINITY
        }
    }

    /// The highest response that is a maximum among its neighbours and near `cell` but not at it; 0 if there is none.
    fn rival(&self, cell: usize) -> f32 {
        let responses = self.classifier.responses();
        let (row, column) = (cell / self.side, cell % self.side);
        let range =
            |at: usize, reach: usize| at.saturating_sub(reach)..=(at + reach).min(self.side - 1);
        let mut highest = 0.0_f32;
        for y in range(row, *NEAR.end()) {
            for x in range(column, *NEAR.end()) {
                let response = responses[y * self.side + x];
                if response <= highest || y.abs_diff(row).max(x.abs_diff(column)) < *NEAR.start() {
                    continue;
                }
                let is_peak = range(y, 1)
                    .flat_map(|y| range(x, 1).map(move |x| y * self.side + x))
                    .all(|neighbour| responses[neighbour] <= response);
                if is_peak {
                    highest = response;
                }
            }
        }
        highest
    }

    /// Learns from the last look after a frame that was reported as `track`, with the target at `target`.
    pub fn learn(&mut self, track: &Track, target: Place) {
        self.frames = self.frames.wrapping_add(1);
        let is_sure = track.state == TrackState::Tracking
            && track.confidence >= LEAST_CONFIDENCE
            && self.response >= LEAST_RESPONSE;
        if is_sure && self.frames.is_multiple_of(LEARN_EVERY) {
            self.classifier.learn(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lookalikes, Place, Pose};
    use crate::follower::{Track, TrackState};
    use crate::model::{Constants, Manifest};

    const SIDE: usize = 14;
    const CELLS: usize = SIDE * SIDE;

    fn manifest() -> Manifest {
        let text = include_str!("../../../../tests/data/micro_model/model.yaml").replace(
            "  boxes: {name: reg}",
            "  boxes: {name: reg}\n  features: {name: features, channels: 2}",
        );
        Manifest::parse(&text, "model.yaml".as_ref()).expect("a manifest")
    }

    fn with(constants: &[(&str, f64)]) -> Option<Lookalikes> {
        let constants = Constants::from_iter(constants.iter().copied());
        Lookalikes::of(&manifest(), &constants, SIDE)
    }

    /// Two channels: how bright, and how red. The objects are at (column, row, brightness, redness).
    fn scene(objects: &[(usize, usize, f32, f32)]) -> Vec<f32> {
        let mut features = vec![0.0; 2 * CELLS];
        for &(column, row, bright, red) in objects {
            for cell in 0..CELLS {
                let (dx, dy) = (
                    (cell % SIDE) as f32 - column as f32,
                    (cell / SIDE) as f32 - row as f32,
                );
                let bell = (-(dx * dx + dy * dy) / 2.0).exp();
                features[cell] += bright * bell;
                features[CELLS + cell] += red * bell;
            }
        }
        features
    }

    fn place(column: usize, row: usize) -> Place {
        Place {
            center: (column as f64, row as f64),
            size: (3.6, 3.6),
        }
    }

    /// Has learnt a bright red target at (6, 6) beside a bright green object.
    fn started(constants: &[(&str, f64)]) -> Lookalikes {
        let mut lookalikes = with(constants).expect("constants that act");
        lookalikes.restart();
        let first = scene(&[(6, 6, 2.0, 1.0), (11, 6, 2.0, -1.0)]);
        for index in 0..Lookalikes::first_looks() {
            lookalikes.learn_first(index, &first, place(6, 6));
        }
        lookalikes
    }

    const BOTH: &[(&str, f64)] = &[
        ("classifier_weight", 0.5),
        ("lookalike_above", 0.25),
        ("lookalike_growth", 0.02),
    ];

    #[test]
    fn nothing_is_made_without_a_constant_that_acts() {
        assert!(with(&[]).is_none());
        assert!(with(&[("lookalike_growth", 0.02)]).is_none());
        assert!(with(&[("classifier_weight", 0.0), ("lookalike_above", 0.0)]).is_none());
        assert!(with(&[("lookalike_above", 0.25)]).is_some());
        assert!(with(&[("classifier_weight", 0.3)]).is_some());
    }

    #[test]
    fn scores_are_lowered_most_at_an_object_of_another_colour() {
        let mut lookalikes = started(BOTH);
        let scores = vec![0.8; CELLS];
        let look = scene(&[(4, 8, 2.0, 1.0), (9, 8, 2.0, -1.0)]);
        let lowered = lookalikes.lowered(&look, &scores);
        let (target, other) = (lowered[8 * SIDE + 4], lowered[8 * SIDE + 9]);
        assert!(
            other < 0.6 * target,
            "{target} at the target, {other} at the other"
        );
        // Half of a score is left at least, and no score rises.
        assert!(lowered.iter().all(|score| (0.4..=0.8).contains(score)));
    }

    #[test]
    fn a_box_grows_slowly_beside_a_lookalike_and_freely_without_one() {
        let before = Pose {
            center: (50.0, 50.0),
            width: 20.0,
            height: 40.0,
        };
        let swollen = Pose {
            center: (55.0, 50.0),
            width: 30.0,
            height: 38.0,
        };
        let mut lookalikes = started(BOTH);
        for (other, width) in [((9, 6, 2.0, 0.9), 20.4), ((9, 6, 2.0, -1.0), 30.0)] {
            lookalikes.lowered(&scene(&[(5, 6, 2.0, 1.0), other]), &[0.5; CELLS]);
            let most_growth = lookalikes.chosen(6 * SIDE + 5);
            let limited = swollen.grown_at_most(&before, most_growth);
            assert!((limited.width - width).abs() < 1e-9, "{limited:?}");
            // The place and a side that shrinks stay as they are.
            assert_eq!((limited.center, limited.height), ((55.0, 50.0), 38.0));
        }
        // Far away it does no harm.
        lookalikes.lowered(
            &scene(&[(2, 6, 2.0, 1.0), (11, 6, 2.0, 1.0)]),
            &[0.5; CELLS],
        );
        assert_eq!(lookalikes.chosen(6 * SIDE + 2), f64::INFINITY);
    }

    #[test]
    fn only_frames_without_doubt_are_learnt() {
        let track = |confidence, state| {
            Track::new(
                crate::geometry::BoundingBox::new(0.0, 0.0, 1.0, 1.0),
                confidence,
                state,
            )
        };
        // The target turns green.
        let look = scene(&[(6, 6, 2.0, -0.5)]);
        let response_after = |confidence, state, at: usize| {
            let mut lookalikes = started(BOTH);
            for _ in 0..30 {
                lookalikes.lowered(&look, &[0.5; CELLS]);
                lookalikes.response = 1.0;
                lookalikes.learn(&track(confidence, state), place(6, 6));
            }
            lookalikes.lowered(&look, &[0.5; CELLS]);
            lookalikes.classifier.responses()[at]
        };
        let at = 6 * SIDE + 6;
        let unchanged = response_after(0.9, TrackState::Lost, at);
        assert_eq!(response_after(0.3, TrackState::Tracking, at), unchanged);
        assert!(response_after(0.9, TrackState::Tracking, at) > unchanged + 0.2);
    }
}
