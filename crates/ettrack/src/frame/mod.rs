//! Borrowed camera frames: pixels, encoding, row stride.
//!
//! A [`Frame`] never converts the whole image: only the pixels that are asked for are converted to RGB. Conversions give
//! the same bytes as OpenCV's `cvtColor` (BT.601 limited range for YUV, bilinear demosaicing for Bayer), as the rest of a
//! ROS system does.

mod levels;
mod partial;
mod pixels;

pub use levels::Levels;
use partial::Partial;
pub use partial::{Region, Rest};
pub(crate) use pixels::Rgbx;

use crate::text::shortened;

/// Pixel layouts, named as in ROS's `sensor_msgs/image_encodings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 3 bytes R, G, B.
    Rgb8,
    /// 3 bytes B, G, R.
    Bgr8,
    /// 4 bytes R, G, B, A.
    Rgba8,
    /// 4 bytes B, G, R, A.
    Bgra8,
    /// 1 byte luminance.
    Mono8,
    /// 2 bytes luminance, little or big endian (see [`Frame::with_big_endian`]).
    Mono16,
    /// 4:2:2 packed U Y V Y (`yuv422`, `uyvy`).
    Uyvy,
    /// 4:2:2 packed Y U Y V (`yuv422_yuy2`, `yuyv`).
    Yuyv,
    /// 4:2:0, a full-size Y plane, then interleaved U V.
    Nv12,
    /// 4:2:0, a full-size Y plane, then interleaved V U.
    Nv21,
    /// Bayer mosaic, rows R G / G B.
    BayerRggb8,
    /// Bayer mosaic, rows B G / G R.
    BayerBggr8,
    /// Bayer mosaic, rows G B / R G.
    BayerGbrg8,
    /// Bayer mosaic, rows G R / B G.
    BayerGrbg8,
}

/// Every accepted name with its encoding; the first name of an encoding is the one printed.
const NAMES: &[(&str, Encoding)] = &[
    ("rgb8", Encoding::Rgb8),
    ("bgr8", Encoding::Bgr8),
    ("rgba8", Encoding::Rgba8),
    ("bgra8", Encoding::Bgra8),
    ("mono8", Encoding::Mono8),
    ("mono16", Encoding::Mono16),
    // OpenCV's types, which many drivers send as names; their colours are in OpenCV's order.
    ("8UC1", Encoding::Mono8),
    ("8UC3", Encoding::Bgr8),
    ("8UC4", Encoding::Bgra8),
    ("16UC1", Encoding::Mono16),
    ("yuv422", Encoding::Uyvy),
    ("uyvy", Encoding::Uyvy),
    ("yuv422_yuy2", Encoding::Yuyv),
    ("yuyv", Encoding::Yuyv),
    ("nv12", Encoding::Nv12),
    ("nv21", Encoding::Nv21),
    ("bayer_rggb8", Encoding::BayerRggb8),
    ("bayer_bggr8", Encoding::BayerBggr8),
    ("bayer_gbrg8", Encoding::BayerGbrg8),
    ("bayer_grbg8", Encoding::BayerGrbg8),
];

impl Encoding {
    /// The encoding that a ROS `sensor_msgs/Image` calls by `name`.
    ///
    /// # Errors
    /// [`FrameError::Encoding`], which lists the accepted names.
    pub fn from_ros_name(name: &str) -> Result<Self, FrameError> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, encoding)| *encoding)
            .ok_or_else(|| FrameError::Encoding {
                got: shortened(name).into_owned(),
                accepted: Self::accepted_names(),
            })
    }

    /// The name in `sensor_msgs/image_encodings`.
    pub fn ros_name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, encoding)| *encoding == self)
            .map_or("unknown", |(name, _)| name)
    }

    /// All accepted names, separated by commas, for messages.
    pub fn accepted_names() -> String {
        NAMES
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Bytes that the pixels of one row take, without padding.
    pub fn row_bytes(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            Self::Rgb8 | Self::Bgr8 => width * 3,
            Self::Rgba8 | Self::Bgra8 => width * 4,
            Self::Mono16 => width * 2,
            // Two pixels share a chroma pair, so an odd width takes the whole last pair.
            Self::Uyvy | Self::Yuyv => width.div_ceil(2) * 4,
            Self::Nv12 | Self::Nv21 => width.div_ceil(2) * 2,
            Self::Mono8
            | Self::BayerRggb8
            | Self::BayerBggr8
            | Self::BayerGbrg8
            | Self::BayerGrbg8 => width,
        }
    }

    /// Rows of `stride` bytes that an image takes: its height, and half as much again for a chroma plane.
    pub fn stored_rows(self, height: u32) -> usize {
        let height = height as usize;
        match self {
            Self::Nv12 | Self::Nv21 => height + height.div_ceil(2),
            _ => height,
        }
    }

    /// Whether the bytes of other pixels are needed for a pixel.
    fn has_neighbours(self) -> bool {
        let shares_chroma = matches!(self, Self::Uyvy | Self::Yuyv | Self::Nv12 | Self::Nv21);
        shares_chroma || self.is_bayer()
    }

    fn is_bayer(self) -> bool {
        matches!(
            self,
            Self::BayerRggb8 | Self::BayerBggr8 | Self::BayerGbrg8 | Self::BayerGrbg8
        )
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.ros_name())
    }
}

