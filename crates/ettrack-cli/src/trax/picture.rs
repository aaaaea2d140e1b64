//! Images in the forms of TraX: the path of a file, pixels, or the bytes of a JPEG or PNG file.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ettrack::frame::{Encoding, FrameError, ImageBuffer};
use ettrack_picture::PictureError;

/// The reason why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("an image is no picture")]
    Picture(#[from] PictureError),
    #[error("the data of an image are no base64")]
    Base64(#[from] base64::DecodeError),
    #[error(
        "an image starts with {got:?}; expected a path, image:WIDTH;HEIGHT;rgb|gray8|gray16;DATA or data:image/jpeg|png;DATA"
    )]
    Kind { got: String },
    #[error("an image of {width}x{height} pixels in {format} has {got} bytes, expected {expected}")]
    Length {
        width: u32,
        height: u32,
        format: String,
        got: usize,
        expected: usize,
    },
    #[error("the pixels of an image cannot be used")]
    Frame(#[from] FrameError),
}

/// Decodes an image into `image`, whose memory is reused.
pub fn decode_into(text: &str, image: &mut ImageBuffer) -> Result<(), ImageError> {
    let unknown = || ImageError::Kind {
        got: text.chars().take(40).collect(),
    };
    if let Some(rest) = text.strip_prefix("image:") {
        let parts: Vec<&str> = rest.splitn(4, ';').collect();
        let [width, height, format, data] = parts[..] else {
            return Err(unknown());
        };
        let (Ok(width), Ok(height)) = (width.parse(), height.parse()) else {
            return Err(unknown());
        };
        return pixels_into(width, height, format, data, image).ok_or_else(unknown)?;
    }
    if let Some(rest) = text.strip_prefix("data:") {
        let (_, data) = rest.split_once(';').ok_or_else(unknown)?;
        // Its first bytes show the format.
        let data = data.strip_prefix("base64,").unwrap_or(data);
        return Ok(ettrack_picture::decode_into(
            &STANDARD.decode(data)?,
            image,
        )?);
    }
    let path = match text.split_once(':') {
        Some(("file", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some((scheme, _)) if is_scheme(scheme) => return Err(unknown()),
        _ => text,
    };
    let bytes = std::fs::read(path).map_err(|source| ImageError::Read {
        path: path.into(),
        source,
    })?;
    Ok(ettrack_picture::decode_into(&bytes, image)?)
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || b"+.-".contains(&byte))
}

/// `None` for an unknown format.
fn pixels_into(
    width: u32,
    height: u32,
    format: &str,
    data: &str,
    image: &mut ImageBuffer,
) -> Option<Result<(), ImageError>> {
    let (encoding, bytes) = match format.to_ascii_lowercase().as_str() {
        "rgb" => (Encoding::Rgb8, 3),
        "gray8" => (Encoding::Mono8, 1),
        "gray16" => (Encoding::Mono16, 2),
        _ => return None,
    };
    let mut fill = || {
        let stride = width as usize * bytes;
        let pixels = STANDARD.decode(data)?;
        let expected = stride.saturating_mul(height as usize);
        if pixels.len() != expected {
            return Err(ImageError::Length {
                width,
                height,
                format: format.to_owned(),
                got: pixels.len(),
                expected,
            });
        }
        image.data = pixels;
        (image.width, image.height, image.stride) = (width, height, stride);
        (image.encoding, image.big_endian) = (encoding, false);
        image.frame()?;
        Ok(())
    };
    Some(fill())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Result<(u32, u32, Vec<u8>), String> {
        let mut image = ImageBuffer::empty();
        decode_into(text, &mut image).map_err(|error| ettrack::error_chain(&error))?;
        Ok((image.width, image.height, image.data))
    }

    #[test]
    fn all_three_forms_give_the_same_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b.png");
        let pixels: Vec<u8> = (0..18).collect();
        image::save_buffer(&path, &pixels, 3, 2, image::ColorType::Rgb8).unwrap();
        let file = STANDARD.encode(std::fs::read(&path).unwrap());
        let path = path.display();
        for text in [
            path.to_string(),
            format!("file://{path}"),
            format!("file:{path}"),
            format!("data:image/png;{file}"),
            format!("image:3;2;rgb;{}", STANDARD.encode(&pixels)),
        ] {
            assert_eq!(decoded(&text).unwrap(), (3, 2, pixels.clone()), "{text}");
        }
        let grey = format!("image:3;2;gray16;{}", STANDARD.encode(&pixels[..12]));
        assert_eq!(decoded(&grey).unwrap().2.len(), 12);
    }

    #[test]
    fn refuses_other_images_with_the_reason() {
        for (text, words) in [
            ("image:3;2;rgb;AAAA", "has 3 bytes, expected 18"),
            ("image:3;2;yuv;AAAA", "expected a path"),
            ("image:0;0;rgb;", "cannot be used"),
            ("image:3;x;rgb;AAAA", "expected a path"),
            ("data:image/png;AAAA", "no picture"),
            ("data:image/png;*", "no base64"),
            ("http://host/1.jpg", "expected a path"),
            ("/no/such.jpg", "cannot read /no/such.jpg"),
        ] {
            let error = decoded(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
