//! Runs the node on a ROS 2 graph through r2r. It only moves messages between the middleware and [`NodeCore`].
//!
//! Two threads. The one that calls [`run`] spins: each image goes at once into the [`Inbox`], where it replaces
//! the image before it, and each request waits there. The other tracks and publishes. So the middleware never
//! waits for the network, and r2r's own queue (which keeps the oldest messages) is always empty.
//!
//! Messages are CDR bytes in both directions, the same bytes that bags hold. Raw images are the exception: they stay in the
//! memory in which the middleware delivers them, so an image is copied only once.

#[cfg_attr(not(feature = "mavlink"), path = "no_drone.rs")]
mod drone;
mod follow;
mod image;
mod log;
#[cfg_attr(not(feature = "web"), path = "no_page.rs")]
mod page;
mod parameters;
mod process;
mod profiles;
mod publishers;
#[cfg(not(feature = "ros-check"))]
mod services;
mod video;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::executor::{LocalPool, LocalSpawner};
use futures::future;
use futures::stream::{Stream, StreamExt};
use futures::task::{LocalSpawnExt, SpawnError};
use r2r::QosProfile;

use ettrack::error_chain;
use ettrack::tracker::TrackError;
use ettrack_message::Transport;
use ettrack_message::{
    CameraInfo, CompressedImage, Detection2D, Image, Message, Point, PointStamped, RegionOfInterest,
};

pub use self::follow::follow;
pub use self::process::{Ended, run_until_signal};

use self::drone::Drone;
use self::log::Log;
use self::page::Page;
use self::publishers::Publishers;
use self::video::VideoInput;
use super::inbox::{Inbox, Request, Topic};
use super::names::Remaps;
use super::parameters::{ParameterError, Parameters};
use super::worker::{Loader, Sink, no_images_line, work};
use super::{Clock, Level, NodeCore, open_tracker};
use ettrack_message::ImageMessage;

/// The node's name, unless a remapping changes it.
pub const NODE_NAME: &str = "tracker";

/// How long one spin waits for a message. The node reacts to a signal within this time.
const SPIN: Duration = Duration::from_millis(50);