/// Why bytes are not an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// An encoding that is not read.
    #[error("image encoding {got:?} is not supported; accepted: {accepted}")]
    Encoding {
        /// The name that came.
        got: String,
        /// The names that are accepted.
        accepted: String,
    },
    /// No pixels, or too few for the encoding.
    #[error(
        "image is {width}x{height} pixels, expected at least {minimum}x{minimum} for {encoding}"
    )]
    Size {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// Smallest side.
        minimum: u32,
        /// Layout.
        encoding: Encoding,
    },
    /// Rows overlap.
    #[error(
        "row stride is {stride} bytes, expected at least {expected} for {width} pixels of {encoding}"
    )]
    Stride {
        /// The stride that came.
        stride: usize,
        /// Bytes that the pixels of a row take.
        expected: usize,
        /// Pixels per row.
        width: u32,
        /// Layout.
        encoding: Encoding,
    },
    /// The number of bytes is not that of the image.
    #[error(
        "image data has {got} bytes, expected {expected} ({width}x{height} {encoding}, {rows} rows of {stride} bytes)"
    )]
    Length {
        /// Bytes that came.
        got: usize,
        /// Bytes that fit.
        expected: usize,
        /// Pixels per row.
        width: u32,
        /// Rows of pixels.
        height: u32,
        /// Stored rows, chroma planes included.
        rows: usize,
        /// Bytes from row to row.
        stride: usize,
        /// Layout.
        encoding: Encoding,
    },
}

/// A frame that borrows its pixels. Made by [`Frame::new`], which checks that the data fit.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) stride: usize,
    pub(crate) encoding: Encoding,
    pub(crate) big_endian: bool,
    /// Of [`Encoding::Mono16`] the values that are black and white. `None` if they were not set.
    pub(crate) levels: Option<(u16, u16)>,
    /// What is decoded; `None` for all pixels.
    partial: Option<Partial<'a>>,
}

impl<'a> Frame<'a> {
    /// Borrows `data` as an image of `width` x `height` pixels, `stride` bytes from row to row.
    ///
    /// NV12 and NV21 hold their chroma plane after the luminance plane, with the same stride. The last row
    /// may come without its padding.
    ///
    /// # Errors
    /// [`FrameError`] if there are no pixels, rows overlap, or the number of bytes does not fit.
    pub fn new(
        data: &'a [u8],
        width: u32,
        height: u32,
        stride: usize,
        encoding: Encoding,
    ) -> Result<Self, FrameError> {
        // A demosaicked pixel needs its eight neighbours.
        let minimum = if encoding.is_bayer() { 3 } else { 1 };
        if width < minimum || height < minimum {
            return Err(FrameError::Size {
                width,
                height,
                minimum,
                encoding,
            });
        }
        let row = encoding.row_bytes(width);
        if stride < row {
            return Err(FrameError::Stride {
                stride,
                expected: row,
                width,
                encoding,
            });
        }
        let rows = encoding.stored_rows(height);
        let expected = stride.saturating_mul(rows);
        let least = stride.saturating_mul(rows - 1).saturating_add(row);
        if data.len() < least || data.len() > expected {
            return Err(FrameError::Length {
                got: data.len(),
                expected,
                width,
                height,
                rows,
                stride,
                encoding,
            });
        }
        Ok(Self {
            data,
            width,
            height,
            stride,
            encoding,
            big_endian: false,
            levels: None,
            partial: None,
        })
    }

