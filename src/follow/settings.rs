//! How the follower moves. Angles in radians, lengths in metres, times in seconds.
//!
//! `config/follower.yaml` shows the same defaults to users; a test holds it to this list.

use crate::parameters::{Change, Descriptor, ParameterError, Range, Value, accept, parameters};

parameters! {
    /// The follower's parameters: gains, limits, set-points.
    Settings;
    /// Commands per second.
    rate: f64 = 20.0, Range::Between(1.0, 200.0), Live;
    /// Seconds for which an answer is valid, and largest age of its image. Without a valid answer the robot slows down to a stop.
    silence: f64 = 0.5, Range::Between(0.05, 10.0), Live;
    /// Angle between the target and the middle of the image that is not corrected, rad.
    dead_zone: f64 = 0.02, Range::Between(0.0, 1.0), Live;
    /// Turning rate for each radian between the target and the middle, 1/s.
    yaw_gain: f64 = 1.5, Range::Between(0.0, 20.0), Live;
    /// The fastest turn, rad/s.
    max_yaw_rate: f64 = 1.0, Range::Between(0.0, 10.0), Live;
    /// The fastest change of the turn, rad/s².
    max_yaw_acceleration: f64 = 2.0, Range::Between(0.01, 100.0), Live;
    /// Climbing speed for each radian above the middle, m/s; 0 for robots that do not fly.
    climb_gain: f64 = 0.0, Range::Between(0.0, 20.0), Live;
    /// Part of the image's sides that the target should take (root of the part of the area); 0: the robot only turns.
    target_size: f64 = 0.0, Range::Between(0.0, 1.0), Live;
    /// Forward speed if the target looks 2.7 (e) times too small, m/s.
    forward_gain: f64 = 1.0, Range::Between(0.0, 20.0), Live;
    /// The fastest motion forward, backward, up or down, m/s.
    max_speed: f64 = 1.0, Range::Between(0.0, 50.0), Live;
    /// The fastest change of the speed, m/s².
    max_acceleration: f64 = 1.0, Range::Between(0.01, 100.0), Live;
    /// Side of the target in the world, m (root of its width times its height). If it is above 0, the target's position is
    /// published on target_pose.
    target_meters: f64 = 0.0, Range::Between(0.0, 1000.0), Live;
    /// Whether the tracker's images are rectified, as its parameter of the same name; the distance is then computed from P of
    /// camera_info instead of K.
    image_rectified: bool = false, Range::Any, Live;
    /// Whether commands are geometry_msgs/TwistStamped; false: geometry_msgs/Twist.
    stamped: bool = true, Range::Any, Start;
    /// The robot's frame, in the header of stamped commands.
    frame_id: String = "base_link", Range::Any, Start;
}
