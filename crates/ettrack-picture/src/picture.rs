//! Decodes picture files (JPEG, PNG, BMP, PNM) into frame buffers.

use std::borrow::Cow;
use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use ettrack::frame::{Encoding, ImageBuffer};

/// Limit of the decoded pixels in bytes: 16384x16384 pixels of 4 bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Limit of width and height in pixels.
pub(crate) const LONGEST_SIDE: u32 = 16_384;

/// Limit of the scans of a JPEG file. Encoders write about ten; each costs a pass over all pixels, however short it is.
const MOST_SCANS: usize = 500;

/// Why bytes cannot be decoded as a picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// None of the supported formats.
    #[error(
        "picture format {name:?} (data start with {start}) is not supported; accepted: jpeg, png, bmp, pnm"
    )]
    Format {
        /// The format as the sender names it, or `unknown`.
        name: String,
        /// Its first bytes.
        start: String,
    },
    /// A JPEG file without its end.
    #[error("jpeg is cut: expected an end marker, found none in its {got} bytes")]
    Cut {
        /// Bytes of the file.
        got: usize,
    },
    /// Width or height is 0 or above the limit.
    #[error("picture is {width}x{height} pixels, expected 1x1 to {LONGEST_SIDE}x{LONGEST_SIDE}")]
    Size {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The decoder refused it. Its message holds its own causes, so they are not given again as a source.
    #[error("picture is damaged: {0}")]
    Damaged(String),
    /// A progressive JPEG of so many passes over its pixels that decoding would take minutes.
    #[error("jpeg has {got} scans, expected at most {MOST_SCANS}")]
    Scans {
        /// Scans of the file.
        got: usize,
    },
}

