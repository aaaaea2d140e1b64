//! `ettrack serve`: a page in the browser for a source.

mod feed;
mod player;
mod recorder;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use ettrack::geometry::BoundingBox;
use ettrack_media::source::{self, without_password};
use ettrack_node::inbox::Inbox;
use ettrack_node::parameters::{ParameterSet as _, Parameters, Value};
use ettrack_node::web::{Host, watch};
use ettrack_node::worker::{Loader, Sink, work};
use ettrack_node::{Clock, Level, NodeCore, Output, open_tracker};
use ettrack_web::{About, Server, ServerOptions, Token};

use crate::console::{self, BadInput};
use crate::interrupt;
use crate::roi::parse_roi;
use feed::Feed;
use player::SourcePlayer;

/// Frames that are kept so that a choice finds the frame that was shown, however long the finger took.
const KEPT_FRAMES: i64 = 600;

/// Megabytes of them.
const KEPT_MEGABYTES: i64 = 512;

/// How late a signal is noticed.
const WATCH: Duration = Duration::from_millis(50);

/// Show a source in a page of the browser: choose the target there, see what the tracker sees, and steer it.
///
/// SOURCE is a folder of pictures, a video, a camera (/dev/videoN), a ROS 2 bag, an address that ffmpeg reads (rtsp://,
/// http://, udp://, tcp://, srt://), or - for a video on standard input. A recorded source is played at its own pace and waits
/// on its first frame until a target is chosen; of a live one the newest frame is tracked.
///
/// The page is for this machine only, unless --address says otherwise. Then it opens with a token, which is printed with the
/// address. Its HTTP API is described in docs/web.md. Ctrl-C ends it.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Folder of pictures, video, camera, bag, address or -.
    source: String,
    /// Where the page is served. 0.0.0.0:8090 is for all machines of the network; port 0 is any free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8090")]
    address: String,
    /// A file with the token that opens the page, 16 to 128 letters and digits; else one is made where the address needs it.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Model folder, or the name of the built-in model.
    #[arg(long, value_name = "DIR", default_value = ettrack_models::DEFAULT.name)]
    model: PathBuf,
    /// A parameter of the node, such as search_scale=2; config/tracker.yaml lists them. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The target in the first frame; else it is chosen in the page.
    #[arg(long, value_name = "X,Y,W,H", value_parser = parse_roi, allow_hyphen_values = true)]
    roi: Option<BoundingBox>,
    /// Frames a second of a recorded source; its own where it is known, else 30.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Open a live source again when it ends or stalls, after 1 second, then 2, 4 and so on up to 30.
    #[arg(long)]
    reconnect: bool,
    /// Topic of images, for a bag with several.
    #[arg(long, value_name = "TOPIC")]
    image_topic: Option<String>,
    /// The ONNX Runtime library or its folder.
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1000.0 => Ok(rate),
        _ => Err("expected frames a second, more than 0 and at most 1000".into()),
    }
}

/// The machine's time.
struct SystemClock(Instant);

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        feed::now()
    }

    fn running(&self) -> Option<Duration> {
        Some(self.0.elapsed())
    }
}

/// Log lines for the terminal; all else is for the page.
struct Terminal;

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

impl ServeArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        interrupt::watch()?;
        let parameters = self.parameters()?;
        let source = source::open(&self.source, self.image_topic.as_deref())
            .map_err(|error| BadInput::of(&error))?;
        let (tracker, model) = open_tracker(&parameters).map_err(|error| BadInput::of(&error))?;
        let clock = SystemClock(Instant::now());
        let mut core = NodeCore::new(
            "tracker",
            parameters.clone(),
            Box::new(tracker),
            model,
            &clock,
        )
        .map_err(|error| BadInput::of(&error))?;
        if let Some(roi) = self.roi {
            core.choose_target(roi, &clock, &mut Vec::new());
        }
        let inbox = Arc::new(Inbox::new(parameters.history_bounds()));
        let player = Arc::new(SourcePlayer::new(source.is_live(), self.roi.is_some()));
        let host = Host {
            about: self.about(),
            models: models_beside(&parameters.model_path),
            player: Arc::clone(&player) as _,
        };
        let rate = self.rate.or(source.frame_rate()).unwrap_or(30.0);
        let (session, mut watched) = watch(host, Arc::clone(&inbox), Terminal, |session| {
            session.with_recorder(recorder::start(rate))
        });
        session.set_playback(player.state());
        player.tell(Arc::clone(&session));
        let options = ServerOptions {
            address: self.address.clone(),
            token: self.token()?,
        };
        let server = Server::start(Arc::clone(&session), &options)
            .map_err(|error| BadInput(format!("--address: {:#}", anyhow::Error::from(error))))?;
        let mut out = console::stdout();
        writeln!(out, "{}", server.greeting())?;
        out.flush()?;

        let feed = Feed {
            source,
            name: self.source.clone(),
            topic: self.image_topic.clone(),
            rate: self.rate,
            reconnect: self.reconnect,
            inbox: Arc::clone(&inbox),
            player,
            session,
        };
        std::thread::Builder::new()
            .name("source".into())
            .spawn(move || feed.run())
            .context("no thread for the source")?;
        let closing = Arc::clone(&inbox);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                while !interrupt::came() {
                    std::thread::sleep(WATCH);
                }
                closing.close();
            })
            .context("no thread for signals")?;
        let loader: Loader = Arc::new(|parameters: &Parameters| {
            let (tracker, model) = open_tracker(parameters).map_err(|error| error.to_string())?;
            Ok((Box::new(tracker) as _, model))
        });
        work(core, &inbox, &clock, &loader, &mut watched);
        drop(server);
        Ok(())
    }

    fn parameters(&self) -> anyhow::Result<Parameters> {
        let mut parameters = Parameters {
            model_path: self.model.display().to_string(),
            onnxruntime_library: self
                .onnxruntime
                .as_ref()
                .map(|path| path.display().to_string())
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

    /// Not an argument, which every user of the machine can read.
    fn token(&self) -> anyhow::Result<Option<Token>> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| BadInput(format!("--token-file {}", path.display())))?;
        let token = Token::new(text.trim()).with_context(|| {
            BadInput(format!(
                "--token-file {}: expected 16 to 128 letters and digits",
                path.display()
            ))
        })?;
        Ok(Some(token))
    }

    fn about(&self) -> About {
        let quoted = |text: &str| {
            let is_plain = text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:,=@+".contains(&byte));
            if is_plain && !text.is_empty() {
                text.to_owned()
            } else {
                format!("'{}'", text.replace('\'', r"'\''"))
            }
        };
        About {
            title: without_password(&self.source),
            command_line: format!("ettrack serve {}", quoted(&without_password(&self.source))),
            node: "tracker".into(),
            software: format!("ettrack {}", env!("CARGO_PKG_VERSION")),
        }
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

/// The models that the page offers: the one in use, the built-in ones, and those in the folder that the one in use lies in.
fn models_beside(model: &str) -> Vec<String> {
    let path = std::path::Path::new(model);
    let mut models: Vec<_> = ettrack_models::ALL
        .iter()
        .map(|bundled| bundled.name.to_owned())
        .collect();
    models.push(model.to_owned());
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let beside = folder.and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in beside.into_iter().flatten().flatten() {
        if entry.path().join("model.yaml").is_file() {
            models.push(entry.path().display().to_string());
        }
    }
    models.sort();
    models.dedup();
    models
}
