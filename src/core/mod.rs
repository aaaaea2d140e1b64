//! The node's core. It takes messages and a clock, and returns messages.

mod answers;
mod catching_up;
mod settings;
mod shown;
mod targets;

pub use shown::{Glance, Place};

use std::time::Duration;

use ettrack::error_chain;
use ettrack::frame::{ImageBuffer, Levels, Region};
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{Track, TrackError, TrackState};
use ettrack_message::{
    CameraInfo, CdrError, Detection2D, Detection2DArray, DiagnosticArray, FromCdr, Header, Point,
    PointStamped, RegionOfInterest, Stamp, TargetState, TrackedTarget,
};

use super::diagnostics::{Situation, Statistics};
use super::flow::{Flow, Loss};
use super::history::History;
use super::log::{Level, Limiter};
use super::parameters::{ParameterError, Parameters, Value};
use super::{ModelInfo, NodeTracker};
use ettrack_message::ImageMessage;

/// The time, given to the core by its caller.
pub trait Clock {
    /// Nanoseconds since the epoch of the clock that stamps the images (simulated time counts as such).
    fn now(&self) -> i64;
    /// Time that only runs forward, to measure how long a frame took. `None` in a replay, so that its output is the same every
    /// time.
    fn running(&self) -> Option<Duration> {
        None
    }
    /// Nanoseconds for periods and timeouts. This is the running time if there is one, because simulated time may stand still, and
    /// a warning must come all the same. Otherwise it is the images' clock.
    fn steady(&self) -> i64 {
        self.running().map_or_else(
            || self.now(),
            |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX),
        )
    }
}

/// What the node publishes and logs.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Published on `tracked_target`: once per tracked image, and immediately when a target is chosen or given up.
    Target(TrackedTarget),
    /// Published on `detections`, together with each target.
    Detections(Detection2DArray),
    /// Published on `~/overlay`: a picture in `rgb8` with the box drawn.
    Overlay {
        /// The image's header.
        header: Header,
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// `width * height * 3` bytes.
        data: Vec<u8>,
    },
    /// Published on `/diagnostics`.
    Diagnostics(DiagnosticArray),
    /// A line for the log.
    Log(Level, String),
    /// No image came for this many seconds. The adapter logs a warning that names the topic and its publishers.
    NoImages(f64),
    /// The parameters name another model. Load it in the background, then call [`NodeCore::replace_tracker`] or
    /// [`NodeCore::refuse_model`].
    LoadModel,
    /// Parameters that were set, with their present values, for tools that show them.
    ParametersSet(Vec<(String, Value)>),
}

/// The target that is followed.
#[derive(Debug)]
struct Target {
    id: String,
    last: Track,
    /// Stamp of the image in which it was last searched for.
    stamp: Stamp,
    /// Size of the images it is followed in.
    image: (u32, u32),
}

/// A target that was asked for and waits for its image.
#[derive(Debug)]
struct Request {
    place: Place,
    /// Empty for the next number.
    id: String,
    /// Stamp of the image that the box belongs to. `None` for the next image.
    stamp: Option<Stamp>,
    /// Whether a later image is used if that image is bad.
    or_later: bool,
}

/// Header and size of an image.
type Seen = (Header, (u32, u32));

