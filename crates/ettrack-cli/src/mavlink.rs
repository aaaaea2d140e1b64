//! `ettrack mavlink`: a drone's camera that tracks the target that the pilot draws.

mod calibration;
mod video;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use ettrack::error_chain;
use ettrack::geometry::BoundingBox;
use ettrack_mavlink::wire::Address;
use ettrack_mavlink::{CameraOptions, Connection, GimbalOptions, Key, ServiceOptions, Stream};
use ettrack_media::live::LiveStream;
use ettrack_media::source::{self, without_password};
use ettrack_node::inbox::Inbox;
use ettrack_node::mavlink::{Host, start};
use ettrack_node::web::Player as _;
use ettrack_node::worker::work;
use ettrack_node::{NodeCore, open_tracker};
use ettrack_web::Playback;

use crate::console::{self, BadInput};
use crate::interrupt;
use crate::play::player::SourcePlayer;
use crate::play::{PlayArgs, SystemClock, Terminal, close_at_signal, loader};
use crate::roi::parse_roi;
use video::Video;

/// Act as a drone's camera: ground stations find it through MAVLink 2, the pilot draws a box, and the camera tracks the target.
///
/// SOURCE is a camera (/dev/videoN), an address that ffmpeg reads (rtsp://, http://, udp://, tcp://, srt://), a folder of
/// pictures, a video, a ROS 2 bag, or - for a video on standard input. A recorded source is played at its own frame rate and
/// waits on its first frame until a target is chosen. In a live source, the newest frame is tracked.
///
/// The command never moves the vehicle. docs/drones.md describes the setup of ground stations and autopilots. Ctrl-C ends the
/// command.
#[derive(Debug, Args)]
pub struct MavlinkArgs {
    #[command(flatten)]
    play: PlayArgs,
    /// MAVLink connection: udpin:HOST:PORT, udpout:HOST:PORT, tcp:HOST:PORT or serial:DEVICE:SPEED. May be repeated.
    #[arg(long, value_name = "CONNECTION", required = true)]
    connect: Vec<String>,
    /// System id of the vehicle.
    #[arg(long, value_name = "ID", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    system_id: u8,
    /// Component id of this camera: 100 for the first camera, 101 for the second one.
    #[arg(long, value_name = "ID", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..))]
    component_id: u8,
    /// Box of the target in the first frame. Without it, the pilot chooses the target.
    #[arg(long, value_name = "X,Y,W,H", value_parser = parse_roi, allow_hyphen_values = true)]
    roi: Option<BoundingBox>,
    /// Seconds from the answer for a frame until the pilot sees the frame. A target is taken from the frame that the pilot saw.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    video_delay: Duration,
    /// Send the frames with the box as H.264 to this address: rtp://HOST:PORT, udp://HOST:PORT (MPEG-TS) or rtsp://… of a server.
    #[arg(long, value_name = "ADDRESS")]
    stream: Option<String>,
    /// Address of the video stream that is announced to ground stations. Without it, the address of --stream.
    #[arg(long, value_name = "ADDRESS")]
    video_uri: Option<String>,
    /// Horizontal field of view of the camera, degrees.
    #[arg(long, value_name = "DEGREES", value_parser = parse_field_of_view, conflicts_with = "calibration")]
    hfov: Option<f64>,
    /// Calibration of the camera: a YAML file in the format of camera_calibration of ROS 2.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Turn a gimbal towards the target, at most at this rate about each axis, rad/s. Needs --hfov or --calibration. The gimbal
    /// turns only while this component has control of it.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    gimbal: Option<f64>,
    /// Device id of the gimbal: 1 to 6, or the component id of a MAVLink gimbal. 0 takes any gimbal.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    gimbal_id: u8,
    /// Rate of the gimbal for each unit of the angle between the target and the middle of the picture, 1/s.
    #[arg(long, value_name = "GAIN", default_value = "1.5", value_parser = parse_rate)]
    gimbal_gain: f64,
    /// File with the key for signed messages: 64 hexadecimal digits. All sent messages are signed, and unsigned ones are ignored.
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=10.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds, from 0 to 10".into()),
    }
}

fn parse_field_of_view(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(degrees) if (1.0..=170.0).contains(&degrees) => Ok(degrees),
        _ => Err("expected degrees, from 1 to 170; wider lenses need a calibration".into()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 10.0 => Ok(rate),
        _ => Err("expected a number above 0, at most 10".into()),
    }
}