impl From<image::ImageError> for PictureError {
    fn from(error: image::ImageError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Whether the data start like a supported format.
pub fn is_known(data: &[u8]) -> bool {
    format_of(data).is_some()
}

/// The first eight bytes in hexadecimal, for messages.
pub fn first_bytes(data: &[u8]) -> String {
    let bytes: Vec<_> = data
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if bytes.is_empty() {
        "nothing".into()
    } else {
        bytes.join(" ")
    }
}

fn format_of(data: &[u8]) -> Option<ImageFormat> {
    let known = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Pnm,
    ];
    image::guess_format(data)
        .ok()
        .filter(|format| known.contains(format))
}

/// Decodes a whole picture file into `image`, whose memory is reused. The picture is turned as its EXIF orientation says.
/// Colour becomes `rgb8` (`rgba8` with transparency), grey becomes `mono8` or `mono16`.
///
/// JPEG files are decoded by libjpeg-turbo with the feature `libjpeg`, to the same pixels as OpenCV and Pillow; without it
/// by the crate `image`, whose pixels differ from these by a few levels.
///
/// # Errors
/// [`PictureError`] if the data are of another format, cut, damaged, too large, or a JPEG of too many scans. The content of `image` is then
/// undefined.
pub fn decode_into(data: &[u8], image: &mut ImageBuffer) -> Result<(), PictureError> {
    // The decoder fills missing rows with grey and reports no error, so cut files are refused here.
    let data = match format_of(data) {
        Some(ImageFormat::Jpeg) => complete_jpeg(data)?,
        _ => Cow::Borrowed(data),
    };
    let mut decoder = decoder(&data)?;
    let (width, height) = decoder.dimensions();
    let sides = 1..=LONGEST_SIDE;
    let is_possible = sides.contains(&width) && sides.contains(&height);
    if !is_possible || decoder.total_bytes() > 2 * MOST_BYTES {
        return Err(PictureError::Size { width, height });
    }
    let orientation = orientation(&mut decoder);
    let as_it_is = match decoder.color_type() {
        _ if orientation != Orientation::NoTransforms => None,
        ColorType::L8 => Some(Encoding::Mono8),
        ColorType::L16 => Some(Encoding::Mono16),
        ColorType::Rgb8 => Some(Encoding::Rgb8),
        ColorType::Rgba8 => Some(Encoding::Rgba8),
        _ => None,
    };
    image.big_endian = cfg!(target_endian = "big");
    #[cfg(feature = "libjpeg")]
    if format_of(&data) == Some(ImageFormat::Jpeg)
        && let Some((encoding, [width, height])) =
            crate::libjpeg::decode_into(&data, &mut image.data).map_err(PictureError::Damaged)?
    {
        (image.width, image.height, image.encoding) = (width, height, encoding);
        image.stride = encoding.row_bytes(width);
        if orientation != Orientation::NoTransforms {
            turn(image, orientation)?;
        }
        return Ok(());
    }
    match as_it_is {
        Some(encoding) => {
            (image.width, image.height) = (width, height);
            image.encoding = encoding;
            image.data.resize(decoder.total_bytes() as usize, 0);
            decoder.read_image(&mut image.data)?;
        }
        // Turned pictures, 16-bit colour and grey with transparency are rare: a second copy is good enough.
        None => {
            let mut picture = DynamicImage::from_decoder(decoder)?;
            picture.apply_orientation(orientation);
            (image.width, image.height) = (picture.width(), picture.height());
            image.encoding = Encoding::Rgb8;
            image.data = picture.into_rgb8().into_raw();
        }
    }
    image.stride = image.encoding.row_bytes(image.width);
    Ok(())
}

/// Width and height in pixels of a picture file, as [`decode_into`] would give them. Only the header is read.
///
/// # Errors
/// [`PictureError`] if the data are of another format or the header is damaged.
pub fn size(data: &[u8]) -> Result<(u32, u32), PictureError> {
    let mut decoder = decoder(data)?;
    let (width, height) = decoder.dimensions();
    let is_turned = matches!(
        orientation(&mut decoder),
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    Ok(if is_turned {
        (height, width)
    } else {
        (width, height)
    })
}

fn decoder(data: &[u8]) -> Result<Box<dyn ImageDecoder + '_>, PictureError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    match format_of(data) {
        None => Err(PictureError::Format {
            name: "unknown".into(),
            start: first_bytes(data),
        }),
        Some(ImageFormat::Jpeg) => Ok(Box::new(JpegDecoder::new(Cursor::new(data))?)),
        Some(format) => {
            let mut reader = ImageReader::with_format(Cursor::new(data), format);
            reader.limits(limits);
            Ok(Box::new(reader.into_decoder()?))
        }
    }
}

/// How the picture has to be turned. Damaged metadata count as no turn.
fn orientation(decoder: &mut dyn ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// Turns decoded pixels. Turned pictures are rare: a second copy is good enough.
#[cfg(feature = "libjpeg")]
fn turn(image: &mut ImageBuffer, orientation: Orientation) -> Result<(), PictureError> {
    use image::{GrayImage, RgbImage};
    let (width, height) = (image.width, image.height);
    let pixels = std::mem::take(&mut image.data);
    let picture = match image.encoding {
        Encoding::Mono8 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8),
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
    };
    let mut picture = picture.ok_or(PictureError::Size { width, height })?;
    picture.apply_orientation(orientation);
    (image.width, image.height) = (picture.width(), picture.height());
    image.stride = image.encoding.row_bytes(image.width);
    image.data = picture.into_bytes();
    Ok(())
}

/// The marker of Motion JPEG as AVI files have it. It tells the decoder to use the standard Huffman tables (ITU-T T.81,
/// annex K) where the picture brings none.
const MOTION_JPEG: [u8; 9] = *b"\xff\xe0\x00\x07AVI1\x00";

