//! The thread that reads a source and hands its frames to the thread that tracks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ettrack::frame::ImageBuffer;
use ettrack_media::source::{self, FrameInfo, FrameSource, SourceError};
use ettrack_message::{DecodedImage, Header, ImageMessage, Stamp};
use ettrack_node::inbox::Inbox;

use super::player::{Next, SourcePlayer};
use crate::interrupt;

/// The first wait before a live source is opened again, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Shows a message to the user: its level (`warn`, `error`) and its text.
pub type Say = Box<dyn Fn(&'static str, &str) + Send>;

/// What is read, and for whom.
pub struct Feed {
    /// The open source.
    pub source: Box<dyn FrameSource + Send>,
    /// Its name, to open it again.
    pub name: String,
    /// Its topic of images.
    pub topic: Option<String>,
    /// Frames a second that were asked for.
    pub rate: Option<f64>,
    /// Whether a live source is opened again.
    pub reconnect: bool,
    /// Where frames go.
    pub inbox: Arc<Inbox>,
    /// Who says when.
    pub player: Arc<SourcePlayer>,
    /// Shows a message to the user.
    pub say: Say,
}

impl Feed {
    /// Reads until a signal comes.
    pub fn run(mut self) {
        let is_live = self.source.is_live();
        let mut pause = BACK_OFF.0;
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
                    if pause != BACK_OFF.0 {
                        (self.say)("info", "the source gives frames again");
                        pause = BACK_OFF.0;
                    }
                    let stamp = if is_live { now() } else { clock.stamp(&info) };
                    self.put(image, &info, stamp);
                }
                Ok(None) => {
                    (self.say)("info", "the source is at its end");
                    self.player.ended();
                }
                Err(error) if error.is_about_one_frame() => {
                    tracing::warn!("{}", ettrack::error_chain(&error));
                    (self.say)("warn", &ettrack::error_chain(&error));
                }
                Err(error) => {
                    self.failed(&error);
                    if is_live && self.reconnect {
                        // Until a frame comes, each wait is twice the one before.
                        self.wait_and_open(&mut pause);
                    } else {
                        self.player.ended();
                    }
                }
            }
        }
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

    /// Opens the source anew; says why where it cannot.
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

    /// Tries until the source can be opened. The target stays: its frames only pause.
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

/// When frames of a recorded source are due, and their stamps where they have none.
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

    /// When the next frame is due. After a hold the pace goes on from there, so that nothing has to be made up for.
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

    /// Stamps grow from one period on, because 0 stands for none.
    fn stamp(&self, info: &FrameInfo) -> i64 {
        let counted = self
            .period
            .as_nanos()
            .saturating_mul(u128::from(info.index) + 1);
        info.stamp_ns
            .unwrap_or_else(|| i64::try_from(counted).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_without_stamps_are_stamped_by_their_number() {
        let mut pace = Pace::new(Some(50.0));
        let info = |index, stamp_ns| FrameInfo {
            index,
            stamp_ns,
            name: String::new(),
        };
        assert_eq!(pace.stamp(&info(0, None)), 20_000_000);
        assert_eq!(pace.stamp(&info(9, None)), 200_000_000);
        assert_eq!(pace.stamp(&info(9, Some(7))), 7);
        let first = pace.due();
        assert_eq!(pace.due(), first + Duration::from_millis(20));
    }
}