/// Why the node ended or never began.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A call of ROS 2 failed.
    #[error("{what}")]
    Ros {
        /// What the node tried to do.
        what: String,
        /// ROS 2's answer.
        #[source]
        error: r2r::Error,
    },
    /// ROS 2 refused the arguments, or a file that they name.
    #[error("cannot join ROS 2: {0}")]
    Arguments(String),
    /// A parameter of the file or the command line.
    #[error("a parameter was refused")]
    Parameter(#[from] ParameterError),
    /// The model cannot be used.
    #[error("model_path")]
    Model(#[from] TrackError),
    /// A thread could not be started.
    #[error("no thread for tracking")]
    Thread(#[source] std::io::Error),
    /// A task could not be started.
    #[error("the executor is closed")]
    Executor(#[from] SpawnError),
    /// Video cannot be decoded.
    #[error("image_transport")]
    Video(#[from] ettrack_video::VideoError),
    /// The page cannot be served.
    #[error("web_address: {0}")]
    Page(String),
    /// The drone's camera cannot start.
    #[error("mavlink: {0}")]
    Drone(String),
    /// The tracking thread ended by itself, which is a bug.
    #[error("the tracking thread has ended unexpectedly")]
    WorkerEnded,
}

/// Adds to an error of r2r what the node tried to do.
trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, NodeError>;
}

impl<T> Doing<T> for r2r::Result<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, NodeError> {
        self.map_err(|error| NodeError::Ros {
            what: what.into(),
            error,
        })
    }
}

/// ROS time, which stamps the images, and a clock that only runs forward.
struct RosClock {
    ros: Arc<Mutex<r2r::Clock>>,
    started: Instant,
}

impl Clock for RosClock {
    fn now(&self) -> i64 {
        let mut clock = self.ros.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.get_now().unwrap_or_default();
        i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
    }

    fn running(&self) -> Option<Duration> {
        Some(self.started.elapsed())
    }
}

/// Runs the node until `stop` is set. Arguments of the process between `--ros-args` and `--` are ROS 2's.
///
/// # Errors
/// [`NodeError`] if the node cannot join the ROS 2 graph, where its log is. Later failures are logged and give
/// [`Ended::Failed`].
pub fn run(stop: &AtomicBool) -> Result<Ended, NodeError> {
    let context = join()?;
    let mut node = r2r::Node::create(context, NODE_NAME, "").doing("cannot create the node")?;
    let log = Arc::new(Log::new(&mut node)?);
    let outcome = run_node(&mut node, &log, stop);
    Ok(Ended::logged(outcome, &log))
}

/// Creates the ROS 2 context. r2r panics if ROS 2 refuses the arguments, for example a damaged parameter file; the panic
/// becomes an error here.
fn join() -> Result<r2r::Context, NodeError> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let joined = std::panic::catch_unwind(r2r::Context::create);
    std::panic::set_hook(hook);
    match joined {
        Ok(context) => context.doing("cannot join ROS 2"),
        Err(panic) => Err(NodeError::Arguments(
            panic
                .downcast_ref::<String>()
                .map_or_else(|| "expected arguments in UTF-8".to_owned(), Clone::clone),
        )),
    }
}

fn run_node(node: &mut r2r::Node, log: &Arc<Log>, stop: &AtomicBool) -> Result<(), NodeError> {
    let (parameters, use_sim_time) = parameters::at_start::<Parameters>(node, log)?;
    for line in profiles::missing(|variable| std::env::var(variable).ok()) {
        log.say(Level::Warn, &line);
    }
    if use_sim_time {
        follow_simulated_time(node)?;
    }
    let clock = Arc::new(RosClock {
        ros: node.get_ros_clock(),
        started: Instant::now(),
    });
    let (tracker, model) = open_tracker(&parameters)?;
    let full_name = node
        .fully_qualified_name()
        .doing("cannot tell the node's name")?;
    log.say(
        Level::Info,
        &format!(
            "model {}, {}, ONNX Runtime {}",
            model.name, model.execution, model.runtime
        ),
    );
    let core = NodeCore::new(
        &full_name,
        parameters.clone(),
        Box::new(tracker),
        model,
        clock.as_ref(),
    )?;

    let inbox = Arc::new(Inbox::new(parameters.history_bounds()));
    let mut pool = LocalPool::new();
    let inputs = Inputs {
        spawner: pool.spawner(),
        inbox: Arc::clone(&inbox),
    };
    let images = inputs.subscribe(node, &parameters)?;
    parameters::serve::<Parameters>(node, &inputs.spawner, &inputs.inbox, use_sim_time)?;
    #[cfg(not(feature = "ros-check"))]
    services::serve(node, &inputs)?;
    let (silence, silences) = mpsc::channel();
    let publishers = Publishers::new(node, Arc::clone(&clock), Arc::clone(log), silence)?;
    log.say(
        Level::Info,
        &format!("waiting for images on {} ({})", images.topic, images.wanted),
    );

    let page = Page::of(&parameters, &images.topic, &full_name, log)?;
    let drone = Drone::of(&parameters, log)?;
    let extras = Extras { page, drone };
    let worker = start_worker(core, Arc::clone(&inbox), clock, publishers, extras)?;
    while !stop.load(Ordering::Relaxed) && !worker.is_finished() {
        node.spin_once(SPIN);
        pool.run_until_stalled();
        for seconds in silences.try_iter() {
            let line = no_images_line(
                seconds,
                &images.topic,
                &images.wanted,
                &offers(node, &images.topic),
            );
            log.say(Level::Warn, &line);
        }
    }
    let asked = stop.load(Ordering::Relaxed);
    inbox.close();
    match worker.join() {
        Ok(()) if asked => Ok(()),
        Ok(()) | Err(_) => Err(NodeError::WorkerEnded),
    }
}

#[cfg(not(feature = "ros-check"))]
fn follow_simulated_time(node: &mut r2r::Node) -> Result<(), NodeError> {
    r2r::assert_compiled_with_use_sim_time_support!();
    node.get_time_source()
        .enable_sim_time(node)
        .doing("cannot follow /clock")
}

/// r2r has simulated time only with a real ROS 2.
#[cfg(feature = "ros-check")]
fn follow_simulated_time(_: &mut r2r::Node) -> Result<(), NodeError> {
    Ok(())
}

/// Optional parts of the node in addition to its topics.
struct Extras {
    page: Option<Page>,
    drone: Option<Drone>,
}

fn start_worker(
    core: NodeCore,
    inbox: Arc<Inbox>,
    clock: Arc<RosClock>,
    publishers: Publishers,
    extras: Extras,
) -> Result<JoinHandle<()>, NodeError> {
    let loader: Loader = Arc::new(|parameters: &Parameters| {
        let (tracker, model) = open_tracker(parameters).map_err(|error| error_chain(&error))?;
        Ok((Box::new(tracker) as _, model))
    });
    std::thread::Builder::new()
        .name("tracking".into())
        .spawn(move || {
            let mut sink: Box<dyn Sink> = Box::new(publishers);
            if let Some(drone) = extras.drone {
                sink = drone.report(&inbox, sink);
            }
            match extras.page {
                None => work(core, &inbox, clock.as_ref(), &loader, &mut sink),
                Some(page) => page.work(core, &inbox, clock.as_ref(), &loader, sink),
            }
        })
        .map_err(NodeError::Thread)
}

/// The publishers of `topic`, with the reliability and durability that they offer.
fn offers(node: &r2r::Node, topic: &str) -> Vec<String> {
    let Ok(publishers) = node.get_publishers_info_by_topic(topic, false) else {
        return Vec::new();
    };
    publishers
        .iter()
        .map(|info| {
            format!(
                "{}/{} ({}, {:?}, {:?})",
                info.node_namespace.trim_end_matches('/'),
                info.node_name,
                info.topic_type,
                info.qos_profile.reliability,
                info.qos_profile.durability,
            )
        })
        .collect()
}

/// Largest number of video packets that wait in the middleware.
const PACKETS: usize = 60;

/// Returns the transport with this name if it is one of video.
fn video_transport(name: &str) -> Option<Transport> {
    match name {
        "ffmpeg" => Some(Transport::Ffmpeg),
        "foxglove" => Some(Transport::Foxglove),
        _ => None,
    }
}

/// The image subscription, for use in log lines.
struct ImageInput {
    topic: String,
    wanted: String,
}

/// Receives the middleware's streams.
struct Inputs {
    spawner: LocalSpawner,
    inbox: Arc<Inbox>,
}

impl Inputs {
    /// Runs `handle` on every message of the stream, on the spinning thread.
    fn on_each<T: 'static>(
        &self,
        stream: impl Stream<Item = T> + 'static,
        mut handle: impl FnMut(&Inbox, T) + 'static,
    ) -> Result<(), NodeError> {
        let inbox = Arc::clone(&self.inbox);
        self.spawner.spawn_local(stream.for_each(move |message| {
            handle(&inbox, message);
            future::ready(())
        }))?;
        Ok(())
    }

    /// Subscribes to images, targets and the calibration.
    fn subscribe(
        &self,
        node: &mut r2r::Node,
        parameters: &Parameters,
    ) -> Result<ImageInput, NodeError> {
        let name = node.name().doing("cannot tell the node's name")?;
        let namespace = node.namespace().doing("cannot tell the node's namespace")?;
        let remaps = Remaps::from_arguments(std::env::args());
        // As in image_transport, the compressed topic is named after the raw topic after its remapping.
        let base = remaps.resolve("image", &namespace, &name);
        let depth = usize::try_from(parameters.image_queue_depth).unwrap_or(1);
        let qos = QosProfile::sensor_data().keep_last(depth);
        let qos = match parameters.image_reliability.as_str() {
            "reliable" => qos.reliable(),
            _ => qos,
        };
        let transport = parameters.image_transport.as_str();
        let (type_name, topic) =
            if let Some(video) = video_transport(transport) {
                ettrack_video::find_ffmpeg()?;
                let topic = format!("{base}/{transport}");
                // Each packet depends on the one before, so none may be dropped.
                let qos = qos.keep_last(depth.max(PACKETS));
                let packets = node.subscribe_raw(&topic, video.type_name(), qos).doing(format!(
                "cannot subscribe to {topic}: {} must be installed when the package is built",
                video.type_name()
            ))?;
                let mut input = VideoInput::new(video, Arc::clone(&self.inbox));
                self.on_each(packets, move |inbox, bytes: Vec<u8>| {
                    input.take(inbox, &bytes)
                })?;
                (video.type_name(), topic)
            } else if transport == "compressed" {
                let topic = format!("{base}/compressed");
                let images = node
                    .subscribe_raw(&topic, CompressedImage::TYPE, qos)
                    .doing(format!("cannot subscribe to {topic}"))?;
                self.on_each(images, |inbox, bytes| {
                    inbox.put_image(ImageMessage::Cdr {
                        transport: Transport::Compressed,
                        bytes,
                    });
                })?;
                (CompressedImage::TYPE, topic)
            } else {
                let topic = "image".to_owned();
                let images = node
                    .subscribe_native(&topic, qos)
                    .doing(format!("cannot subscribe to {topic}"))?;
                self.on_each(images, |inbox, image| {
                    inbox.put_image(image::keep(image));
                })?;
                (Image::TYPE, topic)
            };
        let newest = QosProfile::default().keep_last(1);
        self.input::<RegionOfInterest>(node, "initial_roi", &newest, Topic::Roi, |bytes| {
            Box::new(move |core, clock, out| core.on_roi(&bytes, clock, out))
        })?;
        self.input::<Detection2D>(
            node,
            "initial_detection",
            &newest,
            Topic::Detection,
            |bytes| Box::new(move |core, clock, out| core.on_detection(&bytes, clock, out)),
        )?;
        self.input::<PointStamped>(node, "initial_point", &newest, Topic::Point, |bytes| {
            Box::new(move |core, clock, out| core.on_point(&bytes, clock, out))
        })?;
        self.input::<Point>(node, "initial_pixel", &newest, Topic::Pixel, |bytes| {
            Box::new(move |core, clock, out| core.on_pixel(&bytes, clock, out))
        })?;
        let sensor = QosProfile::sensor_data().keep_last(1);
        self.input::<CameraInfo>(node, "camera_info", &sensor, Topic::CameraInfo, |bytes| {
            Box::new(move |core, clock, out| core.on_camera_info(&bytes, clock, out))
        })?;
        Ok(ImageInput {
            topic: remaps.resolve(&topic, &namespace, &name),
            wanted: format!("{type_name}, {}", parameters.image_reliability),
        })
    }

    fn input<M: Message>(
        &self,
        node: &mut r2r::Node,
        name: &str,
        qos: &QosProfile,
        topic: Topic,
        request: impl Fn(Vec<u8>) -> Request + 'static,
    ) -> Result<(), NodeError> {
        let messages = node
            .subscribe_raw(name, M::TYPE, qos.clone())
            .doing(format!("cannot subscribe to {name}"))?;
        self.on_each(messages, move |inbox, bytes| {
            inbox.put_request(Some(topic), request(bytes));
        })
    }
}
