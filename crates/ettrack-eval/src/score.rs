//! Scores the boxes of a tracker on a data set, and makes `summary.json`.

use std::collections::{BTreeMap, BTreeSet};

use super::dataset::{Dataset, Evaluation, Sequence};
use super::metrics::{
    Curves, FrameErrors, MetricError, Protocol, Scores, frame_errors, mean, total,
};
use super::results::frames_per_second;
use super::vot_measures::{self, LongTermFigures, VotFigures, VotRun};
use ettrack::geometry::BoundingBox;

/// The score of one tracker on one sequence or run.
#[derive(Debug, Clone)]
pub struct SequenceScore {
    /// Name of the sequence or run.
    pub name: String,
    /// Number of frames.
    pub frames: usize,
    /// Number of frames of the whole sequence, of which a run may have a part.
    pub sequence_frames: usize,
    /// The tracker's boxes, 0-based, one per frame.
    pub boxes: Vec<BoundingBox>,
    /// Confidence per frame, 0..=1; empty if unknown.
    pub confidence: Vec<f32>,
    /// Updates per second of tracker time; `None` if unknown.
    pub fps: Option<f64>,
    /// Measures, and the errors per frame they come from; `None` if the truth is not published.
    pub scored: Option<(Scores, FrameErrors)>,
    /// Overlaps of VOT's toolkit, if the protocol asks for them.
    pub vot: Option<VotRun>,
}

/// Scores one sequence. `image_size` is called only if the protocol clips boxes at the image's border.
///
/// # Errors
/// [`MetricError`] if the boxes cannot be scored.
pub fn score_sequence(
    protocol: &Protocol,
    sequence: &Sequence,
    boxes: Vec<BoundingBox>,
    confidence: Vec<f32>,
    seconds: &[f64],
    image_size: impl FnOnce() -> Option<(f64, f64)>,
) -> Result<SequenceScore, MetricError> {
    let (scored, vot) = match &sequence.truth {
        None => (None, None),
        Some(truth) => {
            let pixels = protocol.vot || protocol.long_term;
            let size = if protocol.clip_to_image || pixels {
                image_size()
            } else {
                None
            };
            let errors = frame_errors(protocol, &boxes, sequence, size)?;
            let size = size.filter(|_| pixels);
            let vot = size.map(|size| VotRun::new(&boxes, truth, size));
            (Some((Scores::of(&errors), errors)), vot)
        }
    };
    let fps = frames_per_second(seconds);
    Ok(SequenceScore {
        name: sequence.name.clone(),
        frames: sequence.frames.len(),
        sequence_frames: sequence.length,
        boxes,
        confidence,
        fps: (fps > 0.0).then_some(fps),
        scored,
        vot,
    })
}

/// The scores of one tracker on a whole data set.
#[derive(Debug, Clone)]
pub struct TrackerScore {
    /// Name in tables and plots.
    pub label: String,
    /// The scores of its sequences or runs, in the order of the data set.
    pub sequences: Vec<SequenceScore>,
    /// Measures and curves of the whole data set; `None` if no truth is published.
    pub total: Option<(Scores, Curves)>,
}

impl TrackerScore {
    /// Combines sequences by the benchmark's protocol. The runs of a sequence count as one sequence.
    pub fn new(
        label: String,
        protocol: &Protocol,
        evaluation: Evaluation,
        sequences: Vec<SequenceScore>,
    ) -> Self {
        let errors: Vec<_> = by_sequence(&sequences, evaluation)
            .filter_map(|(_, runs)| pooled(runs))
            .collect();
        let total = total(protocol, &errors.iter().collect::<Vec<_>>());
        Self {
            label,
            sequences,
            total,
        }
    }

    /// Mean speed of the sequences, updates per second; `None` if none is known.
    pub fn fps(&self) -> Option<f64> {
        mean_speed(&self.sequences)
    }

    /// Long-term precision, recall and F of VOT's toolkit; `None` if the protocol has none of them, or the confidence is not
    /// known.
    pub fn long_term(&self, protocol: &Protocol) -> Option<LongTermFigures> {
        let runs = self.sequences.iter();
        let runs = runs.filter_map(|one| Some((one.vot.as_ref()?, one.confidence.as_slice())));
        let runs: Vec<_> = runs.filter(|_| protocol.long_term).collect();
        vot_measures::long_term(&runs)
    }

