//! Points and poses of `geometry_msgs`.

use super::{CdrError, CdrReader, CdrWriter, FromCdr, Header, Message, ToCdr};

/// `geometry_msgs/msg/Point`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Coordinate along x. In an image, the column in pixels.
    pub x: f64,
    /// Coordinate along y. In an image, the row in pixels.
    pub y: f64,
    /// Coordinate along z. It has no meaning in an image.
    pub z: f64,
}

impl Message for Point {
    const TYPE: &'static str = "geometry_msgs/msg/Point";
}

impl<'a> FromCdr<'a> for Point {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            x: reader.f64("x")?,
            y: reader.f64("y")?,
            z: reader.f64("z")?,
        })
    }
}

impl ToCdr for Point {
    fn write(&self, writer: &mut CdrWriter) {
        writer.f64_array(&[self.x, self.y, self.z]);
    }
}

/// `geometry_msgs/msg/PointStamped`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PointStamped {
    /// Header of the point. For a point in an image, the image's header.
    pub header: Header,
    /// The point.
    pub point: Point,
}

impl Message for PointStamped {
    const TYPE: &'static str = "geometry_msgs/msg/PointStamped";
}

impl<'a> FromCdr<'a> for PointStamped {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            header: Header::read(reader)?,
            point: Point::read(reader)?,
        })
    }
}

impl ToCdr for PointStamped {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        self.point.write(writer);
    }
}

/// `geometry_msgs/msg/PoseStamped`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoseStamped {
    /// Time and frame of the pose.
    pub header: Header,
    /// Position, metres.
    pub position: Point,
    /// Orientation: quaternion x, y, z, w.
    pub orientation: [f64; 4],
}

impl Message for PoseStamped {
    const TYPE: &'static str = "geometry_msgs/msg/PoseStamped";
}

impl<'a> FromCdr<'a> for PoseStamped {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            header: Header::read(reader)?,
            position: Point::read(reader)?,
            orientation: reader.f64_array("orientation")?,
        })
    }
}

impl ToCdr for PoseStamped {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        self.position.write(writer);
        writer.f64_array(&self.orientation);
    }
}
