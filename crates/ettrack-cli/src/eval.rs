//! `ettrack eval`: one-pass and robustness evaluation on a benchmark.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use ettrack::error_chain;
use ettrack::model::ModelFolder;
use ettrack::{Execution, Tracker};
use ettrack_eval::archive::write_archive;
use ettrack_eval::dataset::{self, Dataset, Evaluation, Sequence, SequenceEntry};
use ettrack_eval::metrics::Protocol;
use ettrack_eval::report::{Report, write_report};
use ettrack_eval::results::{
    ResultFolder, SequenceResult, TextLayout, find_boxes, find_folder, find_seconds, write_layout,
};
use ettrack_eval::runner::{Outcome, Progress, collect, run};
use ettrack_eval::score::{
    Common, SequenceScore, Speed, Summary, TrackerScore, by_attribute, common, score_sequence,
};
use ettrack_eval::shard::Shard;
use ettrack_files::write_file;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::console::{BadInput, stdout};
use crate::dataset_args::DatasetArgs;
use crate::tracker_args::{Lost, TrackerArgs, check_opens};

/// Evaluate a model on a benchmark: boxes, summary.json, report.html.
///
/// A sequence that an earlier run into the same folder finished, with the same model and settings, is not run again.
/// A sequence that cannot be read is reported and does not stop the others; the exit code is then 1.
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Model folder.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "boxes",
        conflicts_with = "boxes"
    )]
    model: Option<PathBuf>,
    /// Score the boxes in this folder (of any tracker, in the layouts of pysot, pytracking or the got10k toolkit)
    /// instead of running a model.
    #[arg(long, value_name = "DIR")]
    boxes: Option<PathBuf>,
    /// Folder for boxes, times, summary.json and report.html.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Sequences at a time, each with a tracker of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Leave out frames without a visible target (what the got10k toolkit does on UAV123).
    #[arg(long)]
    exclude_absent: bool,
    /// Show another tracker's result folder in the report. May be repeated.
    #[arg(long, value_name = "[LABEL=]DIR")]
    compare: Vec<String>,
    /// Also write the boxes for other tools, into OUTPUT/pysot, pytracking or got10k.
    #[arg(long, value_enum)]
    layout: Vec<LayoutArg>,
    /// Name in tables and plots; the model's name if not given.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Run only part I of N, for one of several machines or processes with the same OUTPUT. Parts have about as many
    /// frames each. No report is written: --merge writes it when all parts are done.
    #[arg(long, value_name = "I/N", conflicts_with_all = ["boxes", "merge", "compare"])]
    shard: Option<Shard>,
    /// Run nothing: collect the results that all parts left in OUTPUT. Missing ones and those of another model or other
    /// settings are named, and nothing is written.
    #[arg(long, conflicts_with_all = ["boxes", "fresh"])]
    merge: bool,
    /// Print the content of summary.json instead of a table.
    #[arg(long)]
    json: bool,
    /// Run finished sequences again.
    #[arg(long)]
    fresh: bool,
    /// Leave sample frames out of the report: faster, and a smaller file.
    #[arg(long)]
    no_samples: bool,
    /// Whether the lost state acts. Benchmarks score the authors' loop, so it is off by default.
    #[arg(long, value_enum, default_value_t = Lost::Off)]
    lost: Lost,
    #[command(flatten)]
    tracker: TrackerArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutArg {
    Pysot,
    Pytracking,
    Got10k,
}

impl LayoutArg {
    fn parts(self) -> (&'static str, TextLayout) {
        match self {
            Self::Pysot => ("pysot", TextLayout::Pysot),
            Self::Pytracking => ("pytracking", TextLayout::Pytracking),
            Self::Got10k => ("got10k", TextLayout::Got10k),
        }
    }
}

/// A `--compare`: a folder of result files and the name of their tracker.
struct Compared {
    label: String,
    folder: PathBuf,
}

impl Compared {
    fn parse(argument: &str) -> anyhow::Result<Self> {
        let (label, folder) = match argument.split_once('=') {
            Some((label, folder)) => (label.to_owned(), PathBuf::from(folder)),
            None => (label_of(Path::new(argument)), PathBuf::from(argument)),
        };
        if !folder.is_dir() {
            bail!(BadInput(format!(
                "--compare {argument}: expected a folder of result files"
            )));
        }
        Ok(Self { label, folder })
    }
}

/// The boxes of one tracker on the benchmark.
struct Boxes {
    tracked: Vec<Tracked>,
    /// Sequences without a result, and why.
    failed: Vec<(String, String)>,
    label: String,
    settings: serde_json::Value,
}

