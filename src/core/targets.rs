//! Chooses targets by a region or a detection, immediately or when their image comes, and tracks them.

use super::{Clock, NodeCore, Output, Place, Request, Seen, Target};
use crate::history::{Bounds, Found, History};
use crate::log::Level;
use ettrack::error_chain;
use ettrack::frame::Frame;
use ettrack::geometry::BoundingBox;
use ettrack::text::number;
use ettrack::tracker::{Track, TrackError, TrackState};
use ettrack_message::{Header, Stamp};

/// The longest id of a target, bytes. The id is part of every answer, so it is limited.
const LONGEST_ID: usize = 256;

/// Returns why a target cannot be at this place, if this is known without the image.
fn no_place(place: &Place) -> Option<String> {
    match *place {
        Place::Point(x, y) => (!(x.is_finite() && y.is_finite())).then(|| {
            let [x, y] = [x, y].map(number);
            format!("target refused: expected a point in pixels, got x {x}, y {y}")
        }),
        Place::Box(BoundingBox {
            x,
            y,
            width,
            height,
        }) => {
            let is_good = [x, y].iter().all(|v| v.is_finite())
                && [width, height].iter().all(|v| v.is_finite() && *v > 0.0);
            (!is_good).then(|| {
                let [x, y, width, height] = [x, y, width, height].map(number);
                format!(
                    "target refused: expected a box of positive width and height, got x {x}, y {y}, width {width}, height {height}"
                )
            })
        }
    }
}

impl NodeCore {
    /// Tracks the target in `frame`, or initialises the requested target in it, and publishes.
    pub(super) fn track(
        &mut self,
        header: &Header,
        frame: &Frame<'_>,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        self.refuse_outdated_request(header.stamp, clock, out);
        let due = |request: &mut Request| request.stamp.is_none_or(|stamp| stamp <= header.stamp);
        match self.request.take_if(due) {
            None => self.follow(header.stamp, frame, clock, out),
            Some(request) if request.stamp.is_none_or(|stamp| stamp == header.stamp) => {
                self.initialize_or_follow(request, header.stamp, frame, clock, out);
            }
            Some(_) => {
                let reason = "no image with the stamp of the detection came".into();
                self.refuse(reason, clock, out);
                self.follow(header.stamp, frame, clock, out);
            }
        }
        self.publish_state(header, (frame.width(), frame.height()), out);
    }

    /// Initialises the requested target in `frame`. If it is refused, the old target is tracked instead.
    fn initialize_or_follow(
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

    /// Refuses a request whose image cannot come anymore, because the stamps jumped back to `stamp` (a bag is played again, a
    /// simulation was reset). Otherwise the request would replace the target much later, when its stamp comes again.
    pub(super) fn refuse_outdated_request(
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

    /// Initialises the requested target in `frame`. Returns `false` on an error; then the old target stays.
    fn initialize(
        &mut self,
        request: Request,
        stamp: Stamp,
        frame: &Frame<'_>,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) -> bool {
        let bounding_box = match request.place {
            Place::Box(bounding_box) => bounding_box,
            Place::Point(x, y) => match ettrack_picture::grow_box(frame, (x, y)) {
                Some(grown) => grown,
                None => {
                    let reason = format!(
                        "target refused: the point {}, {} lies outside the image of {}x{} pixels",
                        number(x),
                        number(y),
                        frame.width(),
                        frame.height()
                    );
                    self.refuse(reason, clock, out);
                    return false;
                }
            },
        };
        if let Err(error) = self.tracker.initialize(frame, bounding_box) {
            let mut reason = format!("target refused: {}", error_chain(&error));
            // The network failed in its work, so the tracker has lost the old target, too.
            if matches!(error, TrackError::Model(_))
                && let Some(old) = self.target.take()
            {
                reason = format!("{reason}; target {} is given up", old.id);
            }
            self.refuse(reason, clock, out);
            return false;
        }
        let id = if request.id.is_empty() {
            self.next_id()
        } else {
            request.id
        };
        self.last_id.clone_from(&id);
        self.choices += 1;
        self.chosen = Some((stamp, bounding_box));
        self.target = Some(Target {
            id,
            last: Track::chosen(bounding_box),
            stamp,
            image: (frame.width(), frame.height()),
        });
        true
    }

    /// The next number as an id. It skips the id that was given last, because detectors may also use numbers.
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
    pub(super) fn follow(
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
            // A box is in pixels, so it is not valid in an image of another size.
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
                // The tracker failed on this frame, so the target counts as not seen.
                (target.last.state, target.last.confidence) = (TrackState::Lost, 0.0);
                self.statistics.tracking_errors += 1;
                let line = || format!("tracking failed: {}", error_chain(&error));
                if let Some(line) = self.error_log.pass(clock.steady(), line) {
                    out.push(Output::Log(Level::Error, line));
                }
            }
        }
    }

