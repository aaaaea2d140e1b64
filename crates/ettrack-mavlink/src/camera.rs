//! The camera component: messages and time in, messages and wishes out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use mavlink::dialects::common::{MESSAGE_INTERVAL_DATA, MavMessage, MavResult, MavState};

use crate::command::{Command, Wish};
use crate::counts::Counts;
use crate::gimbal::{Gimbal, GimbalOptions};
use crate::information::{Facts, Stream, heartbeat};
use crate::numbers::{self, CAMERA_TRACKING_IMAGE_STATUS};
use crate::rates::Rates;
use crate::status::image_status;
use crate::wire::{Ack, Address, Incoming, Outgoing, Received};

/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Between two statuses for who chose a target and asked for no interval.
const USUAL_INTERVAL: Duration = Duration::from_millis(200);

/// So long a choice of the same target by the same sender is the same choice, sent again because its answer was lost. Ground
/// stations try again for some seconds.
const SAME_CHOICE: Duration = Duration::from_secs(10);

/// So long a command may be late and come after one that was sent later.
const LATE: Duration = Duration::from_secs(2);

/// How many messages a sender may have sent meanwhile.
const LATE_MESSAGES: u8 = 32;

/// Between two choices: each takes a run of the network from the frames.
const BETWEEN_CHOICES: Duration = Duration::from_millis(100);

/// So long whoever tracks may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Senders that are remembered.
const MOST_SENDERS: usize = 32;

/// A way to a ground station.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// Position of the connection.
    pub link: usize,
    /// Who is there, where several may be.
    pub peer: Option<SocketAddr>,
}

/// For whom a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Everybody who can be reached.
    All,
    /// Whoever is reached on this way.
    One(Route),
}

/// Whether there is a target, and whether it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetState {
    /// No target.
    #[default]
    Idle,
    /// It is seen.
    Tracking,
    /// It is not seen.
    Lost,
}

/// One answered frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Observation {
    /// Grows with each.
    pub number: u64,
    /// The frame's stamp, nanoseconds: a frame that is answered again has the same one.
    pub stamp: i64,
    /// Width and height of the frame, pixels.
    pub size: (u32, u32),
    /// State of the target.
    pub state: TargetState,
    /// x, y, width, height, pixels of the frame; (0, 0) is the upper-left corner of the upper-left pixel.
    pub bounding_box: Option<[f64; 4]>,
    /// Unit vector to the target in the optical frame (x right, y down, z forward), where the camera is known.
    pub bearing: Option<[f64; 3]>,
}

impl Observation {
    /// Left, top, right and bottom of the box from 0 to 1, as far as it lies in the frame.
    pub fn normalized(&self) -> Option<[f64; 4]> {
        let [x, y, width, height] = self.bounding_box?;
        let (columns, rows) = (f64::from(self.size.0), f64::from(self.size.1));
        let corners = [
            x / columns,
            y / rows,
            (x + width) / columns,
            (y + height) / rows,
        ];
        corners
            .iter()
            .all(|side| side.is_finite())
            .then(|| corners.map(|side| side.clamp(0.0, 1.0)))
    }
}

/// What became of a [`Wish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The target is none that can be followed.
    Refused,
    /// It cannot be done now.
    NotNow,
}

/// What a camera is.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraOptions {
    /// Its number: the vehicle's system, a camera's component.
    pub address: Address,
    /// The video stream that ground stations are told of.
    pub stream: Option<Stream>,
    /// Whether the box is drawn into that stream.
    pub is_rendered: bool,
    /// How much later than it was answered a frame is seen by the pilot.
    pub video_delay: Duration,
    /// Time without a frame after which the source is stalled.
    pub stall: Duration,
    /// The camera's horizontal field of view, degrees.
    pub field_of_view: Option<f64>,
    /// The gimbal that is turned.
    pub gimbal: Option<GimbalOptions>,
}

