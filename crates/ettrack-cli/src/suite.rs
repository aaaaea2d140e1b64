//! `ettrack suite`: several trackers on several benchmark folders, in one report.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::bail;
use clap::Args;
use ettrack::error_chain;
use ettrack_eval::dataset::Evaluation;
use ettrack_eval::report::{SuiteReport, write_suite_report};
use ettrack_eval::results::ResultFolder;
use ettrack_eval::score::{AttributeRow, SummaryRow, TrackerScore, by_attribute};
use ettrack_eval::suite::{
    self, Benchmark, Difference, Mean, Model, Suite, TargetFigures, Targets,
};

use crate::console::BadInput;
use crate::runs::{Boxes, Recorded, Run, RunArgs, attributes, inner_folder};
use crate::suite_table::{print_differences, print_means};

/// Measure trackers on a suite of benchmark folders: one table of means over targets, each with its interval, and the
/// differences between the trackers, paired by target.
///
/// SUITE is a YAML file. `benchmarks:` is a list of `dataset`, `root` (relative to the file) and optionally `sequences`.
/// `models:` (optional) is a list of model folders, or of `model` with `label`, `constants`, `search_scale` and `set`.
/// `evaluations:` (optional) is a list of ope, sre, tre. An interval contains 95 % of the means over sets of targets that
/// are drawn with replacement. Runs that are already finished in the same folder are not run again. A sequence that cannot
/// be read is reported, the others continue, and the exit code is 1.
#[derive(Debug, Args)]
pub struct SuiteArgs {
    /// YAML file that lists the benchmark folders.
    #[arg(value_name = "SUITE")]
    suite: PathBuf,
    /// Model folder, instead of those in SUITE. May be repeated.
    #[arg(long, value_name = "DIR", conflicts_with = "boxes")]
    model: Vec<PathBuf>,
    /// Score the boxes of any tracker in DIR/EVALUATION instead of running models. May be repeated.
    #[arg(long, value_name = "[LABEL=]DIR")]
    boxes: Vec<String>,
    /// The evaluations: ope, sre, tre, or several of them (see eval). If not given, those of SUITE, or else ope.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    evaluation: Vec<Evaluation>,
    /// Another tracker's results in DIR/EVALUATION, in the layout of this command and of eval. May be repeated.
    #[arg(long, value_name = "[LABEL=]DIR")]
    compare: Vec<String>,
    /// Name of the first tracker in the tables; the model's name if not given.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    #[command(flatten)]
    run: RunArgs,
}

/// Changes `eval --suite FILE` in the command's words to `suite FILE`.
pub fn arguments(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    let command = words
        .iter()
        .skip(1)
        .position(|word| !starts_with(word, "-"));
    let Some(command) = command
        .map(|place| place + 1)
        .filter(|place| words[*place] == "eval")
    else {
        return words;
    };
    let option = words
        .iter()
        .position(|word| word == "--suite" || starts_with(word, "--suite="));
    if let Some(option) = option {
        words[command] = "suite".into();
        match words[option].to_str().and_then(|word| word.split_once('=')) {
            Some((_, file)) => words[option] = file.into(),
            None => _ = words.remove(option),
        }
    }
    words
}

fn starts_with(word: &OsString, start: &str) -> bool {
    word.as_encoded_bytes().starts_with(start.as_bytes())
}

/// One of the measured trackers.
struct Judged {
    label: String,
    source: Source,
    /// Whether it was given for comparison. Then its missing results are no failure of this run.
    compared: bool,
    settings: serde_json::Value,
}

/// The source of a tracker's boxes.
enum Source {
    /// A model, and the folder for its boxes. It is run if the folder does not have them yet.
    Model(Box<Run>, PathBuf),
    Recorded(PathBuf),
}

/// One tracker's figures in an evaluation.
#[derive(Default)]
struct Figures {
    /// By benchmark.
    targets: Vec<Targets>,
    /// Runs without a result, and the reasons. Their targets have no figures.
    failed: BTreeMap<String, String>,
}

/// The content of `summary.json`.
#[derive(serde::Serialize)]
struct Summary<'a> {
    /// In the order of the tables.
    trackers: &'a [String],
    ettrack_version: &'a str,
    /// By tracker.
    settings: BTreeMap<&'a str, &'a serde_json::Value>,
    table: &'a [Mean],
    differences: &'a [Difference],
    /// By tracker, evaluation and target.
    targets: &'a BTreeMap<String, BTreeMap<&'static str, Targets>>,
    failed: BTreeMap<&'a str, BTreeMap<&'static str, BTreeMap<&'a str, &'a str>>>,
}

