//! `ettrack suite`: one tracker on several benchmark folders, in one table.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use ettrack::error_chain;
use ettrack::model::ModelFolder;
use ettrack::tracker::{Tracker, TrackerOptions};
use ettrack_eval::dataset::{Evaluation, Sequence, SequenceEntry};
use ettrack_eval::interval::Interval;
use ettrack_eval::results::{ResultFolder, SequenceResult, find_boxes};
use ettrack_eval::runner::run;
use ettrack_eval::score::{TrackerScore, score_sequence};
use ettrack_eval::suite::{self, Benchmark, Judgement, Targets};
use ettrack_files::write_file;

use crate::console::{BadInput, stdout};
use crate::eval::{Bars, fingerprint, image_size, inner_folder, label_of, settings};
use crate::tracker_args::{Lost, TrackerArgs, check_opens};

/// Judge a tracker on a suite of benchmark folders: one table of means over targets, each with its interval.
///
/// SUITE is a YAML file: `benchmarks:`, a list of `dataset`, `root` (relative to the file) and optionally `sequences`.
/// An interval holds 95 % of the means over targets that are drawn with replacement. --compare gives the difference to
/// another tracker, paired by target. What an earlier run into the same folder finished is not run again. A sequence that
/// cannot be read is reported and does not stop the others; the exit code is then 1.
#[derive(Debug, Args)]
pub struct SuiteArgs {
    /// YAML file that lists the benchmark folders.
    #[arg(value_name = "SUITE")]
    suite: PathBuf,
    /// Model folder.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "boxes",
        conflicts_with = "boxes"
    )]
    model: Option<PathBuf>,
    /// Judge the boxes recorded in DIR/EVALUATION (of any tracker) instead of running a model.
    #[arg(long, value_name = "DIR")]
    boxes: Option<PathBuf>,
    /// Where summary.json and the results, in OUTPUT/EVALUATION, go.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How often each target is run, from which start: ope, sre, tre, or several of them (see eval).
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "ope"
    )]
    evaluation: Vec<Evaluation>,
    /// Another tracker's results, in DIR/EVALUATION as this command and eval write them.
    #[arg(long, value_name = "[LABEL=]DIR")]
    compare: Option<String>,
    /// Sequences at a time, each with a tracker of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Name in the table; the model's name if not given.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Run finished sequences again.
    #[arg(long)]
    fresh: bool,
    /// Target-lost logic. Benchmarks score the authors' loop, so it is off unless asked for.
    #[arg(long, value_enum, default_value_t = Lost::Off)]
    lost: Lost,
    #[command(flatten)]
    tracker: TrackerArgs,
}

/// A run with its boxes, or its name and why there are none.
type Tracked = Result<(Sequence, SequenceResult), (String, String)>;

/// Where a tracker's boxes come from.
enum Source<'a> {
    Model(Box<Run>),
    Recorded(&'a Path),
}

/// A model that is run where no earlier run has left its boxes.
struct Run {
    model: ModelFolder,
    options: TrackerOptions,
    settings: serde_json::Value,
}

/// One tracker's figures of an evaluation.
#[derive(Default)]
struct Figures {
    targets: Targets,
    /// Runs without a result, and why. Their targets have no figures.
    failed: BTreeMap<String, String>,
}

/// The content of `summary.json`.
#[derive(serde::Serialize)]
struct Summary<'a> {
    tracker: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<&'a str>,
    ettrack_version: &'a str,
    settings: serde_json::Value,
    table: &'a [Judgement],
    /// By evaluation, then by target.
    targets: BTreeMap<&'a str, Targets>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    targets_against: BTreeMap<&'a str, Targets>,
    failed: BTreeMap<&'a str, BTreeMap<String, String>>,
}

