//! `report.html` of a suite: means with intervals, paired differences, and the targets of all benchmarks.

use std::collections::BTreeMap;
use std::path::Path;

use askama::Template;

use super::figure::Figure;
use super::intervals::{Intervals, Row};
use super::radar::Radar;
use super::{class, three, write_page};
use crate::interval::Interval;
use crate::score::AttributeRow;
use crate::suite::{Difference, Mean, Targets};
use ettrack_files::OutputError;

/// The content of a suite's report.
pub struct SuiteReport<'a> {
    /// The trackers' names.
    pub trackers: &'a [String],
    /// Names of the evaluations, in their order.
    pub evaluations: &'a [&'static str],
    /// The benchmarks' names, each with the names of its targets.
    pub benchmarks: &'a [(String, Vec<String>)],
    /// Means over all targets, and over the targets of each benchmark.
    pub means: &'a [Mean],
    /// Paired differences.
    pub differences: &'a [Difference],
    /// Figures of each tracker by evaluation and target.
    pub targets: &'a BTreeMap<String, BTreeMap<&'static str, Targets>>,
    /// For each benchmark with attributes: means of each tracker, in the order of `trackers`.
    pub attributes: &'a [(String, Vec<BTreeMap<String, AttributeRow>>)],
    /// Tracker, evaluation, run and reason of each missing result.
    pub failed: &'a [(String, &'static str, String, String)],
    /// The models and options that made the boxes, shown at the end.
    pub settings: &'a serde_json::Value,
}

/// Writes the page.
///
/// # Errors
/// [`OutputError`] if the file cannot be written.
pub fn write_suite_report(path: &Path, report: &SuiteReport<'_>) -> Result<(), OutputError> {
    write_page(path, report.html())
}

#[derive(Template)]
#[template(path = "suite.html")]
struct Page<'a> {
    style: &'static str,
    scripts: [&'static str; 2],
    subtitle: String,
    failed: &'a [(String, &'static str, String, String)],
    intervals: Vec<Intervals>,
    radars: Vec<Radar>,
    means: Vec<MeanRow<'a>>,
    differences: Vec<DifferenceRow<'a>>,
    heads: Vec<String>,
    targets: Vec<TargetRow<'a>>,
    settings: String,
}

/// A tracker's means in an evaluation.
struct MeanRow<'a> {
    evaluation: &'a str,
    benchmark: &'a str,
    class: String,
    tracker: &'a str,
    targets: usize,
    /// The measures: the mean for sorting, and the text with the interval.
    cells: Vec<(String, String)>,
}

struct DifferenceRow<'a> {
    line: &'a Difference,
    value: String,
    interval: String,
    sure: bool,
}

struct TargetRow<'a> {
    name: &'a str,
    benchmark: &'a str,
    /// Success AUC and share of runs held, for each tracker and evaluation.
    cells: Vec<Option<String>>,
}

impl SuiteReport<'_> {
    /// The page as text.
    ///
    /// # Errors
    /// If a value cannot be written as text.
    pub fn html(&self) -> std::io::Result<String> {
        let targets: usize = self.benchmarks.iter().map(|(_, names)| names.len()).sum();
        let pairs = self
            .trackers
            .iter()
            .flat_map(|tracker| self.evaluations.iter().map(move |one| (tracker, one)));
        let page = Page {
            style: include_str!("../../templates/style.css"),
            scripts: [
                include_str!("../../templates/sort.js"),
                include_str!("../../templates/tools.js"),
            ],
            subtitle: format!(
                "trackers: {}; benchmarks: {}; targets: {targets}; evaluations: {}",
                self.trackers.join(", "),
                self.benchmarks
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                self.evaluations.join(", ")
            ),
            failed: self.failed,
            intervals: self.intervals(),
            radars: self.radars(),
            means: self.mean_rows(),
            differences: self.differences.iter().map(difference_row).collect(),
            heads: pairs
                .flat_map(|(tracker, evaluation)| {
                    ["AUC", "held"].map(|measure| format!("{measure} {tracker}, {evaluation}"))
                })
                .collect(),
            targets: self.target_rows(),
            settings: serde_json::to_string_pretty(self.settings)?,
        };
        page.render().map_err(std::io::Error::other)
    }

    /// Returns the plots as separate files.
    ///
    /// # Errors
    /// If a plot cannot be written as text.
    pub fn figures(&self) -> std::io::Result<Vec<Figure>> {
        let (intervals, radars) = (self.intervals(), self.radars());
        let intervals = intervals.iter().map(Figure::of_intervals);
        intervals
            .chain(radars.iter().map(Figure::of_radar))
            .collect()
    }

    /// A plot of each evaluation: the success AUC of all targets.
    fn intervals(&self) -> Vec<Intervals> {
        let plot = |evaluation: &&'static str| {
            let rows = self
                .trackers
                .iter()
                .enumerate()
                .filter_map(|(index, tracker)| {
                    let mean = self.means.iter().find(|mean| {
                        (mean.evaluation.as_str(), mean.benchmark.as_str()) == (*evaluation, "all")
                            && mean.measure == "success_auc"
                            && mean.tracker == *tracker
                    })?;
                    Some(Row {
                        label: tracker.clone(),
                        class: class(index),
                        interval: mean.interval,
                    })
                });
            let title = format!("Success AUC, {evaluation}");
            Intervals::new(title, &rows.collect::<Vec<_>>())
        };
        self.evaluations.iter().filter_map(plot).collect()
    }

    fn radars(&self) -> Vec<Radar> {
        let radar = |(benchmark, rows): &(String, Vec<BTreeMap<String, AttributeRow>>)| {
            let labels = self.trackers.iter().map(String::as_str);
            let trackers: Vec<_> = labels.zip(rows).collect();
            Radar::new(format!("Success AUC by attribute, {benchmark}"), &trackers)
        };
        self.attributes.iter().filter_map(radar).collect()
    }

    /// Makes one row of the lines of a tracker, evaluation and benchmark, which have the measures in order.
    fn mean_rows(&self) -> Vec<MeanRow<'_>> {
        let mut rows: Vec<MeanRow<'_>> = Vec::new();
        for line in self.means {
            let cell = (
                format!("{:.6}", line.interval.mean),
                with_interval(&line.interval),
            );
            let key = (
                line.evaluation.as_str(),
                line.benchmark.as_str(),
                line.tracker.as_str(),
            );
            match rows
                .iter_mut()
                .find(|row| (row.evaluation, row.benchmark, row.tracker) == key)
            {
                Some(row) => row.cells.push(cell),
                None => rows.push(MeanRow {
                    evaluation: key.0,
                    benchmark: key.1,
                    class: class(
                        self.trackers
                            .iter()
                            .position(|one| one == key.2)
                            .unwrap_or(0),
                    ),
                    tracker: key.2,
                    targets: line.targets,
                    cells: vec![cell],
                }),
            }
        }
        rows
    }

    fn target_rows(&self) -> Vec<TargetRow<'_>> {
        let mut rows = Vec::new();
        for (benchmark, names) in self.benchmarks {
            for name in names {
                let cell = |tracker: &String, evaluation: &&'static str| {
                    let figures = self.targets.get(tracker)?.get(evaluation)?.get(name)?;
                    Some((three(figures.scores.success_auc), three(figures.held)))
                };
                let figures = self
                    .trackers
                    .iter()
                    .flat_map(|tracker| self.evaluations.iter().map(move |one| cell(tracker, one)));
                let cells = figures.flat_map(|figures| match figures {
                    Some((auc, held)) => [Some(auc), Some(held)],
                    None => [None, None],
                });
                rows.push(TargetRow {
                    name,
                    benchmark,
                    cells: cells.collect(),
                });
            }
        }
        rows
    }
}

