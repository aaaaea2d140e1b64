//! A source that is played to the node without ROS: what `serve` and `mavlink` share.

pub mod feed;
pub mod player;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use ettrack_node::inbox::Inbox;
use ettrack_node::parameters::{ParameterSet as _, Parameters, Value};
use ettrack_node::worker::{Loader, Sink};
use ettrack_node::{Clock, Level, Output, open_tracker};

use crate::console::BadInput;
use crate::interrupt;

/// Frames that are kept so that a choice finds the frame that was shown, however long the finger took.
const KEPT_FRAMES: i64 = 600;

/// Megabytes of them.
const KEPT_MEGABYTES: i64 = 512;

/// How late a signal is noticed.
const WATCH: Duration = Duration::from_millis(50);

/// The source and the tracker.
#[derive(Debug, Args)]
pub struct PlayArgs {
    /// Folder of pictures, video, camera, bag, address or -.
    pub source: String,
    /// Model folder, or the name of the built-in model.
    #[arg(long, value_name = "DIR", default_value = ettrack_models::DEFAULT.name)]
    pub model: PathBuf,
    /// A parameter of the node, such as search_scale=2; config/tracker.yaml lists them. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Frames a second of a recorded source; its own where it is known, else 30.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Open a live source again when it ends or stalls, after 1 second, then 2, 4 and so on up to 30.
    #[arg(long)]
    pub reconnect: bool,
    /// Topic of images, for a bag with several.
    #[arg(long, value_name = "TOPIC")]
    pub image_topic: Option<String>,
    /// The ONNX Runtime library or its folder.
    #[arg(long, value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1000.0 => Ok(rate),
        _ => Err("expected frames a second, more than 0 and at most 1000".into()),
    }
}

impl PlayArgs {
    /// The node's parameters.
    pub fn parameters(&self) -> anyhow::Result<Parameters> {
        let mut parameters = Parameters {
            model_path: self.model.display().to_string(),
            onnxruntime_library: self
                .onnxruntime
                .as_deref()
                .map(Path::display)
                .map(|path| path.to_string())
                .unwrap_or_default(),
            history_frames: KEPT_FRAMES,
            history_megabytes: KEPT_MEGABYTES,
            ..Parameters::default()
        };
        for pair in &self.set {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                BadInput(format!(
                    "--set {pair}: expected NAME=VALUE, such as search_scale=2"
                ))
            })?;
            parameters
                .set(name, &read_value(value))
                .map_err(|error| BadInput(format!("--set {pair}: {error}")))?;
        }
        Ok(parameters)
    }
}

/// What a value on the command line is: true or false, a number, else text.
fn read_value(text: &str) -> Value {
    if let Ok(value) = text.parse() {
        Value::Bool(value)
    } else if let Ok(value) = text.parse() {
        Value::Integer(value)
    } else if let Ok(value) = text.parse() {
        Value::Float(value)
    } else {
        Value::Text(text.to_owned())
    }
}

/// The machine's time.
pub struct SystemClock(pub Instant);

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        feed::now()
    }

    fn running(&self) -> Option<Duration> {
        Some(self.0.elapsed())
    }
}

/// Log lines for the terminal; all else is for others.
pub struct Terminal;

impl Sink for Terminal {
    fn deliver(&mut self, output: Output) {
        match output {
            Output::Log(Level::Info, line) => tracing::info!("{line}"),
            Output::Log(Level::Warn, line) => tracing::warn!("{line}"),
            Output::Log(Level::Error, line) => tracing::error!("{line}"),
            _ => {}
        }
    }

    fn overlay_wanted(&self) -> bool {
        false
    }
}

/// Opens the tracker that parameters ask for.
pub fn loader() -> Loader {
    Arc::new(|parameters: &Parameters| {
        let (tracker, model) = open_tracker(parameters).map_err(|error| error.to_string())?;
        Ok((Box::new(tracker) as _, model))
    })
}

/// Closes the inbox when a signal comes, which ends the work.
pub fn close_at_signal(inbox: &Arc<Inbox>) -> anyhow::Result<()> {
    let closing = Arc::clone(inbox);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while !interrupt::came() {
                std::thread::sleep(WATCH);
            }
            closing.close();
        })
        .context("no thread for signals")?;
    Ok(())
}
