//! `ettrack bench`: time per stage, of several models in one interleaved run.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ettrack::frame::{Encoding, ImageBuffer};
use ettrack::geometry::BoundingBox;
use ettrack::model::runtime::Runtime;
use ettrack::tracker::{LostMode, StageTimings, Tracker, TrackerOptions};
use serde::Serialize;

use crate::console::{self, BadInput};

/// Measure the time per frame and stage: crop, network, decode.
///
/// Frames are rendered in memory before the measurement starts. With several models, each frame goes through all of
/// them, so that other work of the machine disturbs all alike. Compare ratios rather than times.
///
/// Memory is what opening a model and its first frame add to the process. All models share one memory arena, so a later
/// model may use room that an earlier one left. To compare memory, measure one model at a time.
#[derive(Debug, Args)]
pub struct Bench {
    /// Model folder; may be given several times.
    #[arg(long = "model", value_name = "DIR", required = true)]
    models: Vec<PathBuf>,
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
}

/// Frames before the measurement starts: the first ones fill caches.
const WARM_UP: u32 = 10;

/// Frames between two starts with the same target.
const RESTART: u32 = 20;

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

/// Milliseconds of one stage.
#[derive(Debug, Serialize)]
struct Stage {
    median_ms: f64,
    p95_ms: f64,
    max_ms: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    model: String,
    path: PathBuf,
    frames: usize,
    crop: Stage,
    network: Stage,
    decode: Stage,
    total: Stage,
    /// Computed from the median of the total time.
    fps: f64,
    /// Crop and decode as a share of the network, medians.
    overhead: f64,
    parameters: Option<u64>,
    macs_track: Option<u64>,
    /// Growth of the process's resident memory by opening the model and tracking, MiB, beyond ONNX Runtime's library and
    /// the room in the shared arena that models before it made.
    memory_mib: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    onnxruntime: String,
    threads: u16,
    width: u32,
    height: u32,
    models: Vec<Row>,
}

struct Runner {
    path: PathBuf,
    tracker: Tracker,
    timings: Vec<StageTimings>,
    memory_mib: Option<f64>,
}

impl Bench {
    /// Measures and prints.
    pub fn run(self) -> anyhow::Result<()> {
        let (width, height) = self.size;
        let frames: Vec<ImageBuffer> = (0..8).map(|step| render(width, height, step)).collect();
        let side = f64::from(width.min(height)) * 0.2;
        let target = BoundingBox::from_center(
            (f64::from(width) / 2.0, f64::from(height) / 2.0),
            side,
            side,
        );
        // Before the first measurement, so that the library's own memory is not counted as a model's.
        Runtime::load(self.onnxruntime.as_deref()).map_err(|error| BadInput::of(&error))?;
        let mut runners = Vec::with_capacity(self.models.len());
        for path in &self.models {
            let options = TrackerOptions::default()
                .with_threads(usize::from(self.threads))
                .with_library(self.onnxruntime.clone())
                // The authors' loop: a lost target would change the window's size.
                .with_lost(LostMode::Off);
            let before = resident_mib();
            let mut tracker = ettrack_models::open(path)
                .map_err(Into::into)
                .and_then(|model| Tracker::from_model(model, &options))
                .with_context(|| BadInput(format!("model {} cannot be used", path.display())))?;
            tracker.initialize(&frames[0].frame()?, target)?;
            tracker.update(&frames[0].frame()?)?;
            let memory_mib = resident_mib()
                .zip(before)
                .map(|(after, before)| (after - before).max(0.0));
            runners.push(Runner {
                path: path.clone(),
                tracker,
                timings: Vec::with_capacity(self.frames as usize),
                memory_mib,
            });
        }
        for step in 0..WARM_UP + self.frames {
            let frame = frames[step as usize % frames.len()].frame()?;
            for runner in &mut runners {
                // The network may drift away. Starting in the middle again keeps the windows comparable.
                if step % RESTART == 0 {
                    runner.tracker.initialize(&frame, target)?;
                }
                let track = runner.tracker.update(&frame)?;
                if step >= WARM_UP {
                    runner.timings.push(track.timings);
                }
            }
        }
        let onnxruntime = runners
            .first()
            .map(|runner| runner.tracker.runtime().version.clone())
            .unwrap_or_default();
        let report = Report {
            onnxruntime,
            threads: self.threads,
            width,
            height,
            models: runners.into_iter().map(Row::of).collect(),
        };
        let mut out = console::stdout();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        } else {
            report.print(&mut out)?;
        }
        out.flush()?;
        Ok(())
    }
}

impl Row {
    fn of(runner: Runner) -> Self {
        let manifest = runner.tracker.manifest();
        let stage = |time: fn(&StageTimings) -> Duration| {
            Stage::of(runner.timings.iter().map(time).collect())
        };
        let (crop, network, decode) =
            (stage(|t| t.crop), stage(|t| t.network), stage(|t| t.decode));
        let total = stage(|t| t.crop + t.network + t.decode);
        Self {
            model: manifest.name.clone(),
            path: runner.path.clone(),
            frames: runner.timings.len(),
            fps: 1e3 / total.median_ms.max(1e-6),
            overhead: (crop.median_ms + decode.median_ms) / network.median_ms.max(1e-6),
            parameters: manifest.cost.map(|cost| cost.parameters),
            macs_track: manifest.cost.map(|cost| cost.macs_track),
            memory_mib: runner.memory_mib,
            crop,
            network,
            decode,
            total,
        }
    }
}

impl Stage {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let index = (share * (times.len() - 1) as f64).round() as usize;
            times[index].as_secs_f64() * 1e3
        };
        Self {
            median_ms: at(0.5),
            p95_ms: at(0.95),
            max_ms: at(1.0),
        }
    }
}

impl Report {
    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "ONNX Runtime {}, {} thread(s), {}x{} frames; milliseconds: median / p95 / max",
            self.onnxruntime, self.threads, self.width, self.height
        )?;
        let name_width = self
            .models
            .iter()
            .map(|row| row.model.len())
            .max()
            .unwrap_or(0)
            .max(5);
        writeln!(
            out,
            "{:name_width$}  {:>20}  {:>20}  {:>20}  {:>20}  {:>7}  {:>9}  {:>10}  {:>10}  {:>8}",
            "model",
            "crop",
            "network",
            "decode",
            "total",
            "fps",
            "overhead",
            "parameters",
            "MACs",
            "memory"
        )?;
        for row in &self.models {
            let stage = |stage: &Stage| {
                format!(
                    "{:.2} / {:.2} / {:.2}",
                    stage.median_ms, stage.p95_ms, stage.max_ms
                )
            };
            let millions = |value: Option<u64>| {
                value.map_or("?".to_owned(), |v| format!("{:.1} M", v as f64 / 1e6))
            };
            writeln!(
                out,
                "{:name_width$}  {:>20}  {:>20}  {:>20}  {:>20}  {:>7.1}  {:>8.1}%  {:>10}  {:>10}  {:>8}",
                row.model,
                stage(&row.crop),
                stage(&row.network),
                stage(&row.decode),
                stage(&row.total),
                row.fps,
                row.overhead * 100.0,
                millions(row.parameters),
                millions(row.macs_track),
                row.memory_mib
                    .map_or("?".to_owned(), |mib| format!("{mib:.0} MiB")),
            )?;
        }
        Ok(())
    }
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

/// Resident memory of this process, on systems that tell it.
fn resident_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
