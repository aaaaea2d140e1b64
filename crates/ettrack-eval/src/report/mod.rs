//! `report.html`: one file with plots, a table of sequences and sample frames. It needs no internet.
//!
//! This module computes what the page shows. The templates in `templates/` write it and escape all text.

mod figure;
mod intervals;
mod plot;
mod radar;
mod samples;
mod suite;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use askama::Template;

pub use self::figure::Figure;
use self::plot::{Axes, Plot, Series};
use self::radar::Radar;
pub use self::suite::{SuiteReport, write_suite_report};
use super::dataset::{Dataset, Evaluation, Sequence};
use super::metrics::{
    Curves, DISTANCE_STEPS, OVERLAP_STEPS, Protocol, Scores, distance_threshold,
    normalized_threshold, overlap, overlap_threshold,
};
use super::score::{AttributeRow, Common, SequenceScore, TrackerScore};
use ettrack_files::{OutputError, write_file};
use ettrack_picture::{Color, WHITE};

/// Colours of the first trackers' boxes on sample frames, the same as those of their lines on a light page.
const BOX_COLORS: [Color; 4] = [
    [60, 150, 255],
    [255, 120, 40],
    [60, 200, 90],
    [200, 90, 230],
];
/// Number of line colours. All further trackers have the last one.
const LINE_COLORS: usize = 8;
/// Sample frames per sequence.
const SAMPLES: usize = 5;
/// Number of sequences with sample frames, those with the lowest score, to keep the file small.
const SEQUENCES_WITH_SAMPLES: usize = 40;
/// Number of sequences whose details are open when the page is opened.
const OPEN_DETAILS: usize = 3;

/// The content of the report.
pub struct Report<'a> {
    /// The data set.
    pub dataset: &'a Dataset,
    /// How boxes are scored.
    pub protocol: &'a Protocol,
    /// The starts of the runs.
    pub evaluation: Evaluation,
    /// The evaluated tracker first, then the compared ones. At least one.
    pub trackers: &'a [TrackerScore],
    /// The trackers over their common sequences, for plots and means, if they have results of different sequences.
    pub common: Option<&'a Common>,
    /// Sequences with frames and truth, for sample frames and plots over time.
    pub sequences: &'a [Sequence],
    /// Sequences without a result, and the reasons.
    pub failed: &'a [(String, String)],
    /// Means of each tracker by attribute of the benchmark (over the common sequences, if there are any).
    pub attributes: &'a [BTreeMap<String, AttributeRow>],
    /// Model and options that gave the boxes, shown at the end.
    pub settings: &'a serde_json::Value,
    /// Whether the page has sample frames.
    pub samples: bool,
}

/// Writes the page.
///
/// # Errors
/// [`OutputError`] if the file cannot be written.
pub fn write_report(path: &Path, report: &Report<'_>) -> Result<(), OutputError> {
    write_page(path, report.html())
}

/// Writes a page. A template that fails is an error of the file.
fn write_page(path: &Path, html: std::io::Result<String>) -> Result<(), OutputError> {
    let html = html.map_err(|source| OutputError {
        path: path.to_owned(),
        source,
    })?;
    write_file(path, html)
}

/// The values for the template of the page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    style: &'static str,
    scripts: [&'static str; 2],
    title: String,
    subtitle: String,
    /// `Sequences` or `Runs`.
    units: String,
    /// `sequence` or `run`.
    unit: &'static str,
    has_runs: bool,
    protocol: &'a Protocol,
    failed: &'a [(String, String)],
    cards: Vec<Card>,
    /// Empty if the truth is not published.
    plots: Vec<Plot>,
    labels: Vec<&'a str>,
    /// The sequences that a comparison leaves out.
    note: Option<&'a str>,
    compared: Vec<ComparedRow<'a>>,
    radar: Option<Radar>,
    attributes: Vec<AttributeLine<'a>>,
    sequences: Vec<SequenceRow<'a>>,
    total: Option<SequenceRow<'a>>,
    /// Tracker and colour of its boxes.
    legend: Vec<(&'a str, String)>,
    details: Vec<Detail<'a>>,
    settings: String,
}

/// A number at the top of the page.
struct Card {
    value: String,
    name: &'static str,
}

/// The six measures of a table row, as text.
struct Measures {
    /// Success AUC with six decimals, for sorting.
    auc_exact: String,
    /// Width of the bar.
    auc_percent: String,
    auc: String,
    others: [String; 5],
}

/// A row of the table of trackers.
struct ComparedRow<'a> {
    class: String,
    label: &'a str,
    count: usize,
    measures: Measures,
}

