//! `ettrack trax`: a tracker for VOT's toolkit and other clients of the TraX protocol.

mod message;
mod picture;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use ettrack::error_chain;
use ettrack::frame::ImageBuffer;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{TrackState, Tracker};
use ettrack_eval::region::{Mask, Region};

use self::message::{Kind, Message};
use crate::console::{BadInput, stdout};
use crate::tracker_args::{Lost, TrackerArgs, tell};

/// The protocol's version. Clients of earlier versions are also supported.
const VERSION: u32 = 4;

/// The variable in which clients give the port that they wait at.
const PORT_VARIABLE: &str = "TRAX_SOCKET";

/// Be a tracker for VOT's toolkit and other clients of the TraX protocol.
///
/// Reads messages from standard input and writes answers to standard output, or connects to a client that waits at a port
/// (--socket, or the environment variable TRAX_SOCKET that the toolkit sets). A target may be a rectangle, a polygon or a
/// mask. Its bounding rectangle is tracked. Images may come as paths, pixels or the bytes of files. Only one target at a
/// time. `ettrack vot-workspace` writes the toolkit's list of trackers.
#[derive(Debug, Args)]
pub struct TraxArgs {
    /// Model folder, or the name of the built-in model.
    #[arg(long, value_name = "DIR", default_value = ettrack_models::DEFAULT.name)]
    model: PathBuf,
    /// The form of the answers.
    #[arg(long, value_enum, default_value_t = Answer::Rectangle)]
    region: Answer,
    /// Connect to a client at this port of this machine, or at HOST:PORT.
    #[arg(long, value_name = "[HOST:]PORT")]
    socket: Option<String>,
    /// Whether the lost state is used. Benchmarks score the authors' loop, so it is off by default.
    #[arg(long, value_enum, default_value_t = Lost::Off)]
    lost: Lost,
    #[command(flatten)]
    tracker: TrackerArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Answer {
    /// x,y,width,height.
    Rectangle,
    /// The four corners.
    Polygon,
    /// All pixels of the rectangle.
    Mask,
}

impl Answer {
    fn of(self, target: BoundingBox) -> Region {
        let BoundingBox {
            x,
            y,
            width,
            height,
        } = target;
        match self {
            Self::Rectangle => Region::Rectangle([x, y, width, height]),
            Self::Polygon => {
                let (right, bottom) = (x + width, y + height);
                Region::Polygon(vec![(x, y), (right, y), (right, bottom), (x, bottom)])
            }
            Self::Mask => Region::Mask(Mask::of_rectangle([x, y, width, height])),
        }
    }
}

impl TraxArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let folder = ettrack_models::open(&self.model).map_err(|error| BadInput::of(&error))?;
        let options = self.tracker.options(&folder, self.lost)?;
        let tracker =
            Tracker::from_model(folder, &options).map_err(|error| BadInput::of(&error))?;
        tell(&tracker);
        let mut session = Session {
            tracker,
            answer: self.region,
            image: ImageBuffer::empty(),
            target: None,
            tracking: false,
            frames: 0,
        };
        let port = self.socket.or_else(|| std::env::var(PORT_VARIABLE).ok());
        match port {
            Some(port) => {
                let stream = connect(&port)?;
                let reader = stream.try_clone().context("cannot read from the client")?;
                session.serve(&mut BufReader::with_capacity(1 << 16, reader), &mut &stream)
            }
            None => session.serve(&mut std::io::stdin().lock(), &mut stdout()),
        }
    }
}

fn connect(port: &str) -> anyhow::Result<TcpStream> {
    let address = if port.contains(':') {
        port.to_owned()
    } else {
        format!("127.0.0.1:{port}")
    };
    let expected = || BadInput(format!("--socket {port}: expected PORT or HOST:PORT"));
    let mut places = address.to_socket_addrs().with_context(expected)?;
    let place = places.next().with_context(expected)?;
    let stream =
        TcpStream::connect(place).with_context(|| format!("no TraX client waits at {address}"))?;
    // Messages are small, and the other side waits for each one.
    stream
        .set_nodelay(true)
        .with_context(|| format!("cannot set up the connection to {address}"))?;
    Ok(stream)
}

/// The state between two messages.
struct Session {
    tracker: Tracker,
    answer: Answer,
    image: ImageBuffer,
    /// The region of a target whose image has not come yet.
    target: Option<String>,
    tracking: bool,
    frames: u64,
}

