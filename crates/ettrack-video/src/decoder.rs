//! Takes packets as they come, and knows which of them can be decoded.

use std::fmt;
use std::sync::Arc;

use crate::process::{Picture, Process};
use crate::{Codec, VideoError, units};

/// Bytes of the longest packet.
const LONGEST: usize = 64 << 20;

/// A coded picture.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Name of the codec or of its encoder.
    pub codec: &'a str,
    /// When the picture was taken, nanoseconds.
    pub stamp: i64,
    /// The sender's count of packets, where it counts them: by even steps.
    pub number: Option<u64>,
    /// Whether the sender says that it is a key frame.
    pub is_key: bool,
    /// The bytes.
    pub data: &'a [u8],
}

/// What is missing while a key frame is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The packets before the first one that came.
    Start,
    /// Packets on the way.
    Lost,
    /// Packets that came faster than they were decoded.
    Slow,
    /// Those before a jump of the time, or before the stream changed.
    Anew,
    /// Those before the decoder ended.
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

/// Decodes a stream of packets. Pictures go to whom [`VideoDecoder::new`] was told, on a thread of the decoder.
pub struct VideoDecoder {
    receive: Arc<dyn Fn(Picture) + Send + Sync>,
    process: Option<Process>,
    codec: Option<Codec>,
    /// The parameter set of the stream that is decoded.
    parameters: Vec<u8>,
    /// What is missing, and packets skipped for it.
    wait: Option<(Wait, u64)>,
    /// Stamp and number of the packet before.
    last: Option<(i64, Option<u64>)>,
    /// The least step of the numbers.
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
    /// A decoder whose pictures go to `receive`.
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

    /// Takes the next packet. Its picture comes later.
    ///
    /// # Errors
    /// [`VideoError`] where there will be no picture of it.
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
            // What the bytes say counts more than what the sender says.
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
            // Pictures of another size: a new decoder, so that none is scaled to the old one.
            self.process = None;
            self.parameters = parameters.to_owned();
        }
        self.hand_over(codec, packet)
    }

    /// Whether packets are missing before this one.
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
        // A sender that does not count sends the same number always.
        let Some(step) = step.filter(|step| *step > 0) else {
            return;
        };
        let usual = *self
            .step
            .insert(self.step.map_or(step, |usual| usual.min(step)));
        let is_lost = step > usual.saturating_add(usual / 2);
        // A wait that goes on keeps its count.
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

    /// The last words of the decoder's process.
    pub(crate) fn last_words(&self) -> String {
        self.process
            .as_ref()
            .map_or_else(String::new, Process::last_words)
    }

    /// A picture was missed: the next one is of a key frame.
    pub(crate) fn missed(&mut self) {
        self.process = None;
        self.wait = Some((Wait::Ended, 0));
    }
}
