//! Decodes the packets of a video topic as they come, and passes the images to the inbox.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ettrack_message::Transport;
use ettrack_video::VideoDecoder;

use crate::inbox::{Inbox, Topic};
use crate::video::{image_of, with_packet};

/// Takes the messages of one topic on the spinning thread.
pub struct VideoInput {
    transport: Transport,
    decoder: VideoDecoder,
    /// The `frame_id` of the newest message.
    frame_id: Arc<Mutex<String>>,
    /// Number of packets without an image that are not reported to the node yet.
    undecoded: Arc<AtomicU64>,
}

impl VideoInput {
    /// Creates an input that puts its images into `inbox`.
    pub fn new(transport: Transport, inbox: Arc<Inbox>) -> Self {
        let frame_id = Arc::new(Mutex::new(String::new()));
        let named = Arc::clone(&frame_id);
        let decoder = VideoDecoder::new(move |picture| {
            let named = named.lock().unwrap_or_else(PoisonError::into_inner);
            inbox.put_image(image_of(picture.stamp, &named, picture.image));
        });
        Self {
            transport,
            decoder,
            frame_id,
            undecoded: Arc::default(),
        }
    }

    /// Takes a message. Its image comes later. If there will be none, reports the reason to the node.
    pub fn take(&mut self, inbox: &Inbox, bytes: &[u8]) {
        let (decoder, named) = (&mut self.decoder, &self.frame_id);
        let taken = with_packet(self.transport, bytes, |packet, frame_id| {
            let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
            if *named != frame_id {
                frame_id.clone_into(&mut named);
            }
            drop(named);
            decoder.push(packet)
        });
        let Err(error) = taken else {
            return;
        };
        self.undecoded.fetch_add(1, Ordering::Relaxed);
        let undecoded = Arc::clone(&self.undecoded);
        let reason = ettrack::error_chain(&error);
        inbox.put_request(
            Some(Topic::Undecoded),
            Box::new(move |core, clock, out| {
                let images = undecoded.swap(0, Ordering::Relaxed);
                core.on_undecoded(images, &reason, clock, out);
            }),
        );
    }
}
