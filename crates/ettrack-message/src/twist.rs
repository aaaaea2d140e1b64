//! `geometry_msgs`: velocities.

use super::{CdrWriter, Header, Message, ToCdr};

/// `geometry_msgs/msg/Twist`: a velocity in the robot's frame (x forward, y left, z up).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Twist {
    /// m/s along x, y, z.
    pub linear: [f64; 3],
    /// rad/s around x, y, z.
    pub angular: [f64; 3],
}

impl Message for Twist {
    const TYPE: &'static str = "geometry_msgs/msg/Twist";
}

impl ToCdr for Twist {
    fn write(&self, writer: &mut CdrWriter) {
        writer.f64_array(&self.linear);
        writer.f64_array(&self.angular);
    }
}

/// `geometry_msgs/msg/TwistStamped`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TwistStamped {
    /// When the velocity was chosen, and the robot's frame.
    pub header: Header,
    /// The velocity.
    pub twist: Twist,
}

impl Message for TwistStamped {
    const TYPE: &'static str = "geometry_msgs/msg/TwistStamped";
}

impl ToCdr for TwistStamped {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        self.twist.write(writer);
    }
}
