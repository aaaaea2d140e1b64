//! `ettrack bench`: the time per stage of several models, providers and precisions that take turns in one run.

mod machine;
mod maps;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use ettrack::frame::{Encoding, ImageBuffer};
use ettrack::geometry::BoundingBox;
use ettrack::model::ModelFolder;
use ettrack::model::provider::{Precision, Provider, parse_option};
use ettrack::model::runtime::Runtime;
use ettrack::tracker::{LostMode, StageTimings, Tracker, TrackerOptions};
use ettrack::{Execution, ModelError, TrackError, error_chain};

use crate::console::{self, BadInput};
use crate::engine_args::{precision_parser, provider_parser};
use maps::Differences;
use table::{Report, Row};

/// Measure the time per frame and stage: crop, network, decode.
///
/// Frames are rendered in memory before the measurement starts. With several models, providers or precisions, each frame
/// goes through all of them, so that other programs disturb all in the same way. Compare ratios rather than times.
///
/// Each model is run with each provider and each precision. If this machine does not have one of them, it is listed with
/// the reason. It is an error only if nothing can be measured. For every row other than exact on cpu, the last column shows
/// the largest difference of its maps from those of exact on cpu, for the same search images.
///
/// Memory is the growth of the process by opening a model and by its first frame. All models share one memory arena, so a
/// later model may use memory that an earlier one has left. To compare memory, measure one model at a time.
#[derive(Debug, Args)]
pub struct Bench {
    /// Model folder; may be given several times. The built-in model if not given.
    #[arg(long = "model", value_name = "DIR", default_value = ettrack_models::DEFAULT.name)]
    models: Vec<PathBuf>,
    /// The provider that runs the network inside ONNX Runtime; may be given several times. If not given, cpu, and with
    /// --report all providers of the library.
    #[arg(long = "provider", value_name = "NAME", value_parser = provider_parser())]
    providers: Vec<Provider>,
    /// How exactly the provider computes; may be given several times. If not given, exact, and with --report both.
    #[arg(long = "precision", value_name = "NAME", value_parser = precision_parser())]
    precisions: Vec<Precision>,
    /// A further option of the provider under its own name, such as device_type=GPU. Only with one provider in addition to
    /// cpu.
    #[arg(long = "provider-option", value_name = "KEY=VALUE", value_parser = option_parser)]
    provider_options: Vec<(String, String)>,
    /// Threads of the network.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Frames to measure.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    frames: u32,
    /// Size of the frames.
    #[arg(long, default_value = "640x480", value_name = "WIDTHxHEIGHT", value_parser = parse_size)]
    size: (u32, u32),
    /// The ONNX Runtime library or its folder.
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Print a short text to send to others: board, processor, system, versions, then the table.
    #[arg(long, conflicts_with = "json")]
    report: bool,
}

/// Frames before the measurement starts, because the first ones fill caches.
const WARM_UP: u32 = 10;

/// Frames between two starts with the same target.
const RESTART: u32 = 20;

fn option_parser(text: &str) -> Result<(String, String), String> {
    parse_option(text).map_err(|error| error_chain(&error))
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let sides = text
        .split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    match sides {
        Some((width, height)) if (16..=8192).contains(&width) && (16..=8192).contains(&height) => {
            Ok((width, height))
        }
        _ => Err(format!(
            "{text:?} is no size such as 640x480, with sides of 16..=8192"
        )),
    }
}

/// A model with a provider and a precision.
struct Runner {
    path: PathBuf,
    /// Index of the model among the command's models.
    model: usize,
    tracker: Tracker,
    timings: Vec<StageTimings>,
    memory_mib: Option<f64>,
    differences: Differences,
}

/// The maps of a model in exact on cpu, for comparison with its other runners.
struct Exact {
    tracker: Option<Tracker>,
    /// The maps of the newest start.
    maps: Vec<Vec<f32>>,
}

/// A model, a provider and a precision that were not measured.
struct Missing {
    what: String,
    error: TrackError,
}