/// A sequence with the boxes of a tracker.
struct Tracked {
    sequence: Sequence,
    result: SequenceResult,
}

impl EvalArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let mut protocol = self.dataset.dataset.protocol;
        protocol.exclude_absent |= self.exclude_absent;
        let entries = self.dataset.entries()?;
        // Checked before the evaluation, not after it.
        let compared = self
            .compare
            .iter()
            .map(|argument| Compared::parse(argument))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(shard) = self.shard {
            return self.run_shard(shard, entries);
        }
        let boxes = match &self.boxes {
            Some(folder) => self.read_boxes(folder, &entries)?,
            None => self.run_model(&entries)?,
        };
        if self.merge && !boxes.failed.is_empty() {
            for (name, reason) in &boxes.failed {
                eprintln!("error: {name}: {reason}");
            }
            bail!(
                "{} of {} {} have no result of this run in {}; nothing is written",
                boxes.failed.len(),
                entries.len(),
                self.dataset.evaluation.unit(),
                self.output.display()
            );
        }
        self.finish(&protocol, boxes, &compared)
    }

    fn read_boxes(&self, folder: &Path, entries: &[SequenceEntry]) -> anyhow::Result<Boxes> {
        if !folder.is_dir() {
            bail!(BadInput(format!(
                "{}: expected a folder of result files",
                folder.display()
            )));
        }
        let folder = &inner_folder(
            folder,
            self.dataset.dataset,
            entries.iter().map(|e| &e.name),
        )?;
        let mut tracked = Vec::new();
        let mut failed = Vec::new();
        for entry in entries {
            let read = || -> anyhow::Result<Tracked> {
                let sequence = entry.load()?;
                let first = Some(&sequence.first_box);
                let boxes = find_boxes(folder, self.dataset.dataset, &entry.name, first)?
                    .with_context(|| format!("no boxes of it in {}", folder.display()))?;
                let result = SequenceResult {
                    boxes,
                    seconds: find_seconds(folder, self.dataset.dataset, &entry.name)?,
                    ..SequenceResult::default()
                };
                Ok(Tracked { sequence, result })
            };
            match read() {
                Ok(one) => tracked.push(one),
                Err(error) => failed.push((entry.name.clone(), error_chain(error.as_ref()))),
            }
        }
        let label = label_of(folder);
        let settings = serde_json::json!({ "boxes": folder.display().to_string() });
        Ok(Boxes {
            tracked,
            failed,
            label,
            settings,
        })
    }

    fn run_shard(&self, shard: Shard, entries: Vec<SequenceEntry>) -> anyhow::Result<()> {
        let all = entries.len();
        let part = shard.of(entries);
        let unit = self.dataset.evaluation.unit();
        eprintln!("shard {shard}: {} of {all} {unit}", part.len());
        let boxes = self.run_model(&part)?;
        for (name, reason) in &boxes.failed {
            eprintln!("error: {name}: {reason}");
        }
        let failed = boxes.failed.len();
        if failed > 0 {
            bail!(
                "shard {shard}: {failed} of {} {unit} have no result",
                part.len()
            );
        }
        eprintln!("shard {shard} is done; --merge writes the report when all are");
        Ok(())
    }

    fn run_model(&self, entries: &[SequenceEntry]) -> anyhow::Result<Boxes> {
        let path = self.model.as_deref().unwrap_or(Path::new("."));
        let model = ettrack_models::open(path)
            .map_err(|error| BadInput(format!("cannot open the model: {}", error_chain(&error))))?;
        let options = self.tracker.options(&model, self.lost)?;
        let execution = check_opens(&model, &options)?;
        let settings = settings(&model, &self.tracker, self.lost, &execution);
        let fingerprint = fingerprint(&settings);
        let results = ResultFolder::new(&self.output, self.dataset.dataset);
        if self.merge {
            let (tracked, failed) = split(collect(entries, &results, &fingerprint));
            let label = model.manifest.name.clone();
            return Ok(Boxes {
                tracked,
                failed,
                label,
                settings,
            });
        }
        if self.fresh {
            entries
                .iter()
                .try_for_each(|entry| results.forget(&entry.name))?;
        }
        let bars = Bars::new(entries.len());
        let outcomes = run(
            entries,
            &|| Ok(Box::new(Tracker::from_model(model.clone(), &options)?)),
            &results,
            &fingerprint,
            usize::from(self.jobs),
            &|progress| bars.show(progress),
        );
        bars.clear();
        let resumed = outcomes.iter().filter(|outcome| outcome.resumed).count();
        if resumed > 0 {
            eprintln!(
                "{resumed} of {} {} were already done",
                outcomes.len(),
                self.dataset.evaluation.unit()
            );
        }
        let (tracked, failed) = split(outcomes);
        let label = model.manifest.name.clone();
        Ok(Boxes {
            tracked,
            failed,
            label,
            settings,
        })
    }

    fn finish(
        &self,
        protocol: &Protocol,
        boxes: Boxes,
        compared: &[Compared],
    ) -> anyhow::Result<()> {
        let Boxes {
            tracked,
            mut failed,
            label,
            settings,
        } = boxes;
        let label = self.label.clone().unwrap_or(label);
        let mut scores = Vec::new();
        for one in &tracked {
            let score = score_sequence(
                protocol,
                &one.sequence,
                one.result.boxes.clone(),
                one.result.confidence.clone(),
                &one.result.seconds,
                || image_size(&one.sequence),
            );
            match score {
                Ok(score) => scores.push(score),
                Err(error) => failed.push((one.sequence.name.clone(), error_chain(&error))),
            }
        }
        for (name, reason) in &failed {
            eprintln!("error: {name}: {reason}");
        }
        if scores.is_empty() {
            bail!("no sequence has a result");
        }
        for layout in &self.layout {
            let (folder, layout) = layout.parts();
            for one in &tracked {
                write_layout(
                    &self.output.join(folder),
                    self.dataset.dataset,
                    layout,
                    &one.sequence.name,
                    &one.result,
                )?;
            }
        }
        let unscored = scores.iter().any(|score| score.scored.is_none());
        if let (true, Some(archive)) = (unscored, &self.dataset.dataset.archive) {
            let path = self
                .output
                .join(format!("{}_submission.zip", self.dataset.dataset));
            let results: Vec<_> = tracked
                .iter()
                .map(|one| (one.sequence.name.as_str(), &one.result))
                .collect();
            write_archive(&path, archive, self.dataset.dataset.first_pixel, &results)?;
            eprintln!("for the benchmark's server: {}", path.display());
        }
        let mut trackers = vec![TrackerScore::new(
            label,
            protocol,
            self.dataset.evaluation,
            scores,
        )];
        for other in compared {
            trackers.push(self.compared(other, protocol, &tracked)?);
        }
        let common = common(&trackers, protocol, self.dataset.evaluation);
        if let Some(common) = &common {
            eprintln!("{}", common.note);
        }
        let evaluation = self.dataset.evaluation;
        let rows = trackers[0].rows(evaluation);
        let attributes = by_attribute(&rows, &self.attributes()?);
        let summary = Summary {
            attributes,
            ..Summary::new(
                self.dataset.dataset,
                evaluation,
                &trackers[0],
                settings.clone(),
                &failed,
            )
        };
        let text = serde_json::to_string_pretty(&summary)? + "\n";
        write_file(&self.output.join("summary.json"), &text)?;
        let speed = Speed::of(&trackers[0], evaluation);
        let path = self.output.join("speed.json");
        write_file(&path, serde_json::to_string_pretty(&speed)? + "\n")?;
        let sequences: Vec<_> = tracked.into_iter().map(|one| one.sequence).collect();
        let report = Report {
            dataset: self.dataset.dataset,
            protocol,
            evaluation: self.dataset.evaluation,
            trackers: &trackers,
            common: common.as_ref(),
            sequences: &sequences,
            failed: &failed,
            attributes: &summary.attributes,
            settings: &settings,
            samples: !self.no_samples,
        };
        let page = self.output.join("report.html");
        write_report(&page, &report)?;
        if self.json {
            let mut out = stdout();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        } else {
            print_table(&trackers, common.as_ref(), evaluation)?;
            print_benchmark_figures(&summary)?;
        }
        eprintln!("report: {}", page.display());
        if !failed.is_empty() {
            bail!(
                "{} of {} {} have no result",
                failed.len(),
                failed.len() + trackers[0].sequences.len(),
                self.dataset.evaluation.unit()
            );
        }
        Ok(())
    }

    /// The attributes of the benchmark's sequences, where there are files of them.
    fn attributes(&self) -> anyhow::Result<BTreeMap<String, Vec<&'static str>>> {
        let Some(attributes) = &self.dataset.dataset.attributes else {
            return Ok(BTreeMap::new());
        };
        let mut found = BTreeMap::new();
        for entry in self.dataset.entries()? {
            let name = self.dataset.evaluation.sequence_of(&entry.name).to_owned();
            match attributes.of(self.dataset.root(), &entry) {
                Ok(Some(names)) => {
                    found.insert(name, names);
                }
                Ok(None) => {}
                // The attributes are beside the point of the run.
                Err(error) => tracing::warn!("{name}: {}", error_chain(&error)),
            }
        }
        Ok(found)
    }

    fn compared(
        &self,
        other: &Compared,
        protocol: &Protocol,
        tracked: &[Tracked],
    ) -> anyhow::Result<TrackerScore> {
        let Compared { label, folder } = other;
        let names = tracked.iter().map(|one| &one.sequence.name);
        let folder = &inner_folder(folder, self.dataset.dataset, names)?;
        let mut scores = Vec::new();
        for one in tracked {
            let score = || -> anyhow::Result<SequenceScore> {
                let name = &one.sequence.name;
                let first = Some(&one.sequence.first_box);
                let boxes = find_boxes(folder, self.dataset.dataset, name, first)?
                    .with_context(|| format!("no boxes of it in {}", folder.display()))?;
                let seconds = find_seconds(folder, self.dataset.dataset, name)?;
                let size = || image_size(&one.sequence);
                let (sequence, confidence) = (&one.sequence, Vec::new());
                Ok(score_sequence(
                    protocol, sequence, boxes, confidence, &seconds, size,
                )?)
            };
            // A results folder that cannot be read must not cost the results of this run.
            match score() {
                Ok(score) => scores.push(score),
                Err(error) => eprintln!(
                    "warning: {label}: {}: {}",
                    one.sequence.name,
                    error_chain(error.as_ref())
                ),
            }
        }
        let evaluation = self.dataset.evaluation;
        Ok(TrackerScore::new(
            label.clone(),
            protocol,
            evaluation,
            scores,
        ))
    }
}

