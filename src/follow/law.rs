//! The control law. It computes a velocity from the target's direction and size.

use ettrack_message::TrackedTarget;

use super::Settings;

/// Relative error of the size that is not corrected.
const SIZE_DEAD_ZONE: f64 = 0.05;

/// A velocity of the robot. Its axes follow REP-103: x is forward, z is up, and a turn to the left is positive.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Velocity {
    /// Forward speed, m/s.
    pub forward: f64,
    /// Upward speed, m/s.
    pub up: f64,
    /// Turning rate to the left, rad/s.
    pub yaw: f64,
}

impl Velocity {
    /// Returns this velocity after a change towards `aim` for `seconds`, limited by the settings' accelerations.
    pub(super) fn towards(&self, aim: &Self, settings: &Settings, seconds: f64) -> Self {
        let step = |from: f64, to: f64, most: f64| from + (to - from).clamp(-most, most);
        let speed = settings.max_acceleration * seconds;
        Self {
            forward: step(self.forward, aim.forward, speed),
            up: step(self.up, aim.up, speed),
            yaw: step(self.yaw, aim.yaw, settings.max_yaw_acceleration * seconds),
        }
    }
}

/// Returns the velocity for a target in the direction `bearing` (optical frame: x right, y down, z forward).
pub(super) fn wanted(settings: &Settings, target: &TrackedTarget, bearing: [f64; 3]) -> Velocity {
    let [x, y, z] = bearing;
    if !bearing.iter().all(|part| part.is_finite()) {
        return Velocity::default();
    }
    let right = beyond(x.atan2(z), settings.dead_zone);
    let above = beyond((-y).atan2(x.hypot(z)), settings.dead_zone);
    let limited = |speed: f64, most: f64| speed.clamp(-most, most);
    let forward = match size(target) {
        Some(size) if settings.target_size > 0.0 => {
            settings.forward_gain * beyond((settings.target_size / size).ln(), SIZE_DEAD_ZONE)
        }
        _ => 0.0,
    };
    Velocity {
        forward: limited(forward, settings.max_speed),
        up: limited(settings.climb_gain * above, settings.max_speed),
        yaw: limited(-settings.yaw_gain * right, settings.max_yaw_rate),
    }
}

/// Returns the part of `error` that lies outside the dead zone. It is continuous at the zone's edge.
fn beyond(error: f64, dead_zone: f64) -> f64 {
    error.signum() * (error.abs() - dead_zone).max(0.0)
}

/// Returns the square root of the target's part of the image's area. The image's size is computed from the target's centre and
/// its offset from the middle. Returns `None` at the left and upper edge, because the size cannot be computed there.
fn size(target: &TrackedTarget) -> Option<f64> {
    let area = target.bounding_box;
    let side = |center: f64, offset: f64| 2.0 * center / (offset + 1.0);
    let image = side(area.center_x, target.offset_x) * side(area.center_y, target.offset_y);
    let part = (area.size_x * area.size_y / image).sqrt();
    (part.is_finite() && part > 0.0 && part <= 2.0).then_some(part)
}
