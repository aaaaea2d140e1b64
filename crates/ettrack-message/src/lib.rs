//! ROS 2 messages as bytes: the ones the node speaks and bags hold, read and written without ROS.
//!
//! Bytes are CDR as ROS 2's middlewares write it: an encapsulation header of four bytes, then XCDR version 1
//! in little or big endian. Reading borrows: the pixels of an [`Image`] are a slice of the message. By hand
//! and not by a general serialiser, because those walk a byte sequence element by element, which takes forty
//! times as long for a camera image.
//!
//! Each type has `from_cdr` and, where the node or a test writes it, `to_cdr`. [`definition`] gives the
//! `.msg` texts, which a bag carries so that others can read it.

mod cdr;
mod definition;
mod diagnostic;
mod image;
mod sensor;
mod standard;
mod target;
mod vision;

pub use cdr::{CdrError, CdrReader, CdrWriter};
pub use definition::{definition, type_names};
pub use diagnostic::{DiagnosticArray, DiagnosticLevel, DiagnosticStatus};
pub use image::{HeldImage, ImageError, ImageMessage, Transport, read_image};
pub use sensor::{CameraInfo, CompressedImage, Image, RegionOfInterest};
pub use standard::{Header, Stamp};
pub use target::{TargetState, TrackedTarget};
pub use vision::{BoundingBox2D, Detection2D, Detection2DArray, Hypothesis};

/// A message with a ROS type name.
pub trait Message {
    /// The full type name, such as `sensor_msgs/msg/Image`.
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

/// A message that can be read from CDR, borrowing from the bytes where it holds long data.
pub trait FromCdr<'a>: Message + Sized {
    /// Reads the fields in the order of the definition.
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError>;

    /// Reads a whole message. Bytes after the last field are padding of the middleware and are ignored.
    fn from_cdr(bytes: &'a [u8]) -> Result<Self, CdrError> {
        Self::read(&mut CdrReader::new(bytes)?)
    }
}