impl SuiteArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let suite = suite::read(&self.suite).map_err(|error| BadInput::of(&error))?;
        let evaluations = self.evaluations(&suite)?;
        let trackers = self.trackers(&suite)?;
        let labels: Vec<String> = trackers.iter().map(|one| one.label.clone()).collect();
        let benchmarks = &suite.benchmarks;
        let (mut table, mut differences) = (Vec::new(), Vec::new());
        let mut targets: BTreeMap<String, BTreeMap<&'static str, Targets>> = BTreeMap::new();
        let mut failed = Vec::new();
        let mut count = 0;
        for &evaluation in &evaluations {
            let mut figures = Vec::new();
            for tracker in &trackers {
                let one = self.figures(tracker, benchmarks, evaluation)?;
                let word = if tracker.compared { "warning" } else { "error" };
                for (name, reason) in one.failed {
                    eprintln!("{word}: {}: {name}: {reason}", tracker.label);
                    count += usize::from(!tracker.compared);
                    failed.push((tracker.label.clone(), evaluation.name(), name, reason));
                }
                figures.push(one.targets);
            }
            let of = |benchmark: usize| -> Vec<(&str, &Targets)> {
                let figures = figures.iter().map(|one| &one[benchmark]);
                labels.iter().map(String::as_str).zip(figures).collect()
            };
            let all: Vec<Targets> = figures
                .iter()
                .map(|one| one.iter().flatten().map(|(k, v)| (k.clone(), *v)).collect())
                .collect();
            let pairs: Vec<_> = labels.iter().map(String::as_str).zip(&all).collect();
            table.extend(suite::means(evaluation, "all", &pairs));
            if benchmarks.len() > 1 {
                for (index, benchmark) in benchmarks.iter().enumerate() {
                    table.extend(suite::means(evaluation, &benchmark.name, &of(index)));
                }
            }
            differences.extend(suite::differences(evaluation, &pairs));
            for (label, figures) in labels.iter().zip(&all) {
                let by_evaluation = targets.entry(label.clone()).or_default();
                by_evaluation.insert(evaluation.name(), figures.clone());
            }
        }
        if table.is_empty() {
            bail!("no target has a result");
        }
        let settings = trackers
            .iter()
            .map(|one| (one.label.as_str(), &one.settings));
        let settings: BTreeMap<_, _> = settings.collect();
        let summary = Summary {
            trackers: &labels,
            ettrack_version: env!("CARGO_PKG_VERSION"),
            settings: settings.clone(),
            table: &table,
            differences: &differences,
            targets: &targets,
            failed: by_tracker(&failed),
        };
        let text = self.run.write_summary(&summary)?;
        let names: Vec<_> = evaluations.iter().map(|one| one.name()).collect();
        let report = SuiteReport {
            trackers: &labels,
            evaluations: &names,
            benchmarks: &benchmarks.iter().map(named).collect::<Vec<_>>(),
            means: &table,
            differences: &differences,
            targets: &targets,
            attributes: &by_attributes(benchmarks, &labels, names[0], &targets),
            failed: &failed,
            settings: &serde_json::to_value(&settings)?,
        };
        let page = self.run.output.join("report.html");
        write_suite_report(&page, &report)?;
        self.run.write_figures(&report.figures()?)?;
        self.run.print(&text, || {
            print_means(&table, &labels)?;
            print_differences(&differences)
        })?;
        eprintln!("report: {}", page.display());
        if count > 0 {
            bail!("{count} runs have no result");
        }
        Ok(())
    }

    /// # Errors
    /// [`BadInput`] for the multi-start experiment, which only VOT's sequences of `eval` have.
    fn evaluations(&self, suite: &Suite) -> anyhow::Result<Vec<Evaluation>> {
        let asked = [&self.evaluation, &suite.evaluations];
        let asked = asked.into_iter().find(|names| !names.is_empty());
        let mut evaluations = asked.cloned().unwrap_or(vec![Evaluation::OnePass]);
        let mut seen = BTreeSet::new();
        evaluations.retain(|one| seen.insert(one.name()));
        if seen.contains(Evaluation::MultiStart.name()) {
            bail!(BadInput(
                "evaluation multistart: expected ope, sre or tre; `ettrack eval` has it for VOT's data sets".into()
            ));
        }
        Ok(evaluations)
    }

    /// Returns the trackers in their order: models or boxes, then those given for comparison. Their names differ.
    fn trackers(&self, suite: &Suite) -> anyhow::Result<Vec<Judged>> {
        let recorded = |option: &str, argument: &String| {
            Recorded::parse(option, argument).map(|Recorded { label, folder }| Judged {
                label,
                settings: serde_json::json!({ "boxes": folder.display().to_string() }),
                source: Source::Recorded(folder),
                compared: option == "--compare",
            })
        };
        let mut trackers = if self.boxes.is_empty() {
            self.models(suite)?
        } else {
            let boxes = self.boxes.iter().map(|one| recorded("--boxes", one));
            boxes.collect::<anyhow::Result<Vec<_>>>()?
        };
        if let (Some(first), Some(label)) = (trackers.first_mut(), &self.label) {
            first.label.clone_from(label);
        }
        for argument in &self.compare {
            trackers.push(recorded("--compare", argument)?);
        }
        let mut names = BTreeSet::new();
        for Judged { label, .. } in &trackers {
            if !names.insert(label) {
                bail!(BadInput(format!(
                    "two trackers are called {label}, expected names that differ: `label` in the suite's file, or LABEL=DIR"
                )));
            }
        }
        Ok(trackers)
    }

    fn models(&self, suite: &Suite) -> anyhow::Result<Vec<Judged>> {
        let given = self.model.iter().map(|model| Model {
            model: model.clone(),
            ..Model::default()
        });
        let models: Vec<Model> = if self.model.is_empty() {
            suite.models.clone()
        } else {
            given.collect()
        };
        if models.is_empty() {
            bail!(BadInput(format!(
                "expected a model: `models:` in {}, --model DIR or --boxes DIR",
                self.suite.display()
            )));
        }
        let several = models.len() > 1;
        let judged = |model: Model| {
            let run = self.run.open(&model.model, &self.tracker_of(&model))?;
            let label = model
                .label
                .unwrap_or_else(|| run.model.manifest.name.clone());
            // If there are several models, each has its own folder.
            let folder = if several {
                self.run.output.join(folder_name(&label)?)
            } else {
                self.run.output.clone()
            };
            Ok(Judged {
                label,
                settings: run.settings.clone(),
                source: Source::Model(Box::new(run), folder),
                compared: false,
            })
        };
        models.into_iter().map(judged).collect()
    }

    /// Returns the command's settings, with the suite's settings for the model.
    fn tracker_of(&self, model: &Model) -> crate::tracker_args::TrackerArgs {
        let mut tracker = self.run.tracker.clone();
        if let Some(constants) = &model.constants {
            tracker.constants.clone_from(constants);
        }
        tracker.search_scale = model.search_scale.unwrap_or(tracker.search_scale);
        tracker.set.extend(model.set.iter().cloned());
        tracker
    }

    /// Returns a tracker's figures on the targets of which all runs have a result.
    fn figures(
        &self,
        tracker: &Judged,
        benchmarks: &[Benchmark],
        evaluation: Evaluation,
    ) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        for benchmark in benchmarks {
            let (dataset, runs) = (benchmark.dataset, benchmark.runs(evaluation));
            let boxes = match &tracker.source {
                Source::Model(run, folder) => {
                    let results = ResultFolder::new(folder.join(evaluation.name()), dataset);
                    self.run.track(run, &runs, &results, evaluation.unit())?
                }
                Source::Recorded(folder) => {
                    // The results of one pass may also be in the folder itself.
                    let inner = folder.join(evaluation.name());
                    let is_there = inner.is_dir() || evaluation != Evaluation::OnePass;
                    let base = if is_there { &inner } else { folder };
                    if base.is_dir() {
                        let names = runs.iter().map(|entry| &entry.name);
                        let base = inner_folder(base, dataset, names)?;
                        Boxes::recorded(&base, dataset, &runs)
                    } else {
                        Boxes::recorded(base, dataset, &runs)
                    }
                }
            };
            figures.add(benchmark, evaluation, boxes);
        }
        Ok(figures)
    }
}