/// The node's state and rules.
pub struct NodeCore {
    name: String,
    parameters: Parameters,
    /// The parameters of the tracker in use. They are restored if a new model is refused.
    loaded: Parameters,
    tracker: Box<dyn NodeTracker + Send>,
    model: ModelInfo,
    camera: Option<CameraInfo>,
    history: History,
    /// The values that count as black and white in 16-bit images.
    levels: Levels,
    /// Decoded pixels of compressed images. The memory is reused.
    picture: ImageBuffer,
    /// A decoded region of a compressed image. The memory is reused.
    part: ImageBuffer,
    target: Option<Target>,
    request: Option<Request>,
    /// Whether a newer image has already arrived and comes next.
    newer_waits: bool,
    /// The image up to which the target was followed, while it was chosen in a kept image and has not reached the newest image yet.
    behind: Option<Seen>,
    /// The newest image, which waits until the target was followed up to it.
    ahead: Option<ImageMessage>,
    /// Images that arrived since the last step of catching up; `None` before the first step.
    arrived: Option<u64>,
    targets_so_far: u64,
    /// The id given last.
    last_id: String,
    enabled: bool,
    /// Images answered so far; one that is answered again counts again.
    answers: u64,
    /// Targets taken so far.
    choices: u64,
    /// Image and box of the newest choice.
    chosen: Option<(Stamp, BoundingBox)>,
    /// Why the newest request was refused, for the caller that waits for the answer.
    refusal: Option<String>,
    /// Whether the newest image was answered and not drawn yet.
    overlay_due: bool,
    /// The newest image that was answered.
    newest: Option<Seen>,
    statistics: Statistics,
    flow: Flow,
    started: i64,
    warned_of_no_images: bool,
    /// Whether the log already says that the calibration is for images of another size.
    warned_of_calibration: bool,
    bad_log: Limiter,
    error_log: Limiter,
    refusal_log: Limiter,
}

impl NodeCore {
    /// A node named `name` with its tracker, which was opened by `parameters`.
    ///
    /// # Errors
    /// [`ParameterError::Tracker`] if the tracker refuses a setting.
    pub fn new(
        name: &str,
        parameters: Parameters,
        mut tracker: Box<dyn NodeTracker + Send>,
        model: ModelInfo,
        clock: &dyn Clock,
    ) -> Result<Self, ParameterError> {
        let refused = |error: TrackError| ParameterError::Tracker(error_chain(&error));
        tracker
            .configure(&parameters.tracker_settings())
            .map_err(refused)?;
        let now = clock.steady();
        let statistics = Statistics::new(now)
            .ok_or_else(|| ParameterError::Tracker("no memory for the statistics".into()))?;
        Ok(Self {
            name: name.to_owned(),
            history: History::new(parameters.history_bounds()),
            loaded: parameters.clone(),
            parameters,
            tracker,
            model,
            camera: None,
            levels: Levels::default(),
            picture: ImageBuffer::empty(),
            part: ImageBuffer::empty(),
            target: None,
            request: None,
            newer_waits: false,
            behind: None,
            ahead: None,
            arrived: None,
            targets_so_far: 0,
            last_id: String::new(),
            enabled: true,
            answers: 0,
            choices: 0,
            chosen: None,
            refusal: None,
            overlay_due: false,
            newest: None,
            statistics,
            flow: Flow::default(),
            started: now,
            warned_of_no_images: false,
            warned_of_calibration: false,
            bad_log: Limiter::default(),
            error_log: Limiter::default(),
            refusal_log: Limiter::default(),
        })
    }

    /// The parameters in force.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Idle, tracking or lost.
    pub fn state(&self) -> TargetState {
        match &self.target {
            None => TargetState::Idle,
            Some(target) => state_of(&target.last),
        }
    }

    /// Tells the core whether a newer image has already arrived. [`NodeCore::on_image`] gets it after the present requests, for
    /// which it is the newest image.
    pub fn newer_waits(&mut self, waits: bool) {
        self.newer_waits = waits;
    }

    /// Takes an image, tracks the target in it, and answers with target and detections. The answer is immediate, except while the
    /// core catches up: then [`NodeCore::catch_up`] answers when it has reached this image.
    pub fn on_image(&mut self, message: ImageMessage, clock: &dyn Clock, out: &mut Vec<Output>) {
        self.newer_waits = false;
        self.count_received(1);
        // An ignored or refused image also counts as received.
        self.statistics.last_image = Some(clock.steady());
        self.warned_of_no_images = false;
        if !self.enabled {
            return;
        }
        if !self.is_behind() {
            self.answer(message, clock, out);
        } else if let Some(overtaken) = self.ahead.replace(message) {
            self.keep_overtaken(overtaken, clock, out);
        }
        self.note_work_done(clock);
    }

