//! Turns a gimbal towards the target while this component has control of the gimbal. It sends angular rates, and it never
//! moves the vehicle.

use std::time::Duration;

use mavlink::dialects::common::{
    COMMAND_LONG_DATA, GIMBAL_MANAGER_SET_PITCHYAW_DATA, GimbalManagerFlags, MavCmd, MavMessage,
};

use crate::camera::{Observation, TargetState};
use crate::wire::Address;

/// Shortest interval between two messages with rates.
const INTERVAL: Duration = Duration::from_millis(30);

/// Interval between two messages that stop the gimbal.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// Number of messages that stop the gimbal. There are several because messages can get lost.
const STOPS: u32 = 10;

/// Shortest interval between two requests for control.
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// Time for which a status of the gimbal manager is valid. After that, it is unknown which component has control.
const SILENCE: Duration = Duration::from_secs(5);

/// Settings of the gimbal control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GimbalOptions {
    /// Device id of the gimbal: 1 to 6, or the component id of a MAVLink gimbal. 0 takes any gimbal.
    pub device: u8,
    /// Angular rate for each unit of the angle between the target and the middle of the picture, 1/s.
    pub gain: f64,
    /// Highest angular rate about each axis, rad/s.
    pub fastest: f64,
}

/// The last status of a gimbal manager.
#[derive(Debug, Clone, Copy)]
struct Manager {
    address: Address,
    device: u8,
    control: Address,
    heard: Duration,
}

/// State of the gimbal control.
#[derive(Debug)]
pub(crate) struct Gimbal {
    options: GimbalOptions,
    manager: Option<Manager>,
    /// Number of stop messages that are still to be sent.
    stops: u32,
    next: Duration,
    next_ask: Duration,
}

impl Gimbal {
    pub fn new(options: GimbalOptions) -> Self {
        Self {
            options,
            manager: None,
            stops: 0,
            next: Duration::ZERO,
            next_ask: Duration::ZERO,
        }
    }

    /// Takes a GIMBAL_MANAGER_STATUS of this vehicle.
    pub fn heard(&mut self, address: Address, device: u8, control: Address, now: Duration) {
        if self.options.device == 0 || self.options.device == device {
            self.manager = Some(Manager {
                address,
                device,
                control,
                heard: now,
            });
        }
    }

    /// Returns the message to send now. Asks for control only if no component has it, so that a pilot who steers keeps it.
    pub fn turn(
        &mut self,
        own: Address,
        observation: Option<&Observation>,
        is_stalled: bool,
        now: Duration,
    ) -> Option<MavMessage> {
        let manager = self.manager?;
        let bearing = observation
            .filter(|seen| seen.state == TargetState::Tracking && !is_stalled)
            .and_then(|seen| seen.bearing)
            // A silent manager gets only the stops, because some autopilots keep the last rates.
            .filter(|_| now <= manager.heard + SILENCE);
        if manager.control != own {
            self.stops = 0;
            let nobody = manager.control
                == Address {
                    system: 0,
                    component: 0,
                };
            if nobody && bearing.is_some() && now >= self.next_ask {
                self.next_ask = now + ASK_INTERVAL;
                return Some(ask(manager, own));
            }
            return None;
        }
        if now < self.next {
            return None;
        }
        if let Some(bearing) = bearing {
            self.next = now + INTERVAL;
            self.stops = STOPS;
            let [pitch, yaw] = angles(bearing);
            let rate = |angle: f64| {
                (self.options.gain * angle).clamp(-self.options.fastest, self.options.fastest)
            };
            return Some(rates(manager, rate(pitch), rate(yaw)));
        }
        self.stops = self.stops.checked_sub(1)?;
        self.next = now + STOP_INTERVAL;
        Some(rates(manager, 0.0, 0.0))
    }

    /// Returns the message that stops the gimbal if this component turned it last. For the end of the program, because some
    /// autopilots keep the last rates.
    pub fn stop(&mut self) -> Option<MavMessage> {
        let manager = self.manager.filter(|_| self.stops > 0)?;
        self.stops -= 1;
        Some(rates(manager, 0.0, 0.0))
    }

    /// Returns the time of the next message if no new observation comes before.
    pub fn next(&self) -> Option<Duration> {
        (self.stops > 0).then_some(self.next)
    }
}

/// Returns pitch (up) and yaw (to the right) of a direction in the optical frame (x right, y down, z forward), radians.
fn angles([x, y, z]: [f64; 3]) -> [f64; 2] {
    [(-y).atan2(x.hypot(z)), x.atan2(z)]
}

fn rates(manager: Manager, pitch: f64, yaw: f64) -> MavMessage {
    MavMessage::GIMBAL_MANAGER_SET_PITCHYAW(GIMBAL_MANAGER_SET_PITCHYAW_DATA {
        flags: GimbalManagerFlags::GIMBAL_MANAGER_FLAGS_ROLL_LOCK
            | GimbalManagerFlags::GIMBAL_MANAGER_FLAGS_PITCH_LOCK,
        pitch: f32::NAN,
        yaw: f32::NAN,
        pitch_rate: pitch as f32,
        yaw_rate: yaw as f32,
        target_system: manager.address.system,
        target_component: manager.address.component,
        gimbal_device_id: manager.device,
    })
}

