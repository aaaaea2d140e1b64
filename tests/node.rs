//! The node's rules, driven by messages and a given clock, with a tracker whose answers are known.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ettrack::frame::Frame;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{SingleObjectTracker, StageTimings, Track, TrackError, TrackState};
use ettrack_message::*;
use ettrack_node::parameters::{ParameterError, Parameters, Value};
use ettrack_node::{Clock, Level, ModelInfo, NodeCore, NodeTracker, Output, TrackerSettings};
use ettrack_testing::messages::*;

/// What the test tracker was asked.
#[derive(Debug, Clone, PartialEq)]
enum Call {
    Initialize(BoundingBox, u8),
    Update(u8),
    Configure(TrackerSettings),
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// Moves the box one pixel to the right per frame. Frames whose first pixel is 200 or more are without the
/// target, 250 or more fail.
struct TestTracker {
    calls: Calls,
    target: Option<BoundingBox>,
}

fn first_pixel(frame: &Frame<'_>) -> u8 {
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
        self.target = Some(target);
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
        Ok(Track {
            bounding_box: *target,
            confidence: if lost { 0.1 } else { 0.9 },
            state: if lost {
                TrackState::Lost
            } else {
                TrackState::Tracking
            },
            timings: StageTimings::default(),
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

/// A clock that stands until it is set.
struct TestClock {
    now: Cell<i64>,
    running: Cell<Option<Duration>>,
}

impl Clock for TestClock {
    fn now(&self) -> i64 {
        self.now.get()
    }

    fn running(&self) -> Option<Duration> {
        // Each look at it takes five milliseconds.
        let now = self.running.get()?;
        self.running.set(Some(now + Duration::from_millis(5)));
        Some(now)
    }

    // Looks at the running time cost nothing but where a frame is measured.
    fn steady(&self) -> i64 {
        self.now()
    }
}

struct Bench {
    core: NodeCore,
    clock: TestClock,
    calls: Calls,
    out: Vec<Output>,
}

const ROI: RegionOfInterest = RegionOfInterest {
    x_offset: 4,
    y_offset: 6,
    width: 8,
    height: 4,
    do_rectify: false,
};

impl Bench {
    fn new() -> Self {
        Self::with(Parameters::default())
    }

    fn with(parameters: Parameters) -> Self {
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
    fn frame_of(&mut self, index: usize, value: u8) -> Vec<Output> {
        self.message(index, raw_message(index, 32, 24, &vec![value; 32 * 24 * 3]))
    }

    fn frame(&mut self, index: usize) -> Vec<Output> {
        self.frame_of(index, index as u8)
    }

    fn message(&mut self, index: usize, bytes: Vec<u8>) -> Vec<Output> {
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

    /// An image that was overtaken before it could be tracked.
    fn overtaken(&mut self, index: usize) {
        self.overtaken_message(
            index,
            raw_message(index, 32, 24, &vec![index as u8; 32 * 24 * 3]),
        );
    }

    fn overtaken_message(&mut self, index: usize, bytes: Vec<u8>) {
        self.clock.now.set(stamp(index).as_nanoseconds() + 1000);
        let image = ImageMessage::Cdr {
            transport: Transport::Raw,
            bytes,
        };
        self.core
            .on_overtaken_image(image, &self.clock, &mut self.out);
    }

    /// Frame `index`, from which nothing more is done yet.
    fn message_alone(&mut self, index: usize) {
        let image = ImageMessage::Cdr {
            transport: Transport::Raw,
            bytes: raw_message(index, 32, 24, &vec![index as u8; 32 * 24 * 3]),
        };
        self.core.on_image(image, &self.clock, &mut self.out);
    }

    /// As the worker does while nothing else comes.
    fn settle(&mut self) -> Vec<Output> {
        while self.core.is_behind() {
            self.core.catch_up(&self.clock, &mut self.out);
        }
        std::mem::take(&mut self.out)
    }

    fn roi(&mut self, roi: RegionOfInterest) -> Vec<Output> {
        self.core.on_roi(&roi.to_cdr(), &self.clock, &mut self.out);
        self.settle()
    }

    fn detection(&mut self, stamp: Stamp, id: &str) -> Vec<Output> {
        self.see(stamp, id);
        self.settle()
    }

    /// A detection, from which nothing is done yet.
    fn see(&mut self, stamp: Stamp, id: &str) {
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

    fn diagnostics(&mut self, seconds: f64) -> Option<DiagnosticStatus> {
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

    /// Puts a model named `other` in place; gives what its tracker is asked.
    fn replace_model(&mut self) -> Calls {
        let calls = Calls::default();
        let tracker = Box::new(TestTracker {
            calls: calls.clone(),
            target: None,
        });
        let model = ModelInfo {
            name: "other".into(),
            runtime: "none".into(),
        };
        self.core
            .replace_tracker(tracker, model, &self.clock, &mut self.out)
            .unwrap();
        calls
    }

    fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

/// The one target among the outputs, with the detections checked against it.
fn target(out: &[Output]) -> TrackedTarget {
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
            "a lost or missing target is no detection"
        );
    }
    target.clone()
}

fn logs(out: &[Output]) -> Vec<(Level, String)> {
    out.iter()
        .filter_map(|output| match output {
            Output::Log(level, line) => Some((*level, line.clone())),
            _ => None,
        })
        .collect()
}

/// An adapter runs the core on a thread of its own.
#[test]
fn the_core_moves_between_threads() {
    fn assert_send<T: Send>(_: &T) {}
    assert_send(&Bench::new().core);
}

#[test]
fn idle_tracking_lost_and_back_under_the_images_headers() {
    let mut node = Bench::new();
    let idle = target(&node.frame(0));
    assert_eq!(
        idle,
        TrackedTarget {
            header: header(0),
            ..TrackedTarget::default()
        }
    );

    // A region is applied to the newest image and answered at once.
    let chosen = target(&node.roi(ROI));
    assert_eq!(
        (chosen.state, chosen.target_id.as_str()),
        (TargetState::Tracking, "1")
    );
    assert_eq!((chosen.header, chosen.confidence), (header(0), 1.0));
    assert_eq!(
        (chosen.bounding_box.center_x, chosen.bounding_box.center_y),
        (8.0, 8.0)
    );
    assert_eq!(
        (chosen.offset_x, chosen.offset_y),
        (2.0 * 8.0 / 32.0 - 1.0, 2.0 * 8.0 / 24.0 - 1.0)
    );
    assert_eq!(chosen.bearing, None, "no camera_info");

    let next = target(&node.frame(1));
    assert_eq!(
        (next.state, next.header, next.bounding_box.center_x),
        (TargetState::Tracking, header(1), 9.0)
    );
    assert_eq!(next.confidence, 0.9);
    let lost = target(&node.frame_of(2, 210));
    assert_eq!(
        (lost.state, lost.target_id.as_str(), lost.confidence),
        (TargetState::Lost, "1", 0.1)
    );
    assert_eq!(target(&node.frame(3)).state, TargetState::Tracking);
    assert_eq!(node.core.state(), TargetState::Tracking);

    // A new region at any time is a new target.
    assert_eq!(target(&node.roi(ROI)).target_id, "2");
    let expected = BoundingBox::new(4.0, 6.0, 8.0, 4.0);
    assert_eq!(
        node.calls(),
        [
            Call::Initialize(expected, 0),
            Call::Update(1),
            Call::Update(210),
            Call::Update(3),
            Call::Initialize(expected, 3),
        ]
    );

    assert_eq!(node.core.stop(&mut node.out), "stopped following target 2");
    let out = std::mem::take(&mut node.out);
    assert_eq!(
        (target(&out).state, target(&out).header),
        (TargetState::Idle, header(3))
    );
    assert_eq!(target(&node.frame(4)).state, TargetState::Idle);
    assert_eq!(node.core.stop(&mut node.out), "no target to stop");
}

#[test]
fn a_region_before_any_image_waits_for_the_first() {
    let mut node = Bench::new();
    assert!(node.roi(ROI).is_empty());
    let first = target(&node.frame(0));
    assert_eq!(
        (first.state, first.header),
        (TargetState::Tracking, header(0))
    );
    assert_eq!(node.calls().len(), 1);
    assert!(Bench::new().roi(ROI).is_empty());
    let mut node = Bench::new();
    node.roi(ROI);
    assert_eq!(
        node.core.stop(&mut node.out),
        "the waiting request was dropped"
    );
    assert_eq!(target(&node.frame(0)).state, TargetState::Idle);
}

#[test]
fn a_stamped_detection_starts_in_its_image_and_catches_up() {
    let mut node = Bench::new();
    for index in 0..5 {
        node.frame(index);
    }
    let caught_up = target(&node.detection(stamp(2), "car 7"));
    let expected = BoundingBox::new(4.5, 6.25, 8.0, 4.0);
    assert_eq!(
        node.calls(),
        [
            Call::Initialize(expected, 2),
            Call::Update(3),
            Call::Update(4)
        ]
    );
    assert_eq!(
        (caught_up.header, caught_up.target_id.as_str()),
        (header(4), "car 7")
    );
    assert_eq!(caught_up.bounding_box.center_x, 4.5 + 4.0 + 2.0);
    // The next image goes on from there.
    assert_eq!(
        target(&node.frame(5)).bounding_box.center_x,
        4.5 + 4.0 + 3.0
    );
    // Without a stamp it is meant in the newest image.
    node.calls();
    target(&node.detection(Stamp::default(), ""));
    assert_eq!(node.calls(), [Call::Initialize(expected, 5)]);
}

/// A camera at three images while one is tracked, and a detection that took 40 of them.
#[test]
fn on_a_slow_processor_catching_up_takes_longer_steps_and_gets_there() {
    let mut node = Bench::with(Parameters {
        history_frames: 50,
        ..Parameters::default()
    });
    for index in 0..40 {
        node.frame(index);
    }
    node.see(stamp(0), "late");
    let mut newest = 40;
    let answer = loop {
        assert!(node.core.is_behind());
        node.core.catch_up(&node.clock, &mut node.out);
        let out = std::mem::take(&mut node.out);
        if !out.is_empty() {
            break target(&out);
        }
        // Between two steps the node is there for everybody.
        node.core
            .set_parameter("class_id", &Value::Text("target".into()), &mut node.out)
            .unwrap();
        node.overtaken(newest);
        node.overtaken(newest + 1);
        node.message_alone(newest + 2);
        newest += 3;
    };
    assert_eq!(answer.header, header(newest - 1));
    let seen: Vec<_> = node
        .calls()
        .iter()
        .map(|call| match call {
            Call::Initialize(_, image) | Call::Update(image) => i32::from(*image),
            Call::Configure(_) => panic!("nothing changed"),
        })
        .collect();
    assert_eq!(seen[0], 0);
    let steps: Vec<_> = seen.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps[0], 1, "{steps:?}");
    assert!(steps.iter().all(|step| (1..=7).contains(step)), "{steps:?}");
    // Two of three images are tracked twice as fast as they come, so 40 take about 80 to be caught up with.
    assert!(newest < 90, "{newest}");
    // Then every image is answered again.
    assert_eq!(target(&node.frame(newest)).header, header(newest));
    let status = node.diagnostics(1.0).unwrap();
    let count = |name: &str| status.value(name).unwrap().parse::<usize>().unwrap();
    assert_eq!(count("frames received"), newest + 1);
    assert_eq!(
        count("frames processed") + count("frames dropped"),
        newest + 1
    );
}

#[test]
fn what_ends_the_target_ends_catching_up() {
    let behind = || {
        let mut node = Bench::new();
        for index in 0..5 {
            node.frame(index);
        }
        node.see(stamp(0), "late");
        node.core.catch_up(&node.clock, &mut node.out);
        node.message_alone(5);
        assert!(node.core.is_behind() && node.out.is_empty());
        node.calls();
        node
    };
    // Given up: at once, and in the image that waits.
    let mut node = behind();
    node.core.stop(&mut node.out);
    assert_eq!(target(&std::mem::take(&mut node.out)).header, header(4));
    let idle = target(&node.settle());
    assert_eq!((idle.header, idle.state), (header(5), TargetState::Idle));
    // Another region: it means the image that waits.
    let mut node = behind();
    let chosen = target(&node.roi(ROI));
    assert_eq!((chosen.header, chosen.confidence), (header(5), 1.0));
    assert!(matches!(node.calls()[..], [Call::Initialize(_, 5)]));
    // Switched off.
    let mut node = behind();
    node.core.enable(false, &mut node.out);
    assert!(!node.core.is_behind());
    // The source begins anew: what is left of the old run is not looked at.
    let mut node = behind();
    node.overtaken(0);
    assert_eq!(target(&node.frame(1)).header, header(1));
    assert!(matches!(node.calls()[..], [Call::Update(1)]));
    // Images of another size.
    let mut node = behind();
    node.overtaken_message(6, raw_message(6, 64, 48, &vec![6; 64 * 48 * 3]));
    let out = node.message(7, raw_message(7, 64, 48, &vec![7; 64 * 48 * 3]));
    assert_eq!(target(&out).state, TargetState::Idle);
    assert!(logs(&out)[0].1.contains("choose it anew"), "{out:?}");
}

#[test]
fn a_bag_that_starts_anew_gives_up_what_waits_for_its_old_run() {
    let mut node = Bench::new();
    for index in 0..50 {
        node.frame(index);
    }
    node.detection(stamp(55), "old run");
    node.roi(ROI);
    node.detection(stamp(60), "old run");
    let out = node.frame(0);
    assert_eq!(target(&out).target_id, "1");
    assert!(logs(&out)[0].1.contains("set back"), "{out:?}");
    for index in 1..70 {
        assert_eq!(target(&node.frame(index)).target_id, "1");
    }
}

#[test]
fn a_number_is_no_id_that_was_just_given() {
    let mut node = Bench::new();
    node.frame(0);
    assert_eq!(target(&node.detection(stamp(0), "1")).target_id, "1");
    assert_eq!(target(&node.roi(ROI)).target_id, "2");
    assert_eq!(target(&node.detection(stamp(0), "3")).target_id, "3");
    node.core.stop(&mut node.out);
    node.out.clear();
    assert_eq!(target(&node.roi(ROI)).target_id, "4");
}

#[test]
fn a_bad_request_is_no_bad_image() {
    let mut node = Bench::with(Parameters {
        diagnostics_period: 0.1,
        ..Parameters::default()
    });
    node.frame(0);
    node.diagnostics(1.0).unwrap();
    let mut out = Vec::new();
    node.core.on_roi(&[1, 2, 3], &node.clock, &mut out);
    let status = node.diagnostics(0.1).unwrap();
    assert_eq!(
        (status.level, status.message.as_str()),
        (DiagnosticLevel::Warn, "1 bad messages")
    );
}

#[test]
fn an_overtaken_image_is_kept_for_detections_and_counted() {
    let mut node = Bench::new();
    node.frame(0);
    node.overtaken(1);
    // One that turns out bad is passed over.
    node.overtaken_message(2, raw_message(2, 32, 24, &[1; 7]));
    node.frame(3);
    target(&node.detection(stamp(1), ""));
    assert!(matches!(
        node.calls()[..],
        [Call::Initialize(_, 1), Call::Update(3)]
    ));
    let status = node.diagnostics(1.0).unwrap();
    assert_eq!(
        (
            status.value("frames received"),
            status.value("frames dropped")
        ),
        (Some("4"), Some("2"))
    );
    assert_eq!(status.value("frames processed"), Some("2"));
}

#[test]
fn a_target_whose_image_is_overtaken_while_it_waits_is_caught_up_with() {
    // A region before any image means the first one, though three come at once.
    let mut node = Bench::new();
    assert_eq!(node.roi(ROI), []);
    node.overtaken(0);
    node.overtaken(1);
    let first = target(&node.frame(2));
    assert!(matches!(
        node.calls()[..],
        [Call::Initialize(_, 0), Call::Update(1), Call::Update(2)]
    ));
    assert_eq!(
        (first.header, first.state),
        (header(2), TargetState::Tracking)
    );

    // A detection ahead of all images, as of a camera whose pictures take longer than its detections.
    node.detection(stamp(4), "ahead");
    node.frame(3);
    node.calls();
    node.overtaken(4);
    assert_eq!(target(&node.frame(5)).target_id, "ahead");
    assert!(matches!(
        node.calls()[..],
        [Call::Initialize(_, 4), Call::Update(5)]
    ));
}

#[test]
fn what_is_asked_for_while_a_newer_image_waits_is_answered_in_that_one() {
    let mut node = Bench::new();
    node.roi(ROI);
    node.frame(0);
    node.calls();
    // A region means the newest image.
    node.overtaken(1);
    node.core.newer_waits(true);
    assert_eq!(node.roi(ROI), []);
    assert_eq!(target(&node.frame(2)).target_id, "2");
    assert!(matches!(node.calls()[..], [Call::Initialize(_, 2)]));
    // A detection is followed to it, and the images between are not answered.
    node.overtaken(3);
    node.overtaken(4);
    node.core.newer_waits(true);
    node.see(stamp(3), "seen");
    assert_eq!(node.out, []);
    assert_eq!(target(&node.frame(5)).target_id, "seen");
    assert!(matches!(
        node.calls()[..],
        [Call::Initialize(_, 3), Call::Update(4), Call::Update(5)]
    ));
    // Where none waits, the last one is the newest.
    assert_eq!(target(&node.roi(ROI)).header, header(5));
}

#[test]
fn where_a_waiting_target_is_refused_the_old_one_is_followed() {
    let mut node = Bench::new();
    node.roi(ROI);
    node.frame(0);
    node.calls();
    let beyond = Detection2D {
        header: header(1),
        results: Vec::new(),
        bbox: BoundingBox::new(400.0, 6.0, 8.0, 4.0).into(),
        id: "beyond".into(),
    };
    node.core
        .on_detection(&beyond.to_cdr(), &node.clock, &mut node.out);
    let followed = target(&node.frame(1));
    assert!(matches!(node.calls()[..], [Call::Update(1)]));
    assert_eq!(
        (followed.target_id.as_str(), followed.state),
        ("1", TargetState::Tracking)
    );
}

#[test]
fn a_target_whose_overtaken_image_is_bad_is_taken_in_the_next_good_one() {
    let bad = |node: &mut Bench, index: usize| {
        node.overtaken_message(index, raw_message(index, 32, 24, &[1; 7]));
    };
    // A region means the next image, whichever that is.
    let mut node = Bench::new();
    node.roi(ROI);
    bad(&mut node, 0);
    assert_eq!(target(&node.frame(1)).state, TargetState::Tracking);
    assert!(matches!(node.calls()[..], [Call::Initialize(_, 1)]));
    // Neither does it matter whether the image is kept at all.
    let mut node = Bench::with(Parameters {
        history_frames: 1,
        ..Parameters::default()
    });
    node.roi(ROI);
    bad(&mut node, 0);
    bad(&mut node, 1);
    target(&node.frame(2));
    assert!(matches!(node.calls()[..], [Call::Initialize(_, 2)]));
    // A detection means that image alone.
    node.detection(stamp(4), "");
    bad(&mut node, 4);
    node.frame(5);
    let status = node.diagnostics(1.0).unwrap();
    let refused = status.value("last refused request").unwrap();
    assert!(
        refused.starts_with("target refused: its image"),
        "{refused}"
    );
}

#[test]
fn an_image_in_the_memory_of_the_middleware_is_tracked_in_kept_and_refused_like_any() {
    /// Memory of a middleware; whether it is still held can be told from outside.
    struct Lent(Arc<Vec<u8>>);
    impl HeldImage for Lent {
        fn image(&self) -> Image<'_> {
            Image::from_cdr(&self.0).unwrap()
        }
    }
    let mut node = Bench::with(Parameters {
        history_frames: 2,
        ..Parameters::default()
    });
    let mut memory = Vec::new();
    let mut lend = |index: usize, pixels: &[u8]| {
        let message = Arc::new(raw_message(index, 32, 24, pixels));
        memory.push(Arc::downgrade(&message));
        let held = memory
            .iter()
            .map(|old| old.upgrade().is_some())
            .collect::<Vec<_>>();
        (ImageMessage::Held(Box::new(Lent(message))), held)
    };
    node.roi(ROI);
    for index in 0..5 {
        let (image, _) = lend(index, &vec![index as u8; 32 * 24 * 3]);
        assert_eq!(image.size(), 32 * 24 * 3);
        node.core.on_image(image, &node.clock, &mut node.out);
        let answer = target(&std::mem::take(&mut node.out));
        assert_eq!(answer.header, header(index));
    }
    let (short, held) = lend(5, &[1; 7]);
    assert_eq!(
        held,
        [false, false, false, true, true, true],
        "two are kept"
    );
    node.core.on_image(short, &node.clock, &mut node.out);
    assert!(
        matches!(&node.out[..], [Output::Log(Level::Warn, line)] if line.contains("image refused"))
    );
    let (_image, held) = lend(6, &[]);
    assert_eq!(
        held[3..],
        [true, true, false, true],
        "a bad one is not kept"
    );
}

/// An image with a bright square on dark ground.
fn square_message(index: usize) -> Vec<u8> {
    let mut data = vec![20; 96 * 72 * 3];
    for (at, value) in data.iter_mut().enumerate() {
        let (x, y) = (at / 3 % 96, at / 3 / 96);
        if (40..56).contains(&x) && (24..40).contains(&y) {
            *value = 190;
        }
    }
    raw_message(index, 96, 72, &data)
}

fn point_message(stamp: Stamp, x: f64, y: f64) -> Vec<u8> {
    PointStamped {
        header: Header {
            stamp,
            frame_id: "camera_optical".into(),
        },
        point: Point { x, y, z: 0.0 },
    }
    .to_cdr()
}

#[test]
fn a_point_chooses_the_target_around_it_in_its_image() {
    let mut bench = Bench::new();
    for index in 1..=3 {
        bench.message(index, square_message(index));
    }
    bench.calls();
    let square = BoundingBox::new(40.0, 24.0, 16.0, 16.0);
    let is_square =
        |call: &Call| matches!(call, Call::Initialize(grown, _) if grown.iou(&square) > 0.6);
    let point = point_message(stamp(2), 47.0, 33.0);
    bench.core.on_point(&point, &bench.clock, &mut bench.out);
    let out = bench.settle();
    assert_eq!(target(&out).header.stamp, stamp(3), "caught up with");
    let calls = bench.calls();
    assert!(is_square(&calls[0]), "{calls:?}");
    assert_eq!(
        calls.len(),
        2,
        "one step from the second image to the third"
    );
    // Without a stamp, in the newest image.
    let pixel = Point {
        x: 47.0,
        y: 33.0,
        z: 0.0,
    };
    bench
        .core
        .on_pixel(&pixel.to_cdr(), &bench.clock, &mut bench.out);
    let out = bench.settle();
    assert_eq!(
        (target(&out).header.stamp, target(&out).target_id.as_str()),
        (stamp(3), "2")
    );
    let calls = bench.calls();
    assert!(is_square(&calls[0]) && calls.len() == 1, "{calls:?}");
    // One ahead of all images waits for its image.
    let point = point_message(stamp(5), 47.0, 33.0);
    bench.core.on_point(&point, &bench.clock, &mut bench.out);
    bench.settle();
    assert_eq!(target(&bench.message(4, square_message(4))).target_id, "2");
    assert_eq!(target(&bench.message(5, square_message(5))).target_id, "3");
}

#[test]
fn a_point_beside_the_image_leaves_the_old_target() {
    let mut bench = Bench::new();
    bench.message(1, square_message(1));
    bench.roi(ROI);
    for (x, y, words) in [
        (
            96.0,
            10.0,
            "the point 96, 10 lies outside the image of 96x72 pixels",
        ),
        (-1.0, 10.0, "outside the image"),
        (f64::NAN, 1.0, "expected a point in pixels"),
        (1.0, f64::INFINITY, "expected a point in pixels"),
    ] {
        let pixel = Point { x, y, z: 0.0 };
        bench
            .core
            .on_pixel(&pixel.to_cdr(), &bench.clock, &mut bench.out);
        bench.settle();
        let status = bench.diagnostics(1.0).unwrap();
        let refused = &status
            .values
            .iter()
            .find(|(key, _)| key == "last refused request")
            .unwrap()
            .1;
        assert!(refused.contains(words), "{refused}");
        assert_eq!(bench.core.state(), TargetState::Tracking);
    }
    bench
        .core
        .on_point(&[0, 1, 0, 0, 9], &bench.clock, &mut bench.out);
    bench
        .core
        .on_pixel(&[0, 1, 0, 0], &bench.clock, &mut bench.out);
    bench.settle();
    let status = bench.diagnostics(1.0).unwrap();
    let last = &status
        .values
        .iter()
        .find(|(key, _)| key == "last bad message")
        .unwrap()
        .1;
    assert!(last.contains("initial_pixel"), "{last}");
}

#[test]
fn what_cannot_be_decoded_of_a_video_is_counted_and_said() {
    let mut bench = Bench::new();
    bench.frame(1);
    bench
        .core
        .on_undecoded(7, "waits for a key frame", &bench.clock, &mut bench.out);
    let out = bench.settle();
    assert_eq!(
        logs(&out),
        [(Level::Warn, "image refused: waits for a key frame".into())]
    );
    let status = bench.diagnostics(1.0).unwrap();
    let value = |key: &str| {
        &status
            .values
            .iter()
            .find(|(known, _)| known == key)
            .unwrap()
            .1
    };
    assert_eq!(
        (
            value("frames received").as_str(),
            value("bad messages").as_str()
        ),
        ("8", "7")
    );
    assert!(status.message.contains("7 bad"), "{}", status.message);
}

#[test]
fn a_detection_without_its_image_is_refused_or_waits() {
    let parameters = Parameters {
        history_frames: 3,
        ..Parameters::default()
    };
    let mut node = Bench::with(parameters);
    for index in 0..6 {
        node.frame(index);
    }
    for old in [0, 2] {
        node.clock.now.set(node.clock.now.get() + 2_000_000_000);
        let out = node.detection(stamp(old), "");
        let [(Level::Warn, line)] = &logs(&out)[..] else {
            panic!("{out:?}")
        };
        assert!(
            line.contains("no image with its stamp") && line.contains("history_frames"),
            "{line}"
        );
    }
    assert_eq!(node.core.state(), TargetState::Idle);
    // Ahead of its image, as when images take longer on the way: it waits.
    assert!(node.detection(stamp(7), "early").is_empty());
    assert_eq!(target(&node.frame(6)).state, TargetState::Idle);
    let found = target(&node.frame(7));
    assert_eq!(
        (found.state, found.target_id.as_str()),
        (TargetState::Tracking, "early")
    );
    // The image never comes.
    let between = Stamp {
        nanosec: stamp(8).nanosec + 5,
        ..stamp(8)
    };
    node.detection(between, "");
    node.clock.now.set(node.clock.now.get() + 2_000_000_000);
    node.frame(8);
    let out = node.frame(9);
    assert_eq!(target(&out).target_id, "early", "the old target goes on");
    assert!(
        logs(&out)[0].1.contains("no image with the stamp"),
        "{out:?}"
    );
}

#[test]
fn the_newest_choice_counts_whatever_waits() {
    let mut node = Bench::new();
    node.frame(0);
    node.detection(stamp(2), "early");
    let waits_for = |node: &mut Bench| {
        let status = node.diagnostics(1.0).unwrap();
        status.value("target waits for").map(str::to_owned)
    };
    let seconds = stamp(2).as_nanoseconds() as f64 * 1e-9;
    let expected = format!("the image of {seconds:.3}");
    assert_eq!(waits_for(&mut node), Some(expected));
    let chosen = target(&node.roi(ROI));
    assert_eq!(chosen.state, TargetState::Tracking);
    assert_eq!(waits_for(&mut node), None);
    assert_eq!(
        target(&node.frame(2)).target_id,
        chosen.target_id,
        "its image comes too late"
    );
    // A refused choice is none.
    node.detection(stamp(4), "next");
    node.roi(RegionOfInterest { width: 0, ..ROI });
    assert_eq!(target(&node.frame(4)).target_id, "next");
}

#[test]
fn wrong_targets_are_refused_with_the_reason_and_the_old_one_stays() {
    let mut node = Bench::new();
    node.frame(0);
    target(&node.roi(ROI));
    for (roi, words) in [
        (RegionOfInterest { width: 0, ..ROI }, "width 0"),
        (RegionOfInterest { height: 0, ..ROI }, "height 0"),
        (
            RegionOfInterest {
                x_offset: 99,
                ..ROI
            },
            "outside the image",
        ),
    ] {
        node.clock.now.set(node.clock.now.get() + 2_000_000_000);
        let out = node.roi(roi);
        let [(Level::Warn, line)] = &logs(&out)[..] else {
            panic!("{out:?}")
        };
        assert!(line.contains(words), "{line}");
        let status = node.diagnostics(1.0).unwrap();
        assert!(
            status
                .value("last refused request")
                .unwrap()
                .contains(words)
        );
    }
    let out = node.detection(Stamp { sec: 0, nanosec: 1 }, "");
    assert_eq!(out.len(), 1);
    let next = target(&node.frame(1));
    assert_eq!(
        (next.state, next.target_id.as_str()),
        (TargetState::Tracking, "1")
    );
}

#[test]
fn bad_messages_are_counted_said_once_a_second_and_passed_over() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    let good = raw_message(1, 32, 24, &vec![1; 32 * 24 * 3]);
    let bad: Vec<Vec<u8>> = vec![
        good[..good.len() / 2].to_vec(),
        raw_message(1, 32, 24, &[1; 100]),
        Vec::new(),
        Image {
            header: header(1),
            height: 24,
            width: 32,
            encoding: "32FC1",
            is_bigendian: false,
            step: 128,
            data: &[0; 24 * 128],
        }
        .to_cdr(),
        raw_message(1, 0, 0, &[]),
    ];
    let count = bad.len();
    let mut lines = Vec::new();
    for bytes in bad {
        let out = node.message(1, bytes);
        assert!(
            out.iter().all(|output| matches!(output, Output::Log(..))),
            "nothing is published: {out:?}"
        );
        lines.extend(logs(&out));
    }
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].1.contains("image refused: message ends in `data`"),
        "{lines:?}"
    );
    let status = node.diagnostics(1.0).unwrap();
    assert_eq!(status.level, DiagnosticLevel::Warn);
    assert_eq!(
        status.value("bad messages"),
        Some(count.to_string().as_str())
    );
    assert!(
        status
            .value("last bad message")
            .unwrap()
            .contains("0x0 pixels")
    );

    // A second later the line comes again and tells of those between.
    let out = node.message(30, vec![1, 2]);
    assert!(logs(&out)[0].1.contains("(and 4 more since"), "{out:?}");
    assert_eq!(
        target(&node.frame(31)).state,
        TargetState::Tracking,
        "the node goes on"
    );

    // The other topics.
    for topic in 0..3 {
        node.clock.now.set(node.clock.now.get() + 2_000_000_000);
        match topic {
            0 => node
                .core
                .on_roi(&[0, 1, 0, 0, 7], &node.clock, &mut node.out),
            1 => node
                .core
                .on_detection(&[0, 9, 0, 0], &node.clock, &mut node.out),
            _ => node.core.on_camera_info(&[], &node.clock, &mut node.out),
        }
        let out = std::mem::take(&mut node.out);
        assert!(logs(&out)[0].1.contains("refused"), "{out:?}");
    }
}

#[test]
fn compressed_images_are_tracked_and_cut_ones_are_not() {
    let mut node = Bench::new();
    let picture = jpeg(32, 24, &pixels(32, 24, 40, (4, 4), 6));
    let mut send = |index: usize, format: &str, data: &[u8]| {
        let bytes = compressed_message(index, format, data);
        let image = ImageMessage::Cdr {
            transport: Transport::Compressed,
            bytes,
        };
        node.core.on_image(image, &node.clock, &mut node.out);
        std::mem::take(&mut node.out)
    };
    let image = target(&send(0, "bgr8; jpeg compressed bgr8", &picture));
    assert_eq!((image.state, image.header), (TargetState::Idle, header(0)));
    let out = send(1, "jpeg", &picture[..picture.len() - 20]);
    assert!(logs(&out)[0].1.contains("jpeg is cut"), "{out:?}");
    target(&send(2, "jpeg", &picture));
}

#[test]
fn a_change_of_size_gives_the_target_up_and_a_change_of_encoding_does_not() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    let grey = Image {
        header: header(1),
        height: 24,
        width: 32,
        encoding: "mono8",
        is_bigendian: false,
        step: 32,
        data: &[1; 24 * 32],
    };
    assert_eq!(
        target(&node.message(1, grey.to_cdr())).state,
        TargetState::Tracking
    );
    let out = node.message(2, raw_message(2, 16, 12, &[1; 16 * 12 * 3]));
    assert_eq!(target(&out).state, TargetState::Idle);
    assert!(
        logs(&out)[0].1.contains("from 32x24 to 16x12 pixels"),
        "{out:?}"
    );
}

#[test]
fn a_failing_tracker_is_said_and_the_target_counts_as_lost() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    let out = node.frame_of(1, 255);
    let failed = target(&out);
    assert_eq!((failed.state, failed.confidence), (TargetState::Lost, 0.0));
    assert!(matches!(&logs(&out)[..], [(Level::Error, _)]), "{out:?}");
    assert_eq!(target(&node.frame(2)).state, TargetState::Tracking);
    assert_eq!(
        node.diagnostics(1.0).unwrap().value("tracking errors"),
        Some("1")
    );
}