    /// Notes that the core has just worked on an image. The time for this work is not a time without images, because images that
    /// came meanwhile are taken only now.
    fn note_work_done(&mut self, clock: &dyn Clock) {
        self.statistics.last_image = Some(clock.steady());
    }

    /// Tracks the target in an image, publishes, and keeps the image.
    fn answer(&mut self, message: ImageMessage, clock: &dyn Clock, out: &mut Vec<Output>) {
        let started = clock.running();
        let wanted = self.needed_region();
        // Moved out, so that a frame can borrow from them while the rest of the core is changed.
        let mut picture = std::mem::take(&mut self.picture);
        let mut part = std::mem::take(&mut self.part);
        let read = message.read_region(wanted.as_ref(), &mut part, &mut picture);
        let tracked = read.and_then(|image| {
            let frame = self
                .levels
                .follow(image.frame(), self.parameters.mono16_bits);
            let size = (frame.width(), frame.height());
            self.track(image.header(), &frame, clock, out);
            Ok((image.finish()?, size))
        });
        let answered = match tracked {
            Ok(answered) => Some(answered),
            Err(reason) => {
                let reason = format!("image refused: {reason}");
                if let Some(line) = self.bad_log.pass(clock.steady(), || reason.clone()) {
                    out.push(Output::Log(Level::Warn, line));
                }
                self.statistics.bad_image(reason);
                None
            }
        };
        (self.picture, self.part) = (picture, part);
        let Some((header, size)) = answered else {
            return;
        };
        let latency = clock
            .running()
            .zip(started)
            .map(|(end, start)| end.saturating_sub(start));
        self.statistics.processed(latency);
        self.statistics.last_age = Some(clock.now().saturating_sub(header.stamp.as_nanoseconds()));
        self.watch_the_flow(header.stamp, clock, out);
        self.history.push(header.stamp, message);
        self.newest = Some((header, size));
    }

    /// The region of the next image that is decoded before it is tracked; `None` for all of it.
    fn needed_region(&self) -> Option<Region> {
        // A new target is chosen in the whole image.
        if self.request.is_some() || self.target.is_none() {
            return None;
        }
        self.tracker.next_region()
    }

    /// Warns if the middleware loses images. A replay loses none.
    fn watch_the_flow(&mut self, stamp: Stamp, clock: &dyn Clock, out: &mut Vec<Output>) {
        if clock.running().is_none() {
            return;
        }
        let received = self.statistics.received;
        let stamp = stamp.as_nanoseconds();
        if let Some(Loss { came, sent }) = self.flow.saw(stamp, received, clock.steady()) {
            let line = format!(
                "of some {sent} images, by their stamps, {came} came: the middleware loses large images on their way; \
                 with Fast DDS start camera and node with its profile for them (large_images:=true), or use \
                 image_reliability: reliable, or compressed images"
            );
            out.push(Output::Log(Level::Warn, line));
        }
    }

    /// Takes an image that a newer one replaced before it could be tracked. It is kept for stamped detections and counted as
    /// dropped.
    pub fn on_overtaken_image(
        &mut self,
        message: ImageMessage,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        self.count_received(1);
        if !self.enabled {
            self.statistics.dropped += 1;
            return;
        }
        if let Some(older) = self.ahead.take() {
            self.keep_overtaken(older, clock, out);
        }
        self.keep_overtaken(message, clock, out);
    }

    fn keep_overtaken(&mut self, message: ImageMessage, clock: &dyn Clock, out: &mut Vec<Output>) {
        self.statistics.dropped += 1;
        // Only the header is read here. The pixels are decoded and checked when they are needed.
        let Ok(Header { stamp, .. }) = message.header() else {
            return;
        };
        self.refuse_outdated_request(stamp, clock, out);
        self.history.push(stamp, message);
        // A region that waits for the next image belongs to this image, although it is not answered.
        let meant = |request: &mut Request| request.stamp.is_none_or(|waited| waited == stamp);
        if let Some(request) = self.request.take_if(meant)
            && let Some(position) = self.history.newest()
        {
            self.begin(request, position, clock, out);
        }
    }