    /// Borrows `data` as an image whose rows follow each other without padding.
    ///
    /// # Errors
    /// As [`Frame::new`].
    pub fn packed(
        data: &'a [u8],
        width: u32,
        height: u32,
        encoding: Encoding,
    ) -> Result<Self, FrameError> {
        Self::new(data, width, height, encoding.row_bytes(width), encoding)
    }

    /// Sets the byte order of [`Encoding::Mono16`]; little endian without it.
    #[must_use]
    pub fn with_big_endian(mut self, big_endian: bool) -> Self {
        self.big_endian = big_endian;
        self
    }

    /// Sets which values of [`Encoding::Mono16`] are black and white, for cameras that use a part of the 16 bits; what
    /// lies beyond them is black or white, too. Without it, a [`Tracker`](crate::Tracker) follows the images by [`Levels`], and
    /// pixels are read with 0 and 65535.
    #[must_use]
    pub fn with_levels(mut self, black: u16, white: u16) -> Self {
        self.levels = Some((black.min(u16::MAX - 1), white.max(black.saturating_add(1))));
        self
    }

    /// The value of a pixel of [`Encoding::Mono16`]; `None` outside the image and of other encodings.
    pub fn value16(&self, x: u32, y: u32) -> Option<u16> {
        if self.encoding != Encoding::Mono16 || x >= self.width || y >= self.height {
            return None;
        }
        let bytes = self.covering(&Region::pixel(x, y)).stored_row(y as usize)[x as usize * 2..]
            .first_chunk()
            .copied()?;
        Some(if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    /// Pixels per row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Layout of the bytes.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The bytes as they were passed in; those of the whole picture if only a region was decoded before.
    pub fn data(&self) -> &'a [u8] {
        self.completed().data
    }

    /// One pixel as R, G, B; `None` outside the image.
    pub fn rgb(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        if x >= self.width || y >= self.height {
            return None;
        }
        let (first, odd) = (x & !1, x & 1);
        let mut pixels = [[0; 4]; 2];
        let frame = self.covering(&Region::pixel(x, y));
        frame.read_rgbx(y, first, &mut pixels[..=odd as usize]);
        let [r, g, b, _] = pixels[odd as usize];
        Some([r, g, b])
    }

    /// Writes row `y` as interleaved R, G, B into `out`, which holds 3 x width bytes.
    ///
    /// # Panics
    /// Where `y` is not a row of the image or `out` has another length.
    pub fn read_rgb_row(&self, y: u32, out: &mut [u8]) {
        assert!(
            y < self.height,
            "row {y} of an image of {} rows",
            self.height
        );
        assert_eq!(out.len(), self.width as usize * 3, "bytes of one RGB row");
        let frame = self.covering(&Region::row(y, self.width));
        if frame.encoding == Encoding::Rgb8 {
            out.copy_from_slice(frame.stored_row(y as usize));
            return;
        }
        frame.for_runs(y, |x, pixels| {
            for (out, pixel) in out[x * 3..].chunks_exact_mut(3).zip(pixels) {
                out.copy_from_slice(&pixel[..3]);
            }
        });
    }

    /// The whole image as packed RGB in `out`, whose memory is reused. For drawing and saving, not for tracking.
    pub fn to_rgb8(&self, out: &mut Vec<u8>) {
        let row = self.width as usize * 3;
        out.resize(row * self.height as usize, 0);
        let frame = self.completed();
        for (y, line) in (0..self.height).zip(out.chunks_exact_mut(row)) {
            frame.read_rgb_row(y, line);
        }
    }

    /// Mean R, G, B over the whole image, 0..=255.
    pub fn mean_rgb(&self) -> [f64; 3] {
        let mut sums = [0_u64; 3];
        let frame = self.completed();
        for y in 0..self.height {
            frame.for_runs(y, |_, pixels| {
                // The sum of a run fits 16 bits, which keeps the inner loop fast.
                let mut run = [0_u16; 3];
                for pixel in pixels {
                    for (sum, value) in run.iter_mut().zip(pixel) {
                        *sum += u16::from(*value);
                    }
                }
                for (sum, value) in sums.iter_mut().zip(run) {
                    *sum += u64::from(value);
                }
            });
        }
        let count = f64::from(self.width) * f64::from(self.height);
        sums.map(|sum| sum as f64 / count)
    }

    /// Calls `put(x, pixels)` with runs of row `y`, from left to right.
    fn for_runs(&self, y: u32, mut put: impl FnMut(usize, &[Rgbx])) {
        let mut run = [[0; 4]; 64];
        for x in (0..self.width).step_by(run.len()) {
            let pixels = &mut run[..(self.width - x).min(64) as usize];
            self.read_rgbx(y, x, pixels);
            put(x as usize, pixels);
        }
    }

    /// Reads the pixels of row `y` from column `first`, an even one, on; all lie inside the image and are decoded, see
    /// [`Self::covering`].
    pub(crate) fn read_rgbx(&self, y: u32, first: u32, out: &mut [Rgbx]) {
        pixels::read(self, y, first, out);
    }

    /// The bytes of a stored row. Chroma rows are numbered after the last luminance row. What is read of it must be decoded.
    pub(crate) fn stored_row(&self, row: usize) -> &'a [u8] {
        let start = row * self.stride;
        &self.data[start..start + self.encoding.row_bytes(self.width)]
    }
}