#[test]
fn disabled_it_looks_at_nothing() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    assert!(
        node.core
            .enable(false, &mut node.out)
            .starts_with("disabled")
    );
    assert_eq!(
        target(&std::mem::take(&mut node.out)).state,
        TargetState::Idle
    );
    assert!(
        node.core
            .enable(false, &mut node.out)
            .starts_with("was disabled")
    );
    node.calls();
    assert!(node.frame(1).is_empty());
    let out = node.roi(ROI);
    assert!(logs(&out)[0].1.contains("disabled"), "{out:?}");
    assert!(node.calls().is_empty());
    assert_eq!(node.diagnostics(1.0).unwrap().message, "disabled");
    assert_eq!(node.core.enable(true, &mut node.out), "enabled");
    assert_eq!(
        target(&node.frame(2)).state,
        TargetState::Idle,
        "an old target does not come back"
    );
}

#[test]
fn parameters_change_live_or_are_refused() {
    let mut node = Bench::new();
    let mut set = |name: &str, value: Value| node.core.set_parameter(name, &value, &mut node.out);
    set("search_scale", Value::Integer(2)).unwrap();
    set("confidence_threshold", Value::Float(0.5)).unwrap();
    set("class_id", Value::Text("boat".into())).unwrap();
    set("lost_after_frames", Value::Integer(7)).unwrap();
    assert!(matches!(
        set("search_scale", Value::Float(99.0)),
        Err(ParameterError::Range { .. })
    ));
    assert!(matches!(
        set("image_queue_depth", Value::Integer(3)),
        Err(ParameterError::StartOnly { .. })
    ));
    set("image_queue_depth", Value::Integer(5)).unwrap();
    assert!(matches!(
        set("confidence_threshold", Value::Float(0.99)),
        Err(ParameterError::Tracker(_))
    ));
    assert_eq!(
        node.core.parameters().confidence_threshold,
        0.5,
        "the refused value was not taken"
    );
    let calls = node.calls();
    assert_eq!(
        calls.len(),
        3,
        "the class is nothing to the tracker: {calls:?}"
    );
    let Call::Configure(last) = &calls[2] else {
        panic!("{calls:?}")
    };
    assert_eq!(
        (last.search_scale, last.confidence_threshold),
        (2.0, Some(0.5))
    );
    assert_eq!(
        (last.lost_after_frames, last.recovery_threshold),
        (Some(7), None)
    );
}

