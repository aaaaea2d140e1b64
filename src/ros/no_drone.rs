//! Stands in for the drone's camera in a build without the feature `mavlink`.

use std::sync::Arc;

use super::NodeError;
use super::log::Log;
use crate::inbox::Inbox;
use crate::parameters::Parameters;
use crate::worker::Sink;

/// This build has no camera, so no value of this type exists.
pub enum Drone {}

impl Drone {
    /// Refuses the parameter `mavlink`, because this build has no camera.
    pub fn of(parameters: &Parameters, _log: &Arc<Log>) -> Result<Option<Self>, NodeError> {
        if parameters.mavlink.is_empty() {
            return Ok(None);
        }
        Err(NodeError::Drone(
            "this node was built without MAVLink; build it with the feature `mavlink`".into(),
        ))
    }

    /// Never called.
    pub fn report(self, _inbox: &Arc<Inbox>, _sink: Box<dyn Sink>) -> Box<dyn Sink> {
        match self {}
    }
}
