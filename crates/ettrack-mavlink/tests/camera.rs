//! Tests how the camera handles commands, without a connection or a clock.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use std::time::Duration;

use ettrack_mavlink::wire::{Ack, Address, Incoming, Outgoing, Received};
use ettrack_mavlink::{
    Actions, Camera, CameraOptions, Command, GimbalOptions, Observation, Outcome, Route,
    TargetState, Wish, numbers,
};
use mavlink::dialects::common::{CameraTrackingStatusFlags, MavMessage, MavResult};

const PILOT: Address = Address {
    system: 255,
    component: 190,
};
const ROUTE: Route = Route {
    link: 0,
    peer: None,
};
const DRAWN: [f32; 7] = [0.25, 0.25, 0.5, 0.5, 0.0, 0.0, 0.0];

/// A camera with a clock and one sender.
struct Bench {
    camera: Camera,
    now: Duration,
    sequence: u8,
    out: Actions,
}

impl Bench {
    fn new() -> Self {
        Self {
            camera: Camera::new(CameraOptions::default()),
            now: Duration::from_secs(100),
            sequence: 0,
            out: Actions::default(),
        }
    }

    fn see(&mut self, state: TargetState) {
        let observation = Observation {
            number: 1,
            stamp: i64::try_from(self.now.as_nanos()).unwrap(),
            size: (640, 480),
            state,
            bounding_box: (state != TargetState::Idle).then_some([160.0, 120.0, 320.0, 240.0]),
            bearing: None,
        };
        self.camera.observe(observation, self.now, &mut self.out);
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    /// Sends a command and returns its result if the camera answers at once.
    fn send(&mut self, number: u16, parameters: [f32; 7]) -> Option<MavResult> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send_as(self.sequence, number, parameters)
    }

    fn send_as(&mut self, sequence: u8, number: u16, parameters: [f32; 7]) -> Option<MavResult> {
        self.send_to(100, sequence, number, parameters)
    }

    /// Sends a command to this component, or with 0 to all.
    fn send_to(
        &mut self,
        component: u8,
        sequence: u8,
        number: u16,
        parameters: [f32; 7],
    ) -> Option<MavResult> {
        let received = Received {
            from: PILOT,
            sequence,
            message: Incoming::Command(Command {
                number,
                to: Address {
                    system: 1,
                    component,
                },
                parameters,
                confirmation: 0,
            }),
        };
        self.out.messages.clear();
        self.camera
            .receive(&received, ROUTE, self.now, &mut self.out);
        self.result()
    }

    fn result(&self) -> Option<MavResult> {
        self.out
            .messages
            .iter()
            .find_map(|(_, message)| match message {
                Outgoing::Ack(Ack { result, .. }) => Some(*result),
                Outgoing::Message(_) => None,
            })
    }

    /// Answers all open wishes and returns their number.
    fn answer(&mut self, outcome: Outcome) -> usize {
        let wishes = std::mem::take(&mut self.out.wishes);
        for wish in &wishes {
            let (Wish::Choose { ticket, .. } | Wish::Stop { ticket }) = wish;
            self.camera
                .answered(*ticket, outcome, self.now, &mut self.out);
        }
        wishes.len()
    }
}

#[test]
fn rejects_a_choice_before_the_first_frame_and_while_the_source_is_stalled() {
    let mut bench = Bench::new();
    let busy = Some(MavResult::MAV_RESULT_TEMPORARILY_REJECTED);
    assert_eq!(bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN), busy);
    bench.see(TargetState::Idle);
    bench.wait(2000);
    assert_eq!(bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN), busy);
    bench.see(TargetState::Idle);
    assert_eq!(bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN), None);
    assert_eq!(bench.answer(Outcome::Done), 1);
    assert_eq!(bench.result(), Some(MavResult::MAV_RESULT_ACCEPTED));
}

#[test]
fn turns_only_the_gimbal_of_its_own_vehicle() {
    for (system, turns) in [(2, 0), (1, 1)] {
        let mut bench = Bench::new();
        bench.camera = Camera::new(CameraOptions {
            gimbal: Some(GimbalOptions {
                device: 0,
                gain: 1.0,
                fastest: 1.0,
            }),
            ..CameraOptions::default()
        });
        let status = Received {
            from: Address {
                system,
                component: 1,
            },
            sequence: 1,
            message: Incoming::GimbalManager {
                device: 1,
                control: Address {
                    system: 1,
                    component: 100,
                },
            },
        };
        bench
            .camera
            .receive(&status, ROUTE, bench.now, &mut bench.out);
        let observation = Observation {
            number: 1,
            stamp: 1,
            size: (640, 480),
            state: TargetState::Tracking,
            bounding_box: Some([160.0, 120.0, 320.0, 240.0]),
            bearing: Some([0.6, 0.0, 0.8]),
        };
        bench.camera.observe(observation, bench.now, &mut bench.out);
        let sent = bench.out.messages.iter().filter(|(_, message)| {
            matches!(message, Outgoing::Message(message)
                if matches!(**message, MavMessage::GIMBAL_MANAGER_SET_PITCHYAW(_)))
        });
        assert_eq!(sent.count(), turns, "a gimbal of system {system}");
    }
}

/// Message 30 is ATTITUDE, which an autopilot sends.
#[test]
fn leaves_a_broadcast_request_for_another_components_message_to_that_component() {
    let mut bench = Bench::new();
    let wanted = |number: u32| [number as f32, 1e5, 0.0, 0.0, 0.0, 0.0, 0.0];
    for command in [
        numbers::REQUEST_MESSAGE,
        numbers::SET_MESSAGE_INTERVAL,
        numbers::GET_MESSAGE_INTERVAL,
    ] {
        assert_eq!(bench.send_to(0, 1, command, wanted(30)), None);
        let own = bench.send_to(0, 2, command, wanted(numbers::CAMERA_INFORMATION));
        assert_eq!(own, Some(MavResult::MAV_RESULT_ACCEPTED));
    }
    let to_this = bench.send(numbers::REQUEST_MESSAGE, wanted(30));
    assert_eq!(to_this, Some(MavResult::MAV_RESULT_UNSUPPORTED));
}

