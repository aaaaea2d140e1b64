//! Reads a source on its own thread and passes the frames to the tracking thread.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ettrack::frame::ImageBuffer;
use ettrack_media::source::{self, FrameInfo, FrameSource, SourceError};
use ettrack_message::{DecodedImage, Header, ImageMessage, Stamp};
use ettrack_node::inbox::Inbox;

use super::player::{Next, SourcePlayer};
use crate::interrupt;

/// First and longest pause before a live source is opened again.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Returns the present time, nanoseconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Shows a message to the user: its level (`warn`, `error`) and its text.
pub type Say = Box<dyn Fn(&'static str, &str) + Send>;

/// The source, and the receivers of its frames and messages.
pub(super) struct Feed {
    /// The open source.
    pub(super) source: Box<dyn FrameSource + Send>,
    /// Name of the source, to open it again.
    pub(super) name: String,
    /// Topic of the images, for a bag with several topics.
    pub(super) topic: Option<String>,
    /// Frames per second that the user asked for.
    pub(super) rate: Option<f64>,
    /// Whether a live source is opened again after it ends or stalls.
    pub(super) reconnect: bool,
    /// Inbox of the node, which gets the frames.
    pub(super) inbox: Arc<Inbox>,
    /// Player that decides when a frame is read.
    pub(super) player: Arc<SourcePlayer>,
    /// Shows a message to the user.
    pub(super) say: Say,
    /// Set if the source gives no frame at all. The program then ends, so that whoever started it sees the fault.
    pub(super) fault: Arc<OnceLock<String>>,
}

impl Feed {
    /// Reads frames until a signal comes.
    pub(super) fn run(mut self) {
        let is_live = self.source.is_live();
        let mut pause = BACK_OFF.0;
        let mut has_frames = false;
        let mut clock = Pace::new(self.rate.or(self.source.frame_rate()));
        loop {
            match self.player.next(clock.due()) {
                Next::End => return,
                Next::Restart => {
                    if self.open_again() {
                        clock = Pace::new(self.rate.or(self.source.frame_rate()));
                        self.player.began();
                    } else {
                        self.player.ended();
                    }
                    continue;
                }
                Next::Frame => {}
            }
            let mut image = ImageBuffer::empty();
            match self.source.next_into(&mut image) {
                Ok(Some(info)) => {
                    has_frames = true;
                    if pause != BACK_OFF.0 {
                        (self.say)("info", "the source gives frames again");
                        pause = BACK_OFF.0;
                    }
                    let stamp = if is_live { now() } else { clock.stamp(&info) };
                    self.put(image, &info, stamp);
                }
                Ok(None) => {
                    if !has_frames {
                        return self.give_up(format!("{}: it has no frames", self.shown_name()));
                    }
                    (self.say)("info", "the source is at its end");
                    self.player.ended();
                }
                Err(error) if error.is_about_one_frame() => {
                    tracing::warn!("{}", ettrack::error_chain(&error));
                    (self.say)("warn", &ettrack::error_chain(&error));
                    self.player.skipped();
                }
                Err(error) => {
                    let comes_back = is_live && self.reconnect;
                    if !has_frames && !comes_back {
                        return self.give_up(ettrack::error_chain(&error));
                    }
                    self.failed(&error);
                    if comes_back {
                        // Each pause is twice as long as the one before, until a frame comes.
                        self.wait_and_open(&mut pause);
                    } else {
                        self.player.ended();
                    }
                }
            }
        }
    }

    /// Ends the program's work with this fault.
    fn give_up(&self, fault: String) {
        // Ctrl-C also ends a program that writes into a pipe to this one. That is no fault.
        if !interrupt::came() {
            // Only this thread sets it, and only once.
            let _ = self.fault.set(fault);
        }
        self.inbox.close();
    }

    fn shown_name(&self) -> String {
        source::without_password(&self.name)
    }

    fn failed(&self, error: &SourceError) {
        tracing::error!("{}", ettrack::error_chain(error));
        (self.say)("error", &ettrack::error_chain(error));
    }

    fn put(&self, image: ImageBuffer, info: &FrameInfo, stamp: i64) {
        self.player.feeds(stamp, info.index);
        self.inbox
            .put_image(ImageMessage::Held(Box::new(DecodedImage {
                header: Header {
                    stamp: Stamp::from_nanoseconds(stamp),
                    frame_id: "source".into(),
                },
                image,
            })));
    }

    /// Opens the source again. Returns `false` and reports the error if it cannot be opened.
    fn open_again(&mut self) -> bool {
        match source::open(&self.name, self.topic.as_deref()) {
            Ok(source) => {
                self.source = source;
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    /// Tries until the source can be opened. The target is kept, because its frames only pause.
    fn wait_and_open(&mut self, pause: &mut Duration) {
        loop {
            let line = format!("opening it again in {} s", pause.as_secs());
            tracing::warn!("{line}");
            (self.say)("warn", &line);
            let until = Instant::now() + *pause;
            while Instant::now() < until {
                if interrupt::came() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            *pause = (*pause * 2).min(BACK_OFF.1);
            if self.open_again() {
                return;
            }
        }
    }
}

/// Gives the times at which frames of a recorded source are due, and stamps for frames without a stamp.
struct Pace {
    period: Duration,
    last: Option<Instant>,
}

impl Pace {
    fn new(rate: Option<f64>) -> Self {
        Self {
            period: Duration::from_secs_f64(1.0 / rate.unwrap_or(30.0)),
            last: None,
        }
    }

    /// Returns the time at which the next frame is due. After a pause it counts from now, so frames do not hurry to catch up.
    fn due(&mut self) -> Instant {
        let now = Instant::now();
        let due = match self.last {
            None => now,
            Some(last) if last + self.period * 2 < now => now,
            Some(last) => last + self.period,
        };
        self.last = Some(due);
        due
    }

    /// Returns the stamp of a frame. Counted stamps begin with one period, because 0 stands for no stamp, also in the images of
    /// publishers that do not fill it.
    fn stamp(&self, info: &FrameInfo) -> i64 {
        let counted = self
            .period
            .as_nanos()
            .saturating_mul(u128::from(info.index) + 1);
        info.stamp_ns
            .filter(|stamp| *stamp > 0)
            .unwrap_or_else(|| i64::try_from(counted).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_frames_without_a_stamp_by_their_number() {
        let mut pace = Pace::new(Some(50.0));
        let info = |index, stamp_ns| FrameInfo {
            index,
            stamp_ns,
            name: String::new(),
        };
        assert_eq!(pace.stamp(&info(0, None)), 20_000_000);
        assert_eq!(pace.stamp(&info(9, None)), 200_000_000);
        assert_eq!(pace.stamp(&info(9, Some(7))), 7);
        assert_eq!(pace.stamp(&info(9, Some(0))), 200_000_000);
        let first = pace.due();
        assert_eq!(pace.due(), first + Duration::from_millis(20));
    }
}