impl Bench {
    /// Measures and prints.
    pub fn run(self) -> anyhow::Result<()> {
        self.check_options()?;
        let (width, height) = self.size;
        let frames: Vec<ImageBuffer> = (0..8).map(|step| render(width, height, step)).collect();
        let side = f64::from(width.min(height)) * 0.2;
        let target = BoundingBox::from_center(
            (f64::from(width) / 2.0, f64::from(height) / 2.0),
            side,
            side,
        );
        // Load the library before the first measurement, so that its own memory is not counted for a model.
        let runtime =
            Runtime::load(self.onnxruntime.as_deref()).map_err(|error| BadInput::of(&error))?;
        let (mut runners, missing) = self.open(&frames[0], target)?;
        if runners.is_empty() {
            let reasons: Vec<String> = missing
                .iter()
                .map(|missing| format!("{}: {}", missing.what, error_chain(&missing.error)))
                .collect();
            anyhow::bail!(BadInput(reasons.join("\n")));
        }
        let mut exact = self.open_exact(&runners)?;
        for step in 0..WARM_UP + self.frames {
            let frame = frames[step as usize % frames.len()].frame()?;
            // The box may leave the target. A new start in the middle keeps the windows comparable.
            let is_start = step % RESTART == 0;
            if is_start {
                for Exact { tracker, maps } in &mut exact {
                    if let Some(tracker) = tracker {
                        tracker.initialize(&frame, target)?;
                        tracker.update(&frame)?;
                        *maps = tracker.inspect().outputs.to_vec();
                    }
                }
            }
            for runner in &mut runners {
                if is_start {
                    runner.tracker.initialize(&frame, target)?;
                }
                let track = runner.tracker.update(&frame)?;
                if step >= WARM_UP {
                    runner.timings.push(track.timings);
                }
                if is_start && !is_exact(runner.tracker.execution()) {
                    let maps = &exact[runner.model].maps;
                    runner
                        .differences
                        .add(maps, runner.tracker.inspect().outputs);
                }
            }
        }
        self.print(&runtime, runners, &missing)
    }

    /// An option belongs to one provider. It is never meant for cpu, which has no options.
    fn check_options(&self) -> anyhow::Result<()> {
        let others: Vec<&Provider> = self
            .providers
            .iter()
            .filter(|provider| **provider != Provider::Cpu)
            .collect();
        if !self.provider_options.is_empty() && others.len() != 1 {
            anyhow::bail!(BadInput(format!(
                "--provider-option: expected one --provider beside cpu, got {}",
                others.len()
            )));
        }
        Ok(())
    }

    fn providers(&self) -> &[Provider] {
        match (self.providers.is_empty(), self.report) {
            (false, _) => &self.providers,
            (true, false) => &[Provider::Cpu],
            (true, true) => Provider::ALL,
        }
    }

    fn precisions(&self) -> &[Precision] {
        match (self.precisions.is_empty(), self.report) {
            (false, _) => &self.precisions,
            (true, false) => &[Precision::Exact],
            (true, true) => &[Precision::Exact, Precision::Fast],
        }
    }

    fn options(&self, provider: Provider, precision: Precision) -> TrackerOptions {
        let options = TrackerOptions::default()
            .with_threads(usize::from(self.threads))
            .with_library(self.onnxruntime.clone())
            .with_provider(provider)
            .with_precision(precision)
            // The authors' loop: a lost target would change the window's size.
            .with_lost(LostMode::Off);
        match provider {
            Provider::Cpu => options,
            _ => options.with_provider_options(self.provider_options.clone()),
        }
    }