#[test]
fn several_parameters_are_set_together_or_not_at_all() {
    let mut node = Bench::new();
    let model = ("model_path", Value::Text("models/other".into()));
    let wider = ("search_scale", Value::Integer(2));
    let too_wide = ("search_scale", Value::Float(40.0));
    let before = node.core.parameters().clone();
    let refused = node
        .core
        .set_parameters(&[model.clone(), wider.clone(), too_wide], &mut node.out)
        .unwrap_err();
    assert!(refused.to_string().contains("search_scale"), "{refused}");
    assert_eq!(*node.core.parameters(), before);
    assert_eq!(
        node.out,
        [],
        "neither the new model is loaded nor the old one anew"
    );
    let settings = |calls: Vec<Call>| match calls.last() {
        Some(Call::Configure(settings)) => settings.search_scale,
        other => panic!("{other:?}"),
    };
    assert_eq!(settings(node.calls()), before.search_scale);

    node.core
        .set_parameters(&[model.clone(), wider], &mut node.out)
        .unwrap();
    // Others are told what holds: a whole number that was sent is a floating-point one here.
    let told = Output::ParametersSet(vec![
        (model.0.into(), model.1),
        ("search_scale".into(), Value::Float(2.0)),
    ]);
    assert_eq!(node.out, [Output::LoadModel, told]);
    assert_eq!(settings(node.calls()), 2.0);
}