/// Owned pixels whose memory a source reuses for each frame; borrow it as a [`Frame`] to track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageBuffer {
    /// The bytes, `stride` per row (planes of NV12/NV21 follow each other).
    pub data: Vec<u8>,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Layout of the bytes.
    pub encoding: Encoding,
    /// Byte order of 16-bit encodings.
    pub big_endian: bool,
}

impl ImageBuffer {
    /// A buffer without pixels, to be filled by a source.
    pub fn empty() -> Self {
        Self {
            data: Vec::new(),
            width: 0,
            height: 0,
            stride: 0,
            encoding: Encoding::Rgb8,
            big_endian: false,
        }
    }

    /// The image as a borrowed frame.
    ///
    /// # Errors
    /// As [`Frame::new`].
    pub fn frame(&self) -> Result<Frame<'_>, FrameError> {
        let frame = Frame::new(
            &self.data,
            self.width,
            self.height,
            self.stride,
            self.encoding,
        )?;
        Ok(frame.with_big_endian(self.big_endian))
    }
}

impl Default for ImageBuffer {
    fn default() -> Self {
        Self::empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Frame, FrameError, ImageBuffer, NAMES};

    #[test]
    fn names_round_trip_and_others_are_refused_with_the_list() {
        for (name, encoding) in NAMES {
            assert_eq!(Encoding::from_ros_name(name), Ok(*encoding));
            assert_eq!(Encoding::from_ros_name(encoding.ros_name()), Ok(*encoding));
        }
        let message = Encoding::from_ros_name("32FC1")
            .map_err(|e| e.to_string())
            .expect_err("depth is no picture");
        assert!(
            message.contains("\"32FC1\"")
                && message.contains("rgb8, bgr8")
                && message.contains("bayer_grbg8")
        );
    }

    #[test]
    fn wrong_sizes_name_expected_and_actual() {
        let data = vec![0; 640 * 480 * 3];
        assert!(Frame::packed(&data, 640, 480, Encoding::Rgb8).is_ok());
        let short = Frame::packed(&data[1..], 640, 480, Encoding::Rgb8)
            .expect_err("a byte is missing")
            .to_string();
        assert!(
            short.contains("921599") && short.contains("921600"),
            "{short}"
        );
        let long = Frame::packed(&data, 640, 240, Encoding::Rgb8)
            .expect_err("half is left over")
            .to_string();
        assert!(long.contains("921600") && long.contains("460800"), "{long}");
        let stride = Frame::new(&data, 640, 480, 640, Encoding::Rgb8)
            .expect_err("rows overlap")
            .to_string();
        assert!(
            stride.contains("640 bytes") && stride.contains("1920"),
            "{stride}"
        );
        assert!(matches!(
            Frame::packed(&[], 0, 0, Encoding::Rgb8),
            Err(FrameError::Size { .. })
        ));
        assert!(matches!(
            Frame::packed(&[], 0, 7, Encoding::Nv12),
            Err(FrameError::Size { .. })
        ));
        assert!(matches!(
            Frame::packed(&[0; 4], 2, 2, Encoding::BayerRggb8),
            Err(FrameError::Size { .. })
        ));
        // Extreme sizes do not overflow.
        assert!(matches!(
            Frame::new(&data, u32::MAX, u32::MAX, usize::MAX, Encoding::Rgba8),
            Err(FrameError::Length { .. })
        ));
        assert!(matches!(
            Frame::packed(&data, 16384, 16384, Encoding::Bgra8),
            Err(FrameError::Length { .. })
        ));
    }

