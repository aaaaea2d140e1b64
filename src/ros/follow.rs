//! Runs the follower on a ROS 2 graph. It subscribes to `tracked_target` and `camera_info`, and publishes `cmd_vel` and
//! `target_pose`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem::discriminant;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ettrack::error_chain;
use futures::executor::LocalPool;
use futures::future;
use futures::stream::StreamExt;
use futures::task::LocalSpawnExt;
use r2r::rcl_interfaces::msg::ParameterEvent;
use r2r::{Publisher, PublisherUntyped, QosProfile};

use super::log::Log;
use super::parameters::{AskHolder, Holder, event};
use super::{Doing, Ended, NodeError, RosClock, follow_simulated_time, join, parameters};
use crate::follow::{Follower, Idle, Settings, Velocity};
use crate::log::Limiter;
use crate::parameters::{ParameterError, ParameterSet as _, Value};
use crate::{Clock, Level};
use ettrack_message::{
    CameraInfo, FromCdr, Header, Message, PoseStamped, Stamp, ToCdr, TrackedTarget, Twist,
    TwistStamped,
};

/// The node's name, unless a remapping changes it.
const NAME: &str = "follower";
/// Largest number of answers that wait between two spins. A tracker does not publish faster.
const MOST_WAITING: usize = 16;

/// Runs the follower until `stop` is set. Its last command is a velocity of zero.
///
/// # Errors
/// [`NodeError`] if the follower cannot join the ROS 2 graph, where its log is. Later failures are logged and give
/// [`Ended::Failed`].
pub fn follow(stop: &AtomicBool) -> Result<Ended, NodeError> {
    let context = join()?;
    let mut node = r2r::Node::create(context, NAME, "").doing("cannot create the node")?;
    let log = Arc::new(Log::new(&mut node)?);
    let outcome = run(&mut node, &log, stop);
    Ok(Ended::logged(outcome, &log))
}

fn run(node: &mut r2r::Node, log: &Log, stop: &AtomicBool) -> Result<(), NodeError> {
    let (settings, use_sim_time) = parameters::at_start::<Settings>(node, log)?;
    if use_sim_time {
        follow_simulated_time(node)?;
    }
    let clock = RosClock {
        ros: node.get_ros_clock(),
        started: Instant::now(),
    };
    let commands = Commands::new(node, &settings)?;
    let poses = node
        .create_publisher_untyped(
            "target_pose",
            PoseStamped::TYPE,
            QosProfile::default().keep_last(1),
        )
        .doing("cannot publish target_pose")?;
    let answers = node
        .subscribe_raw(
            "tracked_target",
            TrackedTarget::TYPE,
            QosProfile::default().keep_last(10),
        )
        .doing("cannot subscribe to tracked_target")?;
    let waiting = Rc::new(RefCell::new(VecDeque::new()));
    let mut pool = LocalPool::new();
    let filled = Rc::clone(&waiting);
    pool.spawner().spawn_local(answers.for_each(move |bytes| {
        let mut waiting = filled.borrow_mut();
        waiting.push_back(bytes);
        if waiting.len() > MOST_WAITING {
            waiting.pop_front();
        }
        future::ready(())
    }))?;
    let calibrations = node
        .subscribe_raw(
            "camera_info",
            CameraInfo::TYPE,
            QosProfile::sensor_data().keep_last(1),
        )
        .doing("cannot subscribe to camera_info")?;
    let follower = Rc::new(RefCell::new(Follower::new(settings)));
    let calibrated = Rc::clone(&follower);
    pool.spawner()
        .spawn_local(calibrations.for_each(move |bytes: Vec<u8>| {
            // A malformed message changes nothing. The tracker reports it.
            if let Ok(camera) = CameraInfo::from_cdr(&bytes) {
                calibrated.borrow_mut().on_camera_info(camera);
            }
            future::ready(())
        }))?;
    let clock = Rc::new(clock);
    let owner = Owner {
        follower: Rc::clone(&follower),
        events: Rc::new(
            node.create_publisher("/parameter_events", QosProfile::parameter_events())
                .doing("cannot publish /parameter_events")?,
        ),
        name: node
            .fully_qualified_name()
            .doing("cannot tell the node's name")?,
        clock: Rc::clone(&clock),
    };
    parameters::serve::<Settings>(node, &pool.spawner(), &owner, use_sim_time)?;
    log.say(Level::Info, "waiting for a target on tracked_target");

    let mut report = Report::default();
    let mut bad = Limiter::default();
    let mut due = clock.started.elapsed();
    while !stop.load(Ordering::Relaxed) {
        node.spin_once(due.saturating_sub(clock.started.elapsed()));
        pool.run_until_stalled();
        for bytes in waiting.borrow_mut().drain(..) {
            let bytes: Vec<u8> = bytes;
            match TrackedTarget::from_cdr(&bytes) {
                Ok(target) => {
                    let mut follower = follower.borrow_mut();
                    follower.on_target(&target, clock.now(), clock.started.elapsed());
                    if let Some(pose) = follower.place(&target)
                        && let Err(error) = poses.publish_raw(&pose.to_cdr())
                    {
                        log.say(
                            Level::Error,
                            &format!("cannot publish: {}", error_chain(&error)),
                        );
                    }
                }
                Err(error) => {
                    let line = || format!("message on tracked_target refused: {error}");
                    if let Some(line) = bad.pass(clock.steady(), line) {
                        log.say(Level::Warn, &line);
                    }
                }
            }
        }
        let now = clock.started.elapsed();
        if now >= due {
            let mut follower = follower.borrow_mut();
            // Skips missed ticks.
            due = (due + Duration::from_secs_f64(1.0 / follower.settings().rate)).max(now);
            let (velocity, idle) = follower.tick(now);
            commands.publish(velocity, &clock, log);
            report.idle(idle, log);
        }
    }
    commands.publish(Velocity::default(), &clock, log);
    Ok(())
}

