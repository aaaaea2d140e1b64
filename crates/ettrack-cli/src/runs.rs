//! The common parts of `eval` and `suite`: the arguments for running models, and boxes of a model or of result files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use ettrack::error_chain;
use ettrack::model::ModelFolder;
use ettrack::{Tracker, TrackerOptions};
use ettrack_eval::dataset::{self, Dataset, Evaluation, Sequence, SequenceEntry};
use ettrack_eval::metrics::{MetricError, Protocol};
use ettrack_eval::report::Figure;
use ettrack_eval::results::{ResultFolder, SequenceResult, find_boxes, find_folder, find_seconds};
use ettrack_eval::runner::{Outcome, collect, run};
use ettrack_eval::score::{SequenceScore, score_sequence};
use ettrack_files::write_file;

use crate::bars::Bars;
use crate::console::{BadInput, stdout};
use crate::tracker_args::{Lost, TrackerArgs, check_opens};

/// The arguments for running models, and for the folder of the results.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Folder for boxes, times, summary.json and report.html.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Number of sequences that run at a time, each with its own tracker.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Run finished sequences again.
    #[arg(long)]
    fresh: bool,
    /// Print the content of summary.json instead of a table.
    #[arg(long)]
    json: bool,
    /// Also write the report's plots as SVG and CSV, into OUTPUT/figures.
    #[arg(long)]
    figures: bool,
    /// Whether the lost state is used. Benchmarks score the authors' loop, so it is off by default.
    #[arg(long, value_enum, default_value_t = Lost::Off)]
    lost: Lost,
    #[command(flatten)]
    pub tracker: TrackerArgs,
}

/// An opened model, and the settings on which its boxes depend.
pub struct Run {
    /// The model.
    pub model: ModelFolder,
    options: TrackerOptions,
    /// The settings as text.
    pub settings: serde_json::Value,
}

/// A sequence with the boxes of a tracker.
pub struct Tracked {
    /// Frames and truth.
    pub sequence: Sequence,
    /// Boxes and times.
    pub result: SequenceResult,
}

/// The boxes of one tracker on some runs.
#[derive(Default)]
pub struct Boxes {
    /// Runs with a result.
    pub tracked: Vec<Tracked>,
    /// Runs without a result, and the reasons.
    pub failed: Vec<(String, String)>,
}

impl RunArgs {
    /// Opens a model with the settings of `tracker`, and tests that it can be run.
    pub fn open(&self, model: &Path, tracker: &TrackerArgs) -> anyhow::Result<Run> {
        let model = ettrack_models::open(model)
            .map_err(|error| BadInput(format!("cannot open the model: {}", error_chain(&error))))?;
        let options = tracker.options(&model, self.lost)?;
        let (execution, version) = check_opens(&model, &options)?;
        let settings = serde_json::json!({
            "model": model.manifest.name,
            "model_yaml_sha256": model.checksum(),
            "constants": tracker.constants,
            "set": tracker.set,
            "search_scale": tracker.search_scale,
            "lost": format!("{:?}", self.lost).to_lowercase(),
            "execution": execution.to_string(),
            // Two versions give slightly different numbers, so their results are not mixed.
            "onnxruntime": version,
            "provider_options": tracker.engine.written_options(),
        });
        Ok(Run {
            model,
            options,
            settings,
        })
    }

    /// Runs a model on the sequences for which `results` does not have its boxes yet.
    pub fn track(
        &self,
        model: &Run,
        entries: &[SequenceEntry],
        results: &ResultFolder,
        unit: &str,
    ) -> anyhow::Result<Boxes> {
        if self.fresh {
            entries
                .iter()
                .try_for_each(|entry| results.forget(&entry.name))?;
        }
        let bars = Bars::new(entries.len());
        let outcomes = run(
            entries,
            &|| {
                let tracker = Tracker::from_model(model.model.clone(), &model.options)?;
                Ok(Box::new(tracker))
            },
            results,
            &model.fingerprint(),
            usize::from(self.jobs),
            &|progress| bars.show(progress),
        );
        bars.clear();
        let resumed = outcomes.iter().filter(|outcome| outcome.resumed).count();
        if resumed > 0 {
            eprintln!("{resumed} of {} {unit} were already done", outcomes.len());
        }
        Ok(Boxes::of(outcomes))
    }

    /// Writes `summary.json`. Returns its text.
    pub fn write_summary(&self, summary: &impl serde::Serialize) -> anyhow::Result<String> {
        let text = serde_json::to_string_pretty(summary)? + "\n";
        write_file(&self.output.join("summary.json"), &text)?;
        Ok(text)
    }

    /// Prints the text of `summary.json` with --json, else calls `print_tables`.
    pub fn print(
        &self,
        summary: &str,
        print_tables: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if !self.json {
            return print_tables();
        }
        let mut out = stdout();
        out.write_all(summary.as_bytes())?;
        out.flush()?;
        Ok(())
    }

