//! Where in a sequence a tracker is started, and how near the truth: OTB's three evaluations (Wu, Lim, Yang, "Object
//! Tracking Benchmark", PAMI 2015).

use std::fmt;
use std::str::FromStr;

use super::{DatasetError, Sequence, SequenceEntry};
use crate::geometry::BoundingBox;

/// How often a sequence is run, and from what start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Evaluation {
    /// One-pass evaluation: once, from the first frame and its true box.
    #[default]
    OnePass,
    /// Temporal robustness evaluation: from the true box of 20 frames, equally spaced, to the end.
    Temporal,
    /// Spatial robustness evaluation: 12 times, from a first box that is shifted by a tenth of its size, or scaled by
    /// one or two tenths.
    Spatial,
}

/// Starts along a sequence.
const PARTS: usize = 20;

/// Names, shifts in widths and heights, and scales, as in OTB's toolkit.
const BESIDE: [(&str, (f64, f64), f64); 12] = [
    ("left", (-0.1, 0.0), 1.0),
    ("right", (0.1, 0.0), 1.0),
    ("up", (0.0, -0.1), 1.0),
    ("down", (0.0, 0.1), 1.0),
    ("topLeft", (-0.1, -0.1), 1.0),
    ("topRight", (0.1, -0.1), 1.0),
    ("bottomLeft", (-0.1, 0.1), 1.0),
    ("bottomRight", (0.1, 0.1), 1.0),
    ("scale_8", (0.0, 0.0), 0.8),
    ("scale_9", (0.0, 0.0), 0.9),
    ("scale_11", (0.0, 0.0), 1.1),
    ("scale_12", (0.0, 0.0), 1.2),
];

/// One start of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Start {
    /// At the first true box.
    #[default]
    First,
    /// At the true box of the first frame of a part.
    Part(usize),
    /// Beside the first true box: shift in its widths and heights, scale.
    Beside((f64, f64), f64),
}