    /// Applies a request to its image, immediately or when the image comes.
    pub(super) fn choose(&mut self, request: Request, clock: &dyn Clock, out: &mut Vec<Output>) {
        if !self.enabled {
            return self.refuse("target refused: the node is disabled".into(), clock, out);
        }
        if request.id.len() > LONGEST_ID {
            let reason = format!(
                "target refused: its id has {} bytes, expected at most {LONGEST_ID}",
                request.id.len()
            );
            return self.refuse(reason, clock, out);
        }
        if let Some(reason) = no_place(&request.place) {
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
        // Only the newest request counts. An older one that still waits is dropped.
        self.request = None;
        match position {
            Some(position) => self.begin(request, position, clock, out),
            None => {
                if request.stamp.is_none() {
                    // The target is chosen in the next image, so catching up with the old target ends here.
                    self.behind = None;
                }
                self.request = Some(request);
            }
        }
    }

    /// The message for a stamp without a frame: the reason and what to do.
    pub(super) fn missing_frame(&self, stamp: Stamp) -> String {
        let seconds = |stamp: Stamp| stamp.as_nanoseconds() as f64 * 1e-9;
        let (oldest, newest) = self.history.span().unwrap_or_default();
        format!(
            "detection refused: no image with its stamp {:.3} is kept, those kept are from {:.3} to {:.3}; \
             raise history_frames and history_megabytes where detections take longer, and give the detection the image's stamp",
            seconds(stamp),
            seconds(oldest),
            seconds(newest)
        )
    }

    /// Where the image with this stamp is kept.
    pub(super) fn kept(&self, stamp: Stamp) -> Option<usize> {
        match self.history.find(stamp) {
            Found::At(position) => Some(position),
            Found::Ahead | Found::TooOld | Found::Missing => None,
        }
    }

    /// Runs `work` on the kept image at `position`. A replaced image is decoded only now, so this may fail.
    pub(super) fn with_kept<R>(
        &mut self,
        position: usize,
        work: impl FnOnce(&mut Self, &Header, &Frame<'_>) -> R,
    ) -> Result<(R, Seen), String> {
        // Moved out, so that a frame can borrow from them while the rest of the core is changed.
        let history = std::mem::replace(&mut self.history, History::new(Bounds::default()));
        let mut picture = std::mem::take(&mut self.picture);
        let done = match history.get(position) {
            None => Err("it is not kept".to_owned()),
            Some(message) => match message.read(&mut picture) {
                Ok((header, frame)) => {
                    let frame = self.levels.apply(frame);
                    let done = work(self, &header, &frame);
                    Ok((done, (header, (frame.width(), frame.height()))))
                }
                Err(reason) => Err(error_chain(&reason)),
            },
        };
        self.history = history;
        self.picture = picture;
        done
    }

    /// Initialises the requested target in the kept image at `position`. [`NodeCore::catch_up`] follows it from there. If it is
    /// refused, the old target is tracked as before.
    pub(super) fn begin(
        &mut self,
        request: Request,
        position: usize,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        let mut request = Some(request);
        let had_target = self.target.is_some();
        let taken = self.with_kept(position, |core, header, frame| {
            request
                .take()
                .is_some_and(|request| core.initialize(request, header.stamp, frame, clock, out))
        });
        match taken {
            Ok((false, _)) => {
                // The old target may have been given up.
                if had_target && self.target.is_none() {
                    self.publish_newest(out);
                }
            }
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

    /// Initialises a new tracker with the target's box, in the image of that box.
    pub(super) fn take_over(
        &mut self,
        request: Request,
        position: usize,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) {
        // If the new tracker refuses the target, the target is given up.
        let _ = self.with_kept(position, |core, header, frame| {
            core.initialize(request, header.stamp, frame, clock, out)
        });
    }
}
