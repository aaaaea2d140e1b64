//! The follower on a ROS 2 graph: `tracked_target` in, `cmd_vel` out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem::discriminant;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::executor::LocalPool;
use futures::future;
use futures::stream::StreamExt;
use futures::task::LocalSpawnExt;
use r2r::{PublisherUntyped, QosProfile};

use super::log::Log;
use super::{Doing, NodeError, RosClock, follow_simulated_time, join, parameters};
use crate::follow::{Follower, Idle, Settings, Velocity};
use crate::log::Limiter;
use crate::{Clock, Level};
use ettrack_message::{FromCdr, Header, Message, Stamp, ToCdr, TrackedTarget, Twist, TwistStamped};

/// The node's name where no remapping gives another.
const NAME: &str = "follower";
/// Answers that wait between two spins, at most: what comes faster is no tracker's.
const MOST_WAITING: usize = 16;

/// Runs the follower until `stop` is set. Its last command is to stand still.
///
/// # Errors
/// [`NodeError`], where it cannot start.
pub fn follow(stop: &AtomicBool) -> Result<(), NodeError> {
    let context = join()?;
    let mut node = r2r::Node::create(context, NAME, "").doing("cannot create the node")?;
    let log = Arc::new(Log::new(&mut node)?);
    let outcome = run(&mut node, &log, stop);
    if let Err(error) = &outcome {
        log.say(Level::Error, &error.to_string());
    }
    outcome
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
    log.say(Level::Info, "waiting for a target on tracked_target");

    let period = Duration::from_secs_f64(1.0 / settings.rate);
    let mut follower = Follower::new(settings);
    let mut report = Report::default();
    let mut bad = Limiter::default();
    let mut due = clock.started.elapsed();
    while !stop.load(Ordering::Relaxed) {
        node.spin_once(due.saturating_sub(clock.started.elapsed()));
        pool.run_until_stalled();
        for bytes in waiting.borrow_mut().drain(..) {
            let bytes: Vec<u8> = bytes;
            match TrackedTarget::from_cdr(&bytes) {
                Ok(target) => follower.on_target(&target, clock.now(), clock.started.elapsed()),
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
            // A tick that was missed is not made up for.
            due = (due + period).max(now);
            let (velocity, idle) = follower.tick(now);
            commands.publish(velocity, &clock, log);
            report.idle(idle, log);
        }
    }
    commands.publish(Velocity::default(), &clock, log);
    Ok(())
}

/// The publisher of either kind of command.
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
            log.say(Level::Error, &format!("cannot publish: {error}"));
        }
    }
}

/// Says what keeps the follower from moving, when that changes.
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