    /// Accuracy and robustness of VOT's toolkit; `None` if the protocol has none of them, or for other robustness
    /// evaluations.
    pub fn vot(&self, evaluation: Evaluation) -> Option<VotFigures> {
        match evaluation {
            Evaluation::OnePass => {
                let runs: Vec<_> = self
                    .sequences
                    .iter()
                    .filter_map(|one| one.vot.as_ref())
                    .collect();
                vot_measures::one_pass(&runs)
            }
            Evaluation::MultiStart => {
                let sequences: Vec<_> = by_sequence(&self.sequences, evaluation)
                    .map(|(_, runs)| {
                        let length = runs.first().map_or(0, |run| run.sequence_frames);
                        (
                            length,
                            runs.iter().filter_map(|one| one.vot.as_ref()).collect(),
                        )
                    })
                    .collect();
                vot_measures::multi_start(&sequences)
            }
            Evaluation::Temporal | Evaluation::Spatial => None,
        }
    }

    /// A row for each sequence in the order of the data set, over all frames of its runs.
    pub fn rows(&self, evaluation: Evaluation) -> Vec<(String, SummaryRow)> {
        by_sequence(&self.sequences, evaluation)
            .map(|(name, runs)| (name.to_owned(), SummaryRow::of(runs)))
            .collect()
    }

    /// The row of the whole data set.
    pub fn mean(&self, evaluation: Evaluation) -> SummaryRow {
        SummaryRow {
            scores: self.total.as_ref().map(|(scores, _)| *scores),
            held: mean_known(self.rows(evaluation).iter().map(|(_, row)| row.held)),
            fps: self.fps(),
            frames: self.sequences.iter().map(|one| one.frames).sum(),
        }
    }

    /// The score of the sequence or run of this name.
    pub fn sequence(&self, name: &str) -> Option<&SequenceScore> {
        self.sequences.iter().find(|one| one.name == name)
    }
}

/// Trackers with results of different sequences, over those that all have results of.
#[derive(Debug, Clone)]
pub struct Common {
    /// The trackers in their order, each with the common sequences only; the first one's label says so.
    pub trackers: Vec<TrackerScore>,
    /// What was left out, in words for the user.
    pub note: String,
}

/// What several trackers have in common. `None` if they have results of the same sequences, or there is only one.
pub fn common(
    trackers: &[TrackerScore],
    protocol: &Protocol,
    evaluation: Evaluation,
) -> Option<Common> {
    let scored = |tracker: &TrackerScore| -> BTreeSet<String> {
        let scored = tracker.sequences.iter().filter(|one| one.scored.is_some());
        scored.map(|one| one.name.clone()).collect()
    };
    let (first, others) = trackers.split_first()?;
    let all = scored(first);
    let mut shared = all.clone();
    let mut lacking = Vec::new();
    for other in others {
        let theirs = scored(other);
        let missing: Vec<_> = all.difference(&theirs).map(String::as_str).collect();
        if !missing.is_empty() {
            lacking.push(format!("{} has none of {}", other.label, some_of(&missing)));
        }
        shared = shared.intersection(&theirs).cloned().collect();
    }
    if lacking.is_empty() {
        return None;
    }
    let units = evaluation.unit();
    let over = |tracker: &TrackerScore| {
        let kept = tracker
            .sequences
            .iter()
            .filter(|one| shared.contains(&one.name));
        TrackerScore::new(
            tracker.label.clone(),
            protocol,
            evaluation,
            kept.cloned().collect(),
        )
    };
    let mut trackers: Vec<_> = trackers.iter().map(over).collect();
    trackers[0].label = format!("{}, {} common {units}", trackers[0].label, shared.len());
    Some(Common {
        trackers,
        note: format!(
            "compared over the {} of {} {units} that all trackers have results of: {}",
            shared.len(),
            all.len(),
            lacking.join("; ")
        ),
    })
}

/// The first names of a list, and how many more there are.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The runs of each sequence. The runs of a sequence are neighbours in the list.
fn by_sequence(
    scores: &[SequenceScore],
    evaluation: Evaluation,
) -> impl Iterator<Item = (&str, &[SequenceScore])> {
    scores
        .chunk_by(move |a, b| evaluation.sequence_of(&a.name) == evaluation.sequence_of(&b.name))
        .map(move |runs| (evaluation.sequence_of(&runs[0].name), runs))
}

