//! The node's outputs on the graph.

use std::sync::Arc;
use std::sync::mpsc;

use ettrack::error_chain;
use r2r::rcl_interfaces::msg::ParameterEvent;
use r2r::{Publisher, PublisherUntyped, QosProfile};

use super::log::Log;
use super::parameters::event;
use super::{Doing, NodeError, RosClock};
use crate::worker::Sink;
use crate::{Clock, Level, Output};
use ettrack_message::{Detection2DArray, DiagnosticArray, Image, Message, ToCdr, TrackedTarget};

/// One publisher per output.
pub struct Publishers {
    target: PublisherUntyped,
    detections: PublisherUntyped,
    overlay: PublisherUntyped,
    diagnostics: PublisherUntyped,
    parameters: Publisher<ParameterEvent>,
    node_name: String,
    clock: Arc<RosClock>,
    log: Arc<Log>,
    /// Sends the seconds without images to the thread that can ask the graph for the publishers.
    silence: mpsc::Sender<f64>,
}

impl Publishers {
    /// Creates the publishers on `node`.
    pub fn new(
        node: &mut r2r::Node,
        clock: Arc<RosClock>,
        log: Arc<Log>,
        silence: mpsc::Sender<f64>,
    ) -> Result<Self, NodeError> {
        let parameters = node
            .create_publisher("/parameter_events", QosProfile::parameter_events())
            .doing("cannot publish /parameter_events")?;
        let node_name = node
            .fully_qualified_name()
            .doing("cannot tell the node's name")?;
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
            parameters,
            node_name,
            clock,
            log,
            silence,
        })
    }

    fn publish(&self, publisher: &PublisherUntyped, message: &impl ToCdr) {
        if let Err(error) = publisher.publish_raw(&message.to_cdr()) {
            let line = format!("cannot publish: {}", error_chain(&error));
            self.log.say(Level::Error, &line);
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
                // The receiver ends only when the node ends.
                let _ = self.silence.send(seconds);
            }
            Output::ParametersSet(values) => {
                // The event is information only, so an error is ignored.
                let _ = self
                    .parameters
                    .publish(&event(&self.node_name, self.clock.now(), values));
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
