//! Pictures for viewers: scaling and JPEG encoding.

use std::sync::Arc;

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};
use serde::Serialize;

use crate::update::{Sight, Update};

/// JPEG quality, 1 to 100. At 80 the artefacts are weaker than those of most cameras.
const QUALITY: u8 = 80;

/// Largest width of a picture that is sent, pixels. A wider picture is halved until it fits. Boxes stay in pixels of the
/// frame.
const WIDEST: u32 = 1920;

/// An RGB picture, 8 bits per channel, rows from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rgb {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub data: Vec<u8>,
}

/// A picture with its answer, before it is encoded.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The frame's pixels.
    pub picture: Arc<Rgb>,
    /// The tracker's answer for this frame.
    pub update: Arc<Update>,
    /// Search region and scores of this frame, if a viewer wants them.
    pub sight: Option<Sight>,
}

/// An encoded picture, ready to send.
#[derive(Debug)]
pub struct Encoded {
    /// Number of the answer.
    pub seq: u64,
    /// The picture as JPEG.
    pub jpeg: Vec<u8>,
    /// The message for the WebSocket: the length of `head` (4 bytes, little endian), `head`, the JPEG. `head` is the JSON of
    /// the update with the field `sight`.
    pub message: Vec<u8>,
}

/// The reason why a picture was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// JPEG does not allow this size.
    #[error(
        "a picture of {width}x{height} pixels cannot be sent as JPEG, expected sides of 1 to 65535"
    )]
    Size {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The JPEG encoder failed.
    #[error("a picture was not encoded")]
    Jpeg(#[from] EncodingError),
    /// The update was not written as JSON.
    #[error("an update was not written")]
    Json(#[from] serde_json::Error),
}

/// Buffers for scaling, used again for each picture.
#[derive(Default)]
pub(crate) struct Scratch {
    half: Rgb,
    other: Rgb,
}

#[derive(Serialize)]
struct Head<'a> {
    #[serde(flatten)]
    update: &'a Update,
    sight: &'a Option<Sight>,
}

/// Encodes a picture as JPEG. Fails if a side is not 1 to 65535 pixels.
pub(crate) fn jpeg(picture: &Rgb, quality: u8) -> Result<Vec<u8>, PictureError> {
    let (width, height) = (picture.width, picture.height);
    let (Ok(columns), Ok(rows)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(PictureError::Size { width, height });
    };
    if columns == 0 || rows == 0 {
        return Err(PictureError::Size { width, height });
    }
    let mut bytes = Vec::with_capacity(picture.data.len() / 12);
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&picture.data, columns, rows, ColorType::Rgb)?;
    Ok(bytes)
}

/// Scales a picture to at most [`WIDEST`] pixels of width and builds the message of the WebSocket.
pub(crate) fn encode(shown: &Shown, scratch: &mut Scratch) -> Result<Encoded, PictureError> {
    let mut picture: &Rgb = &shown.picture;
    if picture.width > WIDEST {
        halve(picture, &mut scratch.half);
        while scratch.half.width > WIDEST {
            std::mem::swap(&mut scratch.half, &mut scratch.other);
            halve(&scratch.other, &mut scratch.half);
        }
        picture = &scratch.half;
    }
    let jpeg = jpeg(picture, QUALITY)?;
    let head = serde_json::to_vec(&Head {
        update: &shown.update,
        sight: &shown.sight,
    })?;
    let mut message = Vec::with_capacity(4 + head.len() + jpeg.len());
    message.extend_from_slice(&u32::try_from(head.len()).unwrap_or(0).to_le_bytes());
    message.extend_from_slice(&head);
    message.extend_from_slice(&jpeg);
    Ok(Encoded {
        seq: shown.update.seq,
        jpeg,
        message,
    })
}

/// Halves a picture: each new pixel is the mean of 2 x 2 pixels.
fn halve(from: &Rgb, to: &mut Rgb) {
    (to.width, to.height) = (from.width / 2, (from.height / 2).max(1));
    let row = from.width as usize * 3;
    to.data.clear();
    to.data.reserve(to.width as usize * to.height as usize * 3);
    for y in 0..to.height as usize {
        let upper = &from.data[2 * y * row..][..row];
        let lower = from
            .data
            .get((2 * y + 1) * row..(2 * y + 2) * row)
            .unwrap_or(upper);
        for (a, b) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for channel in 0..3 {
                let sum = [a[channel], a[channel + 3], b[channel], b[channel + 3]]
                    .into_iter()
                    .map(u32::from)
                    .sum::<u32>();
                to.data.push(((sum + 2) / 4) as u8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_picture_is_halved_and_the_message_begins_with_its_description() {
        let (width, height) = (4000, 3);
        let shown = Shown {
            picture: Arc::new(Rgb {
                width,
                height,
                data: vec![90; (width * height * 3) as usize],
            }),
            update: Arc::new(Update {
                seq: 7,
                size: [width, height],
                ..Update::default()
            }),
            sight: None,
        };
        let encoded = encode(&shown, &mut Scratch::default()).unwrap();
        let length = u32::from_le_bytes(encoded.message[..4].try_into().unwrap()) as usize;
        let head: serde_json::Value =
            serde_json::from_slice(&encoded.message[4..4 + length]).unwrap();
        assert_eq!(head["size"][0], 4000);
        assert_eq!(&encoded.message[4 + length..], encoded.jpeg);
        // Start of frame: 8 bits, height, width.
        let frame = encoded
            .jpeg
            .windows(2)
            .position(|two| two == [0xff, 0xc0])
            .unwrap();
        assert_eq!(encoded.jpeg[frame + 5..frame + 9], [0, 1, 3, 232], "1000x1");
    }

    #[test]
    fn refuses_a_picture_without_pixels() {
        assert!(matches!(
            jpeg(&Rgb::default(), 80),
            Err(PictureError::Size { .. })
        ));
    }
}