#[test]
fn the_interval_of_a_message_that_the_camera_does_not_have_is_0() {
    let mut bench = Bench::new();
    for (number, expected) in [(30, 0), (numbers::CAMERA_SETTINGS, -1)] {
        let asked = [number as f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        bench.send(numbers::GET_MESSAGE_INTERVAL, asked);
        let interval = bench.out.messages.iter().find_map(|(_, message)| {
            let Outgoing::Message(message) = message else {
                return None;
            };
            match &**message {
                MavMessage::MESSAGE_INTERVAL(data) => Some(data.interval_us),
                _ => None,
            }
        });
        assert_eq!(interval, Some(expected), "message {number}");
    }
}

#[test]
fn acknowledges_a_command_with_the_outcome_of_its_wish() {
    for (outcome, result) in [
        (Outcome::Refused, MavResult::MAV_RESULT_DENIED),
        (Outcome::NotNow, MavResult::MAV_RESULT_TEMPORARILY_REJECTED),
    ] {
        let mut bench = Bench::new();
        bench.see(TargetState::Idle);
        assert_eq!(bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN), None);
        bench.answer(outcome);
        assert_eq!(bench.result(), Some(result));
    }
}

#[test]
fn rejects_a_command_if_the_tracker_does_not_answer_in_time() {
    let mut bench = Bench::new();
    bench.see(TargetState::Idle);
    assert_eq!(bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN), None);
    bench.wait(2500);
    bench.camera.tick(bench.now, &mut bench.out);
    assert_eq!(
        bench.result(),
        Some(MavResult::MAV_RESULT_TEMPORARILY_REJECTED)
    );
}

#[test]
fn does_a_repeated_choice_once_while_its_target_is_seen() {
    let mut bench = Bench::new();
    bench.see(TargetState::Idle);
    bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN);
    // Repeated before the tracker answers: there is one wish.
    assert_eq!(bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN), None);
    assert_eq!(bench.answer(Outcome::Done), 1);
    bench.see(TargetState::Tracking);
    bench.wait(3000);
    bench.see(TargetState::Tracking);
    let again = bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN);
    assert_eq!(again, Some(MavResult::MAV_RESULT_ACCEPTED));
    assert_eq!(
        (bench.answer(Outcome::Done), bench.camera.counts().repeated),
        (0, 2)
    );
    // If the target is lost, the repeated command chooses it again.
    bench.see(TargetState::Lost);
    assert_eq!(bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN), None);
    assert_eq!(bench.answer(Outcome::Done), 1);
}

#[test]
fn rejects_a_late_choice_that_was_sent_before_a_stop() {
    let mut bench = Bench::new();
    bench.see(TargetState::Tracking);
    bench.send_as(7, numbers::CAMERA_STOP_TRACKING, [0.0; 7]);
    bench.answer(Outcome::Done);
    bench.see(TargetState::Idle);
    let late = bench.send_as(6, numbers::CAMERA_TRACK_RECTANGLE, DRAWN);
    assert_eq!(late, Some(MavResult::MAV_RESULT_TEMPORARILY_REJECTED));
    // After a longer time the command does not count as late, because another ground station may use the same address.
    bench.wait(2500);
    bench.see(TargetState::Idle);
    assert_eq!(
        bench.send_as(6, numbers::CAMERA_TRACK_RECTANGLE, DRAWN),
        None
    );
}

#[test]
fn subtracts_the_video_delay_from_the_time_of_a_choice() {
    let mut bench = Bench::new();
    bench.camera = Camera::new(CameraOptions {
        video_delay: Duration::from_millis(250),
        ..CameraOptions::default()
    });
    bench.see(TargetState::Idle);
    bench.send(numbers::CAMERA_TRACK_RECTANGLE, DRAWN);
    let expected = bench.now - Duration::from_millis(250);
    assert!(matches!(bench.out.wishes[..], [Wish::Choose { seen, .. }] if seen == expected));
}

#[test]
fn reports_no_position_of_a_lost_target() {
    let mut bench = Bench::new();
    let mut status = |state| {
        bench.see(state);
        bench.send(
            numbers::REQUEST_MESSAGE,
            [275.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        );
        let last = bench.out.messages.pop();
        match last {
            Some((_, Outgoing::Message(message))) => match *message {
                MavMessage::CAMERA_TRACKING_IMAGE_STATUS(data) => data,
                other => panic!("expected a status, got {other:?}"),
            },
            other => panic!("expected a status, got {other:?}"),
        }
    };
    let seen = status(TargetState::Tracking);
    assert_eq!(
        [
            seen.rec_top_x,
            seen.rec_top_y,
            seen.rec_bottom_x,
            seen.rec_bottom_y
        ],
        [0.25, 0.25, 0.75, 0.75]
    );
    assert_eq!([seen.point_x, seen.point_y, seen.radius], [0.5, 0.5, 0.25]);
    let lost = status(TargetState::Lost);
    assert_eq!(
        lost.tracking_status,
        CameraTrackingStatusFlags::CAMERA_TRACKING_STATUS_FLAGS_ERROR
    );
    assert!(lost.rec_top_x.is_nan() && lost.point_x.is_nan());
    assert_eq!(
        status(TargetState::Idle).tracking_status,
        CameraTrackingStatusFlags::empty()
    );
}
