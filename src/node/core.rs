//! The node's core: messages in, messages out, clock given.

use std::time::Duration;

use crate::frame::{Frame, ImageBuffer};
use crate::geometry::BoundingBox;
use crate::message::{
    BoundingBox2D, CameraInfo, CdrError, Detection2D, Detection2DArray, DiagnosticArray, FromCdr,
    Header, Hypothesis, RegionOfInterest, Stamp, TargetState, TrackedTarget,
};
use crate::overlay;
use crate::tracker::{StageTimings, Track, TrackError, TrackState};

use super::bearing::{bearing, image_size};
use super::diagnostics::{Situation, Statistics};
use super::history::{Bounds, Found, History};
use super::image::ImageMessage;
use super::log::{Level, Limiter};
use super::parameters::{Change, ParameterError, Parameters, Value};
use super::{ModelInfo, NodeTracker};

/// What time it is, for whoever drives the core.
pub trait Clock {
    /// Nanoseconds since the epoch of the clock that stamps the images (simulated time counts as such).
    fn now(&self) -> i64;
    /// Time that only runs forward, to measure how long a frame took; `None` where nothing is to be measured,
    /// so that a replay gives the same output every time.
    fn running(&self) -> Option<Duration> {
        None
    }
    /// Nanoseconds for periods and timeouts: the running time where there is one, because simulated time may
    /// stand still while people wait for a warning; else the images' clock.
    fn steady(&self) -> i64 {
        self.running().map_or_else(
            || self.now(),
            |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX),
        )
    }
}

/// What the node publishes and says.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// On `tracked_target`: once per tracked image, and at once when a target is chosen or given up.
    Target(TrackedTarget),
    /// On `detections`, together with each target.
    Detections(Detection2DArray),
    /// On `~/overlay`: a picture in `rgb8` with the box drawn.
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
    /// On `/diagnostics`.
    Diagnostics(DiagnosticArray),
    /// For the log.
    Log(Level, String),
    /// No image came for this many seconds: for a warning that names the topic and who publishes on it.
    NoImages(f64),
    /// The parameters ask for another model: load it aside, then call [`NodeCore::replace_tracker`] or
    /// [`NodeCore::refuse_model`].
    LoadModel,
    /// Parameters that were set, with the values that hold now, for others who show them.
    ParametersSet(Vec<(String, Value)>),
}

/// The target that is followed.
#[derive(Debug)]
struct Target {
    id: String,
    last: Track,
    /// The image in which it was last looked for.
    stamp: Stamp,
    /// Size of the images it is followed in.
    image: (u32, u32),
}

/// A target that was asked for and waits for its image.
#[derive(Debug)]
struct Request {
    bounding_box: BoundingBox,
    /// Empty: the next number.
    id: String,
    /// The image it is meant in; `None` for the next one.
    stamp: Option<Stamp>,
    /// Whether a later image will do where that one turns out bad.
    or_later: bool,
}

/// Header and size of an image.
type Seen = (Header, (u32, u32));

/// The node's state and rules.
pub struct NodeCore {
    name: String,
    parameters: Parameters,
    /// The parameters that the tracker in use was made with, to go back to where a new model is refused.
    loaded: Parameters,
    tracker: Box<dyn NodeTracker + Send>,
    model: ModelInfo,
    camera: Option<CameraInfo>,
    history: History,
    /// Decoded pixels of compressed images; memory is reused.
    picture: ImageBuffer,
    target: Option<Target>,
    request: Option<Request>,
    /// Whether a newer image has come, which is handed over next.
    newer_waits: bool,
    /// While the target was chosen in a kept image and is not yet followed up to the newest one: the image it was
    /// followed to.
    behind: Option<Seen>,
    /// The newest image, which waits until the target is followed up to it.
    ahead: Option<ImageMessage>,
    /// Images that came since the last step of that; `None` before the first one.
    arrived: Option<u64>,
    targets_so_far: u64,
    /// The id given last.
    last_id: String,
    enabled: bool,
    /// Whether the newest image was answered and not drawn yet.
    overlay_due: bool,
    /// The newest image that was answered.
    newest: Option<Seen>,
    statistics: Statistics,
    started: i64,
    warned_of_no_images: bool,
    /// Whether it was said that the calibration is for images of another size.
    warned_of_calibration: bool,
    bad_log: Limiter,
    error_log: Limiter,
    refusal_log: Limiter,
}