    /// Counts replaced images that were dropped.
    pub fn count_dropped(&mut self, images: u64) {
        self.count_received(images);
        self.statistics.dropped += images;
    }

    fn count_received(&mut self, images: u64) {
        self.statistics.received += images;
        if let Some(arrived) = &mut self.arrived {
            *arrived += images;
        }
    }

    /// Takes a calibration, which is used for directions from now on.
    pub fn on_camera_info(&mut self, bytes: &[u8], clock: &dyn Clock, out: &mut Vec<Output>) {
        match CameraInfo::from_cdr(bytes) {
            Ok(camera) => self.camera = Some(camera),
            Err(error) => self.bad_message("camera_info", &error, clock, out),
        }
    }

    /// A calibration from elsewhere than a topic.
    pub fn set_camera(&mut self, camera: CameraInfo) {
        self.camera = Some(camera);
    }

    /// Takes a region of interest as the target's box in the newest image, or in the next image if there is none yet.
    pub fn on_roi(&mut self, bytes: &[u8], clock: &dyn Clock, out: &mut Vec<Output>) {
        match RegionOfInterest::from_cdr(bytes) {
            Ok(roi) => {
                let [x, y, width, height] =
                    [roi.x_offset, roi.y_offset, roi.width, roi.height].map(f64::from);
                self.choose_target(BoundingBox::new(x, y, width, height), clock, out);
            }
            Err(error) => self.bad_message("initial_roi", &error, clock, out),
        }
    }

    /// Takes a detection as the target's box in the image with the same stamp, and follows the target from there to the newest
    /// image. A detection without a stamp belongs to the newest image.
    pub fn on_detection(&mut self, bytes: &[u8], clock: &dyn Clock, out: &mut Vec<Output>) {
        match Detection2D::from_cdr(bytes) {
            Ok(detection) => {
                let place = Place::Box(detection.bbox.into());
                self.choose_in(place, detection.header.stamp, detection.id, clock, out);
            }
            Err(error) => self.bad_message("initial_detection", &error, clock, out),
        }
    }

    /// A point on the target in the image with its stamp, around which a first box is grown. Without a stamp it is meant in the
    /// newest image.
    pub fn on_point(&mut self, bytes: &[u8], clock: &dyn Clock, out: &mut Vec<Output>) {
        match PointStamped::from_cdr(bytes) {
            Ok(PointStamped { header, point }) => {
                let place = Place::Point(point.x, point.y);
                self.choose_in(place, header.stamp, String::new(), clock, out);
            }
            Err(error) => self.bad_message("initial_point", &error, clock, out),
        }
    }

    /// A point on the target in the newest image, as viewers send it where somebody clicks.
    pub fn on_pixel(&mut self, bytes: &[u8], clock: &dyn Clock, out: &mut Vec<Output>) {
        match Point::from_cdr(bytes) {
            Ok(point) => {
                let place = Place::Point(point.x, point.y);
                self.choose_in(place, Stamp::default(), String::new(), clock, out);
            }
            Err(error) => self.bad_message("initial_pixel", &error, clock, out),
        }
    }

    /// Chooses a target in the image with this stamp; one of zero stands for the newest image.
    fn choose_in(
        &mut self,
        place: Place,
        stamp: Stamp,
        id: String,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        let stamp = (stamp != Stamp::default()).then_some(stamp);
        let request = Request {
            place,
            id,
            stamp,
            or_later: stamp.is_none(),
        };
        self.choose(request, clock, out);
    }

    /// Images of a video that could not be decoded, with the reason for the last one.
    pub fn on_undecoded(
        &mut self,
        images: u64,
        reason: &str,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        self.count_received(images);
        self.statistics.last_image = Some(clock.steady());
        self.warned_of_no_images = false;
        let reason = format!("image refused: {reason}");
        if let Some(line) = self.bad_log.pass(clock.steady(), || reason.clone()) {
            out.push(Output::Log(Level::Warn, line));
        }
        self.statistics.bad_images(images, reason);
    }

