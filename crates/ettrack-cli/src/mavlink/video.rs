//! Sends the frames with the box to the pilot.

use std::sync::Arc;

use ettrack_media::live::LiveStream;
use ettrack_node::web::Player as _;
use ettrack_node::worker::Sink;
use ettrack_node::{NodeCore, Output};

use crate::play::player::SourcePlayer;

/// A sink that also sends each answered frame with its box if there is a stream, and tells the player how far the node is.
pub struct Video<S> {
    sink: S,
    stream: Option<LiveStream>,
    player: Arc<SourcePlayer>,
    /// Number of the answer whose frame was sent last.
    sent: Option<u64>,
}

impl<S> Video<S> {
    /// Creates a sink that passes all outputs on to `sink`.
    pub fn new(sink: S, stream: Option<LiveStream>, player: Arc<SourcePlayer>) -> Self {
        Self {
            sink,
            stream,
            player,
            sent: None,
        }
    }

    fn send(&mut self, core: &mut NodeCore) {
        let (Some(stream), Some(glance)) = (&self.stream, core.glance()) else {
            return;
        };
        if self.sent == Some(glance.number) {
            return;
        }
        self.sent = Some(glance.number);
        let track = glance.target.map(|(_, track)| *track);
        let Some(mut picture) = core.with_newest(ettrack_picture::to_rgb_image) else {
            return;
        };
        if let Some(track) = &track {
            ettrack_picture::draw_track(&mut picture, track);
        }
        stream.push(picture);
    }
}

impl<S: Sink> Sink for Video<S> {
    fn deliver(&mut self, output: Output) {
        self.sink.deliver(output);
    }

    fn overlay_wanted(&self) -> bool {
        self.sink.overlay_wanted()
    }

    fn look(&mut self, core: &mut NodeCore) {
        self.send(core);
        if !core.is_behind() {
            self.player.worked(core.received());
        }
        self.sink.look(core);
    }
}