#[test]
fn another_model_is_loaded_aside_and_takes_the_target_over() {
    let mut node = Bench::new();
    node.frame(0);
    node.roi(ROI);
    node.frame(1);
    node.core
        .set_parameter(
            "model_path",
            &Value::Text("models/other".into()),
            &mut node.out,
        )
        .unwrap();
    assert_eq!(std::mem::take(&mut node.out), [Output::LoadModel]);

    // A model that cannot be loaded: the old one goes on, and the parameter says so.
    node.core
        .refuse_model("models/other: no such folder", &mut node.out);
    let out = std::mem::take(&mut node.out);
    assert!(logs(&out)[0].1.contains("test stays in use"));
    let back = (
        "model_path".to_owned(),
        Value::Text(Parameters::default().model_path),
    );
    assert!(
        matches!(&out[0], Output::ParametersSet(set) if set.contains(&back)),
        "{out:?}"
    );
    assert_eq!(
        node.core.parameters().model_path,
        Parameters::default().model_path
    );
    assert_eq!(target(&node.frame(2)).state, TargetState::Tracking);

    node.core
        .set_parameter(
            "model_path",
            &Value::Text("models/other".into()),
            &mut node.out,
        )
        .unwrap();
    node.out.clear();
    let calls = node.replace_model();
    let taken = target(&std::mem::take(&mut node.out));
    assert_eq!(
        (taken.state, taken.target_id.as_str(), taken.header),
        (TargetState::Tracking, "1", header(2))
    );
    let calls = calls.lock().unwrap().clone();
    assert_eq!(
        calls[1],
        Call::Initialize(BoundingBox::new(6.0, 6.0, 8.0, 4.0), 2)
    );
    assert_eq!(node.diagnostics(1.0).unwrap().value("model"), Some("other"));
}

