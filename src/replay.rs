//! Plays a bag through the node without ROS, and writes what the node would have published for every image.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ettrack::geometry::BoundingBox;
use ettrack_bag::image_topic;
use ettrack_bag::{Bag, BagError, BagWriter};
use ettrack_message::Transport;
use ettrack_message::{
    CameraInfo, Detection2D, Detection2DArray, DiagnosticArray, Image, Message, PointStamped,
    RegionOfInterest, ToCdr, TrackedTarget,
};

use super::video::{image_of, with_packet};
use super::{Clock, Level, NodeCore, Output};
use ettrack::frame::ImageBuffer;
use ettrack_message::ImageMessage;
use ettrack_video::FrameDecoder;

/// How the target is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// This box in the first image.
    Box(BoundingBox),
    /// Messages on this topic: `sensor_msgs/msg/RegionOfInterest`, or stamped `vision_msgs/msg/Detection2D` or
    /// `geometry_msgs/msg/PointStamped`.
    Topic(String),
}

/// What to replay.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The bag to read.
    pub input: PathBuf,
    /// Its topic of images; `None` if there is only one.
    pub image_topic: Option<String>,
    /// Where the target comes from.
    pub start: Start,
    /// The bag to write.
    pub output: PathBuf,
    /// Whether images with the box drawn are written as well.
    pub overlay: bool,
}

/// Counts of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Images in the bag.
    pub images: u64,
    /// Images answered with the state tracking.
    pub tracking: u64,
    /// Images answered with the state lost.
    pub lost: u64,
    /// Images answered with the state idle.
    pub idle: u64,
    /// Images that could not be used.
    pub bad: u64,
    /// The parts of the bag that could not be read.
    pub damage: Vec<String>,
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The bag cannot be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// The new bag cannot be written.
    #[error(transparent)]
    Output(BagError),
    /// The topic of targets has another type.
    #[error(
        "topic {topic:?} is of type {got}, expected {}, {} or {}",
        RegionOfInterest::TYPE,
        Detection2D::TYPE,
        PointStamped::TYPE
    )]
    TargetTopic {
        /// The topic.
        topic: String,
        /// Its type.
        got: String,
    },
    /// The caller stopped the replay. Nothing is written, because a part would look like the whole.
    #[error("stopped after {images} images; nothing is written")]
    Stopped {
        /// Images that were answered.
        images: u64,
    },
    /// No target was tracked in any image.
    #[error("no target was ever tracked: {reason}")]
    NoTarget {
        /// The last reason that was given.
        reason: String,
    },
}

/// The recording time of the present message. It does not advance while the node works on the message, so the output depends
/// only on the bag.
struct BagClock(i64);

impl Clock for BagClock {
    fn now(&self) -> i64 {
        self.0
    }
}

/// How the node uses the messages of a selected topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Image(Transport),
    Roi,
    Detection,
    Point,
    CameraInfo,
}

/// The topics to read, with their roles.
struct Plan {
    topics: Vec<(String, Role)>,
}

impl Plan {
    fn of(bag: &Bag, options: &ReplayOptions) -> Result<Self, ReplayError> {
        let (images, transport) = image_topic(bag, &options.input, options.image_topic.as_deref())?;
        let mut topics = Vec::new();
        if let Some(camera) = camera_topic(bag, &images) {
            topics.push((camera, Role::CameraInfo));
        }
        if let Start::Topic(topic) = &options.start {
            let role = match bag.topic(topic)?.type_name.as_str() {
                RegionOfInterest::TYPE => Role::Roi,
                Detection2D::TYPE => Role::Detection,
                PointStamped::TYPE => Role::Point,
                got => {
                    return Err(ReplayError::TargetTopic {
                        topic: topic.clone(),
                        got: got.to_owned(),
                    });
                }
            };
            topics.push((topic.clone(), role));
        }
        topics.push((images, Role::Image(transport)));
        Ok(Self { topics })
    }
}

