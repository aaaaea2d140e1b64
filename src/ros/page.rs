//! Serves the page for the browser if the parameter `web_address` names an address.

use std::sync::Arc;

use ettrack_web::{About, Server, ServerOptions};

use super::log::Log;
use super::{NodeError, RosClock};
use crate::inbox::Inbox;
use crate::parameters::Parameters;
use crate::web::{Host, LivePlayer, watch};
use crate::worker::{Loader, Sink, work};
use crate::{Level, NodeCore};

/// A page that is ready to be served.
pub struct Page {
    host: Host,
    options: ServerOptions,
    log: Arc<Log>,
}

impl Page {
    /// Returns the page that the parameters describe, or `None` if `web_address` is empty.
    pub fn of(
        parameters: &Parameters,
        topic: &str,
        node: &str,
        log: &Arc<Log>,
    ) -> Result<Option<Self>, NodeError> {
        if parameters.web_address.is_empty() {
            return Ok(None);
        }
        let mut models: Vec<_> = ettrack_models::ALL
            .iter()
            .map(|bundled| bundled.name.to_owned())
            .collect();
        models.push(parameters.model_path.clone());
        models.sort();
        models.dedup();
        Ok(Some(Self {
            host: Host {
                about: About {
                    title: topic.to_owned(),
                    command_line: String::new(),
                    node: node.to_owned(),
                    software: format!("ettrack {}", env!("CARGO_PKG_VERSION")),
                },
                models,
                player: Arc::new(LivePlayer),
            },
            options: ServerOptions {
                address: parameters.web_address.clone(),
                token: None,
            },
            log: Arc::clone(log),
        }))
    }

    /// Serves the page while the node runs. If serving fails, the log says so, and the node runs without the page.
    pub fn work(
        self,
        core: NodeCore,
        inbox: &Arc<Inbox>,
        clock: &RosClock,
        loader: &Loader,
        sink: Box<dyn Sink>,
    ) {
        let (session, mut watched) = watch(self.host, Arc::clone(inbox), sink, |session| session);
        let server = Server::start(session, &self.options);
        match &server {
            Ok(server) => self.log.say(Level::Info, &server.greeting()),
            Err(error) => self.log.say(
                Level::Error,
                &format!("no page: web_address: {}", ettrack::error_chain(error)),
            ),
        }
        work(core, inbox, clock, loader, &mut watched);
    }
}
