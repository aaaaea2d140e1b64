//! `ettrack eval`: one-pass and robustness evaluation on a benchmark.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, ValueEnum};
use ettrack::error_chain;
use ettrack_eval::archive::write_archive;
use ettrack_eval::dataset::SequenceEntry;
use ettrack_eval::metrics::Protocol;
use ettrack_eval::report::{Report, write_report};
use ettrack_eval::results::{ResultFolder, TextLayout, write_layout};
use ettrack_eval::score::{
    SequenceScore, Speed, Summary, TrackerScore, by_attribute, common, score_sequence,
};
use ettrack_eval::shard::Shard;
use ettrack_files::write_file;

use crate::console::BadInput;
use crate::dataset_args::DatasetArgs;
use crate::eval_table::{print_benchmark_figures, print_table};
use crate::runs::{
    Boxes, Recorded, RunArgs, Tracked, attributes, image_size, inner_folder, label_of, read_result,
};

/// Evaluate a model on a benchmark: boxes, summary.json, report.html.
///
/// A sequence that is already finished in the same folder, with the same model and settings, is not run again. A sequence
/// that cannot be read is reported, the others continue, and the exit code is 1.
///
/// `ettrack eval --suite FILE` is `ettrack suite FILE`: several benchmarks, models and starts in one report.
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
    /// Leave out frames without a visible target (like the got10k toolkit on UAV123).
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
    /// Run only part I of N, for one of several machines or processes with the same OUTPUT. All parts have about the same
    /// number of frames. No report is written: --merge writes it when all parts are finished.
    #[arg(long, value_name = "I/N", conflicts_with_all = ["boxes", "merge", "compare"])]
    shard: Option<Shard>,
    /// Run no model, and write the report of all parts in OUTPUT. If results are missing, or have another model or other
    /// settings, they are named and nothing is written.
    #[arg(long, conflicts_with_all = ["boxes", "fresh"])]
    merge: bool,
    /// Leave out sample frames from the report. This is faster and makes a smaller file.
    #[arg(long)]
    no_samples: bool,
    #[command(flatten)]
    run: RunArgs,
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

/// The boxes that are evaluated, and their source.
struct Evaluated {
    boxes: Boxes,
    label: String,
    settings: serde_json::Value,
}

