//! The camera component. It takes messages and the time, and returns messages to send and requests ([`Wish`]) to the tracker.

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

/// Interval between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Interval between two tracking statuses to a sender that chose a target and did not set an interval.
const USUAL_INTERVAL: Duration = Duration::from_millis(200);

/// Time in which an equal choice by the same sender counts as a repetition, sent because the answer was lost. Ground stations
/// repeat a command for some seconds.
const SAME_CHOICE: Duration = Duration::from_secs(10);

/// Longest time by which a command may arrive after a command that was sent later.
const LATE: Duration = Duration::from_secs(2);

/// Largest difference of sequence numbers at which a command counts as late.
const LATE_MESSAGES: u8 = 32;

/// Shortest interval between two choices, because each one costs a run of the network.
const BETWEEN_CHOICES: Duration = Duration::from_millis(100);

/// Longest time that the tracker may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Largest number of senders that are remembered.
const MOST_SENDERS: usize = 32;

/// The connection over which a sender is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// Index of the connection.
    pub link: usize,
    /// Address of the sender if several can share the connection (UDP).
    pub peer: Option<SocketAddr>,
}

/// The receivers of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// All known receivers on all connections.
    All,
    /// The receiver on this route.
    One(Route),
}

/// State of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetState {
    /// There is no target.
    #[default]
    Idle,
    /// The target is seen.
    Tracking,
    /// The target is not seen.
    Lost,
}

/// The tracker's answer for one frame.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Observation {
    /// Number of the answer. Each new answer has a higher number.
    pub number: u64,
    /// Stamp of the frame, nanoseconds. A second answer for the same frame has the same stamp.
    pub stamp: i64,
    /// Width and height of the frame, pixels.
    pub size: (u32, u32),
    /// State of the target.
    pub state: TargetState,
    /// Box of the target: x, y, width, height in pixels. (0, 0) is the upper-left corner of the upper-left pixel.
    pub bounding_box: Option<[f64; 4]>,
    /// Unit vector to the target in the optical frame (x right, y down, z forward), if the camera's geometry is known.
    pub bearing: Option<[f64; 3]>,
}

impl Observation {
    /// Returns left, top, right and bottom of the box, clipped to the frame and scaled to 0 to 1.
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

/// Result of a [`Wish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The tracker did it.
    Done,
    /// The tracker cannot follow this target.
    Refused,
    /// The tracker cannot do it now.
    NotNow,
}

/// Settings of a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraOptions {
    /// System id of the vehicle and component id of the camera.
    pub address: Address,
    /// The video stream that the camera announces to ground stations.
    pub stream: Option<Stream>,
    /// Whether the pictures of that stream show the box.
    pub is_rendered: bool,
    /// Time from the answer for a frame until the pilot sees the frame.
    pub video_delay: Duration,
    /// Time without a frame after which the source counts as stalled.
    pub stall: Duration,
    /// Horizontal field of view of the camera, degrees.
    pub field_of_view: Option<f64>,
    /// Settings of the gimbal that the camera turns. `None` turns no gimbal.
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

/// What the caller of [`Camera`] has to do.
#[derive(Debug, Default)]
pub struct Actions {
    /// Messages to send, in this order.
    pub messages: Vec<(To, Outgoing)>,
    /// Requests to the tracker.
    pub wishes: Vec<Wish>,
    /// Lines to write to the log.
    pub notes: Vec<String>,
}

impl Actions {
    fn send(&mut self, to: To, message: MavMessage) {
        self.messages
            .push((to, Outgoing::Message(Box::new(message))));
    }
}

/// A command that waits for the tracker's answer.
#[derive(Debug)]
struct Pending {
    ticket: u64,
    from: Address,
    route: Route,
    command: Command,
    since: Duration,
}

/// Last command by which a sender chose or stopped a target.
#[derive(Debug)]
struct Steering {
    command: Command,
    sequence: u8,
    at: Duration,
    /// `None` while the tracker has not answered.
    result: Option<MavResult>,
    /// Whether no later command has replaced the target of this one.
    holds: bool,
}

/// A camera component.
#[derive(Debug)]
pub struct Camera {
    options: CameraOptions,
    counts: Counts,
    /// Route of each sender's last message and its time.
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
    /// Whether the status of the next frame is sent at once, because the target has just changed.
    is_urgent: bool,
    was_stalled: bool,
    said_double: bool,
}

impl Camera {
    /// Creates a camera that has no frame yet.
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

    /// Returns the counters of messages and commands.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the counters for a caller that counts the messages it reads and sends.
    pub fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Returns the camera's own address.
    pub fn address(&self) -> Address {
        self.options.address
    }

    fn is_stalled(&self, now: Duration) -> bool {
        self.observation.is_some() && now > self.observed + self.options.stall
    }

