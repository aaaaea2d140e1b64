//! Messages that contain a packet of coded video.

use super::{CdrError, CdrReader, CdrWriter, FromCdr, Header, Message, Stamp, ToCdr};

/// Flag of a key frame in libav.
const KEY: u8 = 1;

/// `ffmpeg_image_transport_msgs/msg/FFMPEGPacket`, which the plugin `ffmpeg` of image_transport sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FfmpegPacket<'a> {
    /// Stamp and optical frame.
    pub header: Header,
    /// Pixels per row.
    pub width: i32,
    /// Rows.
    pub height: i32,
    /// Codec and pixel formats, separated by semicolons (`h264;yuv420p;bgr8;bgr8`), or only the codec or encoder.
    pub encoding: &'a str,
    /// Number of the image, as counted by the sender.
    pub pts: u64,
    /// Flags. 1 for a key frame.
    pub flags: u8,
    /// Byte order of the sender.
    pub is_bigendian: bool,
    /// The packet.
    pub data: &'a [u8],
}

impl Message for FfmpegPacket<'_> {
    const TYPE: &'static str = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket";
}

impl<'a> FromCdr<'a> for FfmpegPacket<'a> {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            header: Header::read(reader)?,
            width: reader.i32("width")?,
            height: reader.i32("height")?,
            encoding: reader.string("encoding")?,
            pts: reader.u64("pts")?,
            flags: reader.u8("flags")?,
            is_bigendian: reader.bool("is_bigendian")?,
            data: reader.bytes("data")?,
        })
    }
}

impl ToCdr for FfmpegPacket<'_> {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        writer.i32(self.width);
        writer.i32(self.height);
        writer.string(self.encoding);
        writer.u64(self.pts);
        writer.u8(self.flags);
        writer.bool(self.is_bigendian);
        writer.bytes(self.data);
    }
}

/// `foxglove_msgs/msg/CompressedVideo`: one coded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressedVideo<'a> {
    /// Stamp and optical frame. The message has a field for each instead of a header.
    pub header: Header,
    /// The packet.
    pub data: &'a [u8],
    /// The codec, such as `h264`.
    pub format: &'a str,
}

impl Message for CompressedVideo<'_> {
    const TYPE: &'static str = "foxglove_msgs/msg/CompressedVideo";
}

impl<'a> FromCdr<'a> for CompressedVideo<'a> {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        let stamp = Stamp::read(reader)?;
        let frame_id = reader.string("frame_id")?.to_owned();
        Ok(Self {
            header: Header { stamp, frame_id },
            data: reader.bytes("data")?,
            format: reader.string("format")?,
        })
    }
}

impl ToCdr for CompressedVideo<'_> {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.stamp.write(writer);
        writer.string(&self.header.frame_id);
        writer.bytes(self.data);
        writer.string(self.format);
    }
}

/// The fields that both kinds of packets have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPacket<'a> {
    /// Stamp and optical frame.
    pub header: Header,
    /// Name of the codec, or of its encoder.
    pub codec: &'a str,
    /// Number of the image, if the sender counts images.
    pub number: Option<u64>,
    /// Whether the sender marks the packet as a key frame.
    pub is_key: bool,
    /// The packet.
    pub data: &'a [u8],
}

impl<'a> From<FfmpegPacket<'a>> for VideoPacket<'a> {
    fn from(packet: FfmpegPacket<'a>) -> Self {
        Self {
            codec: packet.encoding.split(';').next().unwrap_or_default(),
            number: Some(packet.pts),
            is_key: packet.flags & KEY != 0,
            data: packet.data,
            header: packet.header,
        }
    }
}

impl<'a> From<CompressedVideo<'a>> for VideoPacket<'a> {
    fn from(packet: CompressedVideo<'a>) -> Self {
        Self {
            codec: packet.format,
            number: None,
            is_key: false,
            data: packet.data,
            header: packet.header,
        }
    }
}
