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
}

/// The target that is followed.
#[derive(Debug)]
struct Target {
    id: String,
    last: Track,
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
    targets_so_far: u64,
    enabled: bool,
    /// Whether the newest image was answered and not drawn yet.
    overlay_due: bool,
    /// Header and size of the newest good image.
    newest: Option<(Header, (u32, u32))>,
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
            targets_so_far: 0,
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

    /// An image: tracks the target in it and answers with target and detections.
    pub fn on_image(&mut self, message: ImageMessage, clock: &dyn Clock, out: &mut Vec<Output>) {
        let started = clock.running();
        self.newer_waits = false;
        self.statistics.received += 1;
        // One that is not looked at, or refused, is no silence.
        self.statistics.last_image = Some(clock.steady());
        self.warned_of_no_images = false;
        if !self.enabled {
            return;
        }
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
    pub fn on_overtaken_image(&mut self, message: ImageMessage) {
        self.statistics.received += 1;
        self.statistics.dropped += 1;
        if !self.enabled {
            return;
        }
        // Only the header is read here; whether the pixels are good shows when they are needed.
        if let Ok(header) = message.header() {
            // A region that waits for the next image means this one, though it is not answered.
            if let Some(request) = &mut self.request {
                request.stamp.get_or_insert(header.stamp);
            }
            self.history.push(header.stamp, message);
        }
    }

    /// Counts images that were overtaken and are gone.
    pub fn count_dropped(&mut self, images: u64) {
        self.statistics.received += images;
        self.statistics.dropped += images;
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
        let Some(message) = self
            .history
            .newest()
            .and_then(|newest| self.history.from(newest).next())
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
        Ok(())
    }

    /// Puts a newly loaded model in place of the old one. A target that is being tracked is taken over at its
    /// last box in the newest image; one that is lost is given up, because its looks are not known anymore.
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
                match self.history.newest() {
                    Some(position) => self.catch_up(request, position, clock, out),
                    // What waits already was asked for later than this target.
                    None => {
                        self.request.get_or_insert(request);
                    }
                }
            } else {
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
        let due = match &self.request {
            Some(Request {
                stamp: Some(stamp), ..
            }) => *stamp <= header.stamp,
            Some(Request { stamp: None, .. }) => true,
            None => false,
        };
        if due && let Some(request) = self.request.take() {
            match request.stamp {
                Some(stamp) if stamp != header.stamp => {
                    // Its image was overtaken: it is among the kept ones, or never came.
                    match self.history.find(stamp) {
                        Found::At(position) => {
                            self.follow_kept(request, position, clock, out);
                        }
                        _ if request.or_later => self.request = Some(request),
                        _ => {
                            let reason = "no image with the stamp of the detection came".into();
                            self.refuse(reason, clock, out);
                        }
                    }
                    match self.request.take() {
                        Some(request) => self.take_up(request, frame, clock, out),
                        None => self.follow(frame, clock, out),
                    }
                }
                _ => self.take_up(request, frame, clock, out),
            }
        } else {
            self.follow(frame, clock, out);
        }
        self.publish_state(header, (frame.width(), frame.height()), out);
    }

    /// Takes the requested target in `frame`; where it is refused, the old one is followed there.
    fn take_up(
        &mut self,
        request: Request,
        frame: &Frame<'_>,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        if !self.initialize(request, frame, clock, out) {
            self.follow(frame, clock, out);
        }
    }

    /// Takes the requested target in `frame`. Gives whether it did: on an error the old target stays.
    fn initialize(
        &mut self,
        request: Request,
        frame: &Frame<'_>,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) -> bool {
        if let Err(error) = self.tracker.initialize(frame, request.bounding_box) {
            self.refuse(format!("target refused: {error}"), clock, out);
            return false;
        }
        self.targets_so_far += 1;
        let id = if request.id.is_empty() {
            self.targets_so_far.to_string()
        } else {
            request.id
        };
        let last = Track {
            bounding_box: request.bounding_box,
            confidence: 1.0,
            state: TrackState::Tracking,
            timings: StageTimings::default(),
        };
        self.target = Some(Target {
            id,
            last,
            image: (frame.width(), frame.height()),
        });
        true
    }

    /// One step of the tracker.
    fn follow(&mut self, frame: &Frame<'_>, clock: &dyn Clock, out: &mut Vec<Output>) {
        let Some(target) = &mut self.target else {
            return;
        };
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
            None if self.newer_waits => None,
            None => self.history.newest(),
            Some(stamp) => match self.history.find(stamp) {
                // Caught up with once, to the newer one.
                Found::At(_) if self.newer_waits => None,
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
            None => self.request = Some(request),
            Some(position) => self.catch_up(request, position, clock, out),
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

    /// Takes the target in the kept frame at `position` and follows it frame by frame to the newest one, which is
    /// the one that is answered.
    fn catch_up(
        &mut self,
        request: Request,
        position: usize,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        if let Some((header, size)) = self.follow_kept(request, position, clock, out) {
            self.publish_state(&header, size, out);
        }
    }

    /// Takes the target in the kept frame at `position` and follows it through all later ones. Gives header and
    /// size of the last of them; `None` where the target was refused, the old one then goes on undisturbed, or where
    /// none of the frames was good and the next one will do: then the request waits again.
    fn follow_kept(
        &mut self,
        request: Request,
        position: usize,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) -> Option<(Header, (u32, u32))> {
        let history = std::mem::replace(&mut self.history, History::new(Bounds::default()));
        let mut picture = std::mem::take(&mut self.picture);
        let mut request = Some(request);
        let mut last = None;
        for message in history.from(position) {
            // Kept frames were read before; overtaken ones may turn out bad only now.
            let (header, frame) = match message.read(&mut picture) {
                Ok(read) => read,
                Err(reason) => {
                    if request.take_if(|request| !request.or_later).is_some() {
                        self.refuse(format!("target refused: its image: {reason}"), clock, out);
                        break;
                    }
                    continue;
                }
            };
            match request.take() {
                Some(request) => {
                    if !self.initialize(request, &frame, clock, out) {
                        break;
                    }
                }
                None => self.follow(&frame, clock, out),
            }
            last = Some((header, (frame.width(), frame.height())));
        }
        if let Some(mut waiting) = request {
            waiting.stamp = None;
            self.request.get_or_insert(waiting);
        }
        self.picture = picture;
        self.history = history;
        last
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