/// The folder of results that `folder` is or holds; `folder` itself where there are none.
pub(crate) fn inner_folder<'a>(
    folder: &Path,
    dataset: &Dataset,
    names: impl Iterator<Item = &'a String>,
) -> anyhow::Result<PathBuf> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let found = find_folder(folder, dataset, &names).map_err(|error| BadInput::of(&error))?;
    Ok(found.map_or_else(
        || folder.to_owned(),
        |found| {
            if found != folder {
                eprintln!("results are read from {}", found.display());
            }
            found
        },
    ))
}

/// What the boxes of a model depend on beside the frames.
pub(crate) fn settings(
    model: &ModelFolder,
    tracker: &TrackerArgs,
    lost: Lost,
    execution: &Execution,
) -> serde_json::Value {
    serde_json::json!({
        "model": model.manifest.name,
        "model_yaml_sha256": model.checksum(),
        "constants": tracker.constants,
        "set": tracker.set,
        "search_scale": tracker.search_scale,
        "lost": format!("{lost:?}").to_lowercase(),
        "execution": execution.to_string(),
        "provider_options": tracker.engine.written_options(),
    })
}

/// What ties a finished sequence to this program and these settings.
pub(crate) fn fingerprint(settings: &serde_json::Value) -> String {
    format!("{} {settings}", env!("CARGO_PKG_VERSION"))
}