impl Default for CameraOptions {
    fn default() -> Self {
        Self {
            address: Address {
                system: 1,
                component: 100,
            },
            stream: None,
            is_rendered: false,
            video_delay: Duration::ZERO,
            stall: Duration::from_secs(1),
            field_of_view: None,
            gimbal: None,
        }
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Actions {
    /// Messages to be sent, in this order.
    pub messages: Vec<(To, Outgoing)>,
    /// Wishes to whoever tracks.
    pub wishes: Vec<Wish>,
    /// Lines for the log.
    pub notes: Vec<String>,
}

impl Actions {
    fn send(&mut self, to: To, message: MavMessage) {
        self.messages
            .push((to, Outgoing::Message(Box::new(message))));
    }
}

/// A command that was handed on and not answered yet.
#[derive(Debug)]
struct Pending {
    ticket: u64,
    from: Address,
    route: Route,
    command: Command,
    since: Duration,
}

/// The last command of a sender that steers the tracker.
#[derive(Debug)]
struct Steering {
    command: Command,
    sequence: u8,
    at: Duration,
    /// `None` while it is pending.
    result: Option<MavResult>,
    /// Whether its target is still the one that is followed.
    holds: bool,
}

/// A camera component.
#[derive(Debug)]
pub struct Camera {
    options: CameraOptions,
    counts: Counts,
    /// Where senders were heard last.
    routes: HashMap<Address, (Route, Duration)>,
    rates: Rates,
    gimbal: Option<Gimbal>,
    observation: Option<Observation>,
    observed: Duration,
    pending: Vec<Pending>,
    steering: HashMap<Address, Steering>,
    tickets: u64,
    last_choice: Option<Duration>,
    next_heartbeat: Duration,
    /// Whether the next frame's status goes out at once: the answer to a choice.
    is_urgent: bool,
    was_stalled: bool,
    said_double: bool,
}

impl Camera {
    /// A camera that has seen nothing.
    pub fn new(options: CameraOptions) -> Self {
        Self {
            gimbal: options.gimbal.map(Gimbal::new),
            options,
            counts: Counts::default(),
            routes: HashMap::new(),
            rates: Rates::default(),
            observation: None,
            observed: Duration::ZERO,
            pending: Vec::new(),
            steering: HashMap::new(),
            tickets: 0,
            last_choice: None,
            next_heartbeat: Duration::ZERO,
            is_urgent: false,
            was_stalled: false,
            said_double: false,
        }
    }

    /// What came and went.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// For whoever reads and writes.
    pub fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Its number.
    pub fn address(&self) -> Address {
        self.options.address
    }

    fn is_stalled(&self, now: Duration) -> bool {
        self.observation.is_some() && now > self.observed + self.options.stall
    }

    /// A message that came on a way.
    pub fn receive(&mut self, received: &Received, route: Route, now: Duration, out: &mut Actions) {
        let own = self.options.address;
        if received.from == own {
            self.counts.ignored += 1;
            if !std::mem::replace(&mut self.said_double, true) {
                out.notes.push(format!(
                    "another component sends as {}/{}, this one's number: choose another one for one of them",
                    own.system, own.component
                ));
            }
            return;
        }
        self.remember(received.from, route, now);
        match &received.message {
            Incoming::Command(command) => self.command(received, command, route, now, out),
            Incoming::GimbalManager { device, control } => {
                if let Some(gimbal) = &mut self.gimbal {
                    gimbal.heard(received.from, *device, *control, now);
                }
            }
            Incoming::Other(_) => self.counts.ignored += 1,
        }
    }

    /// The one that was silent longest is forgotten where there are many.
    fn remember(&mut self, sender: Address, route: Route, now: Duration) {
        if self.routes.len() >= MOST_SENDERS && !self.routes.contains_key(&sender) {
            let silent = self.routes.iter().min_by_key(|(_, (_, heard))| *heard);
            if let Some(silent) = silent.map(|(address, _)| *address) {
                self.routes.remove(&silent);
                self.steering.remove(&silent);
            }
        }
        self.routes.insert(sender, (route, now));
    }

    fn command(
        &mut self,
        received: &Received,
        command: &Command,
        route: Route,
        now: Duration,
        out: &mut Actions,
    ) {
        let own = self.options.address;
        let is_for = |wanted: u8, own: u8| wanted == 0 || wanted == own;
        if !is_for(command.to.system, own.system) || !is_for(command.to.component, own.component) {
            self.counts.ignored += 1;
            return;
        }
        let from = received.from;
        let at = out.messages.len();
        let result = match command.number {
            numbers::CAMERA_TRACK_POINT
            | numbers::CAMERA_TRACK_RECTANGLE
            | numbers::CAMERA_STOP_TRACKING => self.steer(received, command, route, now, out),
            numbers::REQUEST_MESSAGE => {
                let result = self.requested(command.parameters[0], route, now, out);
                Some(result)
            }
            numbers::SET_MESSAGE_INTERVAL => Some(self.set_interval(command, from, now)),
            numbers::GET_MESSAGE_INTERVAL => Some(self.get_interval(command, from, route, out)),
            numbers::REQUEST_CAMERA_INFORMATION => {
                Some(self.old_request(command, numbers::CAMERA_INFORMATION, route, now, out))
            }
            numbers::REQUEST_CAMERA_SETTINGS => {
                Some(self.old_request(command, numbers::CAMERA_SETTINGS, route, now, out))
            }
            numbers::REQUEST_STORAGE_INFORMATION => {
                // The first parameter is the storage's number, the second one asks.
                Some(self.requested(numbers::STORAGE_INFORMATION as f32, route, now, out))
            }
            numbers::REQUEST_CAMERA_CAPTURE_STATUS => {
                Some(self.old_request(command, numbers::CAMERA_CAPTURE_STATUS, route, now, out))
            }
            numbers::REQUEST_VIDEO_STREAM_INFORMATION => {
                // The first parameter is the stream's number, 0 for all.
                Some(self.requested(numbers::VIDEO_STREAM_INFORMATION as f32, route, now, out))
            }
            numbers::REQUEST_VIDEO_STREAM_STATUS => {
                Some(self.requested(numbers::VIDEO_STREAM_STATUS as f32, route, now, out))
            }
            // What is for all components is another one's business.
            _ if command.to.component == 0 => {
                self.counts.ignored += 1;
                None
            }
            _ => Some(MavResult::MAV_RESULT_UNSUPPORTED),
        };
        if let Some(result) = result {
            self.acknowledge(command.number, result, from, route, out);
            // It goes before the message that was asked for.
            out.messages[at..].rotate_right(1);
        }
    }

    fn acknowledge(
        &mut self,
        command: u16,
        result: MavResult,
        to: Address,
        route: Route,
        out: &mut Actions,
    ) {
        if result == MavResult::MAV_RESULT_ACCEPTED {
            self.counts.accepted += 1;
        } else {
            self.counts.refused += 1;
        }
        out.messages.push((
            To::One(route),
            Outgoing::Ack(Ack {
                command,
                result,
                to,
            }),
        ));
    }

    /// The message with this number as it is now, where this camera has it.
    fn message(&self, number: u32, now: Duration) -> Option<MavMessage> {
        let facts = Facts {
            now,
            size: self.observation.map_or((0, 0), |seen| seen.size),
            stream: self.options.stream.as_ref(),
            field_of_view: self.options.field_of_view,
        };
        match number {
            numbers::HEARTBEAT => Some(heartbeat(self.state(now))),
            numbers::CAMERA_INFORMATION => Some(facts.camera()),
            numbers::CAMERA_SETTINGS => Some(facts.settings()),
            numbers::STORAGE_INFORMATION => Some(facts.storage()),
            numbers::CAMERA_CAPTURE_STATUS => Some(facts.capture()),
            numbers::VIDEO_STREAM_INFORMATION => facts.stream_information(),
            numbers::VIDEO_STREAM_STATUS => facts.stream_status(),
            CAMERA_TRACKING_IMAGE_STATUS => Some(image_status(
                self.observation.as_ref(),
                self.is_stalled(now),
                self.options.is_rendered,
            )),
            _ => None,
        }
    }

    fn state(&self, now: Duration) -> MavState {
        if self.observation.is_none() {
            MavState::MAV_STATE_STANDBY
        } else if self.is_stalled(now) {
            MavState::MAV_STATE_CRITICAL
        } else {
            MavState::MAV_STATE_ACTIVE
        }
    }

    fn requested(
        &mut self,
        number: f32,
        route: Route,
        now: Duration,
        out: &mut Actions,
    ) -> MavResult {
        let Some(number) = whole(number) else {
            return MavResult::MAV_RESULT_DENIED;
        };
        let Some(message) = self.message(number, now) else {
            return MavResult::MAV_RESULT_UNSUPPORTED;
        };
        out.send(To::One(route), message);
        MavResult::MAV_RESULT_ACCEPTED
    }

    /// The first parameter of these commands asks for the message where it is 1.
    fn old_request(
        &mut self,
        command: &Command,
        number: u32,
        route: Route,
        now: Duration,
        out: &mut Actions,
    ) -> MavResult {
        if command.parameters[0] == 0.0 {
            MavResult::MAV_RESULT_ACCEPTED
        } else if command.parameters[0] == 1.0 {
            self.requested(number as f32, route, now, out)
        } else {
            MavResult::MAV_RESULT_DENIED
        }
    }

    /// -1: no longer; 0: as is usual; else microseconds.
    fn set_interval(&mut self, command: &Command, from: Address, now: Duration) -> MavResult {
        let [number, interval, ..] = command.parameters;
        let Some(number) = whole(number) else {
            return MavResult::MAV_RESULT_DENIED;
        };
        if self.message(number, now).is_none() {
            return MavResult::MAV_RESULT_UNSUPPORTED;
        }
        let is_usual = interval == 0.0;
        // Ground stations count a camera as gone without its heartbeat.
        if number == numbers::HEARTBEAT && !is_usual {
            return MavResult::MAV_RESULT_DENIED;
        }
        let interval = if interval == -1.0 {
            None
        } else if is_usual {
            (number == CAMERA_TRACKING_IMAGE_STATUS).then_some(USUAL_INTERVAL)
        } else if interval > 0.0 && interval.is_finite() {
            Some(Duration::from_micros(interval as u64))
        } else {
            return MavResult::MAV_RESULT_DENIED;
        };
        self.rates.set(from, number, interval, now);
        MavResult::MAV_RESULT_ACCEPTED
    }

    fn get_interval(
        &self,
        command: &Command,
        from: Address,
        route: Route,
        out: &mut Actions,
    ) -> MavResult {
        let Some(number) = whole(command.parameters[0]) else {
            return MavResult::MAV_RESULT_DENIED;
        };
        let Ok(message_id) = u16::try_from(number) else {
            return MavResult::MAV_RESULT_UNSUPPORTED;
        };
        let interval = if number == numbers::HEARTBEAT {
            Some(HEARTBEAT)
        } else {
            self.rates.of(from, number)
        };
        let interval_us = interval.map_or(-1, |interval| {
            i32::try_from(interval.as_micros()).unwrap_or(i32::MAX)
        });
        out.send(
            To::One(route),
            MavMessage::MESSAGE_INTERVAL(MESSAGE_INTERVAL_DATA {
                interval_us,
                message_id,
            }),
        );
        MavResult::MAV_RESULT_ACCEPTED
    }

    /// A target or none. `None` where the answer comes later, or nobody waits for one.
    fn steer(
        &mut self,
        received: &Received,
        command: &Command,
        route: Route,
        now: Duration,
        out: &mut Actions,
    ) -> Option<MavResult> {
        let (from, sequence) = (received.from, received.sequence);
        let own = self.options.address.component;
        let camera = command.camera();
        if !camera.is_nan() && camera != 0.0 && camera != f32::from(own) {
            // Where it was sent to all components, it was meant for another one.
            let is_named = command.to.component == own;
            return is_named.then_some(MavResult::MAV_RESULT_DENIED);
        }
        let is_choice = command.number != numbers::CAMERA_STOP_TRACKING;
        if let Some(last) = self.steering.get(&from) {
            let age = now.saturating_sub(last.at);
            let is_same_packet = last.sequence == sequence;
            let is_tried_again = is_choice && last.holds && self.follows() && !self.is_stalled(now);
            if age < SAME_CHOICE
                && command.repeats(&last.command)
                && (is_same_packet || last.result.is_none() || is_tried_again)
            {
                self.counts.repeated += 1;
                return last.result;
            }
            let later = last.sequence.wrapping_sub(sequence);
            if age < LATE && (1..=LATE_MESSAGES).contains(&later) {
                return Some(MavResult::MAV_RESULT_TEMPORARILY_REJECTED);
            }
        }
        if is_choice {
            if let Err(result) = self.may_choose(command, now, out) {
                return Some(result);
            }
        } else if self.pending.iter().any(|pending| pending.from == from) {
            // What was chosen before is overruled: its answer is no longer waited for.
            self.drop_pending(from, out);
        }
        self.tickets += 1;
        let ticket = self.tickets;
        let wish = match command.place() {
            Ok(place) if is_choice => Wish::Choose {
                ticket,
                place,
                seen: now.saturating_sub(self.options.video_delay),
            },
            _ => Wish::Stop { ticket },
        };
        if is_choice {
            self.last_choice = Some(now);
        }
        // Whatever others chose before no longer holds.
        for steering in self.steering.values_mut() {
            steering.holds = false;
        }
        self.steering.insert(
            from,
            Steering {
                command: *command,
                sequence,
                at: now,
                result: None,
                holds: is_choice,
            },
        );
        self.pending.push(Pending {
            ticket,
            from,
            route,
            command: *command,
            since: now,
        });
        out.wishes.push(wish);
        None
    }

    /// Whether a target is followed and seen, or was just taken.
    fn follows(&self) -> bool {
        self.is_urgent
            || self
                .observation
                .is_some_and(|seen| seen.state == TargetState::Tracking)
    }

    fn may_choose(
        &self,
        command: &Command,
        now: Duration,
        out: &mut Actions,
    ) -> Result<(), MavResult> {
        if let Err(error) = command.place() {
            out.notes.push(format!("target refused: {error}"));
            return Err(MavResult::MAV_RESULT_DENIED);
        }
        let is_early = self
            .last_choice
            .is_some_and(|last| now < last + BETWEEN_CHOICES);
        let is_busy = !self.pending.is_empty();
        if self.observation.is_none() || self.is_stalled(now) || is_early || is_busy {
            return Err(MavResult::MAV_RESULT_TEMPORARILY_REJECTED);
        }
        Ok(())
    }

    fn drop_pending(&mut self, from: Address, out: &mut Actions) {
        let (dropped, kept) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending: &Pending| pending.from == from);
        self.pending = kept;
        let dropped: Vec<Pending> = dropped;
        for pending in dropped {
            self.conclude(&pending, MavResult::MAV_RESULT_TEMPORARILY_REJECTED, out);
        }
    }

    fn conclude(&mut self, pending: &Pending, result: MavResult, out: &mut Actions) {
        if let Some(steering) = self.steering.get_mut(&pending.from)
            && steering.command.repeats(&pending.command)
        {
            steering.result = Some(result);
            steering.holds &= result == MavResult::MAV_RESULT_ACCEPTED;
        }
        self.acknowledge(
            pending.command.number,
            result,
            pending.from,
            pending.route,
            out,
        );
    }

    /// What became of a wish.
    pub fn answered(&mut self, ticket: u64, outcome: Outcome, now: Duration, out: &mut Actions) {
        let Some(position) = self
            .pending
            .iter()
            .position(|pending| pending.ticket == ticket)
        else {
            return;
        };
        let pending = self.pending.remove(position);
        let result = match outcome {
            Outcome::Done => MavResult::MAV_RESULT_ACCEPTED,
            Outcome::Refused => MavResult::MAV_RESULT_DENIED,
            Outcome::NotNow => MavResult::MAV_RESULT_TEMPORARILY_REJECTED,
        };
        self.conclude(&pending, result, out);
        if outcome != Outcome::Done {
            return;
        }
        self.is_urgent = true;
        let is_choice = pending.command.number != numbers::CAMERA_STOP_TRACKING;
        if is_choice
            && self
                .rates
                .of(pending.from, CAMERA_TRACKING_IMAGE_STATUS)
                .is_none()
        {
            self.rates.set(
                pending.from,
                CAMERA_TRACKING_IMAGE_STATUS,
                Some(USUAL_INTERVAL),
                now,
            );
        }
        out.notes.push(format!(
            "{} by {}/{}, answered after {:.1} ms",
            if is_choice {
                "target chosen"
            } else {
                "target given up"
            },
            pending.from.system,
            pending.from.component,
            now.saturating_sub(pending.since).as_secs_f64() * 1e3
        ));
    }

    /// An answered frame.
    pub fn observe(&mut self, observation: Observation, now: Duration, out: &mut Actions) {
        let last = self.observation.replace(observation);
        // A frame that is answered again, because a target was given up in it, is no new one.
        if last.is_none_or(|last| last.stamp != observation.stamp) {
            self.observed = now;
        }
        let is_urgent = std::mem::take(&mut self.is_urgent);
        self.send_due(now, true, is_urgent, out);
        self.turn_gimbal(now, out);
    }

    /// The newest frame is still the newest one: its source is held on purpose.
    pub fn hold(&mut self, now: Duration) {
        self.observed = now;
    }

    /// Does what is due by the clock.
    pub fn tick(&mut self, now: Duration, out: &mut Actions) {
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + HEARTBEAT;
            out.send(To::All, heartbeat(self.state(now)));
        }
        let is_stalled = self.is_stalled(now);
        if is_stalled != std::mem::replace(&mut self.was_stalled, is_stalled) {
            out.notes.push(if is_stalled {
                "no frames come: the source has stalled".into()
            } else {
                "frames come again".into()
            });
        }
        let is_overdue = |pending: &Pending| now > pending.since + PATIENCE;
        while let Some(position) = self.pending.iter().position(is_overdue) {
            let pending = self.pending.remove(position);
            self.conclude(&pending, MavResult::MAV_RESULT_TEMPORARILY_REJECTED, out);
        }
        self.send_due(now, false, false, out);
        self.turn_gimbal(now, out);
    }

