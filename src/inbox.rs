//! The newest image and the requests that wait for the node. The middleware's thread fills the inbox, and the tracking thread
//! empties it. So neither thread waits for the other, and no old image is tracked.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Bounds, Clock, NodeCore, Output};
use ettrack_message::ImageMessage;

/// Something to be done with the node between two images.
pub type Request = Box<dyn FnOnce(&mut NodeCore, &dyn Clock, &mut Vec<Output>) + Send>;

/// The topic of a request. Only the newest request of each topic is kept, so many of them cannot fill the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// `initial_roi`.
    Roi,
    /// `initial_detection`.
    Detection,
    /// `initial_point`.
    Point,
    /// `initial_pixel`.
    Pixel,
    /// `camera_info`.
    CameraInfo,
    /// What could not be decoded of a video.
    Undecoded,
}

/// Everything that waited, in the order in which to work on it.
#[derive(Default)]
pub struct Waiting {
    /// Requests in the order of their arrival.
    pub requests: Vec<Request>,
    /// Images that a newer image replaced before they could be tracked, oldest first.
    pub overtaken: VecDeque<ImageMessage>,
    /// Number of replaced images that were dropped.
    pub gone: u64,
    /// The newest image.
    pub image: Option<ImageMessage>,
}

#[derive(Default)]
struct State {
    requests: VecDeque<(Option<Topic>, Request)>,
    overtaken: VecDeque<ImageMessage>,
    /// Bytes of the overtaken images.
    bytes: usize,
    bounds: Bounds,
    gone: u64,
    image: Option<ImageMessage>,
    closed: bool,
}

impl State {
    /// Drops the oldest overtaken images that are too many or too large.
    fn trim(&mut self) {
        while !self.bounds.hold(self.overtaken.len(), self.bytes) {
            let Some(oldest) = self.overtaken.pop_front() else {
                return;
            };
            self.bytes -= oldest.size();
            self.gone += 1;
        }
    }
}

/// The one place where messages wait.
pub struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

impl Inbox {
    /// An empty inbox that keeps overtaken images within `bounds`, for detections that are made on them.
    pub fn new(bounds: Bounds) -> Self {
        let inbox = Self {
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        inbox.resize(bounds);
        inbox
    }

    /// Changes these bounds and drops what no longer fits.
    pub fn resize(&self, bounds: Bounds) {
        let mut state = self.state();
        state.bounds = bounds;
        state.trim();
    }

    /// A panic while the lock is held leaves every field valid, so a poisoned lock is used like any other.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the newest image. An image that still waits is replaced.
    pub fn put_image(&self, image: ImageMessage) {
        let mut state = self.state();
        if let Some(old) = state.image.replace(image) {
            state.bytes += old.size();
            state.overtaken.push_back(old);
            state.trim();
        }
        self.changed.notify_one();
    }

    /// Adds a request. A request of the same topic that still waits is replaced.
    pub fn put_request(&self, topic: Option<Topic>, request: Request) {
        let mut state = self.state();
        if topic.is_some() {
            state.requests.retain(|(waiting, _)| *waiting != topic);
        }
        state.requests.push_back((topic, request));
        self.changed.notify_one();
    }

    /// Closes the inbox: [`Inbox::take`] returns `None` from now on.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Whether nothing will be taken anymore.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Takes everything that waits. If nothing waits, blocks for at most `timeout`. `None` after the inbox was closed.
    pub fn take(&self, timeout: Duration) -> Option<Waiting> {
        let is_idle =
            |state: &mut State| !state.closed && state.image.is_none() && state.requests.is_empty();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.state(), timeout, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        state.bytes = 0;
        Some(Waiting {
            requests: state
                .requests
                .drain(..)
                .map(|(_, request)| request)
                .collect(),
            overtaken: std::mem::take(&mut state.overtaken),
            gone: std::mem::take(&mut state.gone),
            image: state.image.take(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use ettrack_message::Transport;

    /// An image that tests recognise by its size.
    fn image(size: usize) -> ImageMessage {
        ImageMessage::Cdr {
            transport: Transport::Raw,
            bytes: vec![0; size],
        }
    }

    #[test]
    fn gives_the_newest_image_and_keeps_replaced_images_in_order() {
        let inbox = Inbox::new(Bounds {
            images: 2,
            bytes: 1000,
        });
        for size in 0..5 {
            inbox.put_image(image(size));
        }
        let waiting = inbox.take(Duration::ZERO).unwrap();
        assert_eq!(waiting.image.unwrap().size(), 4);
        let overtaken: Vec<_> = waiting.overtaken.iter().map(ImageMessage::size).collect();
        assert_eq!(overtaken, [2, 3]);
        assert_eq!(waiting.gone, 2);
        let empty = inbox.take(Duration::from_millis(1)).unwrap();
        assert!(empty.image.is_none() && empty.overtaken.is_empty() && empty.gone == 0);
    }

    #[test]
    fn bounds_the_bytes_of_replaced_images_and_takes_new_bounds() {
        let inbox = Inbox::new(Bounds {
            images: 10,
            bytes: 25,
        });
        let sizes = |waiting: Waiting| -> Vec<_> {
            waiting.overtaken.iter().map(ImageMessage::size).collect()
        };
        for _ in 0..2 {
            for size in [8, 9, 10, 11, 12] {
                inbox.put_image(image(size));
            }
            let waiting = inbox.take(Duration::ZERO).unwrap();
            assert_eq!((waiting.gone, sizes(waiting)), (2, vec![10, 11]));
        }
        for size in [8, 9, 10, 11] {
            inbox.put_image(image(size));
        }
        inbox.resize(Bounds {
            images: 1,
            bytes: 25,
        });
        let waiting = inbox.take(Duration::ZERO).unwrap();
        assert_eq!((waiting.gone, sizes(waiting)), (2, vec![10]));
    }

    #[test]
    fn keeps_one_request_of_a_topic_and_all_of_services() {
        let inbox = Inbox::new(Bounds {
            images: 1,
            bytes: 1000,
        });
        let request = || -> Request { Box::new(|_, _, _| {}) };
        for _ in 0..100 {
            inbox.put_request(Some(Topic::Roi), request());
            inbox.put_request(Some(Topic::CameraInfo), request());
        }
        inbox.put_request(None, request());
        inbox.put_request(None, request());
        assert_eq!(inbox.take(Duration::ZERO).unwrap().requests.len(), 4);
    }

    #[test]
    fn wakes_the_waiting_thread_for_an_image_and_when_closed() {
        let inbox = Arc::new(Inbox::new(Bounds {
            images: 1,
            bytes: 1000,
        }));
        let (sender, receiver) = std::sync::mpsc::channel();
        let other = Arc::clone(&inbox);
        let worker = std::thread::spawn(move || {
            while let Some(waiting) = other.take(Duration::from_secs(600)) {
                sender.send(waiting.image).unwrap();
            }
        });
        inbox.put_image(image(7));
        assert_eq!(receiver.recv().unwrap().unwrap().size(), 7);
        inbox.close();
        worker.join().unwrap();
        assert!(inbox.is_closed() && inbox.take(Duration::ZERO).is_none());
    }
}