/// A row of the table of attributes.
struct AttributeLine<'a> {
    name: &'a str,
    count: usize,
    measures: Measures,
    /// Success AUC of each compared tracker.
    others: Vec<Option<String>>,
}

/// A row of the table of sequences.
struct SequenceRow<'a> {
    name: &'a str,
    frames: usize,
    measures: Option<Measures>,
    /// Frames per second, then the success AUC of each compared tracker; `None` if unknown.
    others: Vec<Option<String>>,
}

/// A sequence frame by frame.
struct Detail<'a> {
    name: &'a str,
    score: String,
    open: bool,
    timeline: Plot,
    samples: Option<Vec<Sample>>,
}

/// A sample frame.
struct Sample {
    caption: String,
    /// The picture as a `data:` address.
    data: String,
}

fn class(index: usize) -> String {
    format!("s{}", index.min(LINE_COLORS - 1))
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

impl Measures {
    fn of(scores: &Scores) -> Self {
        Self {
            auc_exact: format!("{:.6}", scores.success_auc),
            auc_percent: format!("{:.0}", scores.success_auc * 100.0),
            auc: three(scores.success_auc),
            others: [
                scores.precision_20,
                scores.normalized_precision_20,
                scores.sr_50,
                scores.sr_75,
                scores.ao,
            ]
            .map(three),
        }
    }
}

impl<'a> Report<'a> {
    /// The page as text.
    ///
    /// # Errors
    /// If a value cannot be written as text.
    pub fn html(&self) -> std::io::Result<String> {
        let main = &self.trackers[0];
        let frames: usize = main.sequences.iter().map(|one| one.frames).sum();
        let units = self.evaluation.unit();
        let page = Page {
            style: include_str!("../../templates/style.css"),
            scripts: [
                include_str!("../../templates/sort.js"),
                include_str!("../../templates/tools.js"),
            ],
            title: format!("{} on {}", main.label, self.dataset),
            subtitle: format!(
                "{}, {} {units}, {frames} frames",
                self.evaluation.title(),
                main.sequences.len()
            ),
            units: capitalized(units),
            unit: units.trim_end_matches('s'),
            has_runs: self.evaluation != Evaluation::OnePass,
            protocol: self.protocol,
            failed: self.failed,
            cards: self.cards(),
            plots: self.plots(),
            labels: self.trackers.iter().map(|one| one.label.as_str()).collect(),
            note: self.common.map(|common| common.note.as_str()),
            compared: self.compared(),
            radar: self.radar(),
            attributes: self.attribute_lines(),
            sequences: main.sequences.iter().map(|one| self.row(one)).collect(),
            total: self.total(frames),
            legend: self.legend(),
            details: self.details(),
            settings: serde_json::to_string_pretty(self.settings)?,
        };
        page.render().map_err(std::io::Error::other)
    }

    /// Returns the plots as separate files: success, precision, normalised precision and, if the benchmark has attributes,
    /// their radar.
    ///
    /// # Errors
    /// If a plot cannot be written as text.
    pub fn figures(&self) -> std::io::Result<Vec<Figure>> {
        let plots = self.plots();
        let radar = self.radar();
        let plots = plots.iter().map(Figure::of_plot);
        plots.chain(radar.iter().map(Figure::of_radar)).collect()
    }

    fn radar(&self) -> Option<Radar> {
        let labels = self.comparable().iter().map(|one| one.label.as_str());
        let trackers: Vec<_> = labels.zip(self.attributes).collect();
        Radar::new("Success AUC by attribute".to_owned(), &trackers)
    }

    fn attribute_lines(&self) -> Vec<AttributeLine<'a>> {
        let Some((first, others)) = self.attributes.split_first() else {
            return Vec::new();
        };
        let line = |(name, row): (&'a String, &AttributeRow)| AttributeLine {
            name,
            count: row.sequences,
            measures: Measures::of(&row.scores),
            others: others
                .iter()
                .map(|rows| Some(three(rows.get(name)?.scores.success_auc)))
                .collect(),
        };
        first.iter().map(line).collect()
    }

    fn cards(&self) -> Vec<Card> {
        let main = &self.trackers[0];
        let mut cards = Vec::new();
        let mut card = |value: String, name: &'static str| cards.push(Card { value, name });
        if let Some((scores, _)) = &main.total {
            card(three(scores.success_auc), "success AUC");
            card(three(scores.precision_20), "precision, 20 px");
            card(
                three(scores.normalized_precision_20),
                "normalised precision, 0.2",
            );
            card(three(scores.sr_50), "OP50 / SR 0.5");
            card(three(scores.sr_75), "OP75 / SR 0.75");
            card(three(scores.ao), "average overlap");
        }
        if let Some(fps) = main.fps() {
            card(format!("{fps:.0}"), "frames per second");
        }
        cards
    }

    fn plots(&self) -> Vec<Plot> {
        if self.trackers[0].total.is_none() {
            return Vec::new();
        }
        let axes = |title, x_label, end, marker| Axes {
            title,
            x_label,
            y_label: "part of frames",
            x_range: (0.0, end),
            y_range: (0.0, 1.0),
            size: (360.0, 290.0),
            marker,
            figure: true,
        };
        vec![
            self.curve(
                &axes("Success", "overlap threshold", 1.0, None),
                |curves| &curves.success,
                OVERLAP_STEPS,
                overlap_threshold,
                |scores| scores.success_auc,
            ),
            self.curve(
                &axes(
                    "Precision",
                    "centre error threshold, pixels",
                    50.0,
                    Some(20.0),
                ),
                |curves| &curves.precision,
                DISTANCE_STEPS,
                distance_threshold,
                |scores| scores.precision_20,
            ),
            self.curve(
                &axes(
                    "Normalised precision",
                    "centre error threshold, target sizes",
                    0.5,
                    Some(0.2),
                ),
                |curves| &curves.normalized_precision,
                DISTANCE_STEPS,
                normalized_threshold,
                |scores| scores.normalized_precision_20,
            ),
        ]
    }

    fn curve(
        &self,
        axes: &Axes,
        values: fn(&Curves) -> &Vec<f64>,
        steps: usize,
        threshold: fn(usize) -> f64,
        score: fn(&Scores) -> f64,
    ) -> Plot {
        let series: Vec<_> = self
            .comparable()
            .iter()
            .enumerate()
            .filter_map(|(index, tracker)| {
                let (scores, curves) = tracker.total.as_ref()?;
                Some(Series {
                    name: tracker.label.clone(),
                    label: format!("{}: {:.3}", tracker.label, score(scores)),
                    class: class(index),
                    points: (0..steps)
                        .map(|i| (threshold(i), values(curves)[i]))
                        .collect(),
                })
            })
            .collect();
        Plot::new(axes, &series)
    }

    /// The trackers whose means may be compared.
    fn comparable(&self) -> &'a [TrackerScore] {
        self.common.map_or(self.trackers, |common| &common.trackers)
    }

    fn compared(&self) -> Vec<ComparedRow<'a>> {
        let trackers = self.comparable().iter().enumerate();
        trackers
            .filter_map(|(index, tracker)| {
                let (scores, _) = tracker.total.as_ref()?;
                Some(ComparedRow {
                    class: class(index),
                    label: &tracker.label,
                    count: tracker.sequences.len(),
                    measures: Measures::of(scores),
                })
            })
            .collect()
    }

    fn row(&self, one: &'a SequenceScore) -> SequenceRow<'a> {
        let fps = one.fps.map(|fps| format!("{fps:.0}"));
        let others = self.trackers[1..].iter().map(|tracker| {
            let (scores, _) = tracker.sequence(&one.name)?.scored.as_ref()?;
            Some(three(scores.success_auc))
        });
        SequenceRow {
            name: &one.name,
            frames: one.frames,
            measures: one.scored.as_ref().map(|(scores, _)| Measures::of(scores)),
            others: std::iter::once(fps).chain(others).collect(),
        }
    }

    fn total(&self, frames: usize) -> Option<SequenceRow<'a>> {
        let main = &self.trackers[0];
        let (scores, _) = main.total.as_ref()?;
        let fps = main.fps().map(|fps| format!("{fps:.0}"));
        // A mean over other sequences does not belong in this row.
        let others = self.trackers[1..].iter().map(|tracker| {
            let (scores, _) = tracker.total.as_ref().filter(|_| self.common.is_none())?;
            Some(three(scores.success_auc))
        });
        Some(SequenceRow {
            name: if self.protocol.pool_frames {
                "all frames"
            } else {
                "mean"
            },
            frames,
            measures: Some(Measures::of(scores)),
            others: std::iter::once(fps).chain(others).collect(),
        })
    }

    fn legend(&self) -> Vec<(&'a str, String)> {
        let trackers = self.trackers.iter().zip(BOX_COLORS);
        trackers
            .map(|(tracker, [red, green, blue])| {
                (tracker.label.as_str(), format!("rgb({red},{green},{blue})"))
            })
            .collect()
    }

    /// The sequences from the lowest to the highest score.
    fn details(&self) -> Vec<Detail<'a>> {
        let mut order: Vec<_> = self.trackers[0].sequences.iter().collect();
        let auc = |one: &SequenceScore| {
            one.scored
                .as_ref()
                .map_or(2.0, |(scores, _)| scores.success_auc)
        };
        order.sort_by(|a, b| auc(a).total_cmp(&auc(b)));
        let ranked = order.into_iter().enumerate();
        ranked
            .filter_map(|(rank, one)| {
                let sequence = self.sequences.iter().find(|other| other.name == one.name)?;
                let has_samples = self.samples && rank < SEQUENCES_WITH_SAMPLES;
                Some(Detail {
                    name: &one.name,
                    score: one.scored.as_ref().map_or(String::new(), |(scores, _)| {
                        format!("AUC {:.3}", scores.success_auc)
                    }),
                    open: rank < OPEN_DETAILS,
                    timeline: self.timeline(one, sequence),
                    samples: has_samples.then(|| self.sample_frames(one, sequence)),
                })
            })
            .collect()
    }

    /// Overlap of each tracker, and the confidence of the first one, over the frames.
    fn timeline(&self, one: &SequenceScore, sequence: &Sequence) -> Plot {
        let last = (sequence.frames.len().max(2) - 1) as f64;
        let mut series = Vec::new();
        if let Some(truth) = &sequence.truth {
            for (index, tracker) in self.trackers.iter().enumerate() {
                let Some(score) = tracker.sequence(&one.name) else {
                    continue;
                };
                let points = score
                    .boxes
                    .iter()
                    .zip(truth)
                    .enumerate()
                    .map(|(frame, (guess, truth))| {
                        let value = truth.as_ref().map_or(0.0, |truth| overlap(guess, truth));
                        (frame as f64, if frame == 0 { 1.0 } else { value })
                    })
                    .collect();
                series.push(Series {
                    name: tracker.label.clone(),
                    label: format!("overlap of {}", tracker.label),
                    class: class(index),
                    points,
                });
            }
        }
        if !one.confidence.is_empty() {
            series.push(Series {
                name: "confidence".to_owned(),
                label: "confidence".to_owned(),
                class: "thin s7".to_owned(),
                points: (0_u32..)
                    .zip(&one.confidence)
                    .map(|(frame, value)| (f64::from(frame), f64::from(*value)))
                    .collect(),
            });
        }
        let axes = Axes {
            title: "",
            x_label: "frame",
            y_label: "overlap",
            x_range: (0.0, last),
            y_range: (0.0, 1.0),
            size: (1040.0, 190.0),
            marker: None,
            figure: false,
        };
        Plot::new(&axes, &series)
    }

    fn sample_frames(&self, one: &SequenceScore, sequence: &Sequence) -> Vec<Sample> {
        let count = sequence.frames.len();
        let mut made = Vec::new();
        for part in 1..=SAMPLES {
            let frame = ((count - 1) * part / SAMPLES).min(count - 1);
            let truth = sequence
                .truth
                .as_ref()
                .and_then(|truth| truth.get(frame).copied().flatten());
            // Drawn in this order: the truth, the compared trackers, the evaluated tracker on top.
            let mut boxes = Vec::new();
            boxes.extend(truth.map(|truth| (truth, WHITE)));
            let colors = self.trackers.iter().zip(BOX_COLORS);
            for (tracker, color) in colors.collect::<Vec<_>>().into_iter().rev() {
                let guess = tracker
                    .sequence(&one.name)
                    .and_then(|score| score.boxes.get(frame));
                boxes.extend(guess.map(|guess| (*guess, color)));
            }
            let Some(focus) = truth.or_else(|| one.boxes.get(frame).copied()) else {
                continue;
            };
            let Some(data) = samples::sample(&sequence.frames[frame], &focus, &boxes) else {
                continue;
            };
            let mut caption = format!("frame {}", frame + 1);
            // Writing to a string does not fail.
            if let (Some(truth), Some(guess)) = (&truth, one.boxes.get(frame)) {
                let _ = write!(caption, ", overlap {:.2}", overlap(guess, truth));
            } else if sequence.truth.is_some() {
                caption.push_str(", target absent");
            }
            if let Some(confidence) = one.confidence.get(frame) {
                let _ = write!(caption, ", confidence {confidence:.2}");
            }
            made.push(Sample { caption, data });
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::OTB100;
    use crate::score::score_sequence;
    use ettrack::geometry::BoundingBox;

    #[test]
    fn escapes_names_reasons_and_settings() {
        const EVIL: &str = "<script>alert('x')</script>\"&";
        let target = BoundingBox::new(1.0, 2.0, 30.0, 40.0);
        let sequence = Sequence {
            name: EVIL.to_owned(),
            frames: vec!["1.jpg".into(), "2.jpg".into()],
            first_box: target,
            truth: Some(vec![Some(target); 2]),
            visible: None,
            length: 0,
        };
        let score = || {
            let boxes = vec![target; 2];
            score_sequence(
                &Protocol::OTB,
                &sequence,
                boxes,
                vec![1.0, 0.5],
                &[],
                || None,
            )
            .unwrap()
        };
        let tracker = |label: &str| {
            let one_pass = Evaluation::OnePass;
            TrackerScore::new(label.to_owned(), &Protocol::OTB, one_pass, vec![score()])
        };
        let trackers = [tracker(EVIL), tracker("other")];
        let row = AttributeRow {
            sequences: 1,
            scores: score().scored.unwrap().0,
        };
        let names = [EVIL, "blur", "turned"];
        let attributes = BTreeMap::from(names.map(|name| (name.to_owned(), row.clone())));
        let report = Report {
            dataset: &OTB100,
            protocol: &Protocol::OTB,
            evaluation: Evaluation::OnePass,
            trackers: &trackers,
            common: None,
            sequences: std::slice::from_ref(&sequence),
            failed: &[(EVIL.to_owned(), EVIL.to_owned())],
            attributes: &[attributes.clone(), attributes],
            settings: &serde_json::json!({ "label": EVIL }),
            samples: true,
        };
        let page = report.html().unwrap();
        assert!(!page.contains("<script>alert"), "{page}");
        // Title twice, failed twice, legends, tables, details, plots, settings.
        assert!(page.matches("&#60;script&#62;alert").count() > 8, "{page}");
        for expected in [
            "1 sequences, 2 frames",
            "Sequences without a result: 1",
            "success AUC",
            "<th>AUC other</th>",
            "Success AUC by attribute",
            "The first frame counts.",
            "mean over the sequences",
            "Normalised precision",
        ] {
            assert!(page.contains(expected), "{expected} is missing in {page}");
        }
        let figures = report.figures().unwrap();
        let names: Vec<_> = figures.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "success",
                "precision",
                "normalised-precision",
                "success-auc-by-attribute"
            ]
        );
        for Figure { name, svg, csv } in &figures {
            assert!(
                svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""),
                "{svg}"
            );
            assert!(
                !svg.contains("<script>") && !svg.contains("var(") && !svg.contains("data-csv"),
                "{svg}"
            );
            assert!(
                svg.contains(">other") && csv.lines().count() > 3,
                "{name}: {csv}"
            );
        }
    }
}