impl Figures {
    fn add(&mut self, benchmark: &Benchmark, evaluation: Evaluation, boxes: Boxes) {
        let protocol = &benchmark.dataset.protocol;
        let mut failed = boxes.failed;
        let mut scores = Vec::new();
        for one in &boxes.tracked {
            match one.score(protocol) {
                Ok(score) => scores.push(score),
                Err(error) => failed.push((one.sequence.name.clone(), error_chain(&error))),
            }
        }
        let incomplete = failed.iter().map(|(name, _)| evaluation.sequence_of(name));
        let incomplete: BTreeSet<&str> = incomplete.collect();
        let rows = TrackerScore::new(String::new(), protocol, evaluation, scores).rows(evaluation);
        let whole = rows.into_iter();
        let whole = whole.filter(|(name, _)| !incomplete.contains(name.as_str()));
        let targets = whole.filter_map(|(name, row)| {
            let (scores, held) = (row.scores?, row.held?);
            Some((name, TargetFigures { scores, held }))
        });
        self.targets.push(targets.collect());
        self.failed.extend(failed);
    }
}

/// Returns the name of a tracker's folder.
fn folder_name(label: &str) -> anyhow::Result<&str> {
    let mut parts = Path::new(label).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) if name == label => Ok(label),
        _ => bail!(BadInput(format!(
            "label {label}: it names a folder of results, expected no separators in it"
        ))),
    }
}