    /// Handles a message that came on `route`.
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
                // Other vehicles on the same network have gimbals, too.
                if let Some(gimbal) = &mut self.gimbal
                    && received.from.system == own.system
                {
                    gimbal.heard(received.from, *device, *control, now);
                }
            }
            Incoming::Other(_) => self.counts.ignored += 1,
        }
    }

    /// Remembers the sender's route. If there are too many senders, forgets the one with the oldest last message.
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
        if command.to.component == 0 && self.is_about_another(command, now) {
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
            numbers::GET_MESSAGE_INTERVAL => {
                Some(self.get_interval(command, from, route, now, out))
            }
            numbers::REQUEST_CAMERA_INFORMATION => {
                Some(self.old_request(command, numbers::CAMERA_INFORMATION, route, now, out))
            }
            numbers::REQUEST_CAMERA_SETTINGS => {
                Some(self.old_request(command, numbers::CAMERA_SETTINGS, route, now, out))
            }
            numbers::REQUEST_STORAGE_INFORMATION => {
                // The first parameter is the number of a storage. The second one, which asks for the message, is not checked.
                Some(self.requested(numbers::STORAGE_INFORMATION as f32, route, now, out))
            }
            numbers::REQUEST_CAMERA_CAPTURE_STATUS => {
                Some(self.old_request(command, numbers::CAMERA_CAPTURE_STATUS, route, now, out))
            }
            numbers::REQUEST_VIDEO_STREAM_INFORMATION => {
                // The first parameter is the stream's number, 0 for all streams. There is only one, so it is not checked.
                Some(self.requested(numbers::VIDEO_STREAM_INFORMATION as f32, route, now, out))
            }
            numbers::REQUEST_VIDEO_STREAM_STATUS => {
                Some(self.requested(numbers::VIDEO_STREAM_STATUS as f32, route, now, out))
            }
            // An unknown command to all components is for another component.
            _ if command.to.component == 0 => {
                self.counts.ignored += 1;
                None
            }
            _ => Some(MavResult::MAV_RESULT_UNSUPPORTED),
        };
        if let Some(result) = result {
            self.acknowledge(command.number, result, from, route, out);
            // The acknowledgement goes before the message that the command asked for.
            out.messages[at..].rotate_right(1);
        }
    }

    /// Whether the command asks for a message that this camera does not have. If it went to all components, the component that
    /// has this message answers.
    fn is_about_another(&self, command: &Command, now: Duration) -> bool {
        let asks = matches!(
            command.number,
            numbers::REQUEST_MESSAGE
                | numbers::SET_MESSAGE_INTERVAL
                | numbers::GET_MESSAGE_INTERVAL
        );
        let known = whole(command.parameters[0]).and_then(|number| self.message(number, now));
        asks && known.is_none()
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

    /// Returns the message with this id and its present values, or `None` if this camera does not send it.
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

    /// Handles the older request commands: the first parameter is 1 to ask for the message and 0 not to.
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

    /// Sets the interval of a message: -1 stops it, 0 restores the default, other values are microseconds.
    fn set_interval(&mut self, command: &Command, from: Address, now: Duration) -> MavResult {
        let [number, interval, ..] = command.parameters;
        let Some(number) = whole(number) else {
            return MavResult::MAV_RESULT_DENIED;
        };
        if self.message(number, now).is_none() {
            return MavResult::MAV_RESULT_UNSUPPORTED;
        }
        let is_usual = interval == 0.0;
        // Without heartbeats, ground stations take the camera for gone.
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
        now: Duration,
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
        // 0: the camera does not have this message. -1: the message is not sent by itself.
        let interval_us = match interval {
            Some(interval) => i32::try_from(interval.as_micros()).unwrap_or(i32::MAX),
            None if self.message(number, now).is_none() => 0,
            None => -1,
        };
        out.send(
            To::One(route),
            MavMessage::MESSAGE_INTERVAL(MESSAGE_INTERVAL_DATA {
                interval_us,
                message_id,
            }),
        );
        MavResult::MAV_RESULT_ACCEPTED
    }

    /// Chooses or stops a target. Returns `None` if the acknowledgement comes later or none is sent.
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
            // If the command went to all components, it is for another camera, and that one answers.
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
            // The stop overrules the sender's earlier choice, so the camera no longer waits for the answer to that choice.
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
        // This command replaces all earlier choices, also those of other senders.
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

    /// Whether the target is seen, or was taken since the last frame.
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

    /// Takes the tracker's answer to a wish and acknowledges the command.
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

    /// Takes the tracker's answer for a frame.
    pub fn observe(&mut self, observation: Observation, now: Duration, out: &mut Actions) {
        let last = self.observation.replace(observation);
        // A second answer for the same frame, because its target was given up, is no new frame.
        if last.is_none_or(|last| last.stamp != observation.stamp) {
            self.observed = now;
        }
        let is_urgent = std::mem::take(&mut self.is_urgent);
        self.send_due(now, true, is_urgent, out);
        self.turn_gimbal(now, out);
    }

    /// Notes that the source is paused on purpose, so that it does not count as stalled.
    pub fn hold(&mut self, now: Duration) {
        self.observed = now;
    }

    /// Sends what is due at `now` and gives up commands that the tracker has not answered in time.
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

    /// Stops the gimbal if the camera turned it. The caller sends this several times before the end, because messages can get
    /// lost.
    pub fn end(&mut self, out: &mut Actions) {
        if let Some(message) = self.gimbal.as_mut().and_then(Gimbal::stop) {
            out.send(To::All, message);
        }
    }

    /// Returns the latest time at which the caller must call [`Camera::tick`] again.
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
        // Two senders on the same route, such as behind an autopilot, both get a message that is sent once.
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

/// Returns `number` as an integer if it is one from 0 to 2^24. A parameter holds these numbers exactly.
fn whole(number: f32) -> Option<u32> {
    ((0.0..=16_777_216.0).contains(&number) && number.fract() == 0.0).then_some(number as u32)
}