    /// When [`Camera::tick`] is to be called at the latest.
    pub fn next(&self) -> Duration {
        let gimbal = self.gimbal.as_ref().and_then(Gimbal::next);
        [Some(self.next_heartbeat), self.rates.next(), gimbal]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.next_heartbeat)
    }

    fn send_due(&mut self, now: Duration, frame_came: bool, is_urgent: bool, out: &mut Actions) {
        let mut due = Vec::new();
        self.rates.take(now, frame_came, is_urgent, |who, message| {
            due.push((who, message));
        });
        // Two who are reached on the same way, as behind an autopilot, hear the same messages.
        let mut sent = Vec::with_capacity(due.len());
        for (who, number) in due {
            let Some((route, _)) = self.routes.get(&who) else {
                continue;
            };
            if sent.contains(&(*route, number)) {
                continue;
            }
            sent.push((*route, number));
            if let Some(message) = self.message(number, now) {
                out.send(To::One(*route), message);
            }
        }
    }

    fn turn_gimbal(&mut self, now: Duration, out: &mut Actions) {
        let is_stalled = self.is_stalled(now);
        let own = self.options.address;
        if let Some(gimbal) = &mut self.gimbal
            && let Some(message) = gimbal.turn(own, self.observation.as_ref(), is_stalled, now)
        {
            out.send(To::All, message);
        }
    }
}

/// A whole number from 0 to 2^24, which a parameter holds exactly.
fn whole(number: f32) -> Option<u32> {
    ((0.0..=16_777_216.0).contains(&number) && number.fract() == 0.0).then_some(number as u32)
}