/// The frames of all runs, as OTB's toolkit counts them; `None` if the truth is not published.
fn pooled(runs: &[SequenceScore]) -> Option<FrameErrors> {
    let mut scored = runs.iter().filter_map(|one| one.scored.as_ref()).peekable();
    scored.peek()?;
    Some(FrameErrors::pooled(scored.map(|(_, errors)| errors)))
}

fn mean_speed(runs: &[SequenceScore]) -> Option<f64> {
    mean_known(runs.iter().map(|one| one.fps))
}

/// 1 if the target was held to the end of a run, else 0; `None` if the truth is not known.
fn is_held(run: &SequenceScore) -> Option<f64> {
    let (_, errors) = run.scored.as_ref()?;
    errors.is_held().map(|held| f64::from(u8::from(held)))
}

/// Mean of the known values; `None` if there is none.
fn mean_known(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<_> = values.flatten().collect();
    (!known.is_empty()).then(|| mean(known.into_iter()))
}

/// A row of `summary.json`. Unknown values (no published truth, no times) are left out.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SummaryRow {
    /// The measures.
    #[serde(flatten)]
    pub scores: Option<Scores>,
    /// Share of the runs at whose end the box was on the target ([`FrameErrors::is_held`]); of one sequence in one pass, 0 or 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<f64>,
    /// Updates per second of tracker time, without reading images. Not in `summary.json`, which is the same for the same boxes:
    /// [`Speed`] has it.
    #[serde(skip)]
    pub fps: Option<f64>,
    /// Number of frames, including the first.
    pub frames: usize,
}

impl SummaryRow {
    /// The row of a sequence's runs, over all their frames.
    fn of(runs: &[SequenceScore]) -> Self {
        Self {
            scores: pooled(runs).map(|errors| Scores::of(&errors)),
            held: mean_known(runs.iter().map(is_held)),
            fps: mean_speed(runs),
            frames: runs.iter().map(|one| one.frames).sum(),
        }
    }
}

/// The mean over the sequences with an attribute.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AttributeRow {
    /// How many those are.
    pub sequences: usize,
    /// The measures.
    #[serde(flatten)]
    pub scores: Scores,
}

/// Rows by attribute, from the rows by sequence and the attributes of each sequence.
pub fn by_attribute(
    rows: &[(String, SummaryRow)],
    attributes: &BTreeMap<String, Vec<&'static str>>,
) -> BTreeMap<String, AttributeRow> {
    let mut groups: BTreeMap<&str, Vec<Scores>> = BTreeMap::new();
    for (name, row) in rows {
        for attribute in attributes.get(name).into_iter().flatten() {
            groups.entry(attribute).or_default().extend(row.scores);
        }
    }
    let row = |(name, scores): (&str, Vec<Scores>)| {
        let mean = Scores::mean(&scores)?;
        let row = AttributeRow {
            sequences: scores.len(),
            scores: mean,
        };
        Some((name.to_owned(), row))
    };
    groups.into_iter().filter_map(row).collect()
}

/// The content of `speed.json`: updates per second of tracker time, without reading images. It does not measure the speed if
/// several jobs ran at the same time or the machine was busy.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Speed {
    /// Mean over the sequences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// By sequence.
    pub sequences: BTreeMap<String, f64>,
}

impl Speed {
    /// The speed of a tracker; sequences of unknown speed are left out.
    pub fn of(score: &TrackerScore, evaluation: Evaluation) -> Self {
        let rows = score.rows(evaluation).into_iter();
        Self {
            mean: score.fps(),
            sequences: rows
                .filter_map(|(name, row)| Some((name, row.fps?)))
                .collect(),
        }
    }
}

/// The content of `summary.json`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Summary {
    /// Name of the data set.
    pub dataset: String,
    /// `ope`, `tre` or `sre`.
    pub evaluation: String,
    /// Name of the tracker.
    pub tracker: String,
    /// Version of this program.
    pub ettrack_version: String,
    /// Model checksum and options that gave the boxes.
    pub settings: serde_json::Value,
    /// Over all sequences.
    pub mean: SummaryRow,
    /// Accuracy and robustness of VOT's toolkit, on its data sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vot: Option<VotFigures>,
    /// Long-term precision, recall and F of VOT's toolkit, on its long-term data sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_term: Option<LongTermFigures>,
    /// By attribute of the benchmark: the mean over the sequences that have it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, AttributeRow>,
    /// Rows by sequence, over all frames of its runs.
    pub sequences: BTreeMap<String, SummaryRow>,
    /// Sequences without a result, and the reasons.
    pub failed: BTreeMap<String, String>,
}