    #[test]
    fn a_frame_of_16384_pixels_a_side_is_read() {
        let data = vec![7; 16384 * 16384];
        let frame = Frame::packed(&data, 16384, 16384, Encoding::Mono8).expect("it fits");
        assert_eq!(frame.rgb(16383, 16383), Some([7; 3]));
        assert_eq!(frame.rgb(16384, 0), None);
    }

    #[test]
    fn stride_and_channel_order_are_respected() {
        // Two pixels a row, one byte of padding, the last row without it.
        let data = [1, 2, 3, 4, 5, 6, 99, 7, 8, 9, 10, 11, 12];
        let frame = Frame::new(&data, 2, 2, 7, Encoding::Bgr8).expect("it fits");
        assert_eq!(frame.rgb(1, 0), Some([6, 5, 4]));
        assert_eq!(frame.rgb(0, 1), Some([9, 8, 7]));
        assert_eq!(frame.mean_rgb(), [7.5, 6.5, 5.5]);
        let mut rgb = Vec::new();
        frame.to_rgb8(&mut rgb);
        assert_eq!(rgb, [3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10]);
    }

    #[test]
    fn mono16_honours_byte_order() {
        let data = [0x00, 0xff, 0xff, 0xff];
        let little = Frame::packed(&data, 2, 1, Encoding::Mono16).expect("it fits");
        assert_eq!(little.rgb(0, 0), Some([254; 3]));
        assert_eq!(little.with_big_endian(true).rgb(0, 0), Some([1; 3]));
        assert_eq!(little.rgb(1, 0), Some([255; 3]));
    }

    #[test]
    fn levels_choose_black_and_white_of_16_bits() {
        let values: [u16; 5] = [0, 1000, 1500, 2000, 65535];
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let frame = Frame::packed(&data, 5, 1, Encoding::Mono16).expect("it fits");
        let greys = |frame: Frame<'_>| [0, 1, 2, 3, 4].map(|x| frame.rgb(x, 0).map(|rgb| rgb[0]));
        assert_eq!(
            greys(frame.with_levels(1000, 2000)),
            [0, 0, 128, 255, 255].map(Some)
        );
        assert_eq!(greys(frame.with_levels(0, u16::MAX)), greys(frame));
        assert_eq!(frame.value16(3, 0), Some(2000));
        assert_eq!(frame.value16(5, 0), None);
        // Levels that are none do not divide by nothing.
        assert_eq!(greys(frame.with_levels(1000, 1000))[2], Some(255));
        assert_eq!(greys(frame.with_levels(65535, 0))[3], Some(0));
        let grey = Frame::packed(&data, 10, 1, Encoding::Mono8).expect("it fits");
        assert_eq!(grey.value16(0, 0), None);
    }

    #[test]
    fn opencvs_names_mean_what_they_mean_there() {
        for (name, ros_name) in [
            ("8UC1", "mono8"),
            ("8UC3", "bgr8"),
            ("8UC4", "bgra8"),
            ("16UC1", "mono16"),
        ] {
            assert_eq!(
                Encoding::from_ros_name(name).map(Encoding::ros_name),
                Ok(ros_name)
            );
        }
    }

    #[test]
    fn a_long_name_is_not_repeated_whole() {
        let error = Encoding::from_ros_name(&"x".repeat(1000))
            .map_err(|error| error.to_string())
            .expect_err("no encoding");
        assert!(
            error.contains("(1000 bytes)") && error.len() < 500,
            "{error}"
        );
    }

    #[test]
    fn buffer_borrows_as_frame() {
        let mut buffer = ImageBuffer::empty();
        assert!(buffer.frame().is_err());
        buffer.data = vec![0, 255];
        (buffer.width, buffer.height, buffer.stride) = (1, 1, 2);
        (buffer.encoding, buffer.big_endian) = (Encoding::Mono16, true);
        assert_eq!(buffer.frame().expect("it fits").rgb(0, 0), Some([1; 3]));
    }
}
