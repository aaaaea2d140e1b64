//! A node with a tracker whose answers are known, and with a clock that tests set.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ettrack::ModelError;
use ettrack::frame::Frame;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{SingleObjectTracker, Track, TrackError, TrackState};
use ettrack_message::*;
use ettrack_node::parameters::Parameters;
use ettrack_node::{Clock, Level, ModelInfo, NodeCore, NodeTracker, Output, TrackerSettings};
use ettrack_testing::messages::*;

/// Calls that the test tracker received.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Initialize(BoundingBox, u8),
    Update(u8),
    Configure(TrackerSettings),
}

pub type Calls = Arc<Mutex<Vec<Call>>>;

/// Moves the box one pixel to the right per frame. In a frame whose first pixel is 200 or more the target is lost; at 250 or more
/// the tracker fails. A failure of its network at the choice of a target leaves it without a target.
pub struct TestTracker {
    calls: Calls,
    target: Option<BoundingBox>,
}

pub fn first_pixel(frame: &Frame<'_>) -> u8 {
    frame.data()[0]
}

impl SingleObjectTracker for TestTracker {
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
        let (width, height) = (frame.width(), frame.height());
        if target.x >= f64::from(width) || target.y >= f64::from(height) {
            return Err(TrackError::Target {
                got: target,
                reason: "it lies outside the image",
                width,
                height,
            });
        }
        self.calls
            .lock()
            .unwrap()
            .push(Call::Initialize(target, first_pixel(frame)));
        self.target = (first_pixel(frame) < 250).then_some(target);
        if self.target.is_none() {
            return Err(TrackError::Model(ModelError::Read {
                path: "network".into(),
                reason: std::io::ErrorKind::OutOfMemory.into(),
            }));
        }
        Ok(())
    }

    fn update(&mut self, frame: &Frame<'_>) -> Result<Track, TrackError> {
        let target = self.target.as_mut().ok_or(TrackError::NotInitialized)?;
        let pixel = first_pixel(frame);
        self.calls.lock().unwrap().push(Call::Update(pixel));
        if pixel >= 250 {
            return Err(TrackError::NotInitialized);
        }
        target.x += 1.0;
        let lost = pixel >= 200;
        Ok(if lost {
            Track::new(*target, 0.1, TrackState::Lost)
        } else {
            Track::new(*target, 0.9, TrackState::Tracking)
        })
    }
}

impl NodeTracker for TestTracker {
    fn configure(&mut self, settings: &TrackerSettings) -> Result<(), TrackError> {
        if settings.confidence_threshold == Some(0.99) {
            return Err(TrackError::Setting {
                name: "lost_below",
                got: "0.99".into(),
                expected: "less",
            });
        }
        self.calls
            .lock()
            .unwrap()
            .push(Call::Configure(settings.clone()));
        Ok(())
    }
}

/// A clock that changes only when a test sets it.
pub struct TestClock {
    pub now: Cell<i64>,
    pub running: Cell<Option<Duration>>,
}

impl Clock for TestClock {
    fn now(&self) -> i64 {
        self.now.get()
    }

    fn running(&self) -> Option<Duration> {
        // Each reading advances it by five milliseconds.
        let now = self.running.get()?;
        self.running.set(Some(now + Duration::from_millis(5)));
        Some(now)
    }

    // Readings for periods and timeouts do not advance the running time.
    fn steady(&self) -> i64 {
        self.now()
    }
}

pub struct Bench {
    pub core: NodeCore,
    pub clock: TestClock,
    pub calls: Calls,
    pub out: Vec<Output>,
}

pub const ROI: RegionOfInterest = RegionOfInterest {
    x_offset: 4,
    y_offset: 6,
    width: 8,
    height: 4,
    do_rectify: false,
};

impl Bench {
    pub fn new() -> Self {
        Self::with(Parameters::default())
    }

    pub fn with(parameters: Parameters) -> Self {
        let clock = TestClock {
            now: Cell::new(stamp(0).as_nanoseconds()),
            running: Cell::new(None),
        };
        let calls = Calls::default();
        let tracker = Box::new(TestTracker {
            calls: calls.clone(),
            target: None,
        });
        let model = ModelInfo {
            name: "test".into(),
            runtime: "none".into(),
            execution: "cpu, exact (f32)".into(),
        };
        let core = NodeCore::new("tracker", parameters, tracker, model, &clock).unwrap();
        calls.lock().unwrap().clear();
        Self {
            core,
            clock,
            calls,
            out: Vec::new(),
        }
    }

    /// Frame `index`, 32 x 24, all pixels `value`; returns what is published.
    pub fn frame_of(&mut self, index: usize, value: u8) -> Vec<Output> {
        self.message(index, raw_message(index, 32, 24, &vec![value; 32 * 24 * 3]))
    }

    pub fn frame(&mut self, index: usize) -> Vec<Output> {
        self.frame_of(index, index as u8)
    }