/// Owns the follower's parameters and answers immediately.
#[derive(Clone)]
struct Owner {
    follower: Rc<RefCell<Follower>>,
    events: Rc<Publisher<ParameterEvent>>,
    name: String,
    clock: Rc<RosClock>,
}

impl AskHolder for Owner {
    fn ask(&self, question: Box<dyn FnOnce(&mut dyn Holder) + Send>) {
        question(&mut self.clone());
    }
}

impl Holder for Owner {
    fn get(&self, name: &str) -> Option<Value> {
        self.follower.borrow().settings().get(name)
    }

    fn set(&mut self, changes: &[(&str, Value)]) -> Result<(), ParameterError> {
        self.follower.borrow_mut().set(changes)?;
        let set = changes
            .iter()
            .filter_map(|(name, _)| Some(((*name).to_owned(), self.get(name)?)))
            .collect();
        // The event is information only, so an error is ignored.
        let _ = self
            .events
            .publish(&event(&self.name, self.clock.now(), set));
        Ok(())
    }
}

/// Publisher of commands, with or without a stamp.
struct Commands {
    publisher: PublisherUntyped,
    is_stamped: bool,
    frame_id: String,
}

impl Commands {
    fn new(node: &mut r2r::Node, settings: &Settings) -> Result<Self, NodeError> {
        let kind = if settings.stamped {
            TwistStamped::TYPE
        } else {
            Twist::TYPE
        };
        let publisher = node
            .create_publisher_untyped("cmd_vel", kind, QosProfile::default().keep_last(1))
            .doing("cannot publish cmd_vel")?;
        Ok(Self {
            publisher,
            is_stamped: settings.stamped,
            frame_id: settings.frame_id.clone(),
        })
    }

    fn publish(&self, velocity: Velocity, clock: &RosClock, log: &Log) {
        let twist = Twist {
            linear: [velocity.forward, 0.0, velocity.up],
            angular: [0.0, 0.0, velocity.yaw],
        };
        let bytes = if self.is_stamped {
            let header = Header {
                stamp: Stamp::from_nanoseconds(clock.now()),
                frame_id: self.frame_id.clone(),
            };
            TwistStamped { header, twist }.to_cdr()
        } else {
            twist.to_cdr()
        };
        if let Err(error) = self.publisher.publish_raw(&bytes) {
            log.say(
                Level::Error,
                &format!("cannot publish: {}", error_chain(&error)),
            );
        }
    }
}

/// Logs why the follower does not move, each time the reason changes.
#[derive(Default)]
struct Report {
    last: Option<Idle>,
}

impl Report {
    fn idle(&mut self, idle: Option<Idle>, log: &Log) {
        if self.last.as_ref().map(discriminant) == idle.as_ref().map(discriminant) {
            return;
        }
        match &idle {
            None => log.say(Level::Info, "following"),
            Some(reason @ (Idle::NoTarget(_) | Idle::Silence)) => {
                log.say(Level::Info, &format!("standing still: {reason}"));
            }
            Some(reason) => log.say(Level::Warn, &format!("standing still: {reason}")),
        }
        self.last = idle;
    }
}
