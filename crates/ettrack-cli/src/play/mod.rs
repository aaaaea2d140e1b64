//! Plays a source to the node without ROS. The commands `serve` and `mavlink` share this code.

pub mod feed;
pub mod player;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use ettrack::error_chain;
use ettrack_media::source::FrameSource;
use ettrack_node::inbox::Inbox;
use ettrack_node::parameters::{ParameterSet as _, Parameters, Value};
use ettrack_node::worker::{Loader, Sink};
use ettrack_node::{Clock, Level, Output, open_tracker};

use self::feed::Feed;
use self::player::SourcePlayer;
use crate::console::BadInput;
use crate::engine_args::EngineArgs;
use crate::interrupt;
use crate::tracker_args::tell;

/// Number of frames that are kept, so that a late choice still finds the frame that was shown.
const KEPT_FRAMES: i64 = 600;

/// Largest size of the kept frames, megabytes.
const KEPT_MEGABYTES: i64 = 512;

/// Longest time that the end of the program waits for the thread that reads the source.
const LONGEST_END: Duration = Duration::from_secs(1);

/// Interval at which a thread checks for a signal.
const WATCH: Duration = Duration::from_millis(50);

/// Arguments for the source and the tracker.
#[derive(Debug, Args)]
pub struct PlayArgs {
    /// Folder of pictures, video, camera, bag, address, or - for standard input.
    pub source: String,
    /// Model folder, or the name of the built-in model.
    #[arg(long, value_name = "DIR", default_value = ettrack_models::DEFAULT.name)]
    pub model: PathBuf,
    /// A parameter of the node, such as search_scale=2; config/tracker.yaml lists them. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Frames per second of a recorded source. Without it, the source's own rate, or 30 if that is not known.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Open a live source again after it ends or stalls. The pause is 1 second, then 2, 4 and so on up to 30.
    #[arg(long)]
    pub reconnect: bool,
    /// Topic of images, for a bag with several.
    #[arg(long, value_name = "TOPIC")]
    pub image_topic: Option<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1000.0 => Ok(rate),
        _ => Err("expected frames a second, more than 0 and at most 1000".into()),
    }
}

impl PlayArgs {
    /// Returns the node's parameters with the values of the command line.
    pub fn parameters(&self) -> anyhow::Result<Parameters> {
        let mut parameters = Parameters {
            model_path: self.model.display().to_string(),
            history_frames: KEPT_FRAMES,
            history_megabytes: KEPT_MEGABYTES,
            ..Parameters::default()
        };
        self.engine.apply_to(&mut parameters);
        for pair in &self.set {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                BadInput(format!(
                    "--set {pair}: expected NAME=VALUE, such as search_scale=2"
                ))
            })?;
            parameters
                .set(name, &read_value(value))
                .map_err(|error| BadInput(format!("--set {pair}: {}", error_chain(&error))))?;
        }
        Ok(parameters)
    }

    /// Starts the thread that reads the opened source until a signal comes.
    pub fn start_feed(
        &self,
        source: Box<dyn FrameSource + Send>,
        inbox: &Arc<Inbox>,
        player: Arc<SourcePlayer>,
        say: feed::Say,
    ) -> anyhow::Result<FeedThread> {
        let fault = Arc::new(OnceLock::new());
        let feed = Feed {
            source,
            name: self.source.clone(),
            topic: self.image_topic.clone(),
            rate: self.rate,
            reconnect: self.reconnect,
            inbox: Arc::clone(inbox),
            player,
            say,
            fault: Arc::clone(&fault),
        };
        let thread = std::thread::Builder::new()
            .name("source".into())
            .spawn(move || feed.run())
            .context("no thread for the source")?;
        Ok(FeedThread { thread, fault })
    }
}

/// The thread that reads the source.
#[derive(Debug)]
pub struct FeedThread {
    thread: JoinHandle<()>,
    fault: Arc<OnceLock<String>>,
}

impl FeedThread {
    /// Waits until the thread has dropped the source, because a compressed bag is unpacked into a temporary file that the source
    /// removes. It does not wait long: a camera or a pipe without frames holds the thread, and has no such file.
    ///
    /// # Errors
    /// [`BadInput`] with the reason if the source gave no frame at all.
    pub fn end(self) -> anyhow::Result<()> {
        let until = Instant::now() + LONGEST_END;
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        match self.fault.get() {
            Some(fault) => Err(BadInput(fault.clone()).into()),
            None => Ok(()),
        }
    }
}

/// Reads a value of the command line: true or false, a number, or otherwise text.
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

/// The clock of this computer.
pub struct SystemClock(pub Instant);

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        feed::now()
    }

    fn running(&self) -> Option<Duration> {
        Some(self.0.elapsed())
    }
}

/// A sink that writes log lines to the terminal and ignores all other outputs.
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

/// Returns a function that opens the tracker named by the parameters.
pub fn loader() -> Loader {
    Arc::new(|parameters: &Parameters| {
        let (tracker, model) = open_tracker(parameters).map_err(|error| error_chain(&error))?;
        tell(&tracker);
        Ok((Box::new(tracker) as _, model))
    })
}

/// Closes the inbox when a signal comes. This ends the tracking thread's work.
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