impl SuiteArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let benchmarks = suite::read(&self.suite).map_err(|error| BadInput::of(&error))?;
        let source = self.source()?;
        let other = self.compare.as_deref().map(compared).transpose()?;
        let (label, settings) = match &source {
            Source::Model(run) => (run.model.manifest.name.clone(), run.settings.clone()),
            Source::Recorded(folder) => (
                label_of(folder),
                serde_json::json!({ "boxes": folder.display().to_string() }),
            ),
        };
        let label = self.label.clone().unwrap_or(label);
        let mut table = Vec::new();
        let mut targets = BTreeMap::new();
        let mut targets_against = BTreeMap::new();
        let mut failed = BTreeMap::new();
        for &evaluation in &self.evaluation {
            let figures = self.figures(&benchmarks, evaluation, &source)?;
            for (name, reason) in &figures.failed {
                eprintln!("error: {name}: {reason}");
            }
            let against = match &other {
                Some((label, folder)) => {
                    let source = Source::Recorded(folder);
                    let figures = self.figures(&benchmarks, evaluation, &source)?;
                    for (name, reason) in &figures.failed {
                        eprintln!("warning: {label}: {name}: {reason}");
                    }
                    Some(figures.targets)
                }
                None => None,
            };
            table.extend(suite::judge(evaluation, &figures.targets, against.as_ref()));
            let name = evaluation.name();
            targets.insert(name, figures.targets);
            targets_against.extend(against.map(|targets| (name, targets)));
            failed.insert(name, figures.failed);
        }
        if table.is_empty() {
            bail!("no target has a result");
        }
        let count: usize = failed.values().map(BTreeMap::len).sum();
        let against = other.as_ref().map(|(label, _)| label.as_str());
        let summary = Summary {
            tracker: &label,
            against,
            ettrack_version: env!("CARGO_PKG_VERSION"),
            settings,
            table: &table,
            targets,
            targets_against,
            failed,
        };
        let path = self.output.join("summary.json");
        write_file(&path, serde_json::to_string_pretty(&summary)? + "\n")?;
        print_table(&table, &label, against)?;
        if count > 0 {
            bail!("{count} runs have no result");
        }
        Ok(())
    }

    fn source(&self) -> anyhow::Result<Source<'_>> {
        if let Some(folder) = &self.boxes {
            if !folder.is_dir() {
                bail!(BadInput(format!(
                    "--boxes {}: expected a folder of results",
                    folder.display()
                )));
            }
            return Ok(Source::Recorded(folder));
        }
        let path = self.model.as_deref().unwrap_or(Path::new("."));
        let model = ettrack_models::open(path)
            .map_err(|error| BadInput(format!("cannot open the model: {}", error_chain(&error))))?;
        let options = self.tracker.options(&model, self.lost)?;
        let execution = check_opens(&model, &options)?;
        let settings = settings(&model, &self.tracker, self.lost, &execution);
        Ok(Source::Model(Box::new(Run {
            model,
            options,
            settings,
        })))
    }

    /// A tracker's figures on all targets whose runs all have a result.
    fn figures(
        &self,
        benchmarks: &[Benchmark],
        evaluation: Evaluation,
        source: &Source<'_>,
    ) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        for benchmark in benchmarks {
            let runs = benchmark.runs(evaluation);
            let results = match source {
                Source::Model(model) => self.track(model, benchmark, evaluation, &runs)?,
                Source::Recorded(folder) => {
                    // The results of one pass may also lie in the folder itself.
                    let inner = folder.join(evaluation.name());
                    let is_there = inner.is_dir() || evaluation != Evaluation::OnePass;
                    let base = if is_there {
                        inner
                    } else {
                        folder.to_path_buf()
                    };
                    let names = runs.iter().map(|entry| &entry.name);
                    let base = if base.is_dir() {
                        inner_folder(&base, benchmark.dataset, names)?
                    } else {
                        base
                    };
                    recorded(&base, benchmark, &runs)
                }
            };
            figures.add(benchmark, evaluation, results);
        }
        Ok(figures)
    }

    fn track(
        &self,
        model: &Run,
        benchmark: &Benchmark,
        evaluation: Evaluation,
        runs: &[SequenceEntry],
    ) -> anyhow::Result<Vec<Tracked>> {
        let results = ResultFolder::new(self.output.join(evaluation.name()), benchmark.dataset);
        if self.fresh {
            runs.iter()
                .try_for_each(|entry| results.forget(&entry.name))?;
        }
        let bars = Bars::new(runs.len());
        let outcomes = run(
            runs,
            &|| {
                Ok(Box::new(Tracker::from_model(
                    model.model.clone(),
                    &model.options,
                )?))
            },
            &results,
            &fingerprint(&model.settings),
            usize::from(self.jobs),
            &|progress| bars.show(progress),
        );
        bars.clear();
        let one = |outcome: ettrack_eval::runner::Outcome| match (outcome.sequence, outcome.result)
        {
            (Some(sequence), Ok(result)) => Ok((sequence, result)),
            (_, Err(error)) => Err((outcome.name, error_chain(&error))),
            (None, Ok(_)) => Err((outcome.name, "result without a sequence".to_owned())),
        };
        Ok(outcomes.into_iter().map(one).collect())
    }
}