impl Evaluation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OnePass, Self::Temporal, Self::Spatial];

    /// The usual abbreviation.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnePass => "ope",
            Self::Temporal => "tre",
            Self::Spatial => "sre",
        }
    }

    /// In words, as a title begins.
    pub fn title(self) -> &'static str {
        match self {
            Self::OnePass => "One-pass evaluation",
            Self::Temporal => "Temporal robustness evaluation",
            Self::Spatial => "Spatial robustness evaluation",
        }
    }

    /// What it runs: sequences, or each of them several times.
    pub fn unit(self) -> &'static str {
        match self {
            Self::OnePass => "sequences",
            Self::Temporal | Self::Spatial => "runs",
        }
    }

    /// The runs of a sequence: itself, or `NAME@START` for each start.
    pub fn runs(self, entry: SequenceEntry) -> Vec<SequenceEntry> {
        let run = |name: &str, start: Start| SequenceEntry {
            name: format!("{}@{name}", entry.name),
            start,
            ..entry.clone()
        };
        match self {
            Self::OnePass => vec![entry],
            Self::Temporal => (0..PARTS)
                .map(|part| run(&(part + 1).to_string(), Start::Part(part)))
                .collect(),
            Self::Spatial => BESIDE
                .into_iter()
                .map(|(name, shift, scale)| run(name, Start::Beside(shift, scale)))
                .collect(),
        }
    }

    /// The sequence that a run is one of.
    pub fn sequence_of(self, run: &str) -> &str {
        match self {
            Self::OnePass => run,
            Self::Temporal | Self::Spatial => run.rsplit_once('@').map_or(run, |(name, _)| name),
        }
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Evaluation {
    type Err = DatasetError;

    fn from_str(name: &str) -> Result<Self, DatasetError> {
        Self::ALL
            .into_iter()
            .find(|evaluation| evaluation.name() == name)
            .ok_or_else(|| DatasetError::UnknownEvaluation {
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

impl Start {
    /// The sequence from there on.
    ///
    /// A part whose first frame has no true box starts at the nearest one before that has one.
    ///
    /// # Errors
    /// [`DatasetError::NoTruth`] for any but the first true box where the truth is not published.
    pub(super) fn of(self, sequence: Sequence) -> Result<Sequence, DatasetError> {
        let Some(truth) = &sequence.truth else {
            return match self {
                Self::First => Ok(sequence),
                _ => Err(DatasetError::NoTruth(sequence.name)),
            };
        };
        match self {
            Self::First => Ok(sequence),
            Self::Beside((dx, dy), scale) => {
                let BoundingBox { width, height, .. } = sequence.first_box;
                let (x, y) = sequence.first_box.center();
                let center = (x + dx * width, y + dy * height);
                Ok(Sequence {
                    first_box: BoundingBox::from_center(center, width * scale, height * scale),
                    ..sequence
                })
            }
            Self::Part(part) => {
                let wanted = part * sequence.frames.len() / PARTS;
                let known = |frame: &usize| truth.get(*frame).copied().flatten().is_some();
                let start = (0..=wanted).rev().find(known).unwrap_or(0);
                let first_box = truth.get(start).copied().flatten();
                Ok(Sequence {
                    first_box: first_box.unwrap_or(sequence.first_box),
                    frames: sequence.frames[start..].to_vec(),
                    truth: Some(truth[start..].to_vec()),
                    visible: sequence.visible.map(|visible| visible[start..].to_vec()),
                    name: sequence.name,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::dataset::DatasetKind;

    fn entry() -> SequenceEntry {
        let kind = DatasetKind::Otb100;
        SequenceEntry::new(kind, "Couple", "img".into(), "truth.txt".into())
    }

    fn sequence(frames: usize) -> Sequence {
        let target = |k: usize| BoundingBox::new(10.0 * k as f64, 20.0, 30.0, 50.0);
        Sequence {
            name: "Couple".to_owned(),
            frames: (0..frames).map(|k| format!("{k}.jpg").into()).collect(),
            first_box: target(0),
            truth: Some(
                (0..frames)
                    .map(|k| (k % 10 != 5).then(|| target(k)))
                    .collect(),
            ),
            visible: Some((0..frames).map(|k| k % 10 != 5).collect()),
        }
    }

    fn starts(evaluation: Evaluation) -> Vec<(String, Start)> {
        let runs = evaluation.runs(entry());
        runs.into_iter().map(|run| (run.name, run.start)).collect()
    }

    #[test]
    fn one_pass_is_the_sequence_itself() {
        assert_eq!(
            starts(Evaluation::OnePass),
            [("Couple".to_owned(), Start::First)]
        );
        assert_eq!(
            Start::First.of(sequence(40)).expect("it loads"),
            sequence(40)
        );
        assert_eq!(Evaluation::OnePass.sequence_of("a@1"), "a@1");
    }

    #[test]
    fn parts_start_along_the_sequence_where_the_target_is() {
        let runs = starts(Evaluation::Temporal);
        assert_eq!(runs.len(), 20);
        assert_eq!(runs[19].0, "Couple@20");
        assert_eq!(Evaluation::Temporal.sequence_of("Couple@20"), "Couple");
        let lengths: Vec<_> = runs
            .iter()
            .map(|(_, start)| start.of(sequence(100)).expect("it loads"))
            .map(|part| {
                let (Some(truth), Some(visible)) = (&part.truth, &part.visible) else {
                    panic!("both are known");
                };
                assert_eq!(
                    (truth.len(), visible.len()),
                    (part.frames.len(), part.frames.len())
                );
                assert_eq!(Some(part.first_box), truth[0]);
                part.frames.len()
            })
            .collect();
        // Frames 5, 15, ... are without a box: those before them are taken.
        assert_eq!(lengths[..4], [100, 96, 90, 86]);
        assert_eq!(lengths[19], 6);
        // Fewer frames than parts: some twice, none beyond the end.
        for (_, start) in runs {
            assert!(!start.of(sequence(3)).expect("it loads").frames.is_empty());
        }
    }

    #[test]
    fn shifted_and_scaled_boxes_keep_their_frames() {
        let runs = starts(Evaluation::Spatial);
        assert_eq!(runs.len(), 12);
        let first = |name: &str| {
            let (_, start) = runs
                .iter()
                .find(|(run, _)| *run == format!("Couple@{name}"))
                .expect("a start of that name");
            let run = start.of(sequence(40)).expect("it loads");
            assert_eq!(run.frames.len(), 40);
            run.first_box
        };
        assert_eq!(first("topRight"), BoundingBox::new(3.0, 15.0, 30.0, 50.0));
        assert_eq!(first("scale_12"), BoundingBox::new(-3.0, 15.0, 36.0, 60.0));
    }

    #[test]
    fn without_truth_there_is_one_start() {
        let unknown = || Sequence {
            truth: None,
            ..sequence(40)
        };
        assert!(Start::First.of(unknown()).is_ok());
        let error = Start::Part(3).of(unknown()).expect_err("no truth");
        assert!(error.to_string().contains("Couple"), "{error}");
    }
}