/// As under load: while the model was loaded, images were overtaken.
#[test]
fn another_model_takes_the_target_over_in_the_image_that_its_box_is_of() {
    let expected = Call::Initialize(BoundingBox::new(5.0, 6.0, 8.0, 4.0), 1);
    for bytes in [
        raw_message(3, 32, 24, &vec![3; 32 * 24 * 3]),
        raw_message(3, 64, 48, &vec![3; 64 * 48 * 3]),
    ] {
        let mut node = Bench::new();
        node.frame(0);
        node.roi(ROI);
        node.frame(1);
        node.overtaken(2);
        node.overtaken_message(3, bytes);
        node.core.newer_waits(true);
        let calls = node.replace_model();
        assert_eq!(target(&node.settle()).header, header(1));
        assert_eq!(calls.lock().unwrap()[1], expected);
        let next = target(&node.frame(4));
        assert_eq!(
            (next.state, next.target_id.as_str()),
            (TargetState::Tracking, "1")
        );
    }
    // Images of the same source that has begun anew: the image of the box is gone, the next one must do.
    let mut node = Bench::new();
    node.frame(5);
    node.roi(ROI);
    node.overtaken(0);
    let calls = node.replace_model();
    assert_eq!(logs(&node.settle()).len(), 1, "said, and nothing answered");
    target(&node.frame(1));
    assert!(matches!(
        calls.lock().unwrap()[1..],
        [Call::Initialize(_, 1)]
    ));
}

