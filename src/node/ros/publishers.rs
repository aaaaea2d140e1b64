//! The node's outputs on the graph.

use std::sync::Arc;
use std::sync::mpsc;

use r2r::{PublisherUntyped, QosProfile};

use super::log::Log;
use super::{Doing, NodeError};
use crate::message::{Detection2DArray, DiagnosticArray, Image, Message, ToCdr, TrackedTarget};
use crate::node::worker::Sink;
use crate::node::{Level, Output};

/// One publisher per output.
pub struct Publishers {
    target: PublisherUntyped,
    detections: PublisherUntyped,
    overlay: PublisherUntyped,
    diagnostics: PublisherUntyped,
    log: Arc<Log>,
    /// Seconds without images, for the thread that can ask the graph who publishes them.
    silence: mpsc::Sender<f64>,
}

impl Publishers {
    /// Creates them on `node`.
    pub fn new(
        node: &mut r2r::Node,
        log: Arc<Log>,
        silence: mpsc::Sender<f64>,
    ) -> Result<Self, NodeError> {
        let reliable = QosProfile::default().keep_last(10);
        let newest = QosProfile::sensor_data().keep_last(1);
        let mut publisher = |topic: &str, type_name: &str, qos: &QosProfile| {
            node.create_publisher_untyped(topic, type_name, qos.clone())
                .doing(format!("cannot publish {topic}"))
        };
        Ok(Self {
            target: publisher("tracked_target", TrackedTarget::TYPE, &reliable)?,
            detections: publisher("detections", Detection2DArray::TYPE, &reliable)?,
            overlay: publisher("~/overlay", Image::TYPE, &newest)?,
            diagnostics: publisher("/diagnostics", DiagnosticArray::TYPE, &reliable)?,
            log,
            silence,
        })
    }

    fn publish(&self, publisher: &PublisherUntyped, message: &impl ToCdr) {
        if let Err(error) = publisher.publish_raw(&message.to_cdr()) {
            self.log
                .say(Level::Error, &format!("cannot publish: {error}"));
        }
    }
}

impl Sink for Publishers {
    fn deliver(&mut self, output: Output) {
        match output {
            Output::Target(target) => self.publish(&self.target, &target),
            Output::Detections(detections) => self.publish(&self.detections, &detections),
            Output::Diagnostics(diagnostics) => self.publish(&self.diagnostics, &diagnostics),
            Output::Overlay {
                header,
                width,
                height,
                data,
            } => {
                let image = Image {
                    header,
                    height,
                    width,
                    encoding: "rgb8",
                    is_bigendian: false,
                    step: width * 3,
                    data: &data,
                };
                self.publish(&self.overlay, &image);
            }
            Output::Log(level, line) => self.log.say(level, &line),
            Output::NoImages(seconds) => {
                // The other end goes only when the node ends.
                let _ = self.silence.send(seconds);
            }
            Output::LoadModel => {}
        }
    }

    fn overlay_wanted(&self) -> bool {
        self.overlay
            .get_inter_process_subscription_count()
            .is_ok_and(|listeners| listeners > 0)
    }
}