impl Figures {
    fn add(&mut self, benchmark: &Benchmark, evaluation: Evaluation, results: Vec<Tracked>) {
        let protocol = benchmark.dataset.protocol;
        let mut scores = Vec::new();
        let mut incomplete = BTreeSet::new();
        for result in results {
            let scored = result.and_then(|(sequence, result)| {
                let SequenceResult {
                    boxes,
                    confidence,
                    seconds,
                    ..
                } = result;
                score_sequence(&protocol, &sequence, boxes, confidence, &seconds, || {
                    image_size(&sequence)
                })
                .map_err(|error| (sequence.name.clone(), error_chain(&error)))
            });
            match scored {
                Ok(score) => scores.push(score),
                Err((name, reason)) => {
                    incomplete.insert(evaluation.sequence_of(&name).to_owned());
                    self.failed.insert(name, reason);
                }
            }
        }
        let rows = TrackerScore::new(String::new(), &protocol, evaluation, scores).rows(evaluation);
        let whole = rows
            .into_iter()
            .filter(|(name, _)| !incomplete.contains(name));
        self.targets
            .extend(whole.filter_map(|(name, row)| Some((name, row.scores?))));
    }
}

/// A label and an existing folder.
fn compared(argument: &str) -> anyhow::Result<(String, PathBuf)> {
    let (label, folder) = match argument.split_once('=') {
        Some((label, folder)) => (label.to_owned(), PathBuf::from(folder)),
        None => (label_of(Path::new(argument)), PathBuf::from(argument)),
    };
    if !folder.is_dir() {
        bail!(BadInput(format!(
            "--compare {argument}: expected a folder of results"
        )));
    }
    Ok((label, folder))
}

/// The boxes that lie in a folder.
fn recorded(folder: &Path, benchmark: &Benchmark, runs: &[SequenceEntry]) -> Vec<Tracked> {
    let read = |entry: &SequenceEntry| -> anyhow::Result<(Sequence, SequenceResult)> {
        let sequence = entry.load()?;
        let first = Some(&sequence.first_box);
        let boxes = find_boxes(folder, benchmark.dataset, &entry.name, first)?
            .with_context(|| format!("no boxes of it in {}", folder.display()))?;
        Ok((
            sequence,
            SequenceResult {
                boxes,
                ..SequenceResult::default()
            },
        ))
    };
    let one =
        |entry| read(entry).map_err(|error| (entry.name.clone(), error_chain(error.as_ref())));
    runs.iter().map(one).collect()
}

fn print_table(table: &[Judgement], label: &str, against: Option<&str>) -> anyhow::Result<()> {
    let mut out = stdout();
    let plain = |interval: &Interval| {
        let Interval { mean, low, high } = interval;
        format!("{mean:.3} [{low:.3}, {high:.3}]")
    };
    let signed = |interval: &Interval| {
        let Interval { mean, low, high } = interval;
        format!("{mean:+.3} [{low:+.3}, {high:+.3}]")
    };
    let width = label.chars().count().max(20);
    let other = against.unwrap_or_default();
    let other_width = other.chars().count().max(20);
    write!(
        out,
        "{:10}  {:12}  {:>7}  {label:width$}",
        "evaluation", "measure", "targets"
    )?;
    if against.is_some() {
        let paired = "difference, paired";
        write!(out, "  {other:other_width$}  {paired:23}  won")?;
    }
    writeln!(out)?;
    for line in table {
        write!(
            out,
            "{:10}  {:12}  {:>7}  {:width$}",
            line.evaluation,
            line.measure,
            line.targets,
            plain(&line.tracker)
        )?;
        if let Some(against) = &line.against {
            write!(
                out,
                "  {:other_width$}  {:23}  {} of {}",
                plain(&against.other),
                signed(&against.difference),
                against.won,
                against.targets
            )?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}