#[test]
fn diagnostics_tell_state_rate_and_times() {
    let mut node = Bench::new();
    node.clock.running.set(Some(Duration::ZERO));
    assert!(node.diagnostics(0.5).is_none(), "once a period");
    let silent = node.diagnostics(0.5).unwrap();
    assert_eq!(
        (silent.level, silent.message.as_str()),
        (DiagnosticLevel::Warn, "no images")
    );
    assert_eq!(silent.value("bearing"), Some("none: no camera_info"));
    node.roi(ROI);
    let start = node.clock.now.get();
    for index in 20..30 {
        node.frame(index);
    }
    node.clock.now.set(start + 1_000_000_000);
    let status = node.diagnostics(0.0).unwrap();
    assert_eq!(
        (status.level, status.message.as_str()),
        (DiagnosticLevel::Ok, "tracking")
    );
    assert_eq!(status.name, "tracker: tracker");
    assert_eq!(status.hardware_id, "camera_optical");
    for (key, value) in [
        ("state", "TRACKING"),
        ("rate (Hz)", "10.00"),
        ("latency p50 (ms)", "5.00"),
        ("latency max (ms)", "5.00"),
        ("image size", "32x24"),
        ("model", "test"),
    ] {
        let got = status.value(key).unwrap();
        assert!(
            got == value || key.starts_with("latency") && got.starts_with("5.0"),
            "{key}: {got}"
        );
    }
    node.frame_of(31, 210);
    node.clock.now.set(start + 2_000_000_000);
    let status = node.diagnostics(0.0).unwrap();
    assert_eq!(
        (status.level, status.message.as_str()),
        (DiagnosticLevel::Warn, "target lost")
    );
    // A camera slower than the reports are is no silent one.
    let status = node.diagnostics(1.0).unwrap();
    assert_eq!(status.message, "target lost");
    let status = node.diagnostics(3.0).unwrap();
    assert_eq!(status.message, "no images");
    node.message(32, vec![]);
    let status = node.diagnostics(5.0).unwrap();
    assert_eq!(status.level, DiagnosticLevel::Error, "{}", status.message);
}

