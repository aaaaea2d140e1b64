//! `ettrack serve`: a page in the browser for a source.

mod recorder;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use ettrack::error_chain;
use ettrack::geometry::BoundingBox;
use ettrack_media::source::{self, without_password};
use ettrack_node::inbox::Inbox;
use ettrack_node::web::{Host, watch};
use ettrack_node::worker::work;
use ettrack_node::{NodeCore, open_tracker};
use ettrack_web::{About, Server, ServerOptions, Token};

use crate::console::{self, BadInput};
use crate::interrupt;
use crate::play::player::SourcePlayer;
use crate::play::{PlayArgs, SystemClock, Terminal, close_at_signal, loader};
use crate::roi::parse_roi;

/// Show a source in a page of the browser: choose the target there, see what the tracker sees, and steer it.
///
/// SOURCE is a folder of pictures, a video, a camera (/dev/videoN), a ROS 2 bag, an address that ffmpeg reads (rtsp://,
/// http://, udp://, tcp://, srt://), or - for a video on standard input. A recorded source is played with its own rate and
/// waits at its first frame until a target is chosen. Of a live source the newest frame is tracked.
///
/// The page is for this machine only, unless --address says otherwise. Then it opens with a token, which is printed with the
/// address. Its HTTP API is described in docs/web.md. Ctrl-C ends it.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    play: PlayArgs,
    /// Address of the page. 0.0.0.0:8090 is for all machines of the network; port 0 is any free port.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8090")]
    address: String,
    /// A file with the token that opens the page, 16 to 128 letters and digits. Without it, a token is made if the address
    /// needs one.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The target in the first frame. Without it, the target is chosen in the page.
    #[arg(long, value_name = "X,Y,W,H", value_parser = parse_roi, allow_hyphen_values = true)]
    roi: Option<BoundingBox>,
}

impl ServeArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        interrupt::watch()?;
        let parameters = self.play.parameters()?;
        let source = source::open(&self.play.source, self.play.image_topic.as_deref())
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
        let rate = self.play.rate.or(source.frame_rate()).unwrap_or(30.0);
        let is_live = source.is_live();
        let (session, mut watched) = watch(host, Arc::clone(&inbox), Terminal, |session| {
            session.with_recorder(recorder::start(rate, is_live))
        });
        session.set_playback(player.state());
        player.tell(&session);
        let options = ServerOptions {
            address: self.address.clone(),
            token: self.token()?,
        };
        let server = Server::start(Arc::clone(&session), &options)
            .map_err(|error| BadInput(format!("--address: {}", error_chain(&error))))?;
        let mut out = console::stdout();
        writeln!(out, "{}", server.greeting())?;
        out.flush()?;

        let viewers = Arc::clone(&session);
        let say = Box::new(move |level, text: &str| viewers.say(level, text));
        let feed = self.play.start_feed(source, &inbox, player, say)?;
        close_at_signal(&inbox)?;
        work(core, &inbox, &clock, &loader(), &mut watched);
        drop(server);
        session.discard_recording();
        feed.end()
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
            title: without_password(&self.play.source),
            command_line: format!(
                "ettrack serve {}",
                quoted(&without_password(&self.play.source))
            ),
            node: "tracker".into(),
            software: format!("ettrack {}", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// The models that the page offers: the one in use, the built-in ones, and those in the same folder as the one in use.
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