impl NodeCore {
    /// A node named `name` with its tracker, made by `parameters`.
    ///
    /// # Errors
    /// [`ParameterError::Tracker`] where the tracker refuses a setting.
    pub fn new(
        name: &str,
        parameters: Parameters,
        mut tracker: Box<dyn NodeTracker + Send>,
        model: ModelInfo,
        clock: &dyn Clock,
    ) -> Result<Self, ParameterError> {
        let refused = |error: TrackError| ParameterError::Tracker(error.to_string());
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
            picture: ImageBuffer::empty(),
            target: None,
            request: None,
            newer_waits: false,
            behind: None,
            ahead: None,
            arrived: None,
            targets_so_far: 0,
            last_id: String::new(),
            enabled: true,
            overlay_due: false,
            newest: None,
            statistics,
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

    /// Says whether a newer image has come, which [`NodeCore::on_image`] gets after what is asked for now: that image is the
    /// newest one.
    pub fn newer_waits(&mut self, waits: bool) {
        self.newer_waits = waits;
    }

    /// An image: tracks the target in it and answers with target and detections; at once, or, while the target is not
    /// followed up to it, when [`NodeCore::catch_up`] has come there.
    pub fn on_image(&mut self, message: ImageMessage, clock: &dyn Clock, out: &mut Vec<Output>) {
        self.newer_waits = false;
        self.count_received(1);
        // One that is not looked at, or refused, is no silence.
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
    }

    /// Tracks the target in an image, publishes, and keeps the image.
    fn answer(&mut self, message: ImageMessage, clock: &dyn Clock, out: &mut Vec<Output>) {
        let started = clock.running();
        // Taken out, so that a frame may borrow from it while the rest of the core changes.
        let mut picture = std::mem::take(&mut self.picture);
        let answered = match message.read(&mut picture) {
            Ok((header, frame)) => {
                self.track(&header, &frame, clock, out);
                Some((header, (frame.width(), frame.height())))
            }
            Err(reason) => {
                let reason = format!("image refused: {reason}");
                if let Some(line) = self.bad_log.pass(clock.steady(), || reason.clone()) {
                    out.push(Output::Log(Level::Warn, line));
                }
                self.statistics.bad_image(reason);
                None
            }
        };
        self.picture = picture;
        let Some((header, size)) = answered else {
            return;
        };
        let latency = clock
            .running()
            .zip(started)
            .map(|(end, start)| end.saturating_sub(start));
        self.statistics.processed(latency);
        self.statistics.last_age = Some(clock.now().saturating_sub(header.stamp.as_nanoseconds()));
        self.history.push(header.stamp, message);
        self.newest = Some((header, size));
    }

    /// An image that was overtaken by a newer one before it could be tracked: kept for stamped detections,
    /// counted as dropped.
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
        // Only the header is read here; whether the pixels are good shows when they are needed.
        let Ok(Header { stamp, .. }) = message.header() else {
            return;
        };
        self.refuse_what_waits_in_vain(stamp, clock, out);
        self.history.push(stamp, message);
        // A region that waits for the next image means this one, though it is not answered.
        let meant = |request: &mut Request| request.stamp.is_none_or(|waited| waited == stamp);
        if let Some(request) = self.request.take_if(meant)
            && let Some(position) = self.history.newest()
        {
            self.begin(request, position, clock, out);
        }
    }

    /// Counts images that were overtaken and are gone.
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

    /// A calibration, from then on used for directions.
    pub fn on_camera_info(&mut self, bytes: &[u8], clock: &dyn Clock, out: &mut Vec<Output>) {
        match CameraInfo::from_cdr(bytes) {
            Ok(camera) => self.camera = Some(camera),
            Err(error) => self.bad_message("camera_info", &error, clock, out),
        }
    }

    /// A region of interest: the target in the newest image, or in the next one where there is none yet.
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

    /// A detection: the target in the image with its stamp, caught up with to the newest image. Without a stamp
    /// it is meant in the newest image.
    pub fn on_detection(&mut self, bytes: &[u8], clock: &dyn Clock, out: &mut Vec<Output>) {
        match Detection2D::from_cdr(bytes) {
            Ok(detection) => {
                let stamp = detection.header.stamp;
                let stamp = (stamp != Stamp::default()).then_some(stamp);
                let bounding_box = detection.bbox.into();
                self.choose(
                    Request {
                        bounding_box,
                        id: detection.id,
                        stamp,
                        or_later: stamp.is_none(),
                    },
                    clock,
                    out,
                );
            }
            Err(error) => self.bad_message("initial_detection", &error, clock, out),
        }
    }