/// The calibration that belongs to the images: `camera_info` beside them, as cameras publish it. Beside
/// `/camera/image_raw/compressed` that is still `/camera/camera_info`.
fn camera_topic(bag: &Bag, images: &str) -> Option<String> {
    let base = ["/compressed", "/ffmpeg", "/foxglove"]
        .into_iter()
        .find_map(|form| images.strip_suffix(form))
        .unwrap_or(images);
    let (namespace, _) = base.rsplit_once('/')?;
    let name = format!("{namespace}/camera_info");
    let topic = bag.topic(&name).ok()?;
    (topic.type_name == CameraInfo::TYPE && topic.serialization == "cdr").then_some(name)
}

/// Topics of the written bag.
struct Writer {
    bag: BagWriter,
    target: usize,
    detections: usize,
    diagnostics: usize,
    overlay: Option<usize>,
}

impl Writer {
    fn create(path: &Path, overlay: bool) -> Result<Self, BagError> {
        let mut bag = BagWriter::create(path)?;
        Ok(Self {
            target: bag.add_topic("/tracked_target", TrackedTarget::TYPE)?,
            detections: bag.add_topic("/detections", Detection2DArray::TYPE)?,
            diagnostics: bag.add_topic("/diagnostics", DiagnosticArray::TYPE)?,
            overlay: if overlay {
                Some(bag.add_topic("/tracker/overlay", Image::TYPE)?)
            } else {
                None
            },
            bag,
        })
    }

    fn write(&mut self, time: i64, output: &Output) -> Result<(), BagError> {
        match output {
            Output::Target(target) => self.bag.write(self.target, time, &target.to_cdr()),
            Output::Detections(detections) => {
                self.bag.write(self.detections, time, &detections.to_cdr())
            }
            Output::Diagnostics(diagnostics) => {
                self.bag
                    .write(self.diagnostics, time, &diagnostics.to_cdr())
            }
            Output::Overlay {
                header,
                width,
                height,
                data,
            } => match self.overlay {
                None => Ok(()),
                Some(topic) => {
                    let image = Image {
                        header: header.clone(),
                        height: *height,
                        width: *width,
                        encoding: "rgb8",
                        is_bigendian: false,
                        step: width * 3,
                        data,
                    };
                    self.bag.write(topic, time, &image.to_cdr())
                }
            },
            Output::Log(level, line) => {
                match level {
                    Level::Info => tracing::info!("{line}"),
                    Level::Warn => tracing::warn!("{line}"),
                    Level::Error => tracing::error!("{line}"),
                }
                Ok(())
            }
            Output::NoImages(seconds) => {
                tracing::warn!("no images for {seconds:.1} s");
                Ok(())
            }
            // Parameters do not change during a replay.
            Output::LoadModel | Output::ParametersSet(_) => Ok(()),
        }
    }
}

