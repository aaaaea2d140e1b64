//! Messages of `sensor_msgs`.

use ettrack::frame::{Encoding, Frame, FrameError, ImageBuffer, Region};
use ettrack::text::shortened;
use ettrack_picture::PictureError;

use super::{CdrError, CdrReader, CdrWriter, FromCdr, Header, ImageError, Message, ToCdr};

/// `sensor_msgs/msg/Image`, with the pixels borrowed from the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    /// Stamp and optical frame.
    pub header: Header,
    /// Rows.
    pub height: u32,
    /// Pixels per row.
    pub width: u32,
    /// Layout of the pixels, such as `bgr8`.
    pub encoding: &'a str,
    /// Byte order of 16-bit encodings.
    pub is_bigendian: bool,
    /// Bytes from one row to the next.
    pub step: u32,
    /// The pixels.
    pub data: &'a [u8],
}

impl<'a> Image<'a> {
    /// The pixels as a frame.
    ///
    /// # Errors
    /// [`FrameError`] if the data do not match width, height, step and encoding.
    pub fn frame(&self) -> Result<Frame<'a>, FrameError> {
        let encoding = Encoding::from_ros_name(self.encoding)?;
        let frame = Frame::new(
            self.data,
            self.width,
            self.height,
            self.step as usize,
            encoding,
        )?;
        Ok(frame.with_big_endian(self.is_bigendian))
    }
}

impl Message for Image<'_> {
    const TYPE: &'static str = "sensor_msgs/msg/Image";
}

impl<'a> FromCdr<'a> for Image<'a> {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            header: Header::read(reader)?,
            height: reader.u32("height")?,
            width: reader.u32("width")?,
            encoding: reader.string("encoding")?,
            is_bigendian: reader.bool("is_bigendian")?,
            step: reader.u32("step")?,
            data: reader.bytes("data")?,
        })
    }
}

impl ToCdr for Image<'_> {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        writer.u32(self.height);
        writer.u32(self.width);
        writer.string(self.encoding);
        writer.bool(self.is_bigendian);
        writer.u32(self.step);
        writer.bytes(self.data);
    }
}

/// `sensor_msgs/msg/CompressedImage`, with the file's bytes borrowed from the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressedImage<'a> {
    /// Stamp and optical frame.
    pub header: Header,
    /// How the image is compressed. Publishers write it in different ways: `jpeg`, `png`, `bgr8; jpeg compressed bgr8`.
    pub format: &'a str,
    /// A whole JPEG or PNG file.
    pub data: &'a [u8],
}

impl CompressedImage<'_> {
    /// Decodes the picture into `image`, whose memory is reused.
    ///
    /// The file format is recognized by the first bytes of the data, because publishers write `format` in different ways.
    /// `format` is used only to recognize a Bayer mosaic, which is compressed as a grey picture, and depth, which is refused.
    ///
    /// # Errors
    /// [`ImageError`] if the data cannot be decoded.
    pub fn decode_into(&self, image: &mut ImageBuffer) -> Result<(), ImageError> {
        self.check_format()?;
        ettrack_picture::decode_into(self.data, image)?;
        if image.encoding == Encoding::Mono8
            && let Some(mosaic) = self.mosaic()
        {
            image.encoding = mosaic;
        }
        Ok(())
    }

    /// Decodes at least the region `wanted` into `image`. Returns the decoded region, see
    /// [`ettrack_picture::decode_region_into`]. A Bayer mosaic is decoded whole.
    ///
    /// # Errors
    /// As [`Self::decode_into`].
    pub fn decode_region_into(
        &self,
        wanted: &Region,
        image: &mut ImageBuffer,
    ) -> Result<Region, ImageError> {
        if self.mosaic().is_some() {
            self.decode_into(image)?;
            return Ok(Region::whole((image.width, image.height)));
        }
        self.check_format()?;
        Ok(ettrack_picture::decode_region_into(
            self.data, wanted, image,
        )?)
    }

    fn check_format(&self) -> Result<(), ImageError> {
        if self.format.contains("compressedDepth") {
            return Err(ImageError::Depth {
                format: shortened(self.format).into_owned(),
            });
        }
        if !ettrack_picture::is_known(self.data) {
            return Err(PictureError::Format {
                name: shortened(self.format).into_owned(),
                start: ettrack_picture::first_bytes(self.data),
            }
            .into());
        }
        Ok(())
    }

    /// The Bayer mosaic that the grey picture is, by `format`.
    fn mosaic(&self) -> Option<Encoding> {
        let original = self.format.split(';').next().unwrap_or_default().trim();
        let is_mosaic = original.starts_with("bayer_");
        Encoding::from_ros_name(original).ok().filter(|_| is_mosaic)
    }
}