fn with_interval(Interval { mean, low, high }: &Interval) -> String {
    format!("{mean:.3} [{low:.3}, {high:.3}]")
}

fn difference_row(line: &Difference) -> DifferenceRow<'_> {
    let Interval { mean, low, high } = line.difference;
    DifferenceRow {
        line,
        value: format!("{mean:.6}"),
        interval: format!("{mean:+.3} [{low:+.3}, {high:+.3}]"),
        sure: line.difference.excludes_zero(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Evaluation;
    use crate::metrics::Scores;
    use crate::suite::{TargetFigures, differences, means};

    #[test]
    fn the_page_has_every_tracker_and_target_and_escapes_their_names() {
        const EVIL: &str = "<script>alert('x')</script>";
        let figures = TargetFigures::all_equal;
        let ours = Targets::from([
            ("a".to_owned(), figures(0.5)),
            (EVIL.to_owned(), figures(0.25)),
        ]);
        let theirs = Targets::from([("a".to_owned(), figures(0.125))]);
        let pairs = [("ours", &ours), (EVIL, &theirs)];
        let attributes = ["blur", "fast", "hidden"].map(|name| {
            let row = AttributeRow {
                sequences: 2,
                scores: Scores::all_equal(0.5),
            };
            (name.to_owned(), row)
        });
        let attributes = BTreeMap::from(attributes);
        let report = SuiteReport {
            trackers: &["ours".to_owned(), EVIL.to_owned()],
            evaluations: &["ope"],
            benchmarks: &[("otb100".to_owned(), vec!["a".to_owned(), EVIL.to_owned()])],
            means: &means(Evaluation::OnePass, "all", &pairs),
            differences: &differences(Evaluation::OnePass, &pairs),
            targets: &BTreeMap::from([
                ("ours".to_owned(), BTreeMap::from([("ope", ours.clone())])),
                (EVIL.to_owned(), BTreeMap::from([("ope", theirs.clone())])),
            ]),
            attributes: &[("otb100".to_owned(), vec![attributes.clone(), attributes])],
            failed: &[(
                EVIL.to_owned(),
                "ope",
                EVIL.to_owned(),
                "no boxes".to_owned(),
            )],
            settings: &serde_json::json!({ EVIL: 1 }),
        };
        let page = report.html().expect("a page");
        assert!(!page.contains("<script>alert"), "{page}");
        for expected in [
            "Runs without a result: 1",
            "0.375 [0.250, 0.500]",
            "+0.375 [+0.375, +0.375]",
            "<th>AUC ours, ope</th><th>held ours, ope</th>",
            "<td>0.125</td>",
            "Success AUC by attribute, otb100",
        ] {
            assert!(page.contains(expected), "{expected} is missing in {page}");
        }
        let figures = report.figures().expect("figures");
        assert_eq!(figures[0].name, "success-auc-ope");
        assert_eq!(figures[0].csv.lines().nth(1), Some("ours,0.375,0.25,0.5"));
        assert_eq!(figures.len(), 2);
    }
}