/// The JPEG file if its end is there, with the marker of Motion JPEG put in if it has no Huffman tables: many cameras
/// leave the tables out because they are always the same.
///
/// The end marker is searched only behind the start of the scan. Before it, in a thumbnail, the same bytes may occur;
/// within the scan they cannot.
fn complete_jpeg(data: &[u8]) -> Result<Cow<'_, [u8]>, PictureError> {
    const HUFFMAN_TABLES: u8 = 0xc4;
    const PROGRESSIVE_FRAME: u8 = 0xc2;
    const START_OF_SCAN: u8 = 0xda;
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let mut position = 2;
    let mut has_tables = false;
    let mut is_progressive = false;
    // Segments: 0xff, marker, length (with its own two bytes), content.
    while let Some(&[0xff, marker, high, low]) = data
        .get(position..)
        .and_then(|rest| rest.first_chunk::<4>())
    {
        if marker == 0xff {
            position += 1; // fill byte
            continue;
        }
        let next = position + 2 + usize::from(u16::from_be_bytes([high, low]));
        if marker == START_OF_SCAN {
            let scan = data.get(next..).unwrap_or_default();
            // From the end: the marker is the last thing in a file, or stands before padding.
            if !scan.windows(2).rev().any(|bytes| bytes == END_OF_IMAGE) {
                break;
            }
            if is_progressive {
                let later = scan
                    .windows(2)
                    .filter(|bytes| *bytes == [0xff, START_OF_SCAN]);
                let got = 1 + later.count();
                if got > MOST_SCANS {
                    return Err(PictureError::Scans { got });
                }
            }
            return Ok(match has_tables {
                true => Cow::Borrowed(data),
                // The decoder copies the file too, so this copy is not noticed.
                false => [&data[..2], &MOTION_JPEG, &data[2..]].concat().into(),
            });
        }
        has_tables |= marker == HUFFMAN_TABLES;
        is_progressive |= marker == PROGRESSIVE_FRAME;
        position = next;
    }
    Err(PictureError::Cut { got: data.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{
        ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder,
    };

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(length)
        .collect()
    }

    fn jpeg(width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
        let bytes = noise((width * height) as usize * usize::from(color.bits_per_pixel() / 8));
        let mut file = Vec::new();
        JpegEncoder::new(&mut file)
            .write_image(&bytes, width, height, color)
            .unwrap();
        file
    }

    #[test]
    fn decodes_png_exactly_in_each_layout_and_reuses_memory() {
        let mut image = ImageBuffer::empty();
        for (color, encoding, pixel) in [
            (ExtendedColorType::Rgba8, Encoding::Rgba8, 4),
            (ExtendedColorType::Rgb8, Encoding::Rgb8, 3),
            (ExtendedColorType::L8, Encoding::Mono8, 1),
            (ExtendedColorType::L16, Encoding::Mono16, 2),
        ] {
            let pixels = noise(7 * 5 * pixel);
            let mut file = Vec::new();
            PngEncoder::new(&mut file)
                .write_image(&pixels, 7, 5, color)
                .unwrap();
            decode_into(&file, &mut image).unwrap();
            assert_eq!((image.width, image.height, image.stride), (7, 5, 7 * pixel));
            assert_eq!((image.encoding, &image.data), (encoding, &pixels));
            image.frame().unwrap();
        }
        assert!(
            image.data.capacity() >= 7 * 5 * 4,
            "the largest buffer is kept"
        );
    }

    #[test]
    fn turns_a_picture_as_its_exif_orientation_says() {
        let flat = jpeg(33, 17, ExtendedColorType::Rgb8);
        let mut expected = ImageBuffer::empty();
        decode_into(&flat, &mut expected).unwrap();
        // The shortest EXIF block with an orientation: 6, turn clockwise by 90 degrees.
        let tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut exif = b"\xff\xe1\0\x22Exif\0\0".to_vec();
        exif.extend(tiff);
        let turned = [&flat[..2], &exif, &flat[2..]].concat();
        assert_eq!(size(&flat).unwrap(), (33, 17));
        assert_eq!(size(&turned).unwrap(), (17, 33));
        let mut upright = ImageBuffer::empty();
        decode_into(&turned, &mut upright).unwrap();
        assert_eq!((upright.width, upright.height), (17, 33));
        let pixel = |image: &ImageBuffer, x, y| image.frame().unwrap().rgb(x, y);
        for (x, y) in [(0, 0), (32, 0), (5, 16), (20, 3)] {
            assert_eq!(pixel(&upright, 16 - y, x), pixel(&expected, x, y));
        }
    }

    #[test]
    fn refuses_a_jpeg_cut_at_any_byte() {
        let mut image = ImageBuffer::empty();
        for color in [ExtendedColorType::Rgb8, ExtendedColorType::L8] {
            let file = jpeg(33, 17, color);
            decode_into(&file, &mut image).unwrap();
            assert_eq!((image.width, image.height), (33, 17));
            for length in 0..file.len() {
                assert!(
                    decode_into(&file[..length], &mut image).is_err(),
                    "cut at {length}"
                );
            }
            let mut padded = file;
            padded.extend([0; 9]);
            decode_into(&padded, &mut image).unwrap();
        }
    }

    /// The file without its Huffman tables, as many cameras send Motion JPEG.
    fn without_huffman_tables(file: &[u8]) -> Vec<u8> {
        let mut bare = file[..2].to_vec();
        let mut position = 2;
        loop {
            let length = usize::from(u16::from_be_bytes([file[position + 2], file[position + 3]]));
            let marker = file[position + 1];
            if marker == 0xda {
                break;
            }
            if marker != 0xc4 {
                bare.extend(&file[position..position + 2 + length]);
            }
            position += 2 + length;
        }
        bare.extend(&file[position..]);
        bare
    }

    #[test]
    fn decodes_jpeg_without_huffman_tables_to_the_same_pixels() {
        for color in [ExtendedColorType::Rgb8, ExtendedColorType::L8] {
            // The encoder writes the standard tables.
            let file = jpeg(33, 17, color);
            let mut expected = ImageBuffer::empty();
            decode_into(&file, &mut expected).unwrap();
            let bare = without_huffman_tables(&file);
            // Grey pictures have two tables of about 100 bytes on average, colour pictures four.
            assert!(bare.len() + 200 < file.len());
            // With the marker of Motion JPEG, as AVI files hold it, and without.
            let marked = [&bare[..2], &MOTION_JPEG, &bare[2..]].concat();
            for bare in [bare, marked] {
                let mut got = ImageBuffer::empty();
                decode_into(&bare, &mut got).unwrap();
                assert_eq!((got.width, got.height), (33, 17));
                assert_eq!(got.data, expected.data);
                assert_eq!(size(&bare).unwrap(), (33, 17));
            }
        }
    }

    #[test]
    fn refuses_other_formats_and_names_the_first_bytes() {
        let mut image = ImageBuffer::empty();
        let error = decode_into(b"GIF89a....", &mut image)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("47 49 46 38") && error.contains("accepted: jpeg, png"),
            "{error}"
        );
        assert!(
            decode_into(&[], &mut image)
                .unwrap_err()
                .to_string()
                .contains("nothing")
        );
    }

    #[test]
    fn refuses_headers_that_claim_too_many_pixels() {
        // A PNG whose header claims 60000 x 60000 pixels.
        let mut file = Vec::new();
        PngEncoder::new(&mut file)
            .write_image(&[0; 3], 1, 1, ExtendedColorType::Rgb8)
            .unwrap();
        file[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        assert!(decode_into(&file, &mut ImageBuffer::empty()).is_err());
        // The same of a JPEG, in its frame header.
        let mut file = jpeg(8, 8, ExtendedColorType::Rgb8);
        let frame = file
            .windows(2)
            .position(|bytes| bytes == [0xff, 0xc0])
            .unwrap();
        file[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
        let error = decode_into(&file, &mut ImageBuffer::empty()).unwrap_err();
        assert!(
            matches!(
                error,
                PictureError::Size {
                    width: 60_000,
                    height: 60_000
                }
            ),
            "{error}"
        );
        let error = decode_into(b"P6\n3 0\n255\n", &mut ImageBuffer::empty()).unwrap_err();
        assert!(error.to_string().contains("3x0 pixels"), "{error}");
    }
}
