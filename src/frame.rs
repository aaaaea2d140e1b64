//! Borrowed camera frames: pixels, encoding, row stride.

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
    /// 2 bytes luminance, little or big endian (see [`Frame::big_endian`]).
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

/// A frame that borrows its pixels. Made by [`Frame::new`], which checks that the data fit.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) stride: usize,
    pub(crate) encoding: Encoding,
    pub(crate) big_endian: bool,
}

/// Owned pixels that a source fills again and again; borrow it as a [`Frame`] to track.
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
