//! Images on their way from a middleware or a bag to the tracker.

use std::fmt;

use crate::frame::{Frame, ImageBuffer};
use crate::message::{CdrError, CompressedImage, FromCdr, Header, Image};
use crate::source::{BadFrame, Transport};

/// An image as it came. Whoever holds it keeps its memory; the pixels are never copied.
pub enum ImageMessage {
    /// As CDR, from a bag or a middleware that hands out bytes.
    Cdr {
        /// Which message it is.
        transport: Transport,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// A raw image where the middleware has laid it.
    Held(Box<dyn HeldImage>),
}

/// A raw image in memory that somebody else manages, until it is dropped.
pub trait HeldImage: Send {
    /// The message, borrowed from that memory.
    fn image(&self) -> Image<'_>;
}

impl ImageMessage {
    /// Bytes of memory that the message holds.
    pub fn size(&self) -> usize {
        match self {
            Self::Cdr { bytes, .. } => bytes.len(),
            Self::Held(held) => held.image().data.len(),
        }
    }

    /// Header and pixels: borrowed from a raw message, decoded into `picture` from a compressed one.
    pub(super) fn read<'a>(
        &'a self,
        picture: &'a mut ImageBuffer,
    ) -> Result<(Header, Frame<'a>), BadFrame> {
        let image = match self {
            Self::Held(held) => held.image(),
            Self::Cdr {
                transport: Transport::Raw,
                bytes,
            } => Image::from_cdr(bytes)?,
            Self::Cdr {
                transport: Transport::Compressed,
                bytes,
            } => {
                let image = CompressedImage::from_cdr(bytes)?;
                image.decode_into(picture)?;
                return Ok((image.header, picture.frame()?));
            }
        };
        let frame = image.frame()?;
        Ok((image.header, frame))
    }

    /// The header alone, which costs nothing. Whether the pixels are good is not looked at.
    pub(super) fn header(&self) -> Result<Header, CdrError> {
        Ok(match self {
            Self::Held(held) => held.image().header,
            Self::Cdr {
                transport: Transport::Raw,
                bytes,
            } => Image::from_cdr(bytes)?.header,
            Self::Cdr {
                transport: Transport::Compressed,
                bytes,
            } => CompressedImage::from_cdr(bytes)?.header,
        })
    }
}

impl fmt::Debug for ImageMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.header() {
            Ok(Header { stamp, .. }) => {
                write!(formatter, "image of {stamp:?}, {} bytes", self.size())
            }
            Err(error) => write!(formatter, "image, {error}"),
        }
    }
}
