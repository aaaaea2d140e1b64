//! Stands in for the page in a build without the feature `web`.

use std::sync::Arc;

use super::log::Log;
use super::{NodeError, RosClock};
use crate::NodeCore;
use crate::inbox::Inbox;
use crate::parameters::Parameters;
use crate::worker::{Loader, Sink};

/// This build has no page, so no value of this type exists.
pub enum Page {}

impl Page {
    /// Refuses the parameter `web_address`, because this build has no page.
    pub fn of(
        parameters: &Parameters,
        _topic: &str,
        _node: &str,
        _log: &Arc<Log>,
    ) -> Result<Option<Self>, NodeError> {
        if parameters.web_address.is_empty() {
            return Ok(None);
        }
        Err(NodeError::Page(
            "this node was built without the page; build it with the feature `web`".into(),
        ))
    }

    /// Never called.
    pub fn work(
        self,
        _core: NodeCore,
        _inbox: &Arc<Inbox>,
        _clock: &RosClock,
        _loader: &Loader,
        _sink: Box<dyn Sink>,
    ) {
        match self {}
    }
}