fn ask(manager: Manager, own: Address) -> MavMessage {
    // -1 leaves secondary control unchanged.
    MavMessage::COMMAND_LONG(COMMAND_LONG_DATA {
        param1: f32::from(own.system),
        param2: f32::from(own.component),
        param3: -1.0,
        param4: -1.0,
        param5: 0.0,
        param6: 0.0,
        param7: f32::from(manager.device),
        command: MavCmd::MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE,
        target_system: manager.address.system,
        target_component: manager.address.component,
        confirmation: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Address = Address {
        system: 1,
        component: 100,
    };
    const AUTOPILOT: Address = Address {
        system: 1,
        component: 1,
    };
    const NOBODY: Address = Address {
        system: 0,
        component: 0,
    };
    const PILOT: Address = Address {
        system: 255,
        component: 190,
    };

    fn gimbal() -> Gimbal {
        Gimbal::new(GimbalOptions {
            device: 0,
            gain: 2.0,
            fastest: 0.5,
        })
    }

    fn seen(state: TargetState, bearing: [f64; 3]) -> Observation {
        Observation {
            number: 1,
            stamp: 1,
            size: (640, 480),
            state,
            bounding_box: Some([1.0, 1.0, 9.0, 9.0]),
            bearing: Some(bearing),
        }
    }

    fn turned(message: Option<MavMessage>) -> (f32, f32) {
        match message {
            Some(MavMessage::GIMBAL_MANAGER_SET_PITCHYAW(data)) => (data.pitch_rate, data.yaw_rate),
            other => panic!("expected rates, got {other:?}"),
        }
    }

    #[test]
    fn turns_towards_the_target_at_limited_rates() {
        let mut gimbal = gimbal();
        let now = Duration::from_secs(1);
        gimbal.heard(AUTOPILOT, 1, OWN, now);
        // A tenth of a radian to the right of the middle.
        let right = [0.1_f64.sin(), 0.0, 0.1_f64.cos()];
        let (pitch, yaw) =
            turned(gimbal.turn(OWN, Some(&seen(TargetState::Tracking, right)), false, now));
        assert!(pitch == 0.0 && (yaw - 0.2).abs() < 1e-6, "{pitch} {yaw}");
        let below = [0.0, 0.8, 0.6];
        let later = now + INTERVAL;
        let (pitch, yaw) =
            turned(gimbal.turn(OWN, Some(&seen(TargetState::Tracking, below)), false, later));
        assert_eq!((pitch, yaw), (-0.5, 0.0));
    }

    #[test]
    fn sends_ten_stops_and_nothing_more_after_a_lost_target_or_a_stalled_source() {
        for (state, is_stalled) in [(TargetState::Lost, false), (TargetState::Tracking, true)] {
            let mut gimbal = gimbal();
            let mut now = Duration::from_secs(1);
            gimbal.heard(AUTOPILOT, 1, OWN, now);
            let ahead = [0.6, 0.0, 0.8];
            turned(gimbal.turn(OWN, Some(&seen(TargetState::Tracking, ahead)), false, now));
            let mut stops = 0;
            for _ in 0..30 {
                now += STOP_INTERVAL;
                if let Some(message) = gimbal.turn(OWN, Some(&seen(state, ahead)), is_stalled, now)
                {
                    assert_eq!(turned(Some(message)), (0.0, 0.0));
                    stops += 1;
                }
            }
            assert_eq!(stops, STOPS);
        }
    }

    #[test]
    fn sends_rates_only_with_control_and_asks_for_it_only_if_no_component_has_it() {
        let mut gimbal = gimbal();
        let now = Duration::from_secs(1);
        let target = seen(TargetState::Tracking, [0.6, 0.0, 0.8]);
        assert_eq!(
            gimbal.turn(OWN, Some(&target), false, now),
            None,
            "no manager was heard of"
        );
        gimbal.heard(AUTOPILOT, 1, PILOT, now);
        assert_eq!(gimbal.turn(OWN, Some(&target), false, now), None);
        gimbal.heard(AUTOPILOT, 1, NOBODY, now);
        let asked = gimbal.turn(OWN, Some(&target), false, now);
        assert!(
            matches!(&asked, Some(MavMessage::COMMAND_LONG(data))
                if data.command == MavCmd::MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE && data.param1 == 1.0 && data.param2 == 100.0),
            "{asked:?}"
        );
        assert_eq!(
            gimbal.turn(OWN, Some(&target), false, now),
            None,
            "once in two seconds"
        );
        gimbal.heard(AUTOPILOT, 1, OWN, now);
        assert!(gimbal.turn(OWN, Some(&target), false, now).is_some());
        // The manager is silent: the gimbal is stopped, and then nothing is sent.
        let mut later = now + SILENCE + Duration::from_millis(1);
        for _ in 0..STOPS {
            let stop = gimbal.turn(OWN, Some(&target), false, later);
            assert_eq!(turned(stop), (0.0, 0.0));
            assert!(gimbal.next().is_none_or(|next| next > later));
            later += STOP_INTERVAL;
        }
        assert_eq!(gimbal.turn(OWN, Some(&target), false, later), None);
        assert_eq!(gimbal.next(), None);
    }

    #[test]
    fn stops_at_the_end_only_what_it_has_turned() {
        let mut gimbal = gimbal();
        let now = Duration::from_secs(1);
        let target = seen(TargetState::Tracking, [0.6, 0.0, 0.8]);
        gimbal.heard(AUTOPILOT, 1, OWN, now);
        assert_eq!(gimbal.stop(), None);
        assert!(gimbal.turn(OWN, Some(&target), false, now).is_some());
        assert_eq!(turned(gimbal.stop()), (0.0, 0.0));
        gimbal.heard(AUTOPILOT, 1, PILOT, now);
        assert_eq!(gimbal.turn(OWN, Some(&target), false, now), None);
        assert_eq!(gimbal.stop(), None, "the pilot has control");
    }
}
