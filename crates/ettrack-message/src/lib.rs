//! The ROS 2 messages that ettrack reads and writes, without ROS.
//!
//! The bytes are CDR as ROS 2's middlewares write it: an encapsulation header of four bytes, then XCDR version 1 in little
//! or big endian. Reading borrows: the pixels of an [`Image`] are a slice of the message. Malformed bytes give a
//! [`CdrError`] that names the field.
//!
//! Each type has `from_cdr` ([`FromCdr`]) and `to_cdr` ([`ToCdr`]). [`definition`] gives the `.msg` text of a type, which
//! a bag carries so that other programs can read it.
//!
//! ```
//! use ettrack_message::{CdrError, FromCdr, RegionOfInterest, ToCdr};
//!
//! let roi = RegionOfInterest { x_offset: 310, y_offset: 120, width: 64, height: 96, do_rectify: false };
//! let bytes = roi.to_cdr();
//! assert_eq!(RegionOfInterest::from_cdr(&bytes), Ok(roi));
//! let error = RegionOfInterest::from_cdr(&bytes[..9]).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "message ends in `y_offset`: expected 4 more bytes at offset 4, got 1"
//! );
//! ```

mod cdr;
mod definition;
mod diagnostic;
mod image;
mod point;
mod sensor;
mod standard;
mod target;
mod twist;
mod video;
mod vision;

pub use cdr::{CdrError, CdrReader, CdrWriter};
pub use definition::{definition, type_names};
pub use diagnostic::{DiagnosticArray, DiagnosticLevel, DiagnosticStatus};
pub use image::{
    DecodedImage, HeldImage, ImageError, ImageMessage, ReadImage, Transport, read_image,
};
pub use point::{Point, PointStamped, PoseStamped};
pub use sensor::{CameraInfo, CompressedImage, Image, RegionOfInterest};
pub use standard::{Header, Stamp};
pub use target::{TargetState, TrackedTarget};
pub use twist::{Twist, TwistStamped};
pub use video::{CompressedVideo, FfmpegPacket, VideoPacket};
pub use vision::{BoundingBox2D, Detection2D, Detection2DArray, Hypothesis};

/// A message with a ROS type name.
pub trait Message {
    /// Full type name, such as `sensor_msgs/msg/Image`.
    const TYPE: &'static str;
}

/// A message that can be written as CDR.
pub trait ToCdr: Message {
    /// Appends the fields in the order of the definition.
    fn write(&self, writer: &mut CdrWriter);

    /// The whole message, with encapsulation header, little endian.
    fn to_cdr(&self) -> Vec<u8> {
        let mut writer = CdrWriter::little_endian();
        self.write(&mut writer);
        writer.into_bytes()
    }
}

/// A message that can be read from CDR, borrowing from the bytes if it holds long data.
pub trait FromCdr<'a>: Message + Sized {
    /// Reads the fields in the order of the definition.
    ///
    /// # Errors
    /// [`CdrError`] if a field is missing or malformed.
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError>;

    /// Reads a whole message. Bytes after the last field are the middleware's padding and are ignored.
    ///
    /// # Errors
    /// [`CdrError`] if the bytes are not a complete message of this type.
    fn from_cdr(bytes: &'a [u8]) -> Result<Self, CdrError> {
        Self::read(&mut CdrReader::new(bytes)?)
    }
}