    /// Chooses a target by a box in pixels, as [`NodeCore::on_roi`] does, with fractions of pixels.
    pub fn choose_target(
        &mut self,
        bounding_box: BoundingBox,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        self.choose(
            Request {
                bounding_box,
                id: String::new(),
                stamp: None,
                or_later: true,
            },
            clock,
            out,
        );
    }

    /// Gives the target up. Says what was done.
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

    /// Switches tracking off, which drops target and images, or on again. Says what was done.
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

    /// Draws the box into the newest answered image, once for each answer. To be called where somebody listens,
    /// after target and detections went out, so that nobody waits for the drawing.
    pub fn draw_overlay(&mut self, out: &mut Vec<Output>) {
        if !std::mem::take(&mut self.overlay_due) || !self.parameters.publish_overlay {
            return;
        }
        let answered = self.newest.as_ref().map(|(header, _)| header.stamp);
        let Some(message) = answered
            .and_then(|stamp| self.kept(stamp))
            .and_then(|position| self.history.get(position))
        else {
            return;
        };
        // It was readable when it was answered.
        let Ok((header, frame)) = message.read(&mut self.picture) else {
            return;
        };
        let mut picture = overlay::to_rgb_image(&frame);
        if let Some(target) = &self.target {
            overlay::draw_track(&mut picture, &target.last);
        }
        let (width, height) = picture.dimensions();
        out.push(Output::Overlay {
            header,
            width,
            height,
            data: picture.into_raw(),
        });
    }

    /// Changes a parameter while the node runs.
    ///
    /// # Errors
    /// Where the name, type or range is wrong, the tracker refuses it, or it is only read at the start. The old
    /// value then stays.
    pub fn set_parameter(
        &mut self,
        name: &str,
        value: &Value,
        out: &mut Vec<Output>,
    ) -> Result<(), ParameterError> {
        let mut changed = self.parameters.clone();
        match changed.set(name, value)? {
            Change::Start => {
                // Set to what it is, as tools do that write all parameters back, changes nothing.
                if changed != self.parameters {
                    let known = super::parameters::descriptors()
                        .into_iter()
                        .find(|known| known.name == name);
                    return Err(ParameterError::StartOnly {
                        name: known.map_or("parameter", |known| known.name),
                    });
                }
                return Ok(());
            }
            Change::Model => {
                if changed != self.parameters {
                    out.push(Output::LoadModel);
                }
            }
            Change::Live => {
                let settings = changed.tracker_settings();
                if settings != self.parameters.tracker_settings() {
                    self.tracker
                        .configure(&settings)
                        .map_err(|error| ParameterError::Tracker(error.to_string()))?;
                }
                self.history.resize(changed.history_bounds());
            }
        }
        self.parameters = changed;
        Ok(())
    }

    /// Changes several parameters, or none of them.
    ///
    /// # Errors
    /// That of the first one that [`NodeCore::set_parameter`] refuses.
    pub fn set_parameters(
        &mut self,
        changes: &[(&str, Value)],
        out: &mut Vec<Output>,
    ) -> Result<(), ParameterError> {
        let (before, said) = (self.parameters.clone(), out.len());
        for (done, (name, value)) in changes.iter().enumerate() {
            if let Err(error) = self.set_parameter(name, value, out) {
                for (undone, _) in &changes[..done] {
                    if let Some(old) = before.get(undone) {
                        // It was accepted once.
                        let _ = self.set_parameter(undone, &old, out);
                    }
                }
                // A model that was asked for on the way is not wanted anymore, nor the old one anew.
                out.truncate(said);
                return Err(error);
            }
        }
        self.tell_of(changes.iter().map(|(name, _)| *name), out);
        Ok(())
    }