    /// Chooses a target by a box in pixels, as [`NodeCore::on_roi`] does, with fractions of pixels.
    pub fn choose_target(
        &mut self,
        bounding_box: BoundingBox,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        let place = Place::Box(bounding_box);
        self.choose_in(place, Stamp::default(), String::new(), clock, out);
    }

    /// Gives the target up. Returns a message that says what was done.
    pub fn stop(&mut self, out: &mut Vec<Output>) -> String {
        let waiting = self.request.take().is_some();
        self.behind = None;
        let Some(target) = self.target.take() else {
            return if waiting {
                "the waiting request was dropped".into()
            } else {
                "no target to stop".into()
            };
        };
        self.publish_newest(out);
        format!("stopped following target {}", target.id)
    }

    /// Whether tracking is switched on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Switches tracking on or off. Off drops target and images. Returns a message that says what was done.
    pub fn enable(&mut self, enabled: bool, out: &mut Vec<Output>) -> String {
        if self.enabled == enabled {
            return format!(
                "was {} already",
                if enabled { "enabled" } else { "disabled" }
            );
        }
        if !enabled {
            self.stop(out);
            self.ahead = None;
            self.history.clear();
        } else {
            // Kept until now, so that viewers see the last answer, which says that there is no target.
            self.newest = None;
        }
        self.enabled = enabled;
        (if enabled {
            "enabled"
        } else {
            "disabled: images are not looked at"
        })
        .into()
    }

    /// Publishes diagnostics, and warns if no images come. Call it several times a second.
    pub fn tick(&mut self, clock: &dyn Clock, out: &mut Vec<Output>) {
        let now = clock.steady();
        let silent = self.statistics.silence(now, self.started);
        let timeout = self.parameters.no_image_timeout;
        if self.enabled && timeout > 0.0 && silent >= timeout && !self.warned_of_no_images {
            self.warned_of_no_images = true;
            out.push(Output::NoImages(silent));
        }
        let period = self.statistics.period_length(now);
        // If the clock was set back (a bag was restarted), a new period starts.
        if period < 0 || period as f64 * 1e-9 >= self.parameters.diagnostics_period {
            let situation = Situation {
                node_name: &self.name,
                enabled: self.enabled,
                state: self.state(),
                target_id: self.target.as_ref().map_or("", |target| &target.id),
                confidence: self
                    .target
                    .as_ref()
                    .map_or(0.0, |target| target.last.confidence),
                frame_id: self
                    .newest
                    .as_ref()
                    .map_or("", |(header, _)| &header.frame_id),
                image: self.newest.as_ref().map(|(_, size)| *size),
                bearing: self.bearing_status(),
                waiting: self.request.as_ref().map(|request| request.stamp),
                model: &self.model,
                search_scale: self.parameters.search_scale,
                no_image_timeout: timeout,
            };
            out.push(Output::Diagnostics(self.statistics.report(
                now,
                clock.now(),
                &situation,
            )));
        }
    }

    fn refuse(&mut self, reason: String, clock: &dyn Clock, out: &mut Vec<Output>) {
        if let Some(line) = self.refusal_log.pass(clock.steady(), || reason.clone()) {
            out.push(Output::Log(Level::Warn, line));
        }
        self.refusal = Some(reason.clone());
        self.statistics.last_refused = Some(reason);
    }

    fn bad_message(
        &mut self,
        topic: &str,
        error: &CdrError,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        let reason = format!("message on {topic} refused: {error}");
        if let Some(line) = self.bad_log.pass(clock.steady(), || reason.clone()) {
            out.push(Output::Log(Level::Warn, line));
        }
        self.statistics.bad(reason);
    }
}

fn state_of(track: &Track) -> TargetState {
    match track.state {
        TrackState::Tracking => TargetState::Tracking,
        TrackState::Lost => TargetState::Lost,
    }
}
