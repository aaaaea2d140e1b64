//! Image messages from a middleware or a bag, and their pixels.

use std::fmt;

use ettrack::frame::{Frame, FrameError, ImageBuffer, Region};
use ettrack_picture::{PictureError, RestOfPicture};

use crate::{
    CdrError, CompressedImage, CompressedVideo, FfmpegPacket, FromCdr, Header, Image, Message,
    VideoPacket,
};

/// The message type that carries images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `sensor_msgs/msg/Image`.
    Raw,
    /// `sensor_msgs/msg/CompressedImage`.
    Compressed,
    /// `ffmpeg_image_transport_msgs/msg/FFMPEGPacket`.
    Ffmpeg,
    /// `foxglove_msgs/msg/CompressedVideo`.
    Foxglove,
}

impl Transport {
    /// The transport whose messages have this ROS type; `None` for other types.
    pub fn of_type(type_name: &str) -> Option<Self> {
        match type_name {
            Image::TYPE => Some(Self::Raw),
            CompressedImage::TYPE => Some(Self::Compressed),
            FfmpegPacket::TYPE => Some(Self::Ffmpeg),
            CompressedVideo::TYPE => Some(Self::Foxglove),
            _ => None,
        }
    }

    /// The ROS type of its messages.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Raw => Image::TYPE,
            Self::Compressed => CompressedImage::TYPE,
            Self::Ffmpeg => FfmpegPacket::TYPE,
            Self::Foxglove => CompressedVideo::TYPE,
        }
    }

    /// Whether its messages are packets of a video, which a decoder has to see one after the other.
    pub fn is_video(self) -> bool {
        matches!(self, Self::Ffmpeg | Self::Foxglove)
    }

    /// The packet in a message; `None` if the messages are whole images.
    ///
    /// # Errors
    /// [`CdrError`] if the message is malformed.
    pub fn packet(self, bytes: &[u8]) -> Result<Option<VideoPacket<'_>>, CdrError> {
        Ok(match self {
            Self::Raw | Self::Compressed => None,
            Self::Ffmpeg => Some(FfmpegPacket::from_cdr(bytes)?.into()),
            Self::Foxglove => Some(CompressedVideo::from_cdr(bytes)?.into()),
        })
    }

    /// The header of a message.
    ///
    /// # Errors
    /// [`CdrError`] if the message is malformed.
    pub fn header(self, bytes: &[u8]) -> Result<Header, CdrError> {
        Ok(match self {
            Self::Raw => Image::from_cdr(bytes)?.header,
            Self::Compressed => CompressedImage::from_cdr(bytes)?.header,
            Self::Ffmpeg => FfmpegPacket::from_cdr(bytes)?.header,
            Self::Foxglove => CompressedVideo::from_cdr(bytes)?.header,
        })
    }
}

/// Why the pixels of an image message cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The bytes are not a message of the topic's type.
    #[error(transparent)]
    Message(#[from] CdrError),
    /// The compressed picture is damaged or of an unknown format.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The pixel data do not match the size or the encoding.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The message is a depth image, which contains distances.
    #[error(
        "a depth image ({format:?}) shows distances and no picture, expected the topic of the colour, grey or infrared image"
    )]
    Depth {
        /// Format or encoding in the message.
        format: String,
    },
    /// A packet of a video, which is no image by itself.
    #[error("a {} is no image by itself, expected a decoder of its stream", .0.type_name())]
    Packet(Transport),
}

/// An image message as it was received. It owns the memory of the pixels, which are never copied.
pub enum ImageMessage {
    /// CDR bytes, from a bag or from a middleware that gives bytes.
    Cdr {
        /// The type of the message.
        transport: Transport,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// A raw image in memory of the middleware.
    Held(Box<dyn HeldImage>),
}

/// Header and pixels of an image message. Of a compressed one, perhaps only a region is decoded so far.
#[derive(Debug)]
pub struct ReadImage<'a> {
    header: Header,
    frame: Frame<'a>,
    rest: Option<(Region, RestOfPicture<'a>)>,
}

impl ReadImage<'_> {
    /// Stamp and optical frame.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The pixels. Those that are not decoded yet are decoded when they are read.
    pub fn frame(&self) -> Frame<'_> {
        match &self.rest {
            Some((region, rest)) => self.frame.with_region(*region, rest),
            None => self.frame,
        }
    }

    /// Whether a region was decoded and was enough so far.
    pub fn is_part(&self) -> bool {
        self.rest.as_ref().is_some_and(|(_, rest)| !rest.was_read())
    }

    /// The header, after the pixels were read.
    ///
    /// # Errors
    /// [`ImageError`] if a pixel was read that could not be decoded.
    pub fn finish(self) -> Result<Header, ImageError> {
        match self.rest.and_then(|(_, rest)| rest.into_error()) {
            Some(error) => Err(error.into()),
            None => Ok(self.header),
        }
    }
}

