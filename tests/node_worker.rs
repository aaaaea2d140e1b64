//! The tracking thread, without a middleware: which image it takes, and how it replaces models.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ettrack::frame::Frame;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{SingleObjectTracker, Track, TrackError, TrackState};
use ettrack_message::{Detection2D, DiagnosticStatus, Stamp, TargetState, ToCdr};
use ettrack_message::{ImageMessage, Transport};
use ettrack_node::inbox::{Inbox, Request, Topic};
use ettrack_node::parameters::{Parameters, Value};
use ettrack_node::worker::{Loader, Sink, no_images_line, work};
use ettrack_node::{Clock, ModelInfo, NodeCore, NodeTracker, Output, TrackerSettings};
use ettrack_testing::messages::*;

/// A tracker that never moves its box and always has a confidence of 0.5. Calls `each_frame` for every frame.
struct Still<W> {
    each_frame: W,
    target: Option<BoundingBox>,
}

impl<W: FnMut()> SingleObjectTracker for Still<W> {
    fn initialize(&mut self, _: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
        self.target = Some(target);
        Ok(())
    }

    fn update(&mut self, _: &Frame<'_>) -> Result<Track, TrackError> {
        (self.each_frame)();
        let target = self.target.ok_or(TrackError::NotInitialized)?;
        Ok(Track::new(target, 0.5, TrackState::Tracking))
    }
}

impl<W: FnMut()> NodeTracker for Still<W> {
    fn configure(&mut self, _: &TrackerSettings) -> Result<(), TrackError> {
        Ok(())
    }
}

struct RunningClock(Instant);

impl Clock for RunningClock {
    fn now(&self) -> i64 {
        stamp(0).as_nanoseconds() + self.0.elapsed().as_nanos() as i64
    }

    fn running(&self) -> Option<Duration> {
        Some(self.0.elapsed())
    }
}

struct Listener {
    outputs: Sender<Output>,
    overlay: bool,
}

impl Sink for Listener {
    fn deliver(&mut self, output: Output) {
        // An error means that the test has ended.
        let _ = self.outputs.send(output);
    }

    fn overlay_wanted(&self) -> bool {
        self.overlay
    }
}

struct Running {
    inbox: Arc<Inbox>,
    outputs: Receiver<Output>,
    worker: JoinHandle<()>,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl Running {
    /// Starts a node that needs the time `delay` for each frame. `before` fills its inbox first.
    fn start(delay: Duration, overlay: bool, loader: Loader, before: impl FnOnce(&Inbox)) -> Self {
        Self::of(move || std::thread::sleep(delay), overlay, loader, before)
    }

    /// Starts a node that calls `each_frame` for every frame.
    fn of(
        each_frame: impl FnMut() + Send + 'static,
        overlay: bool,
        loader: Loader,
        before: impl FnOnce(&Inbox),
    ) -> Self {
        let clock = RunningClock(Instant::now());
        let parameters = Parameters {
            diagnostics_period: 0.1,
            ..Parameters::default()
        };
        let tracker = Box::new(Still {
            each_frame,
            target: None,
        });
        let core = NodeCore::new("tracker", parameters, tracker, model("first"), &clock).unwrap();
        let inbox = Arc::new(Inbox::new(Parameters::default().history_bounds()));
        before(&inbox);
        let (sender, outputs) = channel();
        let shared = Arc::clone(&inbox);
        let worker = std::thread::spawn(move || {
            let mut sink = Listener {
                outputs: sender,
                overlay,
            };
            work(core, &shared, &clock, &loader, &mut sink);
        });
        Self {
            inbox,
            outputs,
            worker,
        }
    }

    /// Returns the next output for which `choose` returns a value.
    fn next<T>(&self, choose: impl Fn(Output) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let output = self.outputs.recv_timeout(left).expect("an output in time");
            if let Some(found) = choose(output) {
                return found;
            }
        }
    }

    fn target(&self) -> (Stamp, TargetState) {
        self.next(|output| match output {
            Output::Target(target) => Some((target.header.stamp, target.state)),
            _ => None,
        })
    }

    fn line(&self, words: &str) -> String {
        self.next(|output| match output {
            Output::Log(_, line) if line.contains(words) => Some(line),
            _ => None,
        })
    }

    fn diagnostics(&self, accept: impl Fn(&DiagnosticStatus) -> bool) -> DiagnosticStatus {
        self.next(|output| match output {
            Output::Diagnostics(mut array) => array.status.pop().filter(|status| accept(status)),
            _ => None,
        })
    }

    fn set(&self, name: &'static str, value: Value) {
        self.inbox.put_request(
            None,
            Box::new(move |core, _, out| core.set_parameter(name, &value, out).unwrap()),
        );
    }

