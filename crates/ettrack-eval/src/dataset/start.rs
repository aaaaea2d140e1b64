//! The starts of a tracker in a sequence, for OTB's three evaluations (Wu, Lim, Yang, "Object Tracking Benchmark", PAMI
//! 2015).

use std::fmt;
use std::str::FromStr;

use super::{DatasetError, Sequence, SequenceEntry, image_size, read_numbers};
use ettrack::geometry::BoundingBox;

/// How often and from which starts a sequence is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Evaluation {
    /// One-pass evaluation: once, from the first frame and its true box.
    #[default]
    OnePass,
    /// Temporal robustness evaluation: 20 times, from the true boxes of equally spaced frames to the end. The last start
    /// leaves at least 20 frames.
    Temporal,
    /// Spatial robustness evaluation: 12 times, from a first box that is shifted by a tenth of its size, enlarged by a tenth
    /// at one corner, or scaled by one or two tenths.
    Spatial,
    /// VOT's multi-start experiment: from each anchor of a sequence forward to its end or backward to its start. The anchors
    /// are in the file `anchor.value` beside the truth: a row per frame, more than 0 for forward, less for backward.
    MultiStart,
}

/// File with VOT's anchors.
const ANCHORS: &str = "anchor.value";

/// Number of starts along a sequence.
const PARTS: usize = 20;

/// Least number of frames of a run.
const LEAST_FRAMES: usize = 20;

/// Names of the changed first boxes, as in OTB's toolkit, and the changes along x and y.
const BESIDE: [(&str, [Change; 2]); 12] = [
    ("left", [Change::Shifted(-1.0), Change::Kept]),
    ("right", [Change::Shifted(1.0), Change::Kept]),
    ("up", [Change::Kept, Change::Shifted(-1.0)]),
    ("down", [Change::Kept, Change::Shifted(1.0)]),
    ("topLeft", [Change::GrownBefore, Change::GrownBefore]),
    ("topRight", [Change::GrownBehind, Change::GrownBefore]),
    ("bottomLeft", [Change::GrownBefore, Change::GrownBehind]),
    ("bottomRight", [Change::GrownBehind, Change::GrownBehind]),
    ("scale_8", [Change::Scaled(0.8); 2]),
    ("scale_9", [Change::Scaled(0.9); 2]),
    ("scale_11", [Change::Scaled(1.1); 2]),
    ("scale_12", [Change::Scaled(1.2); 2]),
];

/// One start of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Start {
    /// The first true box.
    #[default]
    First,
    /// The true box of a later frame, by the number of the start.
    Part(usize),
    /// The first true box with these changes along x and y.
    Beside([Change; 2]),
    /// The true box of this frame, and whether the run goes backward.
    Anchor(usize, bool),
    /// The sequence has no anchors to start from.
    NoAnchor,
}

/// A change of a box along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    Kept,
    /// Shifted by a tenth of its length, in this direction (-1 or 1).
    Shifted(f64),
    /// Enlarged by a tenth at the left or upper side.
    GrownBefore,
    /// Enlarged by a tenth at the right or lower side.
    GrownBehind,
    /// Scaled by this factor around its centre.
    Scaled(f64),
}

impl Change {
    /// Changes the first pixel and the number of pixels of a box as the toolkit does. Pixels are numbered from 1 to `last`,
    /// and the box is cut at the image's border.
    fn apply(self, first: f64, length: f64, last: u32) -> (f64, f64) {
        let tenth = 0.1 * length;
        let (first, length) = match self {
            Self::Kept => (first, length),
            Self::Shifted(direction) => (first + direction * tenth.ceil(), length),
            Self::GrownBefore => {
                let grown = (first - tenth).round();
                (grown, first + length - grown)
            }
            Self::GrownBehind => {
                let end = (first + length - 1.0 + tenth).round();
                (first, end - first + 1.0)
            }
            Self::Scaled(scale) => {
                let scaled = scale * length;
                let start = first + length / 2.0 - scaled / 2.0;
                (start.round(), scaled.round())
            }
        };
        let first = first.max(1.0);
        (first, length.min(f64::from(last) - first + 1.0))
    }
}

/// The changed box of `target` in an image of that size.
fn beside(target: BoundingBox, changes: [Change; 2], (width, height): (u32, u32)) -> BoundingBox {
    let (x, w) = changes[0].apply(target.x + 1.0, target.width, width);
    let (y, h) = changes[1].apply(target.y + 1.0, target.height, height);
    BoundingBox::new(x - 1.0, y - 1.0, w, h)
}

/// The 0-based frames at which the runs along a sequence start, as the toolkit chooses them: equally spaced among the frames
/// with a box whose corner is in the image, up to the last one that leaves enough frames.
fn parts(truth: &[Option<BoundingBox>]) -> [usize; PARTS] {
    let usable = |target: &BoundingBox| target.x > -1.0 && target.y > -1.0;
    let known: Vec<_> = (0..truth.len())
        .filter(|frame| truth[*frame].as_ref().is_some_and(usable))
        .collect();
    let enough = |frame: &usize| truth.len() - frame >= LEAST_FRAMES;
    // In short sequences all runs start at the first frame.
    let end = known.iter().rposition(enough).map_or(1, |last| last + 1);
    let step = end as f64 / (PARTS - 1) as f64;
    std::array::from_fn(|part| {
        let place = (1.0 + part as f64 * step).floor() as usize;
        known.get(place.min(end) - 1).copied().unwrap_or(0)
    })
}

