//! Starts the drone's camera if the parameter `mavlink` names connections.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ettrack_mavlink::wire::Address;
use ettrack_mavlink::{CameraOptions, Connection, GimbalOptions, Key, ServiceOptions, Stream};

use super::NodeError;
use super::log::Log;
use crate::Level;
use crate::inbox::Inbox;
use crate::mavlink::{Host, start};
use crate::parameters::Parameters;
use crate::worker::Sink;

/// Rate of a gimbal for each unit of the angle between the target and the middle of the image, 1/s.
const GAIN: f64 = 1.5;

/// A camera that is ready to start.
pub struct Drone {
    service: ServiceOptions,
    log: Arc<Log>,
}

impl Drone {
    /// Returns the camera that the parameters describe, or `None` if they name no connection.
    pub fn of(parameters: &Parameters, log: &Arc<Log>) -> Result<Option<Self>, NodeError> {
        let wrong = |error: &dyn std::error::Error| NodeError::Drone(ettrack::error_chain(error));
        let connections = parameters
            .mavlink
            .split_whitespace()
            .map(|text| text.parse::<Connection>().map_err(|error| wrong(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        if connections.is_empty() {
            return Ok(None);
        }
        let stream = match parameters.mavlink_video.as_str() {
            "" => None,
            address => Some(Stream::at(address).map_err(|error| wrong(&error))?),
        };
        let key = match parameters.mavlink_signing_key.as_str() {
            "" => None,
            path => Some(Key::read(Path::new(path)).map_err(|error| wrong(&error))?),
        };
        let number = |value: i64| u8::try_from(value).unwrap_or(1);
        let gimbal = GimbalOptions {
            device: 0,
            gain: GAIN,
            fastest: parameters.mavlink_gimbal_rate,
        };
        let camera = CameraOptions {
            address: Address {
                system: number(parameters.mavlink_system),
                component: number(parameters.mavlink_component),
            },
            stream,
            video_delay: Duration::from_secs_f64(parameters.mavlink_video_delay),
            gimbal: (gimbal.fastest > 0.0).then_some(gimbal),
            ..CameraOptions::default()
        };
        Ok(Some(Self {
            service: ServiceOptions {
                camera,
                connections,
                key,
            },
            log: Arc::clone(log),
        }))
    }

    /// Starts the camera and returns the sink to use instead of `sink`. If the camera cannot start, logs the reason and returns
    /// `sink`, so that the node runs without the camera.
    pub fn report(self, inbox: &Arc<Inbox>, sink: Box<dyn Sink>) -> Box<dyn Sink> {
        let places: Vec<_> = self
            .service
            .connections
            .iter()
            .map(ToString::to_string)
            .collect();
        let host = Host {
            service: self.service,
            is_held: Box::new(|| false),
            chosen: Box::new(|| {}),
        };
        match start(host, Arc::clone(inbox)) {
            Ok(reporter) => {
                let line = format!("a MAVLink camera on {}", places.join(", "));
                self.log.say(Level::Info, &line);
                Box::new(reporter.with(sink))
            }
            Err(error) => {
                let line = format!("no MAVLink camera: {}", ettrack::error_chain(&error));
                self.log.say(Level::Error, &line);
                sink
            }
        }
    }
}
