//! Messages of `vision_msgs`, version 4 (ROS 2 Humble and later).

use ettrack::geometry::BoundingBox;

use super::{CdrError, CdrReader, CdrWriter, FromCdr, Header, Message, ToCdr};

/// `vision_msgs/msg/BoundingBox2D`: centre and size, pixels of the received image.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BoundingBox2D {
    /// Centre along x.
    pub center_x: f64,
    /// Centre along y.
    pub center_y: f64,
    /// Rotation of the box, counter-clockwise, radians.
    pub theta: f64,
    /// Extent along x before rotation.
    pub size_x: f64,
    /// Extent along y before rotation.
    pub size_y: f64,
}

impl BoundingBox2D {
    pub(super) fn read(reader: &mut CdrReader<'_>) -> Result<Self, CdrError> {
        Ok(Self {
            center_x: reader.f64("bbox.center.position.x")?,
            center_y: reader.f64("bbox.center.position.y")?,
            theta: reader.f64("bbox.center.theta")?,
            size_x: reader.f64("bbox.size_x")?,
            size_y: reader.f64("bbox.size_y")?,
        })
    }

    pub(super) fn write(&self, writer: &mut CdrWriter) {
        writer.f64(self.center_x);
        writer.f64(self.center_y);
        writer.f64(self.theta);
        writer.f64(self.size_x);
        writer.f64(self.size_y);
    }
}

impl From<BoundingBox> for BoundingBox2D {
    fn from(bounding_box: BoundingBox) -> Self {
        let (center_x, center_y) = bounding_box.center();
        Self {
            center_x,
            center_y,
            theta: 0.0,
            size_x: bounding_box.width,
            size_y: bounding_box.height,
        }
    }
}

impl From<BoundingBox2D> for BoundingBox {
    /// The rotation is ignored, because the trackers follow axis-aligned boxes.
    fn from(other: BoundingBox2D) -> Self {
        Self::new(
            other.center_x - 0.5 * other.size_x,
            other.center_y - 0.5 * other.size_y,
            other.size_x,
            other.size_y,
        )
    }
}

/// `vision_msgs/msg/ObjectHypothesisWithPose` without its pose, which a 2D tracker does not know. It is written as zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hypothesis {
    /// Class of the object.
    pub class_id: String,
    /// Score of the class, 0..=1.
    pub score: f64,
}

/// Numbers of a `geometry_msgs/msg/PoseWithCovariance`: position, orientation, covariance.
const POSE: usize = 3 + 4 + 36;

impl Hypothesis {
    fn read(reader: &mut CdrReader<'_>) -> Result<Self, CdrError> {
        let hypothesis = Self {
            class_id: reader.string("results.hypothesis.class_id")?.to_owned(),
            score: reader.f64("results.hypothesis.score")?,
        };
        reader.f64_array::<POSE>("results.pose")?;
        Ok(hypothesis)
    }

    fn write(&self, writer: &mut CdrWriter) {
        writer.string(&self.class_id);
        writer.f64(self.score);
        let mut pose = [0.0; POSE];
        pose[6] = 1.0; // w of the orientation: no rotation is the unit quaternion
        writer.f64_array(&pose);
    }
}

/// `vision_msgs/msg/Detection2D`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detection2D {
    /// Header of the image in which the object was detected.
    pub header: Header,
    /// Possible classes, best first.
    pub results: Vec<Hypothesis>,
    /// Box of the object.
    pub bbox: BoundingBox2D,
    /// Identifier of the object, constant over time.
    pub id: String,
}

impl Message for Detection2D {
    const TYPE: &'static str = "vision_msgs/msg/Detection2D";
}

impl<'a> FromCdr<'a> for Detection2D {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        let header = Header::read(reader)?;
        let length = reader.length(4 + 8 + POSE * 8, "results")?;
        Ok(Self {
            header,
            results: (0..length)
                .map(|_| Hypothesis::read(reader))
                .collect::<Result<_, _>>()?,
            bbox: BoundingBox2D::read(reader)?,
            id: reader.string("id")?.to_owned(),
        })
    }
}

impl ToCdr for Detection2D {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        writer.length(self.results.len());
        for result in &self.results {
            result.write(writer);
        }
        self.bbox.write(writer);
        writer.string(&self.id);
    }
}

/// `vision_msgs/msg/Detection2DArray`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detection2DArray {
    /// Header of the image that was searched.
    pub header: Header,
    /// The detected objects.
    pub detections: Vec<Detection2D>,
}

impl Message for Detection2DArray {
    const TYPE: &'static str = "vision_msgs/msg/Detection2DArray";
}

impl<'a> FromCdr<'a> for Detection2DArray {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        let header = Header::read(reader)?;
        // The shortest detection: stamp, two empty strings, no result, five numbers of the box.
        let length = reader.length(8 + 4 + 4 + 5 * 8 + 4, "detections")?;
        Ok(Self {
            header,
            detections: (0..length)
                .map(|_| Detection2D::read(reader))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl ToCdr for Detection2DArray {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        writer.length(self.detections.len());
        for detection in &self.detections {
            detection.write(writer);
        }
    }
}