impl EvalArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let mut protocol = self.dataset.dataset.protocol;
        protocol.exclude_absent |= self.exclude_absent;
        let entries = self.dataset.entries()?;
        // This is checked before the evaluation starts.
        let compared = self
            .compare
            .iter()
            .map(|argument| Recorded::parse("--compare", argument))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(shard) = self.shard {
            return self.run_shard(shard, entries);
        }
        let evaluated = match &self.boxes {
            Some(folder) => self.read_boxes(folder, &entries)?,
            None => self.run_model(&entries)?,
        };
        let failed = &evaluated.boxes.failed;
        if self.merge && !failed.is_empty() {
            for (name, reason) in failed {
                eprintln!("error: {name}: {reason}");
            }
            bail!(
                "{} of {} {} have no result of this run in {}; nothing is written",
                failed.len(),
                entries.len(),
                self.dataset.evaluation.unit(),
                self.run.output.display()
            );
        }
        self.finish(&protocol, &entries, evaluated, &compared)
    }

    fn read_boxes(&self, folder: &Path, entries: &[SequenceEntry]) -> anyhow::Result<Evaluated> {
        if !folder.is_dir() {
            bail!(BadInput(format!(
                "{}: expected a folder of result files",
                folder.display()
            )));
        }
        let dataset = self.dataset.dataset;
        let folder = &inner_folder(folder, dataset, entries.iter().map(|e| &e.name))?;
        Ok(Evaluated {
            boxes: Boxes::recorded(folder, dataset, entries),
            label: label_of(folder),
            settings: serde_json::json!({ "boxes": folder.display().to_string() }),
        })
    }

    fn run_shard(&self, shard: Shard, entries: Vec<SequenceEntry>) -> anyhow::Result<()> {
        let all = entries.len();
        let part = shard.of(entries);
        let unit = self.dataset.evaluation.unit();
        eprintln!("shard {shard}: {} of {all} {unit}", part.len());
        let failed = self.run_model(&part)?.boxes.failed;
        for (name, reason) in &failed {
            eprintln!("error: {name}: {reason}");
        }
        if !failed.is_empty() {
            bail!(
                "shard {shard}: {} of {} {unit} have no result",
                failed.len(),
                part.len()
            );
        }
        eprintln!("shard {shard} is done; --merge writes the report when all are");
        Ok(())
    }

    fn run_model(&self, entries: &[SequenceEntry]) -> anyhow::Result<Evaluated> {
        let path = self.model.as_deref().unwrap_or(Path::new("."));
        let run = self.run.open(path, &self.run.tracker)?;
        let results = ResultFolder::new(&self.run.output, self.dataset.dataset);
        let boxes = if self.merge {
            run.collect(entries, &results)
        } else {
            let unit = self.dataset.evaluation.unit();
            self.run.track(&run, entries, &results, unit)?
        };
        Ok(Evaluated {
            boxes,
            label: run.model.manifest.name.clone(),
            settings: run.settings,
        })
    }

    fn finish(
        &self,
        protocol: &Protocol,
        entries: &[SequenceEntry],
        evaluated: Evaluated,
        compared: &[Recorded],
    ) -> anyhow::Result<()> {
        let Evaluated {
            boxes: Boxes {
                tracked,
                mut failed,
            },
            label,
            settings,
        } = evaluated;
        let label = self.label.clone().unwrap_or(label);
        let mut scores = Vec::new();
        for one in &tracked {
            match one.score(protocol) {
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
                    &self.run.output.join(folder),
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
                .run
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
        let names = attributes(
            self.dataset.dataset,
            self.dataset.root(),
            entries,
            evaluation,
        );
        let by_attribute = |tracker: &TrackerScore| by_attribute(&tracker.rows(evaluation), &names);
        let shown = common.as_ref().map_or(&trackers, |one| &one.trackers);
        let shown: Vec<_> = shown.iter().map(by_attribute).collect();
        let summary = Summary {
            attributes: by_attribute(&trackers[0]),
            ..Summary::new(
                self.dataset.dataset,
                evaluation,
                &trackers[0],
                settings.clone(),
                &failed,
            )
        };
        let text = self.run.write_summary(&summary)?;
        let speed = Speed::of(&trackers[0], evaluation);
        let path = self.run.output.join("speed.json");
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
            attributes: &shown,
            settings: &settings,
            samples: !self.no_samples,
        };
        let page = self.run.output.join("report.html");
        write_report(&page, &report)?;
        self.run.write_figures(&report.figures()?)?;
        self.run.print(&text, || {
            print_table(&trackers, common.as_ref(), evaluation)?;
            print_benchmark_figures(&summary)
        })?;
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

    fn compared(
        &self,
        other: &Recorded,
        protocol: &Protocol,
        tracked: &[Tracked],
    ) -> anyhow::Result<TrackerScore> {
        let Recorded { label, folder } = other;
        let names = tracked.iter().map(|one| &one.sequence.name);
        let folder = &inner_folder(folder, self.dataset.dataset, names)?;
        let mut scores = Vec::new();
        for one in tracked {
            let sequence = &one.sequence;
            let score = || -> anyhow::Result<SequenceScore> {
                let result = read_result(folder, self.dataset.dataset, sequence)?;
                let size = || image_size(sequence);
                let (boxes, confidence) = (result.boxes, Vec::new());
                Ok(score_sequence(
                    protocol,
                    sequence,
                    boxes,
                    confidence,
                    &result.seconds,
                    size,
                )?)
            };
            // A folder for comparison that cannot be read must not stop the report of this run.
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