/// A benchmark's name and the names of its targets.
fn named(benchmark: &Benchmark) -> (String, Vec<String>) {
    let targets = benchmark.entries.iter().map(|entry| entry.name.clone());
    (benchmark.name.clone(), targets.collect())
}

/// Returns each tracker's means by attribute, for the benchmarks that have attributes.
fn by_attributes(
    benchmarks: &[Benchmark],
    labels: &[String],
    evaluation: &'static str,
    targets: &BTreeMap<String, BTreeMap<&'static str, Targets>>,
) -> Vec<(String, Vec<BTreeMap<String, AttributeRow>>)> {
    let of = |benchmark: &Benchmark| {
        let (dataset, root) = (benchmark.dataset, &benchmark.root);
        let names = attributes(dataset, root, &benchmark.entries, Evaluation::OnePass);
        let rows = |label: &String| {
            let figures = targets.get(label).and_then(|one| one.get(evaluation));
            let rows: Vec<_> = figures.into_iter().flatten().map(row).collect();
            by_attribute(&rows, &names)
        };
        let trackers = labels.iter().map(rows).collect();
        (!names.is_empty()).then(|| (benchmark.name.clone(), trackers))
    };
    benchmarks.iter().filter_map(of).collect()
}

fn row((name, figures): (&String, &TargetFigures)) -> (String, SummaryRow) {
    let row = SummaryRow {
        scores: Some(figures.scores),
        held: Some(figures.held),
        fps: None,
        frames: 0,
    };
    (name.clone(), row)
}

fn by_tracker<'a>(
    failed: &'a [(String, &'static str, String, String)],
) -> BTreeMap<&'a str, BTreeMap<&'static str, BTreeMap<&'a str, &'a str>>> {
    let mut all: BTreeMap<_, BTreeMap<_, BTreeMap<_, _>>> = BTreeMap::new();
    for (tracker, evaluation, name, reason) in failed {
        let by_evaluation = all.entry(tracker.as_str()).or_default();
        let runs = by_evaluation.entry(*evaluation).or_default();
        runs.insert(name.as_str(), reason.as_str());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(words: &str) -> String {
        let words = arguments(words.split(' ').map(OsString::from));
        let words: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
        words.join(" ")
    }

    #[test]
    fn an_evaluation_of_a_suite_is_the_suites_command() {
        assert_eq!(
            rewritten("ettrack -v eval --output o --suite a.yaml --json"),
            "ettrack -v suite --output o a.yaml --json"
        );
        assert_eq!(
            rewritten("ettrack eval --suite=a.yaml"),
            "ettrack suite a.yaml"
        );
        for kept in [
            "ettrack eval --dataset vot",
            "ettrack track --suite x",
            "ettrack",
        ] {
            assert_eq!(rewritten(kept), kept);
        }
    }

    #[test]
    fn a_label_with_separators_is_refused() {
        assert!(folder_name("E.T.Track, wide").is_ok());
        for label in ["a/b", "..", "", "/", "a/"] {
            let error = folder_name(label).expect_err(label);
            assert!(
                error.to_string().contains("expected no separators"),
                "{error}"
            );
        }
    }
}