    fn end(self) {
        self.inbox.close();
        self.worker.join().unwrap();
    }
}

fn model(name: &str) -> ModelInfo {
    ModelInfo {
        name: name.into(),
        runtime: "none".into(),
        execution: "cpu, exact (f32)".into(),
    }
}

fn image(index: usize) -> ImageMessage {
    ImageMessage::Cdr {
        transport: Transport::Raw,
        bytes: raw_message(index, 32, 24, &[7; 32 * 24 * 3]),
    }
}

fn no_models() -> Loader {
    Arc::new(|_: &Parameters| Err("there are none".into()))
}

fn choose(inbox: &Inbox) {
    inbox.put_request(
        Some(Topic::Roi),
        Box::new(|core, clock, out| {
            core.choose_target(BoundingBox::new(4.0, 4.0, 8.0, 8.0), clock, out);
        }),
    );
}

#[test]
fn tracks_the_newest_image_and_counts_the_others() {
    let node = Running::start(Duration::ZERO, false, no_models(), |inbox| {
        choose(inbox);
        (0..5).for_each(|index| inbox.put_image(image(index)));
    });
    assert_eq!(node.target(), (stamp(4), TargetState::Tracking));
    let status = node.diagnostics(|status| status.value("frames processed") == Some("1"));
    assert_eq!(status.value("frames dropped"), Some("4"));
    assert_eq!(status.value("frames received"), Some("5"));
    node.end();
}

#[test]
fn applies_a_region_to_the_newest_of_several_images() {
    let node = Running::start(Duration::ZERO, false, no_models(), |inbox| {
        (0..5).for_each(|index| inbox.put_image(image(index)));
        choose(inbox);
    });
    let answer = node.next(|output| match output {
        Output::Target(target) => Some(target),
        _ => None,
    });
    assert_eq!(answer.header.stamp, stamp(4));
    assert_eq!(answer.confidence, 1.0, "chosen there, not followed to it");
    node.end();
}

#[test]
fn answers_requests_and_stops_while_catching_up() {
    let (sender, behind) = channel();
    let node = Running::start(Duration::from_millis(5), false, no_models(), |inbox| {
        (0..30).for_each(|index| inbox.put_image(image(index)));
    });
    assert_eq!(node.target().0, stamp(29));
    let inbox = Arc::clone(&node.inbox);
    node.inbox.put_request(
        None,
        Box::new(move |core, clock, out| {
            let seen = Detection2D {
                header: header(0),
                results: Vec::new(),
                bbox: BoundingBox::new(4.0, 4.0, 8.0, 8.0).into(),
                id: "late".into(),
            };
            core.on_detection(&seen.to_cdr(), clock, out);
            // This request is handled after the first of 29 steps.
            let closing = Arc::clone(&inbox);
            let asked: Request = Box::new(move |core, _, _| {
                sender.send(core.is_behind()).unwrap();
                closing.close();
            });
            inbox.put_request(None, asked);
        }),
    );
    assert!(behind.recv_timeout(PATIENCE).unwrap());
    node.worker.join().unwrap();
    let late =
        |output: &Output| matches!(output, Output::Target(target) if target.target_id == "late");
    assert!(!node.outputs.iter().any(|output| late(&output)));
}

#[test]
fn tracks_no_old_image_under_overload() {
    let ((taken_up, busy), (go_on, gate)) = (channel(), channel());
    // Errors mean that the test has ended.
    let each_frame = move || {
        let _ = taken_up.send(());
        let _ = gate.recv();
    };
    let node = Running::of(each_frame, false, no_models(), |inbox| {
        choose(inbox);
        inbox.put_image(image(0));
    });
    assert_eq!(node.target().0, stamp(0));
    node.inbox.put_image(image(1));
    // Ten images come while one is tracked.
    for newest in (1..150).step_by(10) {
        busy.recv_timeout(PATIENCE).expect("work in time");
        (newest + 1..=newest + 10).for_each(|index| node.inbox.put_image(image(index)));
        go_on.send(()).unwrap();
        assert_eq!(node.target().0, stamp(newest));
    }
    drop(go_on);
    node.end();
}

#[test]
fn publishes_the_overlay_after_the_answer() {
    let node = Running::start(Duration::ZERO, true, no_models(), |inbox| {
        inbox.put_image(image(0));
    });
    node.target();
    node.next(|output| matches!(output, Output::Overlay { .. }).then_some(()));
    node.end();
}

