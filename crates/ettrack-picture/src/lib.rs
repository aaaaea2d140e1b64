//! Pictures for ettrack: decodes JPEG, PNG, BMP and PNM files into frame buffers, and draws boxes and labels on pictures.
//!
//! [`decode_into`] reuses the memory of the buffer it fills, refuses cut and damaged files, and limits what a file may
//! ask for. With the feature `libjpeg` JPEG files give the pixels that OpenCV gives, and [`decode_region_into`] decodes only a
//! region of them. [`draw_track`] draws a tracked target with its confidence.
//!
//! ```
//! use ettrack::frame::{Encoding, ImageBuffer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A PPM file of 2x1 pixels: one red, one green.
//! let file = b"P6\n2 1\n255\n\xff\x00\x00\x00\xff\x00";
//! let mut image = ImageBuffer::empty();
//! ettrack_picture::decode_into(file, &mut image)?;
//! assert_eq!((image.width, image.height), (2, 1));
//! assert_eq!(image.encoding, Encoding::Rgb8);
//! assert_eq!(image.frame()?.rgb(1, 0), Some([0, 255, 0]));
//! # Ok(())
//! # }
//! ```

mod draw;
mod grow;
#[cfg(feature = "libjpeg")]
mod libjpeg;
mod picture;
#[cfg(feature = "libjpeg")]
mod plain_jpeg;
mod region;

pub use draw::{
    Color, GRAY, GREEN, ORANGE, WHITE, draw_box, draw_label, draw_track, text_size, to_rgb_image,
};
pub use grow::grow_box;
#[cfg(feature = "libjpeg")]
pub use libjpeg::jpeg_has_simd;
pub use picture::*;
pub use region::{RestOfPicture, decode_region_into};