    /// Tells of the values that these parameters have now, which may be of another type than was sent.
    fn tell_of<'a>(&self, names: impl Iterator<Item = &'a str>, out: &mut Vec<Output>) {
        let set: Vec<_> = names
            .filter_map(|name| Some((name.to_owned(), self.parameters.get(name)?)))
            .collect();
        if !set.is_empty() {
            out.push(Output::ParametersSet(set));
        }
    }

    /// Puts a newly loaded model in place of the old one. A target that is being tracked is taken over at its
    /// last box, in the image that this box is of; one that is lost is given up, because its looks are not known
    /// anymore.
    ///
    /// # Errors
    /// [`ParameterError::Tracker`] where the new tracker refuses the settings; the old one goes on.
    pub fn replace_tracker(
        &mut self,
        mut tracker: Box<dyn NodeTracker + Send>,
        model: ModelInfo,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) -> Result<(), ParameterError> {
        if let Err(error) = tracker.configure(&self.parameters.tracker_settings()) {
            let error = error.to_string();
            self.refuse_model(&error, out);
            return Err(ParameterError::Tracker(error));
        }
        self.tracker = tracker;
        self.model = model;
        self.loaded = self.parameters.clone();
        out.push(Output::Log(
            Level::Info,
            format!("model {} is in use", self.model.name),
        ));
        if let Some(target) = self.target.take() {
            if target.last.state == TrackState::Tracking {
                let request = Request {
                    bounding_box: target.last.bounding_box,
                    id: target.id,
                    stamp: None,
                    or_later: true,
                };
                let Some(position) = self.kept(target.stamp) else {
                    // What waits already was asked for later than this target.
                    self.request.get_or_insert(request);
                    return Ok(());
                };
                self.take_over(request, position, clock, out);
            }
            if !self.is_behind() {
                self.publish_newest(out);
            }
        }
        Ok(())
    }

    /// A model that was asked for cannot be loaded: the old one goes on, and the parameters say so.
    pub fn refuse_model(&mut self, reason: &str, out: &mut Vec<Output>) {
        self.parameters
            .model_path
            .clone_from(&self.loaded.model_path);
        self.parameters.constants.clone_from(&self.loaded.constants);
        self.parameters.num_threads = self.loaded.num_threads;
        self.tell_of(["model_path", "constants", "num_threads"].into_iter(), out);
        self.statistics.last_refused = Some(reason.to_owned());
        let line = format!("model refused, {} stays in use: {reason}", self.model.name);
        out.push(Output::Log(Level::Error, line));
    }

    /// To be called several times a second: diagnostics, and a word where no images come.
    pub fn tick(&mut self, clock: &dyn Clock, out: &mut Vec<Output>) {
        let now = clock.steady();
        let silent = self.statistics.silence(now, self.started);
        let timeout = self.parameters.no_image_timeout;
        if self.enabled && timeout > 0.0 && silent >= timeout && !self.warned_of_no_images {
            self.warned_of_no_images = true;
            out.push(Output::NoImages(silent));
        }
        let period = self.statistics.period_length(now);
        // A clock that was set back (a bag that starts anew) starts the period anew.
        if period < 0 || period as f64 * 1e-9 >= self.parameters.diagnostics_period {
            let situation = Situation {
                node_name: &self.name,
                enabled: self.enabled,
                state: match &self.target {
                    None => TargetState::Idle,
                    Some(target) => state_of(&target.last),
                },
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

    /// Follows the target into `frame`, or chooses the one that was asked for in it, and publishes.
    fn track(
        &mut self,
        header: &Header,
        frame: &Frame<'_>,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        self.refuse_what_waits_in_vain(header.stamp, clock, out);
        let due = |request: &mut Request| request.stamp.is_none_or(|stamp| stamp <= header.stamp);
        match self.request.take_if(due) {
            None => self.follow(header.stamp, frame, clock, out),
            Some(request) if request.stamp.is_none_or(|stamp| stamp == header.stamp) => {
                self.take_up(request, header.stamp, frame, clock, out);
            }
            Some(_) => {
                let reason = "no image with the stamp of the detection came".into();
                self.refuse(reason, clock, out);
                self.follow(header.stamp, frame, clock, out);
            }
        }
        self.publish_state(header, (frame.width(), frame.height()), out);
    }

    /// Takes the requested target in `frame`; where it is refused, the old one is followed there.
    fn take_up(
        &mut self,
        request: Request,
        stamp: Stamp,
        frame: &Frame<'_>,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        if !self.initialize(request, stamp, frame, clock, out) {
            self.follow(stamp, frame, clock, out);
        }
    }

    /// Refuses the request for an image that cannot come, because images begin anew with `stamp`: a bag that is played
    /// again, a simulation that was set back. Else it would replace the target when the time comes round again.
    fn refuse_what_waits_in_vain(
        &mut self,
        stamp: Stamp,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        let is_set_back = self
            .history
            .span()
            .is_some_and(|(_, newest)| stamp < newest);
        let waits = |request: &mut Request| is_set_back && request.stamp.is_some();
        if self.request.take_if(waits).is_some() {
            let reason = "detection refused: the time of the images was set back while it waited";
            self.refuse(reason.into(), clock, out);
        }
    }

    /// Takes the requested target in `frame`. Gives whether it did: on an error the old target stays.
    fn initialize(
        &mut self,
        request: Request,
        stamp: Stamp,
        frame: &Frame<'_>,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) -> bool {
        if let Err(error) = self.tracker.initialize(frame, request.bounding_box) {
            self.refuse(format!("target refused: {error}"), clock, out);
            return false;
        }
        let id = if request.id.is_empty() {
            self.next_id()
        } else {
            request.id
        };
        self.last_id.clone_from(&id);
        let last = Track {
            bounding_box: request.bounding_box,
            confidence: 1.0,
            state: TrackState::Tracking,
            timings: StageTimings::default(),
        };
        self.target = Some(Target {
            id,
            last,
            stamp,
            image: (frame.width(), frame.height()),
        });
        true
    }

    /// The next number that is not the id given last: detectors number what they see, too.
    fn next_id(&mut self) -> String {
        loop {
            self.targets_so_far += 1;
            let id = self.targets_so_far.to_string();
            if id != self.last_id {
                return id;
            }
        }
    }

    /// One step of the tracker.
    fn follow(
        &mut self,
        stamp: Stamp,
        frame: &Frame<'_>,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        let Some(target) = &mut self.target else {
            return;
        };
        target.stamp = stamp;
        let size = (frame.width(), frame.height());
        if target.image != size {
            // A box in pixels of one size means nothing in another.
            let line = format!(
                "images changed from {}x{} to {}x{} pixels: target {} is given up, choose it anew",
                target.image.0, target.image.1, size.0, size.1, target.id
            );
            self.target = None;
            out.push(Output::Log(Level::Warn, line));
            return;
        }
        match self.tracker.update(frame) {
            Ok(track) => target.last = track,
            Err(error) => {
                // Nothing is known of this frame: the target is not seen in it.
                (target.last.state, target.last.confidence) = (TrackState::Lost, 0.0);
                self.statistics.tracking_errors += 1;
                if let Some(line) = self
                    .error_log
                    .pass(clock.steady(), || format!("tracking failed: {error}"))
                {
                    out.push(Output::Log(Level::Error, line));
                }
            }
        }
    }

    /// Applies a request to its image, now or when it comes.
    fn choose(&mut self, request: Request, clock: &dyn Clock, out: &mut Vec<Output>) {
        let BoundingBox {
            x,
            y,
            width,
            height,
        } = request.bounding_box;
        if !self.enabled {
            return self.refuse("target refused: the node is disabled".into(), clock, out);
        }
        if !([x, y].iter().all(|v| v.is_finite())
            && [width, height].iter().all(|v| v.is_finite() && *v > 0.0))
        {
            let reason = format!(
                "target refused: expected a box of positive width and height, got x {x}, y {y}, width {width}, height {height}"
            );
            return self.refuse(reason, clock, out);
        }
        let position = match request.stamp {
            None if self.newer_waits || self.ahead.is_some() => None,
            None => self.history.newest(),
            Some(stamp) => match self.history.find(stamp) {
                Found::At(position) => Some(position),
                Found::Ahead => None,
                Found::TooOld | Found::Missing => {
                    let reason = self.missing_frame(stamp);
                    return self.refuse(reason, clock, out);
                }
            },
        };
        // The newest choice counts: what was asked for before waits no longer.
        self.request = None;
        match position {
            Some(position) => self.begin(request, position, clock, out),
            None => {
                if request.stamp.is_none() {
                    // Taken in the very next image: the old target need not be followed up to it.
                    self.behind = None;
                }
                self.request = Some(request);
            }
        }
    }

    /// Why there is no frame for a stamp, and what helps.
    fn missing_frame(&self, stamp: Stamp) -> String {
        let seconds = |stamp: Stamp| stamp.as_nanoseconds() as f64 * 1e-9;
        let (oldest, newest) = self.history.span().unwrap_or_default();
        format!(
            "detection refused: no image with its stamp {:.3} is kept, those kept are from {:.3} to {:.3}; \
             raise history_frames where detections take longer, and give the detection the image's stamp",
            seconds(stamp),
            seconds(oldest),
            seconds(newest)
        )
    }

    /// Where the image with this stamp is kept.
    fn kept(&self, stamp: Stamp) -> Option<usize> {
        match self.history.find(stamp) {
            Found::At(position) => Some(position),
            Found::Ahead | Found::TooOld | Found::Missing => None,
        }
    }

    /// Does `work` on the kept image at `position`. Overtaken images may turn out bad only now.
    fn with_kept<R>(
        &mut self,
        position: usize,
        work: impl FnOnce(&mut Self, &Header, &Frame<'_>) -> R,
    ) -> Result<(R, Seen), String> {
        // Taken out, so that a frame may borrow from them while the rest of the core changes.
        let history = std::mem::replace(&mut self.history, History::new(Bounds::default()));
        let mut picture = std::mem::take(&mut self.picture);
        let done = match history.get(position) {
            None => Err("it is not kept".to_owned()),
            Some(message) => match message.read(&mut picture) {
                Ok((header, frame)) => {
                    let done = work(self, &header, &frame);
                    Ok((done, (header, (frame.width(), frame.height()))))
                }
                Err(reason) => Err(reason.to_string()),
            },
        };
        self.history = history;
        self.picture = picture;
        done
    }

    /// Takes the requested target in the kept image at `position`, from where [`NodeCore::catch_up`] follows it. Where it is
    /// refused, the old one goes on undisturbed.
    fn begin(
        &mut self,
        request: Request,
        position: usize,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        let mut request = Some(request);
        let taken = self.with_kept(position, |core, header, frame| {
            request
                .take()
                .is_some_and(|request| core.initialize(request, header.stamp, frame, clock, out))
        });
        match taken {
            Ok((false, _)) => {}
            Ok((true, seen)) => {
                self.behind = Some(seen);
                self.arrived = None;
            }
            Err(_) if request.as_ref().is_some_and(|request| request.or_later) => {
                self.request = request.map(|request| Request {
                    stamp: None,
                    ..request
                });
            }
            Err(reason) => self.refuse(format!("target refused: its image: {reason}"), clock, out),
        }
    }

    /// Hands the target over to a new tracker in the image that its box is of.
    fn take_over(
        &mut self,
        request: Request,
        position: usize,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        // Where the new tracker refuses it, it is given up.
        let _ = self.with_kept(position, |core, header, frame| {
            core.initialize(request, header.stamp, frame, clock, out)
        });
    }

    /// Whether [`NodeCore::catch_up`] has something to do.
    pub fn is_behind(&self) -> bool {
        self.behind.is_some() || self.ahead.is_some()
    }

    /// Follows a target that was chosen in a kept image one step towards the newest image, and answers that one when it is
    /// reached. To be called while [`NodeCore::is_behind`], with what came meanwhile handed over between two steps, so that
    /// nobody waits for all of it.
    ///
    /// A step goes from one kept image to the next. Where images come faster than that, it leaves out twice as many as came
    /// during the step before: so it gets nearer with each, by steps as short as that allows.
    pub fn catch_up(&mut self, clock: &dyn Clock, out: &mut Vec<Output>) {
        let arrived = self.arrived.replace(0).unwrap_or(0);
        let stride = usize::try_from(2 * arrived + 1).unwrap_or(usize::MAX);
        if let Some(position) = self.next_kept(stride) {
            let followed = self.with_kept(position, |core, header, frame| {
                core.follow(header.stamp, frame, clock, out);
            });
            match (followed, &mut self.target) {
                (Ok(((), seen)), _) => self.behind = Some(seen),
                // One that is bad is passed over.
                (Err(_), Some(target)) => {
                    target.stamp = self.history.stamp(position).unwrap_or(target.stamp);
                }
                (Err(_), None) => {}
            }
        }
        if self.next_kept(1).is_some() {
            return;
        }
        let followed = self.behind.take();
        if let Some(message) = self.ahead.take() {
            self.answer(message, clock, out);
        } else if let Some(seen) = followed {
            // The images that were answered before the target was chosen may be newer than the one it was given up in.
            let stamp = |seen: &Seen| seen.0.stamp;
            if self.newest.as_ref().map(stamp) <= Some(stamp(&seen)) {
                self.newest = Some(seen);
            }
            self.publish_newest(out);
        }
    }

    /// The kept image `stride` after the one that the target was followed to, or the newest one; `None` where it was followed
    /// to that.
    fn next_kept(&self, stride: usize) -> Option<usize> {
        let (Some(target), Some(_)) = (&self.target, &self.behind) else {
            return None;
        };
        let newest = self.history.newest()?;
        match self.history.find(target.stamp) {
            Found::At(position) => {
                (position < newest).then(|| position.saturating_add(stride).min(newest))
            }
            // Its image had to make room.
            Found::TooOld => Some((stride - 1).min(newest)),
            // The source has begun anew.
            Found::Ahead | Found::Missing => None,
        }
    }

    fn refuse(&mut self, reason: String, clock: &dyn Clock, out: &mut Vec<Output>) {
        if let Some(line) = self.refusal_log.pass(clock.steady(), || reason.clone()) {
            out.push(Output::Log(Level::Warn, line));
        }
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

    /// The state under the newest image's header, when it changes without an image.
    fn publish_newest(&mut self, out: &mut Vec<Output>) {
        if let Some((header, size)) = self.newest.clone() {
            self.publish_state(&header, size, out);
        }
    }

    /// The direction of a point of an image of `size` pixels, where the calibration is one for such images.
    fn bearing(
        &mut self,
        point: (f64, f64),
        size: (u32, u32),
        out: &mut Vec<Output>,
    ) -> Option<[f64; 3]> {
        let camera = self.camera.as_ref()?;
        let calibrated = image_size(camera).unwrap_or(size);
        let said = std::mem::replace(&mut self.warned_of_calibration, calibrated != size);
        if calibrated == size {
            return bearing(camera, self.parameters.image_rectified, point);
        }
        if !said {
            let line = format!(
                "no bearing: expected camera_info for images of {}x{} pixels, got one for {}x{}",
                size.0, size.1, calibrated.0, calibrated.1
            );
            out.push(Output::Log(Level::Warn, line));
        }
        None
    }

    /// For people: whether there are bearings, and if not, why.
    fn bearing_status(&self) -> &'static str {
        let Some(camera) = &self.camera else {
            return "none: no camera_info";
        };
        let Some((_, size)) = &self.newest else {
            return "none: no image";
        };
        let calibrated = image_size(camera).unwrap_or(*size);
        let middle = (f64::from(size.0) / 2.0, f64::from(size.1) / 2.0);
        if calibrated != *size {
            "none: camera_info is for images of another size"
        } else if bearing(camera, self.parameters.image_rectified, middle).is_none() {
            "none: camera_info is of no calibrated camera, or of an unknown distortion model"
        } else {
            "given"
        }
    }

    /// Target and detections.
    fn publish_state(
        &mut self,
        header: &Header,
        (width, height): (u32, u32),
        out: &mut Vec<Output>,
    ) {
        self.overlay_due = true;
        let header = header.clone();
        let center = self
            .target
            .as_ref()
            .map(|target| target.last.bounding_box.center());
        let bearing = center.and_then(|center| self.bearing(center, (width, height), out));
        let Some(target) = &self.target else {
            out.push(Output::Target(TrackedTarget {
                header: header.clone(),
                ..TrackedTarget::default()
            }));
            out.push(Output::Detections(Detection2DArray {
                header,
                detections: Vec::new(),
            }));
            return;
        };
        let center = target.last.bounding_box.center();
        let bbox = BoundingBox2D::from(target.last.bounding_box);
        let offset = |value: f64, size: u32| 2.0 * value / f64::from(size) - 1.0;
        let state = state_of(&target.last);
        out.push(Output::Target(TrackedTarget {
            header: header.clone(),
            target_id: target.id.clone(),
            state,
            bounding_box: bbox,
            confidence: target.last.confidence,
            offset_x: offset(center.0, width),
            offset_y: offset(center.1, height),
            bearing,
        }));
        // A lost target is no detection.
        let detections = if state == TargetState::Tracking {
            let class_id = self.parameters.class_id.clone();
            let hypothesis = Hypothesis {
                class_id,
                score: f64::from(target.last.confidence),
            };
            let id = target.id.clone();
            vec![Detection2D {
                header: header.clone(),
                results: vec![hypothesis],
                bbox,
                id,
            }]
        } else {
            Vec::new()
        };
        out.push(Output::Detections(Detection2DArray { header, detections }));
    }
}

fn state_of(track: &Track) -> TargetState {
    match track.state {
        TrackState::Tracking => TargetState::Tracking,
        TrackState::Lost => TargetState::Lost,
    }
}
