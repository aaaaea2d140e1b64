//! Decodes only a region of a JPEG file, and the rest if it is read.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use ettrack::frame::{Encoding, ImageBuffer, Region, Rest};

use crate::{PictureError, decode_into};

/// The grey of what cannot be decoded.
const GREY: u8 = 128;

/// Decodes at least the region `wanted` of a picture file into `image`, whose memory is reused and which gets the size of the
/// whole picture. Returns the decoded region; the bytes of all other pixels are undefined. The region's pixels are those that
/// [`decode_into`] gives, bit for bit.
///
/// Only the region is decoded of upright baseline JPEG files of one scan, with the feature `libjpeg`, if it is less than half
/// of the picture. All other files are decoded whole, with the errors of [`decode_into`].
///
/// # Errors
/// As [`decode_into`].
pub fn decode_region_into(
    data: &[u8],
    wanted: &Region,
    image: &mut ImageBuffer,
) -> Result<Region, PictureError> {
    #[cfg(feature = "libjpeg")]
    if let Some((width, height)) = crate::plain_jpeg::size(data) {
        let wanted = wanted.grown(0, (width, height));
        if 2 * wanted.area() < Region::whole((width, height)).area()
            && let Some((encoding, size)) =
                crate::libjpeg::decode_region(data, &wanted, &mut image.data)
            && size == [width, height]
        {
            (image.width, image.height, image.encoding) = (width, height, encoding);
            image.stride = encoding.row_bytes(width);
            image.big_endian = cfg!(target_endian = "big");
            return Ok(wanted);
        }
    }
    #[cfg(not(feature = "libjpeg"))]
    let _ = wanted;
    decode_into(data, image)?;
    Ok(Region::whole((image.width, image.height)))
}

/// A picture file of which [`decode_region_into`] decoded a region. Decodes the whole file when another pixel is read.
pub struct RestOfPicture<'a> {
    data: &'a [u8],
    size: (u32, u32),
    encoding: Encoding,
    /// Memory for the whole picture, until it is used.
    buffer: Mutex<Option<&'a mut ImageBuffer>>,
    whole: OnceLock<Whole<'a>>,
}

/// The whole picture.
struct Whole<'a> {
    pixels: &'a [u8],
    error: Option<PictureError>,
}

impl<'a> RestOfPicture<'a> {
    /// The rest of the file `data`, of which `part` holds a region. `buffer` gets the whole picture.
    pub fn new(data: &'a [u8], part: &ImageBuffer, buffer: &'a mut ImageBuffer) -> Self {
        Self {
            data,
            size: (part.width, part.height),
            encoding: part.encoding,
            buffer: Mutex::new(Some(buffer)),
            whole: OnceLock::new(),
        }
    }

    /// Whether the whole picture was decoded.
    pub fn was_read(&self) -> bool {
        self.whole.get().is_some()
    }

    /// Why the whole picture could not be decoded, if it was read.
    pub fn into_error(self) -> Option<PictureError> {
        self.whole.into_inner().and_then(|whole| whole.error)
    }

    fn decode(&self) -> Whole<'a> {
        let buffer = self
            .buffer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(image) = buffer else {
            // The cell calls this once.
            return Whole {
                pixels: &[],
                error: None,
            };
        };
        let (width, height) = self.size;
        let error = match decode_into(self.data, image) {
            Ok(())
                if (image.width, image.height, image.encoding)
                    == (width, height, self.encoding) =>
            {
                None
            }
            Ok(()) => Some(PictureError::Damaged(
                "its parts are of different sizes or colours".to_owned(),
            )),
            Err(error) => Some(error),
        };
        if error.is_some() {
            image.data.clear();
            image
                .data
                .resize(self.encoding.row_bytes(width) * height as usize, GREY);
        }
        Whole {
            pixels: &image.data,
            error,
        }
    }
}

impl Rest for RestOfPicture<'_> {
    fn whole(&self) -> &[u8] {
        self.whole.get_or_init(|| self.decode()).pixels
    }
}

impl fmt::Debug for RestOfPicture<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size;
        write!(
            formatter,
            "rest of a picture of {width}x{height}, {} bytes",
            self.data.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decoded_is_grey_and_tells_the_error() {
        let part = ImageBuffer {
            data: vec![0; 5 * 4 * 3],
            width: 5,
            height: 4,
            stride: 15,
            encoding: Encoding::Rgb8,
            big_endian: false,
        };
        // A picture of another size, and no picture.
        for data in [&b"P6\n2 1\n255\n\xff\x00\x00\x00\xff\x00"[..], b"none"] {
            let mut buffer = ImageBuffer::empty();
            let rest = RestOfPicture::new(data, &part, &mut buffer);
            assert!(!rest.was_read());
            let frame = part
                .frame()
                .unwrap()
                .with_region(Region::whole((1, 1)), &rest);
            assert_eq!(frame.rgb(0, 0), Some([0; 3]));
            assert_eq!(frame.rgb(4, 3), Some([GREY; 3]));
            assert!(rest.was_read() && rest.into_error().is_some());
        }
    }
}