/// Replays a bag through the node. `make_core` creates the node at the time of the bag's first message. `progress` is called with
/// the number of images done and, if known, the number of all images. It may stop the replay.
///
/// # Errors
/// If a bag cannot be read or written, a topic cannot be chosen, no target was tracked in any image, or the replay was stopped. Then
/// nothing is written.
pub fn replay<E: From<ReplayError>>(
    options: &ReplayOptions,
    make_core: impl FnOnce(&dyn Clock) -> Result<NodeCore, E>,
    mut progress: impl FnMut(u64, Option<u64>) -> ControlFlow<()>,
) -> Result<ReplaySummary, E> {
    let failed = |error: BagError| E::from(ReplayError::Bag(error));
    let bag = Bag::open(&options.input).map_err(failed)?;
    let Plan { topics } = Plan::of(&bag, options)?;
    let names: Vec<&str> = topics.iter().map(|(name, _)| name.as_str()).collect();
    let total = names
        .last()
        .and_then(|images| bag.topic(images).ok()?.message_count);
    let mut messages = bag.messages(&names).map_err(failed)?;
    let not_written = |error: BagError| E::from(ReplayError::Output(error));
    let mut writer = Writer::create(&options.output, options.overlay).map_err(not_written)?;

    let mut summary = ReplaySummary::default();
    let mut make_core = Some(make_core);
    let mut core: Option<NodeCore> = None;
    let mut out = Vec::new();
    let mut last_refusal = None;
    let mut going_on = ControlFlow::Continue(());
    let mut decoder = FrameDecoder::default();
    while going_on.is_continue()
        && let Some(message) = messages.next_message()
    {
        let clock = BagClock(message.log_time);
        if let Some(make) = make_core.take() {
            let mut made = make(&clock)?;
            if let Start::Box(bounding_box) = options.start {
                made.choose_target(bounding_box, &clock, &mut out);
            }
            core = Some(made);
        }
        let Some(core) = &mut core else { break };
        let role = topics.get(message.topic).map(|(_, role)| *role);
        match role {
            Some(Role::Image(transport)) => {
                let before = out.len();
                match image_in(transport, message.data, &mut decoder) {
                    Ok(image) => core.on_image(image, &clock, &mut out),
                    Err(reason) => core.on_undecoded(1, &reason, &clock, &mut out),
                }
                summary.images += 1;
                count(&mut summary, &out[before..]);
                going_on = progress(summary.images, total);
            }
            Some(Role::Roi) => core.on_roi(message.data, &clock, &mut out),
            Some(Role::Detection) => core.on_detection(message.data, &clock, &mut out),
            Some(Role::Point) => core.on_point(message.data, &clock, &mut out),
            Some(Role::CameraInfo) => core.on_camera_info(message.data, &clock, &mut out),
            None => {}
        }
        while core.is_behind() {
            core.catch_up(&clock, &mut out);
        }
        if options.overlay {
            core.draw_overlay(&mut out);
        }
        core.tick(&clock, &mut out);
        for output in out.drain(..) {
            writer.write(clock.now(), &output).map_err(not_written)?;
            if let Output::Log(Level::Warn | Level::Error, line) = output {
                last_refusal = Some(line);
            }
        }
    }
    if going_on.is_break() {
        return Err(ReplayError::Stopped {
            images: summary.images,
        }
        .into());
    }
    summary.damage = messages.damage().to_vec();
    if summary.tracking == 0 {
        let reason = last_refusal.unwrap_or_else(|| match &options.start {
            Start::Box(_) => "the bag holds no images".into(),
            Start::Topic(topic) => format!("no usable message on {topic:?}"),
        });
        return Err(ReplayError::NoTarget { reason }.into());
    }
    writer.bag.finish().map_err(not_written)?;
    Ok(summary)
}

/// The image of a message, decoded if it is a packet of video.
fn image_in(
    transport: Transport,
    bytes: &[u8],
    decoder: &mut FrameDecoder,
) -> Result<ImageMessage, String> {
    if !transport.is_video() {
        return Ok(ImageMessage::Cdr {
            transport,
            bytes: bytes.to_vec(),
        });
    }
    with_packet(transport, bytes, |packet, frame_id| {
        let mut image = ImageBuffer::empty();
        decoder.decode(packet, &mut image)?;
        Ok(image_of(packet.stamp, frame_id, image))
    })
    .map_err(|error| ettrack::error_chain(&error))
}

/// Counts the state of the answer to an image.
fn count(summary: &mut ReplaySummary, outputs: &[Output]) {
    use ettrack_message::TargetState;
    let answer = outputs.iter().find_map(|output| match output {
        Output::Target(target) => Some(target.state),
        _ => None,
    });
    match answer {
        Some(TargetState::Tracking) => summary.tracking += 1,
        Some(TargetState::Lost) => summary.lost += 1,
        Some(TargetState::Idle) => summary.idle += 1,
        None => summary.bad += 1,
    }
}
