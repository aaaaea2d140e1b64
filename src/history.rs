//! Recent frames. A detection that arrives late is applied to the frame that it was made on.

use std::collections::VecDeque;

use ettrack_message::Stamp;

use ettrack_message::ImageMessage;

/// Limits of the number of images that are kept, and of their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The most images.
    pub images: usize,
    /// The most bytes of them together.
    pub bytes: usize,
}

impl Bounds {
    /// Whether this number of images with this number of bytes is within the limits.
    pub fn hold(&self, images: usize, bytes: usize) -> bool {
        images <= self.images && bytes <= self.bytes
    }
}

/// A ring buffer of messages, limited in number and bytes. The newest message is always kept.
#[derive(Debug)]
pub struct History {
    frames: VecDeque<(Stamp, ImageMessage)>,
    bytes: usize,
    bounds: Bounds,
}

/// Where a stamp lies.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// At this position, 0 being the oldest.
    At(usize),
    /// After the newest frame, or there are no frames yet.
    Ahead,
    /// Before the oldest frame.
    TooOld,
    /// Between frames.
    Missing,
}

impl History {
    /// An empty ring.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            bounds,
        }
    }

    /// Changes the bounds and drops what no longer fits.
    pub fn resize(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.trim();
    }

    /// Adds the newest frame. A frame with the stamp of the last one replaces it: some drivers and relays send an image twice. If
    /// its stamp is earlier, the source has jumped back, and the older frames are dropped.
    pub fn push(&mut self, stamp: Stamp, message: ImageMessage) {
        let last = self.frames.back().map(|(last, _)| *last);
        if last > Some(stamp) {
            self.clear();
        } else if last == Some(stamp)
            && let Some((_, replaced)) = self.frames.pop_back()
        {
            self.bytes -= replaced.size();
        }
        self.bytes += message.size();
        self.frames.push_back((stamp, message));
        self.trim();
    }

    fn trim(&mut self) {
        while self.frames.len() > 1 && !self.bounds.hold(self.frames.len(), self.bytes) {
            if let Some((_, dropped)) = self.frames.pop_front() {
                self.bytes -= dropped.size();
            }
        }
    }

    /// Forgets all frames.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// Looks for the frame with exactly this stamp.
    pub fn find(&self, stamp: Stamp) -> Found {
        match self
            .frames
            .binary_search_by_key(&stamp, |(stamp, _)| *stamp)
        {
            Ok(position) => Found::At(position),
            Err(position) if position == self.frames.len() => Found::Ahead,
            Err(0) => Found::TooOld,
            Err(_) => Found::Missing,
        }
    }

    /// The frame at `position`.
    pub fn get(&self, position: usize) -> Option<&ImageMessage> {
        self.frames.get(position).map(|(_, message)| message)
    }

    /// Stamp of the frame at `position`.
    pub fn stamp(&self, position: usize) -> Option<Stamp> {
        self.frames.get(position).map(|(stamp, _)| *stamp)
    }

    /// Position of the newest frame.
    pub fn newest(&self) -> Option<usize> {
        self.frames.len().checked_sub(1)
    }

    /// Stamps of the oldest and the newest frame.
    pub fn span(&self) -> Option<(Stamp, Stamp)> {
        Some((self.frames.front()?.0, self.frames.back()?.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ettrack_message::Transport;

    fn stamp(sec: i32) -> Stamp {
        Stamp { sec, nanosec: 0 }
    }

    fn message(length: usize) -> ImageMessage {
        ImageMessage::Cdr {
            transport: Transport::Raw,
            bytes: vec![0; length],
        }
    }

    #[test]
    fn keeps_the_bounds_and_the_newest_frame() {
        let mut history = History::new(Bounds {
            images: 3,
            bytes: 100,
        });
        assert_eq!(
            (history.find(stamp(1)), history.newest()),
            (Found::Ahead, None)
        );
        for sec in [1, 3, 5, 7] {
            history.push(stamp(sec), message(10));
        }
        assert_eq!(history.span(), Some((stamp(3), stamp(7))));
        assert_eq!(history.find(stamp(1)), Found::TooOld);
        assert_eq!(history.find(stamp(5)), Found::At(1));
        assert_eq!(history.find(stamp(6)), Found::Missing);
        assert_eq!(history.find(stamp(8)), Found::Ahead);
        history.push(stamp(9), message(85));
        assert_eq!(
            history.span(),
            Some((stamp(7), stamp(9))),
            "95 bytes of 100"
        );
        history.push(stamp(11), message(500));
        assert_eq!(
            history.span(),
            Some((stamp(11), stamp(11))),
            "too large, and still the newest"
        );
        history.resize(Bounds::default());
        assert_eq!(history.newest(), Some(0));
    }

    #[test]
    fn a_frame_with_the_stamp_of_the_last_one_replaces_it() {
        let mut history = History::new(Bounds {
            images: 9,
            bytes: 100,
        });
        for (sec, length) in [(1, 10), (2, 20), (2, 30), (3, 40)] {
            history.push(stamp(sec), message(length));
        }
        assert_eq!(history.span(), Some((stamp(1), stamp(3))));
        assert_eq!((history.frames.len(), history.bytes), (3, 80));
    }

    #[test]
    fn drops_older_frames_when_stamps_jump_back() {
        let mut history = History::new(Bounds {
            images: 9,
            bytes: 100,
        });
        for sec in [5, 6, 2] {
            history.push(stamp(sec), message(1));
        }
        assert_eq!(history.span(), Some((stamp(2), stamp(2))));
    }
}
