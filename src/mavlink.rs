//! Connects the drone's camera to the node. Targets that a pilot draws become requests, like those of topics. The node's answers
//! go to ground stations.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ettrack::geometry::BoundingBox;
use ettrack::tracker::TrackState;
use ettrack_mavlink::{
    Handle, Observation, Outcome, Place as Drawn, Service, ServiceError, ServiceOptions,
    TargetState, Wish,
};
use ettrack_message::Stamp;

use crate::inbox::Inbox;
use crate::worker::Sink;
use crate::{NodeCore, Output, Place};

/// Number of answered frames whose times are remembered. These are ten seconds at 100 frames per second, more than any delay of a
/// video.
const REMEMBERED: usize = 1000;

/// An answered frame that a pilot may have seen.
#[derive(Debug, Clone, Copy)]
struct Shown {
    at: Duration,
    stamp: Stamp,
    size: (u32, u32),
}

/// The last answered frames, oldest first.
type Past = Arc<Mutex<VecDeque<Shown>>>;

/// Returns the frame that was the newest one at the time `seen`, or the oldest remembered one if `seen` is earlier.
fn shown_at(past: &Past, seen: Duration) -> Option<Shown> {
    let past = past.lock().unwrap_or_else(PoisonError::into_inner);
    let after = past.partition_point(|shown| shown.at <= seen);
    past.get(after.saturating_sub(1)).copied()
}

/// A started camera that has no sink yet.
pub struct Reporter {
    service: Service,
    past: Past,
    /// Whether the source is paused on purpose.
    is_held: Box<dyn Fn() -> bool + Send>,
    /// Number of the answer that was reported last.
    told: Option<u64>,
    /// Direction to the target in the newest answer.
    bearing: Option<[f64; 3]>,
    /// Focal length divided by the frame's width, if the field of view is given.
    focal_length: Option<f64>,
}

/// A sink that also reports to ground stations.
pub struct Reported<S> {
    reporter: Reporter,
    sink: S,
}

/// What a camera needs in addition to its protocol.
pub struct Host {
    /// Settings of the camera and its connections.
    pub service: ServiceOptions,
    /// Whether the source is paused on purpose, so that missing frames are no stall.
    pub is_held: Box<dyn Fn() -> bool + Send>,
    /// Called after a pilot has chosen a target.
    pub chosen: Box<dyn Fn() + Send + Sync>,
}

/// Starts a camera for the node behind `inbox`. Dropping the returned [`Reporter`] ends the camera.
///
/// # Errors
/// Returns a [`ServiceError`] if the camera cannot start.
pub fn start(host: Host, inbox: Arc<Inbox>) -> Result<Reporter, ServiceError> {
    let past = Past::default();
    let focal_length = host.service.camera.field_of_view.map(|degrees| {
        let half = degrees.to_radians() / 2.0;
        0.5 / half.tan()
    });
    let shown = Arc::clone(&past);
    let chosen: Arc<dyn Fn() + Send + Sync> = Arc::from(host.chosen);
    let service = Service::start(host.service, move |wish, handle| {
        let handle = handle.clone();
        match wish {
            Wish::Choose {
                ticket,
                place,
                seen,
            } => {
                let frame = shown_at(&shown, seen);
                let chosen = Arc::clone(&chosen);
                inbox.put_request(
                    None,
                    Box::new(move |core, clock, out| {
                        let outcome = choose(core, place, frame, clock, out);
                        if outcome == Outcome::Done {
                            chosen();
                        }
                        handle.answer(ticket, outcome);
                    }),
                );
            }
            Wish::Stop { ticket } => inbox.put_request(
                None,
                Box::new(move |core, _, out| {
                    core.stop(out);
                    handle.answer(ticket, Outcome::Done);
                }),
            ),
        }
    })?;
    Ok(Reporter {
        service,
        past,
        is_held: host.is_held,
        told: None,
        bearing: None,
        focal_length,
    })
}

fn choose(
    core: &mut NodeCore,
    place: Drawn,
    frame: Option<Shown>,
    clock: &dyn crate::Clock,
    out: &mut Vec<Output>,
) -> Outcome {
    let kept = core.glance().and_then(|glance| glance.kept);
    let (Some(frame), Some((_, newest))) = (frame, kept) else {
        return Outcome::NotNow;
    };
    // A later stamp is of a source that was restarted since. A frame that is no longer kept is refused, because the place that
    // the pilot saw may be that of another object in any other frame.
    let stamp = frame.stamp.min(newest);
    match core.choose_shown(in_pixels(place, frame.size), Some(stamp), "", clock, out) {
        Ok(_) => Outcome::Done,
        Err(_) => Outcome::Refused,
    }
}

