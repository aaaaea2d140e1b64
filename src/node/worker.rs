//! The thread that tracks: takes what waits, does it, hands out what is to be published.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::inbox::Inbox;
use super::parameters::Parameters;
use super::{Clock, ModelInfo, NodeCore, NodeTracker, Output};

/// Where the node's answers go.
pub trait Sink {
    /// Publishes or says one of them. Never [`Output::LoadModel`].
    fn deliver(&mut self, output: Output);
    /// Whether somebody looks at the overlay.
    fn overlay_wanted(&self) -> bool;
}

/// A tracker that was opened, or why it was not.
pub type Loaded = Result<(Box<dyn NodeTracker + Send>, ModelInfo), String>;

/// Opens the tracker that the parameters ask for. It may take long: it runs on a thread of its own.
pub type Loader = Arc<dyn Fn(&Parameters) -> Loaded + Send + Sync>;

/// How often the node looks at its clock while nothing comes.
const TICK: Duration = Duration::from_millis(50);

/// Works until the inbox is closed.
pub fn work(
    mut core: NodeCore,
    inbox: &Arc<Inbox>,
    clock: &dyn Clock,
    loader: &Loader,
    sink: &mut dyn Sink,
) {
    // A model that was asked for before a newer one is of no interest when it comes.
    let newest_load = Arc::new(AtomicU64::new(0));
    let mut out = Vec::new();
    while let Some(waiting) = inbox.take(TICK) {
        for request in waiting.requests {
            request(&mut core, clock, &mut out);
        }
        core.count_dropped(waiting.gone);
        for image in waiting.overtaken {
            core.on_overtaken_image(image);
        }
        if let Some(image) = waiting.image {
            core.on_image(image, clock, &mut out);
        }
        core.tick(clock, &mut out);
        for output in out.drain(..) {
            match output {
                Output::LoadModel => load(
                    core.parameters().clone(),
                    inbox,
                    Arc::clone(loader),
                    &newest_load,
                ),
                output => sink.deliver(output),
            }
        }
        if sink.overlay_wanted() {
            core.draw_overlay(&mut out);
            out.drain(..).for_each(|output| sink.deliver(output));
        }
    }
}

/// Opens the model aside; it comes back as a request.
fn load(parameters: Parameters, inbox: &Arc<Inbox>, loader: Loader, newest: &Arc<AtomicU64>) {
    let number = newest.fetch_add(1, Ordering::Relaxed) + 1;
    let (answer, newest) = (Arc::clone(inbox), Arc::clone(newest));
    let work = move || {
        let loaded = loader(&parameters);
        answer.put_request(
            None,
            Box::new(move |core, clock, out| {
                if newest.load(Ordering::Relaxed) != number {
                    return;
                }
                match loaded {
                    // Where the new tracker refuses the settings, the core has said so.
                    Ok((tracker, model)) => {
                        let _ = core.replace_tracker(tracker, model, clock, out);
                    }
                    Err(reason) => core.refuse_model(&reason, out),
                }
            }),
        );
    };
    if let Err(error) = std::thread::Builder::new()
        .name("model loader".into())
        .spawn(work)
    {
        inbox.put_request(
            None,
            Box::new(move |core, _, out| {
                core.refuse_model(&format!("no thread to load it: {error}"), out);
            }),
        );
    }
}

/// The line for [`Output::NoImages`]: names the topic and what its publishers offer.
pub fn no_images_line(seconds: f64, topic: &str, wanted: &str, publishers: &[String]) -> String {
    let who = if publishers.is_empty() {
        "nobody publishes it; remap the topic or check the camera".to_owned()
    } else {
        format!(
            "this node asks for {wanted}; published by {}",
            publishers.join(", ")
        )
    };
    format!("no image for {seconds:.1} s on {topic}: {who}")
}
