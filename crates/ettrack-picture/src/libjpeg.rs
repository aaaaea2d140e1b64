//! JPEG decoding by libjpeg-turbo (feature `libjpeg`), bit for bit as OpenCV's `imread` decodes.
//!
//! The crate `mozjpeg` compiles the decoder with a C compiler. Its integer transform, its upsampling of chroma and its
//! conversion to RGB are those of libjpeg-turbo, which OpenCV, Pillow and the authors' tools stand on.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ettrack::frame::Encoding;
use mozjpeg::{ColorSpace, Decompress};

/// What a JPEG file holds, decoded: nothing where the decoder does not know its colours.
pub(crate) type Decoded = Option<(Encoding, [u32; 2])>;

/// Decodes the pixels of a JPEG file into `pixels`, whose memory is reused: grey as `mono8`, colour as `rgb8`.
///
/// Pictures of four components (CMYK) are left to the other decoder: nothing is returned, `pixels` stay as they are.
///
/// # Errors
/// The decoder's message if the file is damaged. `pixels` are then undefined.
pub(crate) fn decode_into(data: &[u8], pixels: &mut Vec<u8>) -> Result<Decoded, String> {
    // The C code reports an error by a call that must not return. The crate unwinds from it, without running the panic
    // hook, to here; the decoder's memory is freed on the way.
    match catch_unwind(AssertUnwindSafe(|| decode(data, pixels))) {
        Ok(decoded) => decoded.map_err(|error| error.to_string()),
        Err(payload) => Err(payload
            .downcast_ref::<String>()
            .map_or_else(|| "libjpeg failed".to_owned(), Clone::clone)),
    }
}

fn decode(data: &[u8], pixels: &mut Vec<u8>) -> io::Result<Decoded> {
    let picture = Decompress::new_mem(data)?;
    let (encoding, space) = match picture.color_space() {
        ColorSpace::JCS_GRAYSCALE => (Encoding::Mono8, ColorSpace::JCS_GRAYSCALE),
        ColorSpace::JCS_YCbCr | ColorSpace::JCS_RGB => (Encoding::Rgb8, ColorSpace::JCS_RGB),
        _ => return Ok(None),
    };
    let mut rows = picture.to_colorspace(space)?;
    let size = [rows.width() as u32, rows.height() as u32];
    pixels.resize(encoding.row_bytes(size[0]) * rows.height(), 0);
    rows.read_scanlines_into(pixels.as_mut_slice())?;
    rows.finish()?;
    Ok(Some((encoding, size)))
}