    /// Returns all trackers to measure, after their first frame, and those that this machine cannot run.
    fn open(
        &self,
        first: &ImageBuffer,
        target: BoundingBox,
    ) -> anyhow::Result<(Vec<Runner>, Vec<Missing>)> {
        let (mut runners, mut missing) = (Vec::new(), Vec::new());
        for (index, path) in self.models.iter().enumerate() {
            let folder = read_model(path)?;
            for &provider in self.providers() {
                for &precision in self.precisions() {
                    let before = resident_mib();
                    let options = self.options(provider, precision);
                    let mut tracker = match Tracker::from_model(folder.clone(), &options) {
                        Ok(tracker) => tracker,
                        Err(error @ TrackError::Model(ModelError::Provider(_))) => {
                            let name = &folder.manifest.name;
                            let what = format!("{name}, {provider}, {precision}");
                            missing.push(Missing { what, error });
                            continue;
                        }
                        Err(error) => return Err(error).with_context(|| unusable(path)),
                    };
                    tracker.initialize(&first.frame()?, target)?;
                    tracker.update(&first.frame()?)?;
                    let memory_mib = resident_mib()
                        .zip(before)
                        .map(|(after, before)| (after - before).max(0.0));
                    runners.push(Runner {
                        path: path.clone(),
                        model: index,
                        tracker,
                        timings: Vec::with_capacity(self.frames as usize),
                        memory_mib,
                        differences: Differences::default(),
                    });
                }
            }
        }
        Ok((runners, missing))
    }

    /// Returns one more tracker, exact on cpu, for each model that has another row to compare with it.
    fn open_exact(&self, runners: &[Runner]) -> anyhow::Result<Vec<Exact>> {
        let options = self.options(Provider::Cpu, Precision::Exact);
        let open = |(index, path): (usize, &PathBuf)| {
            let is_needed =
                |runner: &Runner| runner.model == index && !is_exact(runner.tracker.execution());
            let tracker = if runners.iter().any(is_needed) {
                let tracker = Tracker::from_model(read_model(path)?, &options);
                Some(tracker.with_context(|| unusable(path))?)
            } else {
                None
            };
            Ok(Exact {
                tracker,
                maps: Vec::new(),
            })
        };
        self.models.iter().enumerate().map(open).collect()
    }

    fn print(
        &self,
        runtime: &Runtime,
        runners: Vec<Runner>,
        missing: &[Missing],
    ) -> anyhow::Result<()> {
        let (width, height) = self.size;
        let report = Report {
            onnxruntime: runtime.version.clone(),
            threads: self.threads,
            width,
            height,
            models: Row::all(runners),
        };
        let mut out = console::stdout();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        } else {
            if self.report {
                machine::print(&mut out, runtime)?;
            }
            report.print(&mut out)?;
        }
        for Missing { what, error } in missing {
            // A report tries all providers. It is normal that the library does not have most of them.
            if !self.report {
                tracing::warn!("not measured: {what}: {}", error_chain(error));
            } else if !is_absent(error) {
                writeln!(out, "not measured: {what}: {}", error_chain(error))?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

fn is_absent(error: &TrackError) -> bool {
    use ettrack::model::provider::ProviderError;
    matches!(
        error,
        TrackError::Model(ModelError::Provider(ProviderError::Missing { .. }))
    )
}

fn is_exact(execution: &Execution) -> bool {
    execution.provider == Provider::Cpu && execution.precision == Precision::Exact
}

fn unusable(path: &Path) -> BadInput {
    BadInput(format!("model {} cannot be used", path.display()))
}

fn read_model(path: &Path) -> anyhow::Result<ModelFolder> {
    ettrack_models::open(path).with_context(|| unusable(path))
}

/// A textured scene that moves a little from step to step.
fn render(width: u32, height: u32, step: u32) -> ImageBuffer {
    let mut data = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let (x, y) = (x + 2 * step, y + step);
            data.extend([
                (x * y / 64) as u8,
                ((x / 8) ^ (y / 8)) as u8 * 9,
                (x + 2 * y) as u8,
            ]);
        }
    }
    ImageBuffer {
        data,
        width,
        height,
        stride: width as usize * 3,
        encoding: Encoding::Rgb8,
        big_endian: false,
    }
}

/// Resident memory of this process, if the system reports it.
fn resident_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