#[test]
fn uses_the_newest_of_the_requested_models() {
    let (release, slow) = channel::<()>();
    let slow = Mutex::new(slow);
    let loader: Loader = Arc::new(move |parameters: &Parameters| {
        let name = parameters.model_path.clone();
        match name.as_str() {
            "slow" => slow.lock().unwrap().recv().unwrap(),
            "bad" => return Err("it is bad".into()),
            _ => {}
        }
        let tracker = Box::new(Still {
            each_frame: || {},
            target: None,
        });
        Ok((tracker as _, model(&name)))
    });
    let node = Running::start(Duration::ZERO, false, loader, |_| {});
    node.set("model_path", Value::Text("slow".into()));
    node.set("model_path", Value::Text("quick".into()));
    release.send(()).unwrap();
    // The slow model is no longer requested when it is loaded. A model that cannot be loaded leaves the old one in use.
    let line = node.line("is in use");
    assert!(line.contains("quick"), "{line}");
    node.set("model_path", Value::Text("bad".into()));
    let line = node.line("it is bad");
    assert!(line.contains("quick stays in use"), "{line}");
    let status = node.diagnostics(|_| true);
    assert_eq!(status.value("model"), Some("quick"));
    node.end();
}

#[test]
fn ends_after_the_model_that_is_being_opened_and_opens_no_other() {
    let (begun, begins) = channel::<String>();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let loader: Loader = Arc::new(move |parameters: &Parameters| {
        begun.send(parameters.model_path.clone()).unwrap();
        // An error means that no further model should be opened. The count then shows it.
        let _ = released.lock().unwrap().recv();
        count.fetch_add(1, Ordering::SeqCst);
        Err("the node has ended".into())
    });
    let node = Running::start(Duration::ZERO, false, loader, |_| {});
    node.set("model_path", Value::Text("one".into()));
    assert_eq!(begins.recv_timeout(PATIENCE).unwrap(), "one");
    node.set("model_path", Value::Text("two".into()));
    node.diagnostics(|_| true);
    node.inbox.close();
    // Long enough for the tracking thread to end its round on a busy machine.
    std::thread::sleep(Duration::from_secs(1));
    assert!(!node.worker.is_finished(), "it waits for the first model");
    release.send(()).unwrap();
    drop(release);
    node.worker.join().unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    assert!(begins.try_recv().is_err(), "the second one was not opened");
}

#[test]
fn a_slow_frame_is_no_time_without_images() {
    let node = Running::start(Duration::from_millis(1500), false, no_models(), |inbox| {
        inbox.put_image(image(0));
        choose(inbox);
        inbox.put_request(
            None,
            Box::new(|core, _, out| {
                core.set_parameter("no_image_timeout", &Value::Float(1.0), out)
                    .unwrap();
            }),
        );
    });
    let answered_or_silent = |output| match output {
        Output::Target(_) => Some(false),
        Output::NoImages(_) => Some(true),
        _ => None,
    };
    for index in 1..4 {
        assert!(!node.next(answered_or_silent), "before image {index}");
        node.inbox.put_image(image(index));
    }
    // Without images it warns.
    while !node.next(answered_or_silent) {}
    node.end();
}

#[test]
fn drops_a_model_when_another_was_requested_since() {
    let (release, slow) = channel::<()>();
    let slow = Mutex::new(slow);
    let loader: Loader = Arc::new(move |parameters: &Parameters| {
        if parameters.model_path == "bad" {
            return Err("it is bad".into());
        }
        slow.lock().unwrap().recv().unwrap();
        let tracker = Box::new(Still {
            each_frame: || {},
            target: None,
        });
        Ok((tracker as _, model(&parameters.model_path)))
    });
    let node = Running::start(Duration::from_millis(500), false, loader, |inbox| {
        inbox.put_image(image(0));
        choose(inbox);
    });
    node.target();
    node.set("model_path", Value::Text("late".into()));
    node.inbox.put_image(image(1));
    // While that image is tracked, another model is requested and then the first one is loaded. Both wait for the same round.
    std::thread::sleep(Duration::from_millis(100));
    node.set("model_path", Value::Text("bad".into()));
    release.send(()).unwrap();
    let line = node.line("model ");
    assert!(
        line.contains("first stays in use") && line.contains("it is bad"),
        "{line}"
    );
    node.end();
}

#[test]
fn the_warning_names_topic_and_publishers() {
    let line = no_images_line(3.0, "/camera/image", "sensor_msgs/msg/Image, reliable", &[]);
    assert!(
        line.contains("/camera/image") && line.contains("nobody"),
        "{line}"
    );
    let publisher = "/camera (sensor_msgs/msg/Image, BestEffort, Volatile)".to_owned();
    let line = no_images_line(
        3.0,
        "/camera/image",
        "sensor_msgs/msg/Image, reliable",
        &[publisher],
    );
    assert!(line.contains("reliable; published by /camera ("), "{line}");
}