#[test]
fn silence_is_said_once_until_images_come_again() {
    let mut node = Bench::new();
    let silences = |node: &mut Bench, seconds: f64| {
        node.clock
            .now
            .set(node.clock.now.get() + (seconds * 1e9) as i64);
        node.core.tick(&node.clock, &mut node.out);
        std::mem::take(&mut node.out)
            .into_iter()
            .filter(|output| matches!(output, Output::NoImages(_)))
            .count()
    };
    assert_eq!(silences(&mut node, 2.9), 0);
    assert_eq!(silences(&mut node, 0.2), 1);
    assert_eq!(silences(&mut node, 10.0), 0);
    node.frame(200);
    assert_eq!(silences(&mut node, 1.0), 0);
    assert_eq!(silences(&mut node, 3.0), 1);
    node.frame(300);
    // Images that are refused, or not looked at, are no silence.
    for enabled in [true, false] {
        node.core.enable(enabled, &mut node.out);
        for _ in 0..5 {
            assert_eq!(silences(&mut node, 1.0), 0);
            node.core.on_image(
                ImageMessage::Cdr {
                    transport: Transport::Raw,
                    bytes: Vec::new(),
                },
                &node.clock,
                &mut node.out,
            );
        }
    }
    node.core.enable(true, &mut node.out);
    assert_eq!(silences(&mut node, 1.0), 0);
    node.core
        .set_parameter("no_image_timeout", &Value::Integer(0), &mut node.out)
        .unwrap();
    assert_eq!(silences(&mut node, 100.0), 0);
}