impl Message for CompressedImage<'_> {
    const TYPE: &'static str = "sensor_msgs/msg/CompressedImage";
}

impl<'a> FromCdr<'a> for CompressedImage<'a> {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            header: Header::read(reader)?,
            format: reader.string("format")?,
            data: reader.bytes("data")?,
        })
    }
}

impl ToCdr for CompressedImage<'_> {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        writer.string(self.format);
        writer.bytes(self.data);
    }
}

/// `sensor_msgs/msg/RegionOfInterest`: a rectangle of whole pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegionOfInterest {
    /// Left column.
    pub x_offset: u32,
    /// Upper row.
    pub y_offset: u32,
    /// Rows; 0 stands for the whole image where a `CameraInfo` holds this message.
    pub height: u32,
    /// Columns; 0 stands for the whole image where a `CameraInfo` holds this message.
    pub width: u32,
    /// Whether the region refers to the rectified image.
    pub do_rectify: bool,
}

impl Message for RegionOfInterest {
    const TYPE: &'static str = "sensor_msgs/msg/RegionOfInterest";
}

impl<'a> FromCdr<'a> for RegionOfInterest {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            x_offset: reader.u32("x_offset")?,
            y_offset: reader.u32("y_offset")?,
            height: reader.u32("height")?,
            width: reader.u32("width")?,
            do_rectify: reader.bool("do_rectify")?,
        })
    }
}

impl ToCdr for RegionOfInterest {
    fn write(&self, writer: &mut CdrWriter) {
        writer.u32(self.x_offset);
        writer.u32(self.y_offset);
        writer.u32(self.height);
        writer.u32(self.width);
        writer.bool(self.do_rectify);
    }
}

/// `sensor_msgs/msg/CameraInfo`: the calibration of a camera.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CameraInfo {
    /// Stamp and optical frame.
    pub header: Header,
    /// Rows of the full sensor image.
    pub height: u32,
    /// Columns of the full sensor image.
    pub width: u32,
    /// `plumb_bob`, `rational_polynomial`, `equidistant`, or empty.
    pub distortion_model: String,
    /// Distortion coefficients.
    pub d: Vec<f64>,
    /// Intrinsic matrix of the raw image, row by row: fx 0 cx, 0 fy cy, 0 0 1. All zero means uncalibrated.
    pub k: [f64; 9],
    /// Rotation from the raw to the rectified camera.
    pub r: [f64; 9],
    /// Projection of the rectified camera, 3 rows of 4.
    pub p: [f64; 12],
    /// Sensor columns per image column; 0 and 1 both mean no binning.
    pub binning_x: u32,
    /// Sensor rows per image row; 0 and 1 both mean no binning.
    pub binning_y: u32,
    /// The part of the sensor that the image shows, before binning.
    pub roi: RegionOfInterest,
}

impl Message for CameraInfo {
    const TYPE: &'static str = "sensor_msgs/msg/CameraInfo";
}

impl<'a> FromCdr<'a> for CameraInfo {
    fn read(reader: &mut CdrReader<'a>) -> Result<Self, CdrError> {
        Ok(Self {
            header: Header::read(reader)?,
            height: reader.u32("height")?,
            width: reader.u32("width")?,
            distortion_model: reader.string("distortion_model")?.to_owned(),
            d: reader.f64_sequence("d")?,
            k: reader.f64_array("k")?,
            r: reader.f64_array("r")?,
            p: reader.f64_array("p")?,
            binning_x: reader.u32("binning_x")?,
            binning_y: reader.u32("binning_y")?,
            roi: RegionOfInterest::read(reader)?,
        })
    }
}

impl ToCdr for CameraInfo {
    fn write(&self, writer: &mut CdrWriter) {
        self.header.write(writer);
        writer.u32(self.height);
        writer.u32(self.width);
        writer.string(&self.distortion_model);
        writer.length(self.d.len());
        writer.f64_array(&self.d);
        writer.f64_array(&self.k);
        writer.f64_array(&self.r);
        writer.f64_array(&self.p);
        writer.u32(self.binning_x);
        writer.u32(self.binning_y);
        self.roi.write(writer);
    }
}
