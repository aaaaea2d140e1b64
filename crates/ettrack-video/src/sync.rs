//! Decodes one packet after the other and waits for each picture, for recordings.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use ettrack::frame::ImageBuffer;

use crate::{Packet, Picture, VideoDecoder, VideoError};

/// How long a picture is waited for. The first one waits for the process, on a busy machine for seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decodes packets whose pictures are waited for.
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
            // Nobody waits for a picture that comes after the decoder was dropped.
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
    /// [`VideoError`] where there is no picture of it. The next packet may be tried.
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
            // Those of packets before, whose wait had ended.
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