/// A folder's name, or that of the folder around `boxes`.
pub(crate) fn label_of(folder: &Path) -> String {
    let named = if folder.file_name().is_some_and(|name| name == "boxes") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    named.file_name().map_or_else(
        || folder.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Width and height of the first frame.
pub(crate) fn image_size(sequence: &Sequence) -> Option<(f64, f64)> {
    let (width, height) = dataset::image_size(sequence.frames.first()?).ok()?;
    Some((f64::from(width), f64::from(height)))
}

fn split(outcomes: Vec<Outcome>) -> (Vec<Tracked>, Vec<(String, String)>) {
    let mut tracked = Vec::new();
    let mut failed = Vec::new();
    for outcome in outcomes {
        match (outcome.sequence, outcome.result) {
            (Some(sequence), Ok(result)) => tracked.push(Tracked { sequence, result }),
            (_, Err(error)) => failed.push((outcome.name, error_chain(&error))),
            (None, Ok(_)) => failed.push((outcome.name, "result without a sequence".to_owned())),
        }
    }
    (tracked, failed)
}

fn print_table(
    trackers: &[TrackerScore],
    common: Option<&Common>,
    evaluation: Evaluation,
) -> anyhow::Result<()> {
    let mut out = stdout();
    let rows = trackers[0].rows(evaluation);
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .chain(trackers.iter().map(|tracker| tracker.label.chars().count()))
        .chain(
            common
                .iter()
                .flat_map(|common| &common.trackers)
                .map(|one| one.label.chars().count()),
        )
        .chain([8])
        .max()
        .unwrap_or(8);
    writeln!(
        out,
        "{:width$}  frames  success_auc  precision_20  norm_precision_20  sr_50  sr_75     ao     fps",
        "sequence"
    )?;
    let row = |name: &str,
               frames: usize,
               scores: Option<&ettrack_eval::metrics::Scores>,
               fps: Option<f64>| {
        let scores = scores.map_or_else(
            || {
                format!(
                    "{:>11}  {:>12}  {:>17}  {:>5}  {:>5}  {:>5}",
                    "-", "-", "-", "-", "-", "-"
                )
            },
            |s| {
                format!(
                    "{:11.3}  {:12.3}  {:17.3}  {:5.3}  {:5.3}  {:5.3}",
                    s.success_auc,
                    s.precision_20,
                    s.normalized_precision_20,
                    s.sr_50,
                    s.sr_75,
                    s.ao
                )
            },
        );
        let fps = fps.map_or_else(|| "-".to_owned(), |fps| format!("{fps:.1}"));
        format!("{name:width$}  {frames:6}  {scores}  {fps:>6}")
    };
    for (name, one) in &rows {
        let scores = one.scores.as_ref();
        writeln!(out, "{}", row(name, one.frames, scores, one.fps))?;
    }
    // Means over different sequences are no comparison.
    let compared = match common {
        Some(common) => &common.trackers[..],
        None => &trackers[1..],
    };
    for tracker in trackers[..1].iter().chain(compared) {
        let frames = tracker.sequences.iter().map(|one| one.frames).sum();
        let scores = tracker.total.as_ref().map(|(scores, _)| scores);
        writeln!(
            out,
            "{}",
            row(&tracker.label, frames, scores, tracker.fps())
        )?;
    }
    out.flush()?;
    Ok(())
}

/// What only some benchmarks have.
fn print_benchmark_figures(summary: &Summary) -> anyhow::Result<()> {
    let mut out = stdout();
    if let Some(vot) = &summary.vot {
        write!(out, "VOT's toolkit: accuracy {:.3}", vot.accuracy)?;
        match vot.robustness {
            Some(robustness) => writeln!(out, ", robustness {robustness:.3}")?,
            None => writeln!(out)?,
        }
    }
    if let Some(long) = &summary.long_term {
        writeln!(
            out,
            "long-term: precision {:.3}, recall {:.3}, F {:.3}",
            long.precision, long.recall, long.f_score
        )?;
    }
    let width = summary
        .attributes
        .keys()
        .map(String::len)
        .max()
        .unwrap_or(0);
    for (name, row) in &summary.attributes {
        writeln!(
            out,
            "{name:width$}  {:4} sequences  success_auc {:.3}  precision_20 {:.3}",
            row.sequences, row.scores.success_auc, row.scores.precision_20
        )?;
    }
    out.flush()?;
    Ok(())
}

/// One progress bar for the sequences, one for the frames of the running ones.
pub(crate) struct Bars {
    all: MultiProgress,
    sequences: ProgressBar,
    frames: ProgressBar,
    running: Mutex<Vec<String>>,
}

impl Bars {
    pub(crate) fn new(count: usize) -> Self {
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─")
        };
        let all = MultiProgress::new();
        let sequences = all.add(ProgressBar::new(count as u64));
        sequences.set_style(style(
            "sequences {bar:30} {pos}/{len}  {elapsed} (left: {eta})  {msg}",
        ));
        let frames = all.add(ProgressBar::new(0));
        frames.set_style(style("frames    {bar:30} {pos}/{len}  {per_sec}"));
        Self {
            all,
            sequences,
            frames,
            running: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn show(&self, progress: Progress<'_>) {
        match progress {
            Progress::Started { name, frames } => {
                self.frames.inc_length(frames as u64);
                self.names(|running| running.push(name.to_owned()));
            }
            Progress::Frame => self.frames.inc(1),
            Progress::Ended { name, .. } => {
                self.sequences.inc(1);
                self.names(|running| running.retain(|other| other != name));
            }
        }
    }

    fn names(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut running = self
            .running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut running);
        self.sequences.set_message(running.join(", "));
    }

    pub(crate) fn clear(&self) {
        self.sequences.finish_and_clear();
        self.frames.finish_and_clear();
        // The evaluation is good even where the terminal cannot be cleared.
        let _ = self.all.clear();
    }
}
