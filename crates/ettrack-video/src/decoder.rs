//! Takes packets as they come and refuses those that cannot be decoded.

use std::fmt;
use std::sync::Arc;

use crate::process::{Picture, Process};
use crate::{Codec, VideoError, units};

/// Largest size of a packet, bytes.
const LONGEST: usize = 64 << 20;

/// A coded picture.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Name of the codec or of its encoder.
    pub codec: &'a str,
    /// Time at which the picture was taken, nanoseconds.
    pub stamp: i64,
    /// Number of the packet if the sender counts packets. The step from packet to packet is constant.
    pub number: Option<u64>,
    /// Whether the sender marks the packet as a key frame.
    pub is_key: bool,
    /// The coded bytes.
    pub data: &'a [u8],
}

/// Why the decoder waits for a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The first received packet is not a key frame.
    Start,
    /// Packets were lost on their way.
    Lost,
    /// Packets were dropped because they came faster than they can be decoded.
    Slow,
    /// The stream began again: its time went back or its codec changed.
    Anew,
    /// The ffmpeg process ended.
    Ended,
}

impl fmt::Display for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Start => "the stream was joined between two",
            Self::Lost => {
                "a packet was lost on its way; a reliable subscription and more key frames help"
            }
            Self::Slow => "packets come faster than they can be decoded",
            Self::Anew => "the stream has begun anew",
            Self::Ended => "the decoder has ended",
        })
    }
}

/// Decodes a stream of packets. A thread of the decoder passes each picture to the function given to [`VideoDecoder::new`].
pub struct VideoDecoder {
    receive: Arc<dyn Fn(Picture) + Send + Sync>,
    process: Option<Process>,
    codec: Option<Codec>,
    /// Parameter set of the present stream.
    parameters: Vec<u8>,
    /// Why the decoder waits for a key frame, and the number of packets skipped so far. `None` if it does not wait.
    wait: Option<(Wait, u64)>,
    /// Stamp and number of the previous packet.
    last: Option<(i64, Option<u64>)>,
    /// Smallest step between packet numbers so far.
    step: Option<u64>,
}

impl fmt::Debug for VideoDecoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VideoDecoder")
            .field("codec", &self.codec)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

impl VideoDecoder {
    /// Creates a decoder that calls `receive` with each picture.
    pub fn new(receive: impl Fn(Picture) + Send + Sync + 'static) -> Self {
        Self {
            receive: Arc::new(receive),
            process: None,
            codec: None,
            parameters: Vec::new(),
            wait: Some((Wait::Start, 0)),
            last: None,
            step: None,
        }
    }

    /// Takes the next packet and does not wait for its picture, which comes later.
    ///
    /// # Errors
    /// Returns a [`VideoError`] if the packet gives no picture.
    pub fn push(&mut self, packet: &Packet<'_>) -> Result<(), VideoError> {
        let codec = Codec::named(packet.codec).ok_or_else(|| VideoError::Codec {
            got: packet.codec.chars().take(60).collect(),
        })?;
        if packet.data.is_empty() || packet.data.len() > LONGEST {
            return Err(VideoError::Length {
                got: packet.data.len(),
                most: LONGEST,
            });
        }
        self.look_for_gaps(codec, packet);
        let alone = units::stands_alone(codec, packet.data);
        if let Some((why, skipped)) = &mut self.wait {
            // The content of the packet counts more than the sender's mark.
            if !alone.unwrap_or(packet.is_key || matches!(why, Wait::Start)) {
                *skipped += 1;
                return Err(VideoError::NoKeyFrame {
                    skipped: *skipped,
                    why: *why,
                });
            }
        }
        if let Some(parameters) = units::parameters(codec, packet.data)
            && parameters != self.parameters
        {
            // The size of the pictures may have changed. A new process is started, because the old one would scale them.
            self.process = None;
            self.parameters = parameters.to_owned();
        }
        self.hand_over(codec, packet)
    }

    /// Starts to wait for a key frame if packets are missing before this one.
    fn look_for_gaps(&mut self, codec: Codec, packet: &Packet<'_>) {
        if self.process.as_ref().is_some_and(Process::has_ended) {
            self.process = None;
            self.wait = Some((Wait::Ended, 0));
        }
        let last = self.last.replace((packet.stamp, packet.number));
        let is_other = self
            .codec
            .replace(codec)
            .is_some_and(|before| before != codec);
        let Some((stamp, number)) = last else {
            return;
        };
        if is_other || packet.stamp <= stamp {
            self.process = None;
            self.step = None;
            self.wait = Some((Wait::Anew, 0));
            return;
        }
        let step = number
            .zip(packet.number)
            .map(|(before, now)| now.wrapping_sub(before));
        // A sender that does not count packets always sends the same number.
        let Some(step) = step.filter(|step| *step > 0) else {
            return;
        };
        let usual = *self
            .step
            .insert(self.step.map_or(step, |usual| usual.min(step)));
        let is_lost = step > usual.saturating_add(usual / 2);
        // If the decoder already waits, it keeps its count of skipped packets.
        if is_lost && self.wait.is_none() {
            self.wait = Some((Wait::Lost, 0));
        }
    }

    fn hand_over(&mut self, codec: Codec, packet: &Packet<'_>) -> Result<(), VideoError> {
        let process = match &mut self.process {
            Some(process) => process,
            none => none.insert(Process::start(codec, Arc::clone(&self.receive))?),
        };
        if process.push(packet.stamp, packet.data) {
            self.wait = None;
            return Ok(());
        }
        let (_, skipped) = self.wait.unwrap_or((Wait::Slow, 0));
        self.wait = Some((Wait::Slow, skipped + 1));
        Err(VideoError::NoKeyFrame {
            skipped: skipped + 1,
            why: Wait::Slow,
        })
    }

    /// Returns the last error messages of the ffmpeg process.
    pub(crate) fn last_words(&self) -> String {
        self.process
            .as_ref()
            .map_or_else(String::new, Process::last_words)
    }

    /// Ends the process after a missing picture. The decoder then waits for a key frame.
    pub(crate) fn missed(&mut self) {
        self.process = None;
        self.wait = Some((Wait::Ended, 0));
    }
}