/// A raw image in memory that another library manages. The memory stays valid until the value is dropped.
pub trait HeldImage: Send {
    /// The message, which borrows from that memory.
    fn image(&self) -> Image<'_>;
}

/// An image whose pixels lie in memory of its own.
#[derive(Debug, Clone)]
pub struct DecodedImage {
    /// Stamp and optical frame.
    pub header: Header,
    /// The pixels.
    pub image: ImageBuffer,
}

impl HeldImage for DecodedImage {
    fn image(&self) -> Image<'_> {
        Image {
            header: self.header.clone(),
            height: self.image.height,
            width: self.image.width,
            encoding: self.image.encoding.ros_name(),
            is_bigendian: self.image.big_endian,
            step: u32::try_from(self.image.stride).unwrap_or(u32::MAX),
            data: &self.image.data,
        }
    }
}

impl ImageMessage {
    /// Bytes of memory that the message uses.
    pub fn size(&self) -> usize {
        match self {
            Self::Cdr { bytes, .. } => bytes.len(),
            Self::Held(held) => held.image().data.len(),
        }
    }

    /// Header and pixels: borrowed from a raw message, decoded into `picture` from a compressed one.
    ///
    /// # Errors
    /// [`ImageError`] if the message is malformed or its pixels cannot be used.
    pub fn read<'a>(
        &'a self,
        picture: &'a mut ImageBuffer,
    ) -> Result<(Header, Frame<'a>), ImageError> {
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
            Self::Cdr { transport, .. } => return Err(ImageError::Packet(*transport)),
        };
        let frame = image.frame()?;
        Ok((image.header, frame))
    }

    /// Header and pixels, as [`Self::read`] gives them, of a compressed image perhaps only the region `wanted` so far. `part`
    /// gets the region, and `whole` the whole picture if it is decoded. Their memory is reused.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_region<'a>(
        &'a self,
        wanted: Option<&Region>,
        part: &'a mut ImageBuffer,
        whole: &'a mut ImageBuffer,
    ) -> Result<ReadImage<'a>, ImageError> {
        let (
            Some(wanted),
            Self::Cdr {
                transport: Transport::Compressed,
                bytes,
            },
        ) = (wanted, self)
        else {
            let (header, frame) = self.read(whole)?;
            let rest = None;
            return Ok(ReadImage {
                header,
                frame,
                rest,
            });
        };
        let message = CompressedImage::from_cdr(bytes)?;
        let region = message.decode_region_into(wanted, part)?;
        let part = &*part;
        let is_whole = region == Region::whole((part.width, part.height));
        let rest = (!is_whole).then(|| (region, RestOfPicture::new(message.data, part, whole)));
        Ok(ReadImage {
            header: message.header,
            frame: part.frame()?,
            rest,
        })
    }

    /// The header alone. The pixels are not decoded or checked.
    ///
    /// # Errors
    /// [`CdrError`] if the message is malformed.
    pub fn header(&self) -> Result<Header, CdrError> {
        Ok(match self {
            Self::Held(held) => held.image().header,
            Self::Cdr { transport, bytes } => transport.header(bytes)?,
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

/// Decodes or copies the pixels of a CDR message into `image`, whose memory is reused.
///
/// # Errors
/// [`ImageError`] if the message is malformed or its pixels cannot be used.
pub fn read_image(
    transport: Transport,
    bytes: &[u8],
    image: &mut ImageBuffer,
) -> Result<Header, ImageError> {
    match transport {
        Transport::Compressed => {
            let message = CompressedImage::from_cdr(bytes)?;
            message.decode_into(image)?;
            Ok(message.header)
        }
        Transport::Raw => {
            let message = Image::from_cdr(bytes)?;
            let frame = message.frame()?;
            image.data.clear();
            image.data.extend_from_slice(frame.data());
            image.width = frame.width();
            image.height = frame.height();
            image.stride = frame.stride();
            image.encoding = frame.encoding();
            image.big_endian = message.is_bigendian;
            Ok(message.header)
        }
        Transport::Ffmpeg | Transport::Foxglove => Err(ImageError::Packet(transport)),
    }
}