    pub fn message(&mut self, index: usize, bytes: Vec<u8>) -> Vec<Output> {
        self.clock.now.set(stamp(index).as_nanoseconds() + 1000);
        self.core.on_image(
            ImageMessage::Cdr {
                transport: Transport::Raw,
                bytes,
            },
            &self.clock,
            &mut self.out,
        );
        self.settle()
    }

    /// Gives the node an image that a newer one replaced before it could be tracked.
    pub fn overtaken(&mut self, index: usize) {
        self.overtaken_message(
            index,
            raw_message(index, 32, 24, &vec![index as u8; 32 * 24 * 3]),
        );
    }

    pub fn overtaken_message(&mut self, index: usize, bytes: Vec<u8>) {
        self.clock.now.set(stamp(index).as_nanoseconds() + 1000);
        let image = ImageMessage::Cdr {
            transport: Transport::Raw,
            bytes,
        };
        self.core
            .on_overtaken_image(image, &self.clock, &mut self.out);
    }

    /// Gives the node frame `index` without catching up.
    pub fn message_alone(&mut self, index: usize) {
        let image = ImageMessage::Cdr {
            transport: Transport::Raw,
            bytes: raw_message(index, 32, 24, &vec![index as u8; 32 * 24 * 3]),
        };
        self.core.on_image(image, &self.clock, &mut self.out);
    }

    /// Catches up, as the worker does while nothing else comes.
    pub fn settle(&mut self) -> Vec<Output> {
        while self.core.is_behind() {
            self.core.catch_up(&self.clock, &mut self.out);
        }
        std::mem::take(&mut self.out)
    }

    pub fn roi(&mut self, roi: RegionOfInterest) -> Vec<Output> {
        self.core.on_roi(&roi.to_cdr(), &self.clock, &mut self.out);
        self.settle()
    }

    pub fn detection(&mut self, stamp: Stamp, id: &str) -> Vec<Output> {
        self.see(stamp, id);
        self.settle()
    }

    /// Gives the node a detection without catching up.
    pub fn see(&mut self, stamp: Stamp, id: &str) {
        let detection = Detection2D {
            header: Header {
                stamp,
                frame_id: "camera_optical".into(),
            },
            results: Vec::new(),
            bbox: BoundingBox::new(4.5, 6.25, 8.0, 4.0).into(),
            id: id.into(),
        };
        self.core
            .on_detection(&detection.to_cdr(), &self.clock, &mut self.out);
    }

    pub fn diagnostics(&mut self, seconds: f64) -> Option<DiagnosticStatus> {
        self.clock
            .now
            .set(self.clock.now.get() + (seconds * 1e9) as i64);
        self.core.tick(&self.clock, &mut self.out);
        std::mem::take(&mut self.out)
            .into_iter()
            .find_map(|output| match output {
                Output::Diagnostics(mut array) => array.status.pop(),
                _ => None,
            })
    }

    /// Replaces the model by one named `other`. Returns the calls that its tracker receives.
    pub fn replace_model(&mut self) -> Calls {
        let calls = Calls::default();
        let tracker = Box::new(TestTracker {
            calls: calls.clone(),
            target: None,
        });
        let model = ModelInfo {
            name: "other".into(),
            runtime: "none".into(),
            execution: "cpu, exact (f32)".into(),
        };
        self.core
            .replace_tracker(tracker, model, &self.clock, &mut self.out)
            .unwrap();
        calls
    }

    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

/// The only target among the outputs. Checks that the detections agree with it.
pub fn target(out: &[Output]) -> TrackedTarget {
    let targets: Vec<_> = out
        .iter()
        .filter_map(|output| match output {
            Output::Target(target) => Some(target),
            _ => None,
        })
        .collect();
    let detections: Vec<_> = out
        .iter()
        .filter_map(|output| match output {
            Output::Detections(detections) => Some(detections),
            _ => None,
        })
        .collect();
    assert_eq!((targets.len(), detections.len()), (1, 1), "{out:?}");
    let (target, detections) = (targets[0], detections[0]);
    assert_eq!(detections.header, target.header);
    if target.state == TargetState::Tracking {
        let [detection] = detections.detections.as_slice() else {
            panic!("{detections:?}")
        };
        assert_eq!(detection.header, target.header);
        assert_eq!(
            (detection.bbox, &detection.id),
            (target.bounding_box, &target.target_id)
        );
        assert_eq!(detection.results[0].class_id, "target");
        assert_eq!(detection.results[0].score, f64::from(target.confidence));
    } else {
        assert!(
            detections.detections.is_empty(),
            "a lost or missing target must not be published as a detection"
        );
    }
    target.clone()
}

pub fn logs(out: &[Output]) -> Vec<(Level, String)> {
    out.iter()
        .filter_map(|output| match output {
            Output::Log(level, line) => Some((*level, line.clone())),
            _ => None,
        })
        .collect()
}
