//! The message `ettrack/msg/TrackedTarget`.

use super::{BoundingBox2D, CdrError, CdrReader, CdrWriter, FromCdr, Header, Message, ToCdr};

/// The state of the node's target. The numbers are those of `TrackedTarget.msg`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TargetState {
    /// No target was chosen.
    #[default]
    Idle = 0,
    /// The target is in the box.
    Tracking = 1,
    /// The target was not found; the search continues around the box.
    Lost = 2,
}

impl TargetState {
    /// The name in `TrackedTarget.msg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Tracking => "TRACKING",
            Self::Lost => "LOST",
        }
    }
}

/// `ettrack/msg/TrackedTarget`; the definition in `msg/` explains the fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackedTarget {
    /// The image's header.
    pub header: Header,
    /// Identifier of the target; empty while idle.
    pub target_id: String,
    /// Idle, tracking or lost.
    pub state: TargetState,
    /// Box of the target, or where it was last seen, pixels of the image; all zero while idle.
    pub bounding_box: BoundingBox2D,
    /// Confidence in the box, 0..=1.
    pub confidence: f32,
    /// Box centre from the image centre, -1 (left edge) ..= 1 (right edge).
    pub offset_x: f64,
    /// Box centre from the image centre, -1 (upper edge) ..= 1 (lower edge).
    pub offset_y: f64,
    /// Unit vector from the camera to the box centre in the optical frame; `None` if the camera is not calibrated.
    pub bearing: Option<[f64; 3]>,
}

impl Message for TrackedTarget {
    const TYPE: &'static str = "ettrack/msg/TrackedTarget";
}

impl<'a> FromCdr<'a> for TrackedTarget {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            header: Header::read(reader)?,
            target_id: reader.string("target_id")?.to_owned(),
            state: match reader.u8("state")? {
                0 => TargetState::Idle,
                1 => TargetState::Tracking,
                2 => TargetState::Lost,
                got => {
                    return Err(CdrError::Value {
                        field: "state",
                        expected: "0 (IDLE), 1 (TRACKING) or 2 (LOST)",
                        got: got.into(),
                    });
                }
            },
            bounding_box: BoundingBox2D::read(reader)?,
            confidence: reader.f32("confidence")?,
            offset_x: reader.f64("offset_x")?,
            offset_y: reader.f64("offset_y")?,
            bearing: {
                let valid = reader.bool("bearing_valid")?;
                let bearing = reader.f64_array("bearing")?;
                valid.then_some(bearing)
            },
        })
    }
}

impl ToCdr for TrackedTarget {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        writer.string(&self.target_id);
        writer.u8(self.state as u8);
        self.bounding_box.write(writer);
        writer.f32(self.confidence);
        writer.f64(self.offset_x);
        writer.f64(self.offset_y);
        writer.bool(self.bearing.is_some());
        writer.f64_array(&self.bearing.unwrap_or_default());
    }
}