    /// Writes plots into OUTPUT/figures if the option is given.
    pub fn write_figures(&self, figures: &[Figure]) -> anyhow::Result<()> {
        let folder = self.output.join("figures");
        for Figure { name, svg, csv } in figures.iter().filter(|_| self.figures) {
            write_file(&folder.join(format!("{name}.svg")), svg)?;
            write_file(&folder.join(format!("{name}.csv")), csv)?;
        }
        Ok(())
    }
}

impl Run {
    /// The part of a finished sequence's fingerprint that stands for this program and these settings.
    fn fingerprint(&self) -> String {
        format!("{} {}", env!("CARGO_PKG_VERSION"), self.settings)
    }

    /// Reads the boxes of earlier runs, for all sequences.
    pub fn collect(&self, entries: &[SequenceEntry], results: &ResultFolder) -> Boxes {
        Boxes::of(collect(entries, results, &self.fingerprint()))
    }
}

impl Boxes {
    fn of(outcomes: Vec<Outcome>) -> Self {
        let mut boxes = Self::default();
        for outcome in outcomes {
            match (outcome.sequence, outcome.result) {
                (Some(sequence), Ok(result)) => boxes.tracked.push(Tracked { sequence, result }),
                (_, Err(error)) => boxes.failed.push((outcome.name, error_chain(&error))),
                (None, Ok(_)) => {
                    let reason = "result without a sequence".to_owned();
                    boxes.failed.push((outcome.name, reason));
                }
            }
        }
        boxes
    }

    /// Reads the boxes in a folder of result files.
    pub fn recorded(folder: &Path, dataset: &Dataset, entries: &[SequenceEntry]) -> Self {
        let mut boxes = Self::default();
        for entry in entries {
            let read = || -> anyhow::Result<Tracked> {
                let sequence = entry.load()?;
                let result = read_result(folder, dataset, &sequence)?;
                Ok(Tracked { sequence, result })
            };
            match read() {
                Ok(one) => boxes.tracked.push(one),
                Err(error) => boxes
                    .failed
                    .push((entry.name.clone(), error_chain(error.as_ref()))),
            }
        }
        boxes
    }
}

impl Tracked {
    /// Scores the boxes.
    pub fn score(&self, protocol: &Protocol) -> Result<SequenceScore, MetricError> {
        let SequenceResult {
            boxes,
            confidence,
            seconds,
            ..
        } = &self.result;
        let (boxes, confidence) = (boxes.clone(), confidence.clone());
        score_sequence(protocol, &self.sequence, boxes, confidence, seconds, || {
            image_size(&self.sequence)
        })
    }
}

/// Reads a sequence's boxes and times from a folder of result files.
pub fn read_result(
    folder: &Path,
    dataset: &Dataset,
    sequence: &Sequence,
) -> anyhow::Result<SequenceResult> {
    let name = &sequence.name;
    let boxes = find_boxes(folder, dataset, name, Some(&sequence.first_box))?
        .with_context(|| format!("no boxes of it in {}", folder.display()))?;
    Ok(SequenceResult {
        boxes,
        seconds: find_seconds(folder, dataset, name)?,
        ..SequenceResult::default()
    })
}

/// A folder of another tracker's result files, and the tracker's name.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The name.
    pub label: String,
    /// The folder, which exists.
    pub folder: PathBuf,
}

impl Recorded {
    /// Reads [LABEL=]DIR. If there is no such folder, the message names `option`.
    pub fn parse(option: &str, argument: &str) -> anyhow::Result<Self> {
        // A folder's own name may contain `=`.
        let named = argument
            .split_once('=')
            .filter(|_| !Path::new(argument).is_dir());
        let (label, folder) = match named {
            Some((label, folder)) => (label.to_owned(), PathBuf::from(folder)),
            None => (label_of(Path::new(argument)), PathBuf::from(argument)),
        };
        if !folder.is_dir() {
            bail!(BadInput(format!(
                "{option} {argument}: expected a folder of result files"
            )));
        }
        Ok(Self { label, folder })
    }
}

/// Returns the folder of results: `folder`, or one inside it. Returns `folder` if there are no results.
pub fn inner_folder<'a>(
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

/// Reads the attributes of a benchmark's sequences by the sequences' names, if there are files of them.
pub fn attributes(
    dataset: &Dataset,
    root: &Path,
    entries: &[SequenceEntry],
    evaluation: Evaluation,
) -> BTreeMap<String, Vec<&'static str>> {
    let mut found = BTreeMap::new();
    for entry in entries {
        let Some(attributes) = &dataset.attributes else {
            continue;
        };
        let name = evaluation.sequence_of(&entry.name).to_owned();
        match attributes.of(root, entry) {
            Ok(Some(names)) => {
                found.insert(name, names);
            }
            Ok(None) => {}
            // An error in the attributes must not stop the run.
            Err(error) => tracing::warn!("{name}: {}", error_chain(&error)),
        }
    }
    found
}

/// Returns a folder's name. For a folder `boxes` it is the name of the folder around it.
pub fn label_of(folder: &Path) -> String {
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
pub fn image_size(sequence: &Sequence) -> Option<(f64, f64)> {
    let (width, height) = dataset::image_size(sequence.frames.first()?).ok()?;
    Some((f64::from(width), f64::from(height)))
}