#[test]
fn the_overlay_shows_the_newest_answered_image_once() {
    let mut node = Bench::new();
    let drawn = |node: &mut Bench| {
        node.core.draw_overlay(&mut node.out);
        std::mem::take(&mut node.out)
    };
    assert_eq!(drawn(&mut node), [], "no image yet");
    node.frame(0);
    node.roi(ROI);
    node.frame(1);
    let out = drawn(&mut node);
    let [
        Output::Overlay {
            header: shown,
            width: 32,
            height: 24,
            data,
        },
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!((shown, data.len()), (&header(1), 32 * 24 * 3));
    assert!(data.iter().any(|value| *value != 1), "the box is drawn");
    assert_eq!(drawn(&mut node), [], "no new image");
    // An image that was overtaken is none that was answered.
    node.overtaken(2);
    node.core.stop(&mut node.out);
    node.out.clear();
    assert!(
        matches!(&drawn(&mut node)[..], [Output::Overlay { header: shown, .. }] if *shown == header(1))
    );
    node.core
        .set_parameter("publish_overlay", &Value::Bool(false), &mut node.out)
        .unwrap();
    node.frame(3);
    assert_eq!(drawn(&mut node), [], "switched off");
}

#[test]
fn a_calibrated_camera_gives_the_bearing() {
    let mut node = Bench::new();
    let camera = CameraInfo {
        width: 32,
        height: 24,
        k: [10.0, 0.0, 15.5, 0.0, 10.0, 11.5, 0.0, 0.0, 1.0],
        ..CameraInfo::default()
    };
    node.core
        .on_camera_info(&camera.to_cdr(), &node.clock, &mut node.out);
    assert_eq!(target(&node.frame(0)).bearing, None, "idle");
    // Centre (26, 12): 10 pixels right of the principal point at a focal length of 10.
    let out = node.roi(RegionOfInterest {
        x_offset: 22,
        y_offset: 8,
        width: 8,
        height: 8,
        do_rectify: false,
    });
    let [x, y, z] = target(&out).bearing.unwrap();
    let half = 0.5_f64.sqrt();
    assert!(
        (x - half).abs() < 1e-12 && y.abs() < 1e-12 && (z - half).abs() < 1e-12,
        "{x} {y} {z}"
    );
    let status = node.diagnostics(1.0).unwrap();
    assert_eq!(status.value("bearing"), Some("given"));
    // Of a lens that is not known nothing is said.
    let unknown = CameraInfo {
        distortion_model: "fisheye of my own".into(),
        d: vec![0.1],
        ..camera.clone()
    };
    node.core
        .on_camera_info(&unknown.to_cdr(), &node.clock, &mut node.out);
    let reason = node.diagnostics(1.0).unwrap();
    let reason = reason.value("bearing").unwrap();
    assert!(reason.contains("unknown distortion model"), "{reason}");
    // For images of another size it would point elsewhere.
    let other = CameraInfo {
        width: 64,
        height: 48,
        ..camera
    };
    node.core
        .on_camera_info(&other.to_cdr(), &node.clock, &mut node.out);
    let out = node.frame(1);
    assert_eq!(target(&out).bearing, None);
    let [(Level::Warn, line)] = &logs(&out)[..] else {
        panic!("{out:?}")
    };
    assert!(
        line.contains("images of 32x24") && line.contains("64x48"),
        "{line}"
    );
    assert!(logs(&node.frame(2)).is_empty(), "said once");
}