/// Converts normalised coordinates to pixels. A point on the right or lower border goes into the last pixel.
fn in_pixels(place: Drawn, (width, height): (u32, u32)) -> Place {
    let (width, height) = (f64::from(width), f64::from(height));
    match place {
        Drawn::Point { x, y } => {
            Place::Point((x * width).min(width - 0.5), (y * height).min(height - 0.5))
        }
        Drawn::Rectangle {
            left,
            top,
            right,
            bottom,
        } => Place::Box(BoundingBox::new(
            left * width,
            top * height,
            (right - left) * width,
            (bottom - top) * height,
        )),
    }
}

impl Reporter {
    /// Returns the sink to pass to [`crate::worker::work`] instead of `sink`.
    pub fn with<S: Sink>(self, sink: S) -> Reported<S> {
        Reported {
            reporter: self,
            sink,
        }
    }

    /// Returns the handle of the camera's service.
    pub fn handle(&self) -> &Handle {
        self.service.handle()
    }

    fn tell(&mut self, core: &NodeCore) {
        if (self.is_held)() || !core.is_enabled() {
            self.service.handle().hold();
        }
        let Some(glance) = core.glance() else {
            return;
        };
        if self.told == Some(glance.number) {
            return;
        }
        self.told = Some(glance.number);
        let stamp = glance.header.stamp;
        let shown = Shown {
            at: self.service.handle().now(),
            stamp,
            size: glance.size,
        };
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        // A second answer for the same frame, because a target was chosen in it, is no new frame.
        if past.back().is_none_or(|last| last.stamp != stamp) {
            if past.back().is_some_and(|last| last.stamp > stamp) {
                past.clear();
            }
            if past.len() == REMEMBERED {
                past.pop_front();
            }
            past.push_back(shown);
        }
        drop(past);
        let track = glance.target.map(|(_, track)| track);
        let bearing = track.and_then(|track| {
            self.bearing.or_else(|| {
                let focal_length = self.focal_length? * f64::from(glance.size.0);
                Some(direction(
                    track.bounding_box.center(),
                    glance.size,
                    focal_length,
                ))
            })
        });
        self.service.handle().observe(Observation {
            number: glance.number,
            stamp: stamp.as_nanoseconds(),
            size: glance.size,
            state: match track.map(|track| track.state) {
                None => TargetState::Idle,
                Some(TrackState::Tracking) => TargetState::Tracking,
                Some(TrackState::Lost) => TargetState::Lost,
            },
            bounding_box: track.map(|track| {
                let bounding_box = track.bounding_box;
                [
                    bounding_box.x,
                    bounding_box.y,
                    bounding_box.width,
                    bounding_box.height,
                ]
            }),
            bearing,
        });
    }
}

/// Returns the direction to a point of the image, as a unit vector in the optical frame. The camera is a pinhole with square
/// pixels and its axis in the middle of the image. `focal_length` is in pixels.
fn direction((x, y): (f64, f64), size: (u32, u32), focal_length: f64) -> [f64; 3] {
    let right = (x - f64::from(size.0) / 2.0) / focal_length;
    let down = (y - f64::from(size.1) / 2.0) / focal_length;
    let length = right.hypot(down).hypot(1.0);
    [right / length, down / length, 1.0 / length]
}

impl<S: Sink> Sink for Reported<S> {
    fn deliver(&mut self, output: Output) {
        if let Output::Target(target) = &output {
            self.reporter.bearing = target.bearing;
        }
        self.sink.deliver(output);
    }

    fn overlay_wanted(&self) -> bool {
        self.sink.overlay_wanted()
    }

    fn look(&mut self, core: &mut NodeCore) {
        self.reporter.tell(core);
        self.sink.look(core);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_frame_that_was_the_newest_one_at_a_time() {
        let past = Past::default();
        assert!(shown_at(&past, Duration::ZERO).is_none());
        let millis = Duration::from_millis;
        for number in 1..=5_u64 {
            past.lock().unwrap().push_back(Shown {
                at: millis(100 * number),
                stamp: Stamp {
                    sec: number as i32,
                    nanosec: 0,
                },
                size: (640, 480),
            });
        }
        let second = |seen| shown_at(&past, millis(seen)).unwrap().stamp.sec;
        assert_eq!(
            [second(0), second(100), second(399), second(9000)],
            [1, 1, 3, 5]
        );
    }

    #[test]
    fn puts_a_point_on_the_border_into_the_image() {
        let place = in_pixels(Drawn::Point { x: 1.0, y: 0.5 }, (640, 480));
        assert_eq!(place, Place::Point(639.5, 240.0));
    }

    #[test]
    fn computes_the_direction_to_the_border_of_the_image() {
        // At a field of view of 90 degrees, the focal length is half of the width.
        let [x, y, z] = direction((640.0, 240.0), (640, 480), 320.0);
        assert!((x - z).abs() < 1e-12 && y == 0.0);
    }
}
