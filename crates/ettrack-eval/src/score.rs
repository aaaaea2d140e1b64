//! Scores the boxes of a tracker on a data set, and makes `summary.json`.

use std::collections::BTreeMap;

use super::dataset::{Dataset, Evaluation, Sequence};
use super::metrics::{
    Curves, FrameErrors, MetricError, Protocol, Scores, frame_errors, mean, total,
};
use super::results::frames_per_second;
use ettrack::geometry::BoundingBox;

/// The score of one tracker on one sequence or run.
#[derive(Debug, Clone)]
pub struct SequenceScore {
    /// Name of the sequence or run.
    pub name: String,
    /// Number of frames.
    pub frames: usize,
    /// The tracker's boxes, 0-based, one per frame.
    pub boxes: Vec<BoundingBox>,
    /// Confidence per frame, 0..=1; empty if unknown.
    pub confidence: Vec<f32>,
    /// Updates per second of tracker time; `None` if unknown.
    pub fps: Option<f64>,
    /// Measures, and the errors per frame they come from; `None` if the truth is not published.
    pub scored: Option<(Scores, FrameErrors)>,
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
    let scored = match &sequence.truth {
        None => None,
        Some(_) => {
            let size = if protocol.clip_to_image {
                image_size()
            } else {
                None
            };
            let errors = frame_errors(protocol, &boxes, sequence, size)?;
            Some((Scores::of(&errors), errors))
        }
    };
    let fps = frames_per_second(seconds);
    Ok(SequenceScore {
        name: sequence.name.clone(),
        frames: sequence.frames.len(),
        boxes,
        confidence,
        fps: (fps > 0.0).then_some(fps),
        scored,
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

    /// A row for each sequence in the order of the data set, over all frames of its runs.
    pub fn rows(&self, evaluation: Evaluation) -> Vec<(String, SummaryRow)> {
        by_sequence(&self.sequences, evaluation)
            .map(|(name, runs)| (name.to_owned(), SummaryRow::of(runs)))
            .collect()
    }

    /// The score of the sequence or run of this name.
    pub fn sequence(&self, name: &str) -> Option<&SequenceScore> {
        self.sequences.iter().find(|one| one.name == name)
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
    let speeds: Vec<_> = runs.iter().filter_map(|one| one.fps).collect();
    (!speeds.is_empty()).then(|| mean(speeds.into_iter()))
}

/// A row of `summary.json`. Unknown values (no published truth, no times) are left out.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SummaryRow {
    /// The measures.
    #[serde(flatten)]
    pub scores: Option<Scores>,
    /// Updates per second of tracker time, without reading images. It does not measure the speed if several jobs ran at the
    /// same time or the machine was busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Number of frames, including the first.
    pub frames: usize,
}

impl SummaryRow {
    /// The row of a sequence's runs, over all their frames.
    fn of(runs: &[SequenceScore]) -> Self {
        Self {
            scores: pooled(runs).map(|errors| Scores::of(&errors)),
            fps: mean_speed(runs),
            frames: runs.iter().map(|one| one.frames).sum(),
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
            mean: SummaryRow {
                scores: score.total.as_ref().map(|(scores, _)| *scores),
                fps: score.fps(),
                frames: score.sequences.iter().map(|one| one.frames).sum(),
            },
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
            "fps",
        ] {
            assert!(value["mean"][key].is_number(), "{key}");
            assert!(value["sequences"]["a"][key].is_number(), "{key}");
            assert!(value["sequences"]["b"][key].is_null(), "{key}");
        }
        assert_eq!(value["mean"]["sr_50"], 1.0);
        assert_eq!(value["mean"]["fps"], 100.0);
        assert_eq!(value["failed"]["c"], "broken");
        assert_eq!(serde_json::from_value::<Summary>(value).unwrap(), summary);
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