impl MavlinkArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        interrupt::watch()?;
        let parameters = self.play.parameters()?;
        let calibration = self
            .calibration
            .as_deref()
            .map(calibration::read)
            .transpose()?;
        let source = source::open(&self.play.source, self.play.image_topic.as_deref())
            .map_err(|error| BadInput::of(&error))?;
        let rate = self.play.rate.or(source.frame_rate()).unwrap_or(30.0);
        let service = self.service(rate)?;
        let (tracker, model) = open_tracker(&parameters).map_err(|error| BadInput::of(&error))?;
        let clock = SystemClock(Instant::now());
        let inbox = Arc::new(Inbox::new(parameters.history_bounds()));
        let mut core = NodeCore::new("tracker", parameters, Box::new(tracker), model, &clock)
            .map_err(|error| BadInput::of(&error))?;
        if let Some(camera) = calibration {
            core.set_camera(camera);
        }
        if let Some(roi) = self.roi {
            core.choose_target(roi, &clock, &mut Vec::new());
        }
        let player = Arc::new(SourcePlayer::new(source.is_live(), self.roi.is_some()));
        let places: Vec<_> = service
            .connections
            .iter()
            .map(ToString::to_string)
            .collect();
        let video = match &self.stream {
            None => None,
            Some(address) => Some(
                LiveStream::start(address, rate)
                    .map_err(|error| BadInput(format!("--stream: {}", error_chain(&error))))?,
            ),
        };
        let (held, chosen) = (Arc::clone(&player), Arc::clone(&player));
        let host = Host {
            service,
            is_held: Box::new(move || held.state() == Playback::Paused),
            chosen: Box::new(move || chosen.chosen()),
        };
        let reporter = start(host, Arc::clone(&inbox))
            .map_err(|error| BadInput(format!("--connect: {}", error_chain(&error))))?;
        let handle = reporter.handle().clone();
        let mut out = console::stdout();
        writeln!(
            out,
            "a camera of system {}, component {} on {}",
            self.system_id,
            self.component_id,
            places.join(", ")
        )?;
        out.flush()?;

        // Important messages go to the terminal anyway.
        let say = Box::new(|_: _, text: &str| tracing::debug!("{text}"));
        let feed = self
            .play
            .start_feed(source, &inbox, Arc::clone(&player), say)?;
        close_at_signal(&inbox)?;
        let sink = Video::new(Terminal, video, player);
        work(core, &inbox, &clock, &loader(), &mut reporter.with(sink));
        tracing::info!("{}", handle.counts());
        feed.end()
    }

    fn service(&self, rate: f64) -> anyhow::Result<ServiceOptions> {
        let connections = self
            .connect
            .iter()
            .map(|text| {
                text.parse::<Connection>()
                    .map_err(|error| BadInput(format!("--connect: {}", error_chain(&error))))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if self.gimbal.is_some() && self.hfov.is_none() && self.calibration.is_none() {
            return Err(BadInput("--gimbal needs --hfov or --calibration".into()).into());
        }
        let (option, told) = match &self.video_uri {
            Some(address) => ("--video-uri", Some(address.clone())),
            // Every station on the link reads the announcement. The password of --stream is that of the sender.
            None => ("--stream", self.stream.as_deref().map(without_password)),
        };
        let mut stream = told
            .map(|address| Stream::at(&address))
            .transpose()
            .map_err(|error| BadInput(format!("{option}: {error}")))?;
        if let (Some(stream), true) = (&mut stream, self.stream.is_some()) {
            stream.rate = rate as f32;
        }
        let key = match &self.signing_key {
            None => None,
            Some(path) => Some(
                Key::read(path)
                    .map_err(|error| BadInput(format!("--signing-key: {}", error_chain(&error))))?,
            ),
        };
        Ok(ServiceOptions {
            camera: CameraOptions {
                address: Address {
                    system: self.system_id,
                    component: self.component_id,
                },
                stream,
                is_rendered: self.stream.is_some(),
                video_delay: self.video_delay,
                field_of_view: self.hfov,
                gimbal: self.gimbal.map(|fastest| GimbalOptions {
                    device: self.gimbal_id,
                    gain: self.gimbal_gain,
                    fastest,
                }),
                ..CameraOptions::default()
            },
            connections,
            key,
        })
    }
}