/// VOT's anchors of a sequence: frame, and whether the run goes backward; forward ones first. None if there is no file of
/// them or it cannot be read.
fn anchors(entry: &SequenceEntry) -> Vec<(usize, bool)> {
    let numbers = read_numbers(&entry.truth.with_file_name(ANCHORS)).unwrap_or_default();
    let frames = |wanted: fn(f64) -> bool, backward| {
        let found = numbers
            .iter()
            .enumerate()
            .filter(move |(_, number)| wanted(**number));
        found.map(move |(frame, _)| (frame, backward))
    };
    frames(|number| number > 0.0, false)
        .chain(frames(|number| number < 0.0, true))
        .collect()
}

impl Evaluation {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::OnePass,
        Self::Temporal,
        Self::Spatial,
        Self::MultiStart,
    ];

    /// The usual abbreviation.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnePass => "ope",
            Self::Temporal => "tre",
            Self::Spatial => "sre",
            Self::MultiStart => "multistart",
        }
    }

    /// Full name, with a capital letter.
    pub fn title(self) -> &'static str {
        match self {
            Self::OnePass => "One-pass evaluation",
            Self::Temporal => "Temporal robustness evaluation",
            Self::Spatial => "Spatial robustness evaluation",
            Self::MultiStart => "Multi-start experiment",
        }
    }

    /// What is counted in tables: sequences, or runs if each sequence is run several times.
    pub fn unit(self) -> &'static str {
        match self {
            Self::OnePass => "sequences",
            Self::Temporal | Self::Spatial | Self::MultiStart => "runs",
        }
    }

    /// The runs of a sequence: the sequence itself, or `NAME@START` for each start.
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
                .map(|(name, changes)| run(name, Start::Beside(changes)))
                .collect(),
            Self::MultiStart => {
                let starts = anchors(&entry);
                if starts.is_empty() {
                    return vec![run("none", Start::NoAnchor)];
                }
                let one = |(frame, backward): (usize, bool)| {
                    run(&format!("{frame:08}"), Start::Anchor(frame, backward))
                };
                starts.into_iter().map(one).collect()
            }
        }
    }

    /// The name of the sequence to which a run belongs.
    pub fn sequence_of(self, run: &str) -> &str {
        match self {
            Self::OnePass => run,
            Self::Temporal | Self::Spatial | Self::MultiStart => {
                run.rsplit_once('@').map_or(run, |(name, _)| name)
            }
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
    /// The sequence from this start on.
    ///
    /// # Errors
    /// [`DatasetError::NoTruth`] if the truth is not published and the start is not the first box; [`DatasetError::Picture`]
    /// if the first image, whose size is needed to cut a changed box, cannot be read.
    pub(super) fn apply(self, sequence: Sequence) -> Result<Sequence, DatasetError> {
        if self == Self::NoAnchor {
            return Err(DatasetError::NoAnchors(sequence.name));
        }
        let Some(truth) = &sequence.truth else {
            return match self {
                Self::First => Ok(sequence),
                _ => Err(DatasetError::NoTruth(sequence.name)),
            };
        };
        match self {
            Self::First => Ok(sequence),
            Self::Beside(changes) => {
                let size = image_size(&sequence.frames[0])?;
                Ok(Sequence {
                    first_box: beside(sequence.first_box, changes, size),
                    ..sequence
                })
            }
            Self::NoAnchor => Err(DatasetError::NoAnchors(sequence.name)),
            Self::Anchor(frame, backward) => {
                let no_box = || DatasetError::NoAnchors(sequence.name.clone());
                let first_box = truth.get(frame).copied().flatten().ok_or_else(no_box)?;
                let frames = sequence.frames.len();
                let order: Vec<usize> = match backward {
                    false => (frame..frames).collect(),
                    true => (0..=frame.min(frames.saturating_sub(1))).rev().collect(),
                };
                let pick = |index: &usize| sequence.frames[*index].clone();
                let visible = sequence.visible.as_ref();
                Ok(Sequence {
                    first_box,
                    frames: order.iter().map(pick).collect(),
                    truth: Some(order.iter().map(|index| truth[*index]).collect()),
                    visible: visible.map(|visible| order.iter().map(|i| visible[*i]).collect()),
                    name: sequence.name,
                    length: sequence.length,
                })
            }
            Self::Part(part) => {
                let start = parts(truth)[part];
                let first_box = truth.get(start).copied().flatten();
                Ok(Sequence {
                    first_box: first_box.unwrap_or(sequence.first_box),
                    frames: sequence.frames[start..].to_vec(),
                    truth: Some(truth[start..].to_vec()),
                    visible: sequence.visible.map(|visible| visible[start..].to_vec()),
                    name: sequence.name,
                    length: sequence.length,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DatasetOptions, OTB100, Search};
    use std::path::Path;

    fn entry() -> SequenceEntry {
        let search = Search {
            dataset: &OTB100,
            root: Path::new("."),
            options: DatasetOptions::default(),
            by_name: false,
        };
        SequenceEntry::new(&search, "Couple", "img".into(), "truth.txt".into())
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
            length: frames,
        }
    }

    fn starts(evaluation: Evaluation) -> Vec<(String, Start)> {
        let runs = evaluation.runs(entry());
        runs.into_iter().map(|run| (run.name, run.start)).collect()
    }

    #[test]
    fn one_pass_evaluation_runs_the_sequence_itself() {
        assert_eq!(
            starts(Evaluation::OnePass),
            [("Couple".to_owned(), Start::First)]
        );
        assert_eq!(
            Start::First.apply(sequence(40)).expect("it loads"),
            sequence(40)
        );
        assert_eq!(Evaluation::OnePass.sequence_of("a@1"), "a@1");
    }

    #[test]
    fn temporal_runs_start_at_frames_with_a_box() {
        let runs = starts(Evaluation::Temporal);
        assert_eq!(runs.len(), 20);
        assert_eq!(runs[19].0, "Couple@20");
        assert_eq!(Evaluation::Temporal.sequence_of("Couple@20"), "Couple");
        let starts = |frames: usize| -> Vec<usize> {
            let parts = runs.iter().map(|(_, start)| {
                let part = start.apply(sequence(frames)).expect("it loads");
                let (Some(truth), Some(visible)) = (&part.truth, &part.visible) else {
                    panic!("both are known");
                };
                let lengths = (truth.len(), visible.len());
                assert_eq!(lengths, (part.frames.len(), part.frames.len()));
                assert_eq!(Some(part.first_box), truth[0]);
                frames - part.frames.len()
            });
            parts.collect()
        };
        // Frames 5, 15, ... have no box. Of 200 frames 180 have one; the 163rd of them, frame 180, leaves 20 frames. OTB's
        // splitSeqTRE gives floor(1 : 163 / 19 : 163) of these, counted from 1.
        let of_200 = [
            0, 9, 19, 28, 38, 47, 57, 67, 76, 86, 94, 104, 113, 123, 133, 142, 152, 161, 171, 180,
        ];
        assert_eq!(starts(200), of_200);
        // Too short for 20 frames after a start, or for 20 different starts: some starts occur twice.
        assert_eq!(starts(12), [0; 20]);
        assert_eq!(starts(24)[15..], [3, 4, 4, 4, 4]);
    }

    #[test]
    fn changed_first_boxes_equal_those_of_the_toolkit() {
        let runs = starts(Evaluation::Spatial);
        assert_eq!(runs.len(), 12);
        let folder = tempfile::tempdir().expect("a folder");
        let picture = folder.path().join("0001.png");
        image::RgbImage::new(110, 80).save(&picture).expect("saved");
        let first = |name: &str, target: BoundingBox| {
            let (_, start) = runs
                .iter()
                .find(|(run, _)| *run == format!("Couple@{name}"))
                .expect("a start of that name");
            let mut whole = sequence(40);
            whole.first_box = target;
            whole.frames[0] = picture.clone();
            let run = start.apply(whole).expect("it loads");
            assert_eq!(run.frames.len(), 40);
            let BoundingBox {
                x,
                y,
                width,
                height,
            } = run.first_box;
            // In the toolkit's convention.
            [x + 1.0, y + 1.0, width, height]
        };
        // The results of OTB's shiftInitBB for [41 21 35 25] and [3 2 105 79] in an image of 110 x 80.
        let inside = BoundingBox::new(40.0, 20.0, 35.0, 25.0);
        let filling = BoundingBox::new(2.0, 1.0, 105.0, 79.0);
        for (name, of_inside, of_filling) in [
            ("left", [37, 21, 35, 25], [1, 2, 105, 79]),
            ("right", [45, 21, 35, 25], [14, 2, 97, 79]),
            ("up", [41, 18, 35, 25], [3, 1, 105, 79]),
            ("down", [41, 24, 35, 25], [3, 10, 105, 71]),
            ("topLeft", [38, 19, 38, 27], [1, 1, 110, 80]),
            ("topRight", [41, 19, 39, 27], [3, 1, 108, 80]),
            ("bottomLeft", [38, 21, 38, 28], [1, 2, 110, 79]),
            ("bottomRight", [41, 21, 39, 28], [3, 2, 108, 79]),
            ("scale_8", [45, 24, 28, 20], [14, 10, 84, 63]),
            ("scale_12", [38, 19, 42, 30], [1, 1, 110, 80]),
        ] {
            assert_eq!(first(name, inside), of_inside.map(f64::from), "{name}");
            assert_eq!(first(name, filling), of_filling.map(f64::from), "{name}");
        }
    }
}
