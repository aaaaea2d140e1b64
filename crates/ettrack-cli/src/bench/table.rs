//! The table of `ettrack bench`: a row per model, provider and precision.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use ettrack::tracker::StageTimings;
use serde::Serialize;

use super::Runner;

/// Milliseconds of one stage.
#[derive(Debug, Serialize)]
struct Stage {
    median_ms: f64,
    p95_ms: f64,
    max_ms: f64,
}

#[derive(Debug, Serialize)]
pub struct Row {
    model: String,
    path: PathBuf,
    provider: &'static str,
    precision: &'static str,
    /// The numbers that the precision means on this machine, such as `bf16`.
    numbers: &'static str,
    /// Provider, precision and partly run graphs as text.
    execution: String,
    frames: usize,
    crop: Stage,
    network: Stage,
    decode: Stage,
    total: Stage,
    /// Computed from the median of the total time.
    fps: f64,
    /// Median of the network's time, divided by that of the model's first row.
    ratio: f64,
    /// Time of crop and decode as a share of the network's time, medians.
    overhead: f64,
    /// Largest difference of each map from that of `cpu` in `exact` on the same search images; `None` for that row itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<std::collections::BTreeMap<String, f32>>,
    parameters: Option<u64>,
    macs_track: Option<u64>,
    /// Growth of the process's resident memory by opening the model and tracking, MiB. It does not include ONNX Runtime's
    /// library and memory of the shared arena that earlier models have left.
    memory_mib: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub onnxruntime: String,
    pub threads: u16,
    pub width: u32,
    pub height: u32,
    pub models: Vec<Row>,
}

impl Row {
    /// Makes the rows of all runners, which are ordered by model.
    pub fn all(runners: Vec<Runner>) -> Vec<Self> {
        let mut first: Option<(usize, f64)> = None;
        let row = |runner: Runner| {
            let model = runner.model;
            let mut row = Self::of(runner);
            let base = match first {
                Some((known, base)) if known == model => base,
                _ => row.network.median_ms,
            };
            first = Some((model, base));
            row.ratio = row.network.median_ms / base.max(1e-6);
            row
        };
        runners.into_iter().map(row).collect()
    }

    fn of(runner: Runner) -> Self {
        let manifest = runner.tracker.manifest();
        let execution = runner.tracker.execution();
        let stage = |time: fn(&StageTimings) -> Duration| {
            Stage::of(runner.timings.iter().map(time).collect())
        };
        let (crop, network, decode) =
            (stage(|t| t.crop), stage(|t| t.network), stage(|t| t.decode));
        let total = stage(|t| t.crop + t.network + t.decode);
        let search_size = runner.tracker.inspect().search_size;
        let difference = (!super::is_exact(execution)).then(|| {
            let named = runner.differences.named(manifest, search_size);
            named.into_iter().collect()
        });
        Self {
            model: manifest.name.clone(),
            path: runner.path.clone(),
            provider: execution.provider.name(),
            precision: execution.precision.name(),
            numbers: execution.numbers.name(),
            execution: execution.to_string(),
            frames: runner.timings.len(),
            fps: 1e3 / total.median_ms.max(1e-6),
            ratio: 1.0,
            overhead: (crop.median_ms + decode.median_ms) / network.median_ms.max(1e-6),
            difference,
            parameters: manifest.cost.map(|cost| cost.parameters),
            macs_track: manifest.cost.map(|cost| cost.macs_track),
            memory_mib: runner.memory_mib,
            crop,
            network,
            decode,
            total,
        }
    }

    /// The differences as text for the table.
    fn shown_difference(&self) -> String {
        match &self.difference {
            None => "-".to_owned(),
            Some(named) => {
                let one = |(name, value): (&String, &f32)| format!("{name} {value:.2e}");
                named.iter().map(one).collect::<Vec<_>>().join(", ")
            }
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

    fn shown(&self) -> String {
        let Self {
            median_ms,
            p95_ms,
            max_ms,
        } = self;
        format!("{median_ms:.2} / {p95_ms:.2} / {max_ms:.2}")
    }
}

impl Report {
    /// Prints the table.
    pub fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "ONNX Runtime {}, {} thread(s), {}x{} frames; milliseconds: median / p95 / max",
            self.onnxruntime, self.threads, self.width, self.height
        )?;
        let width_of = |text: fn(&Row) -> &str, least: usize| {
            let widths = self.models.iter().map(|row| text(row).len());
            widths.max().unwrap_or(0).max(least)
        };
        let name_width = width_of(|row| &row.model, 5);
        let runs_width = width_of(|row| &row.execution, 4);
        writeln!(
            out,
            "{:name_width$}  {:runs_width$}  {:>20}  {:>20}  {:>20}  {:>20}  {:>7}  {:>7}  {:>9}  {:>10}  {:>10}  {:>8}  \
             difference of the maps",
            "model",
            "runs",
            "crop",
            "network",
            "decode",
            "total",
            "fps",
            "ratio",
            "overhead",
            "parameters",
            "MACs",
            "memory"
        )?;
        for row in &self.models {
            let millions = |value: Option<u64>| {
                value.map_or("?".to_owned(), |v| format!("{:.1} M", v as f64 / 1e6))
            };
            writeln!(
                out,
                "{:name_width$}  {:runs_width$}  {:>20}  {:>20}  {:>20}  {:>20}  {:>7.1}  {:>7.3}  {:>8.1}%  {:>10}  {:>10}  {:>8}  {}",
                row.model,
                row.execution,
                row.crop.shown(),
                row.network.shown(),
                row.decode.shown(),
                row.total.shown(),
                row.fps,
                row.ratio,
                row.overhead * 100.0,
                millions(row.parameters),
                millions(row.macs_track),
                row.memory_mib
                    .map_or("?".to_owned(), |mib| format!("{mib:.0} MiB")),
                row.shown_difference(),
            )?;
        }
        Ok(())
    }
}
