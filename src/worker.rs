//! The tracking thread. It takes requests and images from the inbox, works on them, and passes the answers on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::inbox::{Inbox, Request};
use super::parameters::Parameters;
use super::{Clock, ModelInfo, NodeCore, NodeTracker, Output};

/// Receives the node's answers.
pub trait Sink {
    /// Publishes or logs one answer. [`Output::LoadModel`] is never passed.
    fn deliver(&mut self, output: Output);
    /// Whether the overlay has subscribers.
    fn overlay_wanted(&self) -> bool;
    /// Called after each round of work, so that viewers can be shown the node's state. It must not wait.
    fn look(&mut self, _core: &mut NodeCore) {}
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn deliver(&mut self, output: Output) {
        (**self).deliver(output);
    }

    fn overlay_wanted(&self) -> bool {
        (**self).overlay_wanted()
    }

    fn look(&mut self, core: &mut NodeCore) {
        (**self).look(core);
    }
}

/// A tracker that was opened, or why it was not.
pub type Loaded = Result<(Box<dyn NodeTracker + Send>, ModelInfo), String>;

/// Opens the tracker that the parameters name. It may take long, so it runs on its own thread.
pub type Loader = Arc<dyn Fn(&Parameters) -> Loaded + Send + Sync>;

/// How often the node checks its clock while no message comes.
const TICK: Duration = Duration::from_millis(50);

/// Works until the inbox is closed.
pub fn work(
    mut core: NodeCore,
    inbox: &Arc<Inbox>,
    clock: &dyn Clock,
    loader: &Loader,
    sink: &mut dyn Sink,
) {
    let models = ModelLoader::start(Arc::clone(loader), Arc::clone(inbox));
    let mut out = Vec::new();
    let patience = |core: &NodeCore| {
        if core.is_behind() {
            Duration::ZERO
        } else {
            TICK
        }
    };
    while let Some(waiting) = inbox.take(patience(&core)) {
        core.count_dropped(waiting.gone);
        for image in waiting.overtaken {
            core.on_overtaken_image(image, clock, &mut out);
        }
        // Images that came during the last round are older than the requests.
        core.newer_waits(waiting.image.is_some());
        if !waiting.requests.is_empty() {
            for request in waiting.requests {
                request(&mut core, clock, &mut out);
            }
            // A request may have changed the bounds.
            inbox.resize(core.parameters().history_bounds());
        }
        if let Some(image) = waiting.image {
            core.on_image(image, clock, &mut out);
        }
        if core.is_behind() {
            core.catch_up(clock, &mut out);
        }
        core.tick(clock, &mut out);
        for output in out.drain(..) {
            match output {
                Output::LoadModel => models.load(core.parameters().clone(), inbox),
                output => sink.deliver(output),
            }
        }
        if sink.overlay_wanted() {
            core.draw_overlay(&mut out);
            out.drain(..).for_each(|output| sink.deliver(output));
        }
        sink.look(&mut core);
    }
}

/// Opens models in the background, one after the other, on one thread. Each further thread would keep its own heap.
///
/// Dropping it waits for the model that is being opened. If the process ended meanwhile, it would tear down ONNX Runtime under
/// that thread and crash.
struct ModelLoader {
    /// `None` only while it is dropped.
    orders: Option<mpsc::Sender<(u64, Parameters)>>,
    /// Number of the newest order. Older orders are not carried out, and their results are dropped.
    newest: Arc<AtomicU64>,
    /// `None` if the thread could not be started. Then orders come back as refused.
    thread: Option<JoinHandle<()>>,
}

impl Drop for ModelLoader {
    fn drop(&mut self) {
        // Orders that wait are not carried out.
        self.newest.fetch_add(1, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic was already reported.
            let _ = thread.join();
        }
    }
}

impl ModelLoader {
    fn start(loader: Loader, inbox: Arc<Inbox>) -> Self {
        let (orders, received) = mpsc::channel::<(u64, Parameters)>();
        let newest = Arc::new(AtomicU64::new(0));
        let last = Arc::clone(&newest);
        let open = move || {
            for (number, parameters) in received {
                if last.load(Ordering::Relaxed) == number {
                    let loaded = loader(&parameters);
                    let last = Arc::clone(&last);
                    let is_newest = move || last.load(Ordering::Relaxed) == number;
                    inbox.put_request(None, replace(loaded, parameters, is_newest));
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("model loader".into())
            .spawn(open)
            .ok();
        Self {
            orders: Some(orders),
            newest,
            thread,
        }
    }

    fn load(&self, parameters: Parameters, inbox: &Inbox) {
        let number = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        let refused = match &self.orders {
            Some(orders) => orders.send((number, parameters)).err(),
            None => None,
        };
        if let Some(mpsc::SendError((_, parameters))) = refused {
            let gone = Err("the thread that opens models has ended".to_owned());
            inbox.put_request(None, replace(gone, parameters, || true));
        }
    }
}

/// Replaces the old model by the one that was `asked` for, or logs why not. Nothing happens if another model was asked for
/// since, either by a newer order or by parameters that were set just before and become an order next.
fn replace(
    loaded: Loaded,
    asked: Parameters,
    is_newest: impl FnOnce() -> bool + Send + 'static,
) -> Request {
    Box::new(move |core, clock, out| {
        if !is_newest() || !core.parameters().same_model(&asked) {
            return;
        }
        match loaded {
            // If the new tracker refuses the settings, the core has logged it.
            Ok((tracker, model)) => {
                let _ = core.replace_tracker(tracker, model, clock, out);
            }
            Err(reason) => core.refuse_model(&reason, out),
        }
    })
}

/// The log line for [`Output::NoImages`]. It names the topic and what its publishers offer.
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