impl Session {
    /// Answers messages until the client quits. On an error the client gets a `quit` with the reason.
    fn serve(&mut self, input: &mut impl BufRead, output: &mut impl Write) -> anyhow::Result<()> {
        self.hello().write(output)?;
        loop {
            let message = Message::read(input).context("cannot read from the TraX client")?;
            let Some(message) = message else {
                bail!(
                    "the TraX client hung up after {} frames; expected a message `quit` before the end",
                    self.frames
                );
            };
            if message.kind == Kind::Quit {
                tracing::info!("the TraX client quits after {} frames", self.frames);
                return Ok(());
            }
            match self.answer_to(message) {
                Ok(Some(answer)) => answer.write(output)?,
                Ok(None) => {}
                Err(error) => {
                    let reason = error_chain(error.as_ref());
                    let told = Message::new(Kind::Quit).with("trax.reason", &reason);
                    // This program also ends with the reason, so it does not matter if the stream is closed.
                    let _ = told.write(output);
                    return Err(error);
                }
            }
        }
    }

    fn hello(&self) -> Message {
        let manifest = self.tracker.manifest();
        Message::new(Kind::Hello)
            .with("trax.version", VERSION)
            .with("trax.name", &manifest.name)
            .with("trax.description", &manifest.description)
            .with("trax.family", &manifest.family)
            .with("trax.region", "rectangle;polygon;mask;")
            .with("trax.image", "path;memory;buffer;")
            .with("trax.channels", "color;")
    }

    fn answer_to(&mut self, message: Message) -> anyhow::Result<Option<Message>> {
        match (message.kind, message.arguments.as_slice()) {
            // All targets are removed.
            (Kind::Initialize, []) => {
                (self.target, self.tracking) = (None, false);
                Ok(None)
            }
            (Kind::Initialize, [region]) => {
                if self.target.is_some() || self.tracking {
                    bail!(BadInput(
                        "a second target was given; this tracker follows one at a time".into()
                    ));
                }
                self.target = Some(region.clone());
                Ok(None)
            }
            // Up to version 3 the image comes with the region, and a new target replaces the old one.
            (Kind::Initialize, [image, region]) => {
                self.target = None;
                self.start(image, region).map(Some)
            }
            (Kind::Frame, [image]) => match self.target.take() {
                Some(region) => self.start(image, &region).map(Some),
                None if self.tracking => self.follow(image).map(Some),
                None => bail!(BadInput(
                    "a frame came before a target; expected a message `initialize`".into()
                )),
            },
            (kind, arguments) => bail!(BadInput(format!(
                "a message {kind:?} came with {} arguments, expected initialize with a region, or frame with one image",
                arguments.len()
            ))),
        }
    }

    fn start(&mut self, image: &str, region: &str) -> anyhow::Result<Message> {
        let region = Region::parse(region).map_err(|error| BadInput::of(&error))?;
        let expected = || BadInput(format!("the target {region} has no pixel"));
        let [x, y, width, height] = region.bounds().with_context(expected)?;
        picture::decode_into(image, &mut self.image).map_err(|error| BadInput::of(&error))?;
        let target = BoundingBox::new(x, y, width, height);
        self.tracker
            .initialize(&self.image.frame()?, target)
            .map_err(|error| BadInput::of(&error))?;
        self.tracking = true;
        self.frames += 1;
        Ok(self.state(target, 1.0, TrackState::Tracking))
    }

    fn follow(&mut self, image: &str) -> anyhow::Result<Message> {
        picture::decode_into(image, &mut self.image).map_err(|error| BadInput::of(&error))?;
        let track = self
            .tracker
            .update(&self.image.frame()?)
            .map_err(|error| BadInput::of(&error))?;
        let written = self.tracker.as_authors_write(track.bounding_box);
        self.frames += 1;
        Ok(self.state(written, track.confidence, track.state))
    }

    fn state(&self, target: BoundingBox, confidence: f32, state: TrackState) -> Message {
        let state = match state {
            TrackState::Tracking => "tracking",
            TrackState::Lost => "lost",
        };
        Message::new(Kind::State)
            .with_argument(self.answer.of(target).to_string())
            .with("confidence", format!("{confidence:.6}"))
            .with("state", state)
    }
}
