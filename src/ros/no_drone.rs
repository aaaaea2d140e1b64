//! In place of the drone's camera in a build without the feature `mavlink`.

use std::sync::Arc;

use super::NodeError;
use super::log::Log;
use crate::inbox::Inbox;
use crate::parameters::Parameters;
use crate::worker::Sink;

/// There is none in this build.
pub enum Drone {}

impl Drone {
    /// Refuses a camera that is asked for.
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
