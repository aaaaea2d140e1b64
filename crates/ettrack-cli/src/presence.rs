//! `ettrack presence`: how often the states LOST and TRACKING are right.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use ettrack::error_chain;
use ettrack::tracker::{Track, Tracker};
use ettrack_eval::dataset::{self, Dataset, DatasetOptions, Evaluation, Sequence, SequenceEntry};
use ettrack_eval::presence::{
    Answers, Edit, EditedSequence, FeatureTable, PresenceScore, answers, edited, judge, pool,
};
use ettrack_files::PendingFile;
use indicatif::{ProgressBar, ProgressStyle};

use crate::console::{BadInput, stdout};
use crate::dataset_args::parse_dataset;
use crate::failures;
use crate::tracker_args::{Lost, TrackerArgs, check_opens};

/// Measure how often the states LOST and TRACKING are right, on sequences whose target disappears.
///
/// The disappearances are edited into real sequences, in the same way every time: frames of another place are inserted, the
/// target is painted over with the background beside it, or a board slides over it. With --edit none, sequences are not
/// changed. Use this if their truth says when the target is out of sight (simulated sequences, for example).
///
/// --failures measures the tracker's own failures instead, on the unchanged sequences of a suite. It compares frames with the
/// box off the target (overlap below 0.1) with frames with the box on the target (above 0.5).
#[derive(Debug, Args)]
pub struct PresenceArgs {
    /// The benchmark.
    #[arg(long, value_name = "NAME", value_parser = parse_dataset(), required_unless_present = "failures")]
    dataset: Option<&'static Dataset>,
    /// The benchmark's folder.
    #[arg(long, value_name = "DIR", required_unless_present = "failures")]
    root: Option<PathBuf>,
    /// Suite of benchmark folders (see suite) on which the tracker's own failures are measured.
    #[arg(long, value_name = "SUITE", conflicts_with_all = ["dataset", "root", "sequence", "edit"])]
    failures: Option<PathBuf>,
    /// The starts of each target of --failures: ope, sre or tre (see eval).
    #[arg(long, value_name = "NAME", default_value_t = Evaluation::OnePass, requires = "failures")]
    evaluation: Evaluation,
    /// Model folder.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Only this sequence. May be repeated.
    #[arg(long, value_name = "NAME")]
    sequence: Vec<String>,
    /// How targets disappear; all three if not given (none for simulated sequences).
    #[arg(long, value_enum, value_delimiter = ',')]
    edit: Vec<EditArg>,
    /// Write the features from which the confidence is computed into this CSV file, one line per frame, to fit the weights
    /// (docs/lost.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) features: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Whether the lost state is used. With off, only the confidence is measured.
    #[arg(long, value_enum, default_value_t = Lost::On)]
    lost: Lost,
    #[command(flatten)]
    tracker: TrackerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EditArg {
    None,
    Cut,
    Paint,
    Board,
}

impl From<EditArg> for Edit {
    fn from(edit: EditArg) -> Self {
        match edit {
            EditArg::None => Self::None,
            EditArg::Cut => Self::Cut,
            EditArg::Paint => Self::Paint,
            EditArg::Board => Self::Board,
        }
    }
}

struct Row {
    name: String,
    edit: &'static str,
    score: PresenceScore,
}

impl PresenceArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        match (&self.failures, self.dataset, &self.root) {
            (Some(suite), ..) => failures::run(&self, suite, self.evaluation),
            (None, Some(dataset), Some(root)) => self.run_edited(dataset, root),
            _ => bail!(BadInput(
                "expected --dataset and --root, or --failures".to_owned()
            )),
        }
    }

    fn run_edited(&self, dataset: &'static Dataset, root: &Path) -> anyhow::Result<()> {
        let entries = dataset::list(dataset, root, DatasetOptions::default(), &self.sequence)
            .map_err(|error| BadInput::of(&error))?;
        // This is checked before the work starts.
        let features_file = self
            .features
            .as_deref()
            .map(PendingFile::create)
            .transpose()?;
        let (sequences, unread) = load(&entries);
        let edits: Vec<Edit> = match (self.edit.is_empty(), dataset.has_disappearances) {
            (true, true) => vec![Edit::None],
            (true, false) => vec![Edit::Cut, Edit::Paint, Edit::Board],
            (false, _) => self.edit.iter().map(|edit| (*edit).into()).collect(),
        };
        let made = edited(&sequences, &edits);
        if made.is_empty() {
            bail!(BadInput(format!(
                "{}: no sequence with truth and at least 40 frames (to be edited), or with a target that disappears (as it is)",
                root.display()
            )));
        }
        let mut rows = Vec::new();
        let mut features = FeatureTable::default();
        let name = |one: &EditedSequence| format!("{} ({})", one.name, one.edit.name());
        let failed = self.run_over(&made, &mut features, name, |sequence, answers| {
            rows.push(Row {
                name: sequence.name.clone(),
                edit: sequence.edit.name(),
                score: judge(sequence, answers),
            });
        })?;
        let printed = self.print(dataset, &rows, &edits);
        finish(printed, features_file, &features)?;
        if unread + failed > 0 {
            bail!("{} sequences have no result", unread + failed);
        }
        Ok(())
    }

    /// Runs the model over the sequences and passes the answers of each one on. A sequence that fails is reported under its
    /// `name`. Returns the number of these.
    pub(crate) fn run_over(
        &self,
        made: &[EditedSequence],
        features: &mut FeatureTable,
        name: impl Fn(&EditedSequence) -> String,
        mut take: impl FnMut(&EditedSequence, &Answers),
    ) -> anyhow::Result<usize> {
        let model = ettrack_models::open(&self.model)
            .map_err(|error| BadInput(format!("cannot open the model: {}", error_chain(&error))))?;
        let options = self.tracker.options(&model, self.lost)?;
        check_opens(&model, &options)?;
        let mut tracker = Tracker::from_model(model, &options)?;
        let bar = frames_bar(made.iter().map(|one| one.len() as u64).sum());
        let mut failed = 0;
        for sequence in made {
            bar.set_message(sequence.name.clone());
            let record = |frame: usize, tracker: &Tracker, track: &Track| {
                features.push(sequence, frame, tracker, track);
            };
            match answers(&mut tracker, sequence, record) {
                Ok(answers) => take(sequence, &answers),
                Err(error) => {
                    let name = name(sequence);
                    bar.suspend(|| eprintln!("error: {name}: {}", error_chain(&error)));
                    failed += 1;
                }
            }
            bar.inc(sequence.len() as u64);
        }
        bar.finish_and_clear();
        Ok(failed)
    }

    fn print(&self, dataset: &Dataset, rows: &[Row], edits: &[Edit]) -> anyhow::Result<()> {
        let totals: Vec<(&str, PresenceScore)> = edits
            .iter()
            .map(|edit| {
                (
                    edit.name(),
                    pool(
                        rows.iter()
                            .filter(|row| row.edit == edit.name())
                            .map(|row| &row.score),
                    ),
                )
            })
            .chain([("all", pool(rows.iter().map(|row| &row.score)))])
            .collect();
        let mut out = stdout();
        if self.json {
            let sequences: Vec<_> = rows
                .iter()
                .map(|row| serde_json::json!({"sequence": row.name, "edit": row.edit, "score": numbers(&row.score)}))
                .collect();
            let totals: serde_json::Map<_, _> = totals
                .iter()
                .map(|(name, score)| ((*name).to_owned(), numbers(score)))
                .collect();
            let all = serde_json::json!({"dataset": dataset.name, "total": totals, "sequences": sequences});
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        } else {
            let width = name_width(rows.iter().map(|row| row.name.as_str()));
            writeln!(
                out,
                "{:width$}  edit    precision  recall  honest  loss_delay  noticed  recovery_delay  found  roc_auc",
                "sequence"
            )?;
            for row in rows {
                writeln!(out, "{:width$}  {}", row.name, line(row.edit, &row.score))?;
            }
            for (name, score) in &totals {
                writeln!(out, "{:width$}  {}", "total", line(name, score))?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// Reads sequences and reports those that cannot be read. Returns the sequences, and the number of unreadable ones.
pub(crate) fn load(entries: &[SequenceEntry]) -> (Vec<Sequence>, usize) {
    let mut sequences = Vec::new();
    for entry in entries {
        match entry.load() {
            Ok(sequence) => sequences.push(sequence),
            Err(error) => eprintln!("error: {}: {}", entry.name, error_chain(&error)),
        }
    }
    let unread = entries.len() - sequences.len();
    (sequences, unread)
}

/// Writes the features if a file was given. If one of the two outputs fails, the other is still written.
pub(crate) fn finish(
    printed: anyhow::Result<()>,
    file: Option<PendingFile>,
    features: &FeatureTable,
) -> anyhow::Result<()> {
    if let Some(file) = file {
        file.write(features.as_str())?;
    }
    printed
}

/// Returns the width of a table's column of names, in characters.
pub(crate) fn name_width<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let widths = names.map(|name| name.chars().count());
    widths.fold("sequence".len(), usize::max)
}

/// Returns the number as text, or a dash if there is none.
pub(crate) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// A bar over frames.
fn frames_bar(count: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("frames {bar:30} {pos}/{len}  {elapsed} (left: {eta})  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count).with_style(style.progress_chars("━╸─"))
}

fn line(edit: &str, score: &PresenceScore) -> String {
    format!(
        "{edit:6}  {:>9}  {:>6}  {:>6}  {:>10}  {:>7}  {:>14}  {:>5}  {:>7}",
        number(score.precision(), 3),
        number(score.recall(), 3),
        number(score.honest_precision(), 3),
        number(score.loss_delay(), 1),
        format!("{}/{}", score.loss_delays.len(), score.disappearances),
        number(score.recovery_delay(), 1),
        format!("{}/{}", score.recovery_delays.len(), score.returns),
        number(score.roc_auc(), 3),
    )
}

fn numbers(score: &PresenceScore) -> serde_json::Value {
    serde_json::json!({
        "precision": score.precision(),
        "recall": score.recall(),
        "honest_precision": score.honest_precision(),
        "roc_auc": score.roc_auc(),
        "median_loss_delay": score.loss_delay(),
        "median_recovery_delay": score.recovery_delay(),
        "counts": score,
    })
}
