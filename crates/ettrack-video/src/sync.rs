//! Decodes recordings: one packet after the other, and waits for each picture.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use ettrack::frame::ImageBuffer;

use crate::{Packet, Picture, VideoDecoder, VideoError};

/// Longest wait for a picture. The first picture also waits for the start of ffmpeg, which takes seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decodes packets and waits for the picture of each.
#[derive(Debug)]
pub struct FrameDecoder {
    decoder: VideoDecoder,
    pictures: Receiver<Picture>,
    patience: Duration,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        let (sender, pictures) = mpsc::channel();
        Self {
            // Sending fails after the decoder was dropped. Then nobody needs the picture.
            decoder: VideoDecoder::new(move |picture| drop(sender.send(picture))),
            pictures,
            patience: PATIENCE,
        }
    }
}

impl FrameDecoder {
    /// Decodes the next packet into `image`.
    ///
    /// # Errors
    /// Returns a [`VideoError`] if the packet gives no picture. The caller may go on with the next packet.
    pub fn decode(
        &mut self,
        packet: &Packet<'_>,
        image: &mut ImageBuffer,
    ) -> Result<(), VideoError> {
        self.decoder.push(packet)?;
        let until = Instant::now() + self.patience;
        while let Ok(picture) = self
            .pictures
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            // Skips late pictures of earlier packets.
            if picture.stamp == packet.stamp {
                *image = picture.image;
                return Ok(());
            }
        }
        let reason = self.decoder.last_words();
        self.decoder.missed();
        Err(VideoError::NoPicture { reason })
    }
}