impl Summary {
    /// The summary of a scored tracker.
    pub fn new(
        dataset: &Dataset,
        evaluation: Evaluation,
        score: &TrackerScore,
        settings: serde_json::Value,
        failed: &[(String, String)],
    ) -> Self {
        Self {
            dataset: dataset.name.to_owned(),
            evaluation: evaluation.name().to_owned(),
            tracker: score.label.clone(),
            ettrack_version: env!("CARGO_PKG_VERSION").to_owned(),
            settings,
            mean: score.mean(evaluation),
            vot: score
                .vot(evaluation)
                .filter(|_| !dataset.protocol.long_term),
            long_term: score.long_term(&dataset.protocol),
            attributes: BTreeMap::new(),
            sequences: score.rows(evaluation).into_iter().collect(),
            failed: failed.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::OTB100;

    #[test]
    fn the_summary_has_the_documented_keys() {
        let target = BoundingBox::new(1.0, 2.0, 3.0, 4.0);
        let sequence = Sequence {
            name: "a".to_owned(),
            frames: vec!["1.jpg".into(), "2.jpg".into()],
            first_box: target,
            truth: Some(vec![Some(target); 2]),
            visible: None,
            length: 0,
        };
        let protocol = Protocol::OTB;
        let one = score_sequence(
            &protocol,
            &sequence,
            vec![target; 2],
            vec![],
            &[0.1, 0.01],
            || None,
        )
        .unwrap();
        let mut hidden = sequence;
        hidden.truth = None;
        hidden.name = "b".to_owned();
        let two =
            score_sequence(&protocol, &hidden, vec![target; 2], vec![], &[], || None).unwrap();
        let score = TrackerScore::new(
            "t".to_owned(),
            &protocol,
            Evaluation::OnePass,
            vec![one, two],
        );
        let summary = Summary::new(
            &OTB100,
            Evaluation::OnePass,
            &score,
            serde_json::json!({}),
            &[("c".to_owned(), "broken".to_owned())],
        );
        let value = serde_json::to_value(&summary).unwrap();
        for key in [
            "success_auc",
            "precision_20",
            "normalized_precision_20",
            "sr_50",
            "sr_75",
            "ao",
            "held",
        ] {
            assert!(value["mean"][key].is_number(), "{key}");
            assert!(value["sequences"]["a"][key].is_number(), "{key}");
            assert!(value["sequences"]["b"][key].is_null(), "{key}");
        }
        assert_eq!(value["mean"]["sr_50"], 1.0);
        assert!(
            value["mean"]["fps"].is_null(),
            "the same boxes give the same summary"
        );
        let speed = Speed::of(&score, Evaluation::OnePass);
        assert_eq!((speed.mean, speed.sequences["a"]), (Some(100.0), 100.0));
        assert_eq!(value["failed"]["c"], "broken");
        let read: Summary = serde_json::from_value(value).unwrap();
        assert_eq!(
            serde_json::to_value(&read).unwrap(),
            serde_json::to_value(&summary).unwrap()
        );
    }

    #[test]
    fn trackers_with_other_sequences_are_compared_over_the_common_ones() {
        let target = BoundingBox::new(0.0, 0.0, 10.0, 10.0);
        let far = BoundingBox::new(900.0, 0.0, 10.0, 10.0);
        let protocol = Protocol::OTB;
        let tracker = |label: &str, answers: &[(&str, BoundingBox)]| {
            let scores = answers.iter().map(|(name, answer)| {
                let sequence = Sequence {
                    name: (*name).to_owned(),
                    frames: vec!["1.jpg".into(); 4],
                    first_box: target,
                    truth: Some(vec![Some(target); 4]),
                    visible: None,
                    length: 0,
                };
                score_sequence(&protocol, &sequence, vec![*answer; 4], vec![], &[], || None)
                    .unwrap()
            });
            TrackerScore::new(
                label.to_owned(),
                &protocol,
                Evaluation::OnePass,
                scores.collect(),
            )
        };
        // Ours is good on "b" alone, where the other has no result.
        let ours = tracker("ours", &[("a", far), ("b", target), ("c", far)]);
        let theirs = tracker("theirs", &[("a", target), ("c", far)]);
        let found = common(
            &[ours.clone(), theirs.clone()],
            &protocol,
            Evaluation::OnePass,
        );
        let found = found.expect("they differ");
        let sr_50 = |index: usize| {
            found.trackers[index]
                .total
                .as_ref()
                .map(|(scores, _)| scores.sr_50)
        };
        assert_eq!((sr_50(0), sr_50(1)), (Some(0.25), Some(0.625)));
        assert_eq!(found.trackers[0].label, "ours, 2 common sequences");
        assert!(
            found.note.contains("2 of 3 sequences") && found.note.contains("theirs has none of b"),
            "{}",
            found.note
        );
        assert!(common(&[theirs.clone(), theirs], &protocol, Evaluation::OnePass).is_none());
        assert!(common(&[ours], &protocol, Evaluation::OnePass).is_none());
    }

    #[test]
    fn a_target_is_held_if_the_end_of_a_run_is_on_it() {
        let target = BoundingBox::new(0.0, 0.0, 10.0, 10.0);
        let far = BoundingBox::new(900.0, 0.0, 10.0, 10.0);
        let run = |name: &str, boxes: Vec<BoundingBox>, truth: Vec<Option<BoundingBox>>| {
            let sequence = Sequence {
                name: name.to_owned(),
                frames: vec!["1.jpg".into(); boxes.len()],
                first_box: target,
                truth: Some(truth),
                visible: None,
                length: 0,
            };
            score_sequence(&Protocol::OTB, &sequence, boxes, vec![], &[], || None).unwrap()
        };
        let seen = |frames: usize| vec![Some(target); frames];
        let sequences = vec![
            // Of twenty frames the last two count.
            run("a@1", [vec![far; 18], vec![target; 2]].concat(), seen(20)),
            run("a@2", [vec![target; 18], vec![far; 2]].concat(), seen(20)),
            // The target is not in the last frames: those before them count.
            run(
                "b@1",
                [vec![target; 8], vec![far; 4]].concat(),
                [seen(8), vec![None; 4]].concat(),
            ),
        ];
        let score = TrackerScore::new(
            "t".to_owned(),
            &Protocol::OTB,
            Evaluation::Temporal,
            sequences,
        );
        let rows = score.rows(Evaluation::Temporal).into_iter();
        let held: Vec<_> = rows.map(|(name, row)| (name, row.held)).collect();
        assert_eq!(
            held,
            [("a".to_owned(), Some(0.5)), ("b".to_owned(), Some(1.0))]
        );
        assert_eq!(score.mean(Evaluation::Temporal).held, Some(0.75));
    }

    #[test]
    fn a_row_covers_all_frames_of_a_sequences_runs() {
        let target = BoundingBox::new(0.0, 0.0, 10.0, 10.0);
        let protocol = Protocol::OTB;
        let run = |name: &str, frames: usize, answer: BoundingBox| {
            let sequence = Sequence {
                name: name.to_owned(),
                frames: vec!["1.jpg".into(); frames],
                first_box: target,
                truth: Some(vec![Some(target); frames]),
                visible: None,
                length: 0,
            };
            score_sequence(
                &protocol,
                &sequence,
                vec![answer; frames],
                vec![],
                &[],
                || None,
            )
            .unwrap()
        };
        let far = BoundingBox::new(900.0, 0.0, 10.0, 10.0);
        let runs = || {
            vec![
                run("a@1", 6, target),
                run("a@2", 2, far),
                run("b@1", 2, far),
            ]
        };
        let score = |evaluation| TrackerScore::new("t".to_owned(), &protocol, evaluation, runs());
        let sr_50 = |evaluation| {
            let rows = score(evaluation).rows(evaluation).into_iter();
            rows.map(|(name, row)| (name, row.frames, row.scores.map(|scores| scores.sr_50)))
                .collect::<Vec<_>>()
        };
        // The first frame of a run counts as a hit.
        assert_eq!(
            sr_50(Evaluation::Temporal),
            [
                ("a".to_owned(), 8, Some(0.875)),
                ("b".to_owned(), 2, Some(0.5))
            ]
        );
        assert_eq!(sr_50(Evaluation::OnePass).len(), 3);
        let total = score(Evaluation::Temporal)
            .total
            .map(|(scores, _)| scores.sr_50);
        assert_eq!(total, Some((0.875 + 0.5) / 2.0), "the mean over sequences");
    }
}
