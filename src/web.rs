//! Connects the page to the node. What viewers ask for becomes requests like those of topics, services and parameters. What the
//! node answers is shown to the viewers.

use std::sync::{Arc, Mutex, PoisonError};

use ettrack::crop::{Cropper, Padding, SearchWindow};
use ettrack::error_chain;
use ettrack::frame::Frame;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{Track, TrackState};
use ettrack_message::Stamp;
use ettrack_web::{About, Command, Order, Rgb, Session, Setting, Sight, State, Update};

use crate::inbox::Inbox;
use crate::parameters::{Change, ParameterSet as _, Parameters, Range, Value, descriptors};
use crate::worker::Sink;
use crate::{Clock, Glance, Level, ModelInfo, NodeCore, Output, Place};

/// Side of the picture of a chosen target, pixels.
const TEMPLATE_SIDE: usize = 128;

/// Side of the region that the picture shows, in multiples of the longer side of the target's box.
const TEMPLATE_REACH: f64 = 1.6;

/// The longest text that is taken for a parameter, bytes.
const LONGEST_TEXT: usize = 200;

/// Controls the source of the images, if it is a recording, and knows the images' numbers.
pub trait Player: Send + Sync {
    /// Does one of `Pause`, `Resume`, `Step`, `Restart`.
    ///
    /// # Errors
    /// The reason, as a message for the viewer.
    fn command(&self, command: &Command) -> Result<String, String>;
    /// Position in the source of the image with this stamp, nanoseconds.
    fn frame_of(&self, _stamp: i64) -> Option<u64> {
        None
    }
    /// `images` images were received, and the node has worked on all of them.
    fn worked(&self, _received: u64) {}
    /// A target was chosen.
    fn chosen(&self) {}
}

/// The images of a topic. They are live, so they cannot be paused.
#[derive(Debug, Clone, Copy)]
pub struct LivePlayer;

impl Player for LivePlayer {
    fn command(&self, _command: &Command) -> Result<String, String> {
        Err(
            "the images come from a topic: expected a recorded source to pause, step or restart"
                .into(),
        )
    }
}

/// A target to which `undo` can return.
#[derive(Debug, Clone, PartialEq)]
struct Good {
    id: String,
    bounding_box: BoundingBox,
    stamp: Stamp,
}

/// The last good places of the target and of the one before it.
#[derive(Debug, Default)]
struct Past {
    current: Option<Good>,
    before: Option<Good>,
    /// Whether the target is tracked now.
    is_good: bool,
}

impl Past {
    fn note(&mut self, glance: &Glance<'_>) {
        self.is_good = false;
        let Some((id, track)) = glance.target else {
            // The target was given up. The next undo brings it back.
            if let Some(gone) = self.current.take() {
                self.before = Some(gone);
            }
            return;
        };
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.id != id)
        {
            self.before = self.current.take();
        }
        if track.state == TrackState::Tracking {
            self.is_good = true;
            self.current = Some(Good {
                id: id.to_owned(),
                bounding_box: track.bounding_box,
                stamp: glance.header.stamp,
            });
        }
    }

    /// The place that undo returns to: where a lost target was last seen, otherwise the target before this one.
    fn back(&self) -> Option<Good> {
        if self.is_good || self.current.is_none() {
            self.before.clone()
        } else {
            self.current.clone()
        }
    }
}

/// What the page needs to know of its host.
pub struct Host {
    /// What does not change.
    pub about: About,
    /// The models that may be chosen, as values of `model_path`. Others are refused, so that no viewer can look for files.
    pub models: Vec<String>,
    /// Who plays the images.
    pub player: Arc<dyn Player>,
}

/// A sink that also tells the viewers of a session.
pub struct Watched<S> {
    sink: S,
    session: Arc<Session>,
    player: Arc<dyn Player>,
    models: Vec<String>,
    past: Arc<Mutex<Past>>,
    /// Number of the answer that was published last.
    seen: Option<u64>,
    /// Number of the choice whose picture was made, and of those that have one.
    choice: u64,
    template: u64,
    update: Arc<Update>,
    parameters: Option<Parameters>,
    /// The model that the page names.
    model: ModelInfo,
    cropper: Cropper,
}

/// A session for the node behind `inbox`, and the sink to give to [`crate::worker::work`] in place of `sink`.
pub fn watch<S: Sink>(
    host: Host,
    inbox: Arc<Inbox>,
    sink: S,
    dress: impl FnOnce(Session) -> Session,
) -> (Arc<Session>, Watched<S>) {
    let Host {
        about,
        models,
        player,
    } = host;
    let past = Arc::new(Mutex::new(Past::default()));
    let orders = Orders {
        inbox,
        player: Arc::clone(&player),
        models: models.clone(),
        past: Arc::clone(&past),
    };
    let session = Session::new(about, move |order| orders.take(order));
    let session = Arc::new(dress(session));
    let watched = Watched {
        sink,
        session: Arc::clone(&session),
        player,
        models,
        past,
        seen: None,
        choice: 0,
        template: 0,
        update: Arc::default(),
        parameters: None,
        model: ModelInfo::default(),
        cropper: Cropper::new(),
    };
    (session, watched)
}

/// Passes a viewer's orders to the node or to the source.
struct Orders {
    inbox: Arc<Inbox>,
    player: Arc<dyn Player>,
    models: Vec<String>,
    past: Arc<Mutex<Past>>,
}

impl Orders {
    fn take(&self, order: Order) {
        match &order.command {
            Command::Pause | Command::Resume | Command::Step | Command::Restart => {
                let outcome = self.player.command(&order.command);
                order.answer(outcome);
            }
            Command::Choose { .. } | Command::Undo | Command::Stop | Command::Set(_) => {
                let past = Arc::clone(&self.past);
                let player = Arc::clone(&self.player);
                let models = self.models.clone();
                self.inbox.put_request(
                    None,
                    Box::new(move |core, clock, out| {
                        let outcome = perform(&order.command, core, clock, out, &past, &models);
                        if outcome.is_ok()
                            && matches!(order.command, Command::Choose { .. } | Command::Undo)
                        {
                            player.chosen();
                        }
                        order.answer(outcome);
                    }),
                );
            }
        }
    }
}

fn perform(
    command: &Command,
    core: &mut NodeCore,
    clock: &dyn Clock,
    out: &mut Vec<Output>,
    past: &Mutex<Past>,
    models: &[String],
) -> Result<String, String> {
    let following = |bounding_box: BoundingBox| {
        let BoundingBox {
            x,
            y,
            width,
            height,
        } = bounding_box;
        format!("following {x:.1}, {y:.1}, {width:.1}, {height:.1}")
    };
    match command {
        Command::Choose { place, stamp } => {
            let place = match *place {
                ettrack_web::Place::Box(bounding_box) => Place::Box(bounding_box),
                ettrack_web::Place::Point(x, y) => Place::Point(x, y),
            };
            let stamp = stamp.map(Stamp::from_nanoseconds);
            core.choose_shown(place, stamp, "", clock, out)
                .map(following)
        }
        Command::Undo => {
            let back = past
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .back()
                .ok_or("there is no earlier target to go back to")?;
            // Only its place was kept, so that no image is held for it.
            let is_gone = core
                .glance()
                .and_then(|glance| glance.kept)
                .is_none_or(|(oldest, _)| back.stamp < oldest);
            if is_gone {
                return Err(format!(
                    "the last good image of target {} is no longer kept: choose it again in the picture",
                    back.id
                ));
            }
            let place = Place::Box(back.bounding_box);
            core.choose_shown(place, Some(back.stamp), &back.id, clock, out)
                .map(|_| format!("back to target {}", back.id))
        }
        Command::Stop => Ok(core.stop(out)),
        Command::Set(settings) => set(settings, core, out, models),
        Command::Pause | Command::Resume | Command::Step | Command::Restart => {
            Err("expected somebody who plays the images".into())
        }
    }
}

/// Some providers load a library that an option names. A viewer of the page must not choose a library.
const NOT_FOR_THE_PAGE: &[&str] = &["provider_options"];

fn set(
    settings: &[(String, ettrack_web::Value)],
    core: &mut NodeCore,
    out: &mut Vec<Output>,
    models: &[String],
) -> Result<String, String> {
    let mut changes = Vec::with_capacity(settings.len());
    for (name, value) in settings {
        let value = match value {
            ettrack_web::Value::Bool(value) => Value::Bool(*value),
            ettrack_web::Value::Integer(value) => Value::Integer(*value),
            ettrack_web::Value::Float(value) => Value::Float(*value),
            ettrack_web::Value::Text(value) if value.len() > LONGEST_TEXT => {
                return Err(format!(
                    "{name} has {} bytes, expected at most {LONGEST_TEXT}",
                    value.len()
                ));
            }
            ettrack_web::Value::Text(value) => Value::Text(value.clone()),
        };
        if NOT_FOR_THE_PAGE.contains(&name.as_str()) {
            return Err(format!("{name} cannot be changed from the page"));
        }
        if name == "model_path"
            && !models
                .iter()
                .any(|model| value == Value::Text(model.clone()))
        {
            return Err(format!(
                "model_path is {value}, expected one of {}",
                models.join(", ")
            ));
        }
        changes.push((name.as_str(), value));
    }
    core.set_parameters(&changes, out)
        .map_err(|error| error_chain(&error))?;
    Ok(format!(
        "set {}",
        settings
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    ))
}

/// The parameters that can change while the node runs.
fn settings(parameters: &Parameters, models: &[String]) -> Vec<Setting> {
    let value = |value: Value| match value {
        Value::Bool(value) => ettrack_web::Value::Bool(value),
        Value::Integer(value) => ettrack_web::Value::Integer(value),
        Value::Float(value) => ettrack_web::Value::Float(value),
        Value::Text(value) => ettrack_web::Value::Text(value),
    };
    descriptors()
        .into_iter()
        .filter(|known| known.change != Change::Start && !NOT_FOR_THE_PAGE.contains(&known.name))
        .filter_map(|known| {
            let (range, none, choices) = match known.range {
                Range::Any if known.name == "model_path" => (None, None, Some(models.to_vec())),
                Range::Any => (None, None, None),
                Range::Between(low, high) => (Some([low, high]), None, None),
                Range::NoneOr(none, low, high) => (Some([low, high]), Some(none), None),
                Range::OneOf(words) => {
                    let words = words.iter().map(|word| (*word).to_owned());
                    (None, None, Some(words.collect()))
                }
            };
            Some(Setting {
                name: known.name.to_owned(),
                value: value(parameters.get(known.name)?),
                whole: matches!(known.default, Value::Integer(_)),
                default: value(known.default),
                description: known.description,
                range,
                none,
                choices,
            })
        })
        .collect()
}

impl<S: Sink> Sink for Watched<S> {
    fn deliver(&mut self, output: Output) {
        if let Output::Log(level, line) = &output {
            let level = match level {
                Level::Error => "error",
                Level::Warn => "warn",
                Level::Info => "info",
            };
            self.session.say(level, line);
        }
        if let Output::NoImages(seconds) = &output {
            self.session
                .say("warn", &format!("no image for {seconds:.1} s"));
        }
        self.sink.deliver(output);
    }

    fn overlay_wanted(&self) -> bool {
        self.sink.overlay_wanted()
    }

    fn look(&mut self, core: &mut NodeCore) {
        self.sink.look(core);
        self.tell_settings(core);
        self.tell_template(core);
        self.tell_answer(core);
        if self.session.wants_picture(self.update.seq) && self.seen.is_some() {
            self.show(core);
        }
        if !core.is_behind() {
            self.player.worked(core.received());
        }
    }
}

impl<S> Watched<S> {
    fn tell_settings(&mut self, core: &NodeCore) {
        let parameters = core.parameters();
        if self.parameters.as_ref() != Some(parameters) {
            self.session
                .set_settings(settings(parameters, &self.models));
            self.parameters = Some(parameters.clone());
        }
        let model = core.model();
        if self.model != *model {
            self.model.clone_from(model);
            self.session.set_model(&format!(
                "{}, {}, ONNX Runtime {}",
                model.name, model.execution, model.runtime
            ));
        }
    }

    /// Makes the picture of a target when it is chosen, while its image is still kept.
    fn tell_template(&mut self, core: &mut NodeCore) {
        let Some(choice) = core.glance().map(|glance| glance.choice) else {
            return;
        };
        if choice == self.choice {
            return;
        }
        self.choice = choice;
        let cropper = &mut self.cropper;
        let picture =
            core.with_chosen(|frame, bounding_box| template(cropper, frame, bounding_box));
        if let Some(picture) = picture {
            self.template = choice;
            self.session.set_template(Some(picture));
        }
    }

    fn tell_answer(&mut self, core: &NodeCore) {
        let Some(glance) = core.glance() else {
            return;
        };
        if self.seen == Some(glance.number) {
            return;
        }
        self.seen = Some(glance.number);
        self.past
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(&glance);
        let stamp = glance.header.stamp.as_nanoseconds();
        let track = glance.target.map(|(_, track)| track);
        let milliseconds = |track: &Track| {
            let times = [
                track.timings.crop,
                track.timings.network,
                track.timings.decode,
            ];
            times.map(|time| time.as_secs_f32() * 1e3)
        };
        let update = Update {
            seq: glance.number,
            stamp,
            frame: self.player.frame_of(stamp).unwrap_or(glance.number),
            size: [glance.size.0, glance.size.1],
            state: match track.map(|track| track.state) {
                None => State::Idle,
                Some(TrackState::Tracking) => State::Tracking,
                Some(TrackState::Lost) => State::Lost,
            },
            id: glance
                .target
                .map_or_else(String::new, |(id, _)| id.to_owned()),
            bounding_box: track.map(|track| corners(track.bounding_box)),
            confidence: track.map_or(0.0, |track| track.confidence),
            ms: track.map_or([0.0; 3], milliseconds),
            received: glance.received,
            dropped: glance.dropped,
            template: self.template,
        };
        self.update = Arc::new(update.clone());
        let kept = glance
            .kept
            .map(|(oldest, newest)| (oldest.as_nanoseconds(), newest.as_nanoseconds()));
        self.session.publish(update, kept);
    }

    /// Gives the newest picture to the session, which encodes it on another thread.
    fn show(&self, core: &mut NodeCore) {
        let picture = core.with_newest(|frame| {
            let mut data = Vec::new();
            frame.to_rgb8(&mut data);
            Rgb {
                width: frame.width(),
                height: frame.height(),
                data,
            }
        });
        let Some(picture) = picture else {
            return;
        };
        // The search region and the scores belong to this picture only if the target was searched for in this picture.
        let is_of_this = !core.is_behind()
            && core
                .glance()
                .and_then(|glance| glance.target)
                .is_some_and(|(_, track)| !track.timings.network.is_zero());
        let inspection = if is_of_this && self.session.wants_sight() {
            core.inspection()
        } else {
            None
        };
        let sight = inspection.map(|seen| {
            let window = [
                seen.window.x as f64,
                seen.window.y as f64,
                f64::from(seen.window.side),
            ];
            Sight::new(
                window,
                seen.map_side,
                seen.scores,
                seen.best,
                corners(seen.candidate),
            )
            .with_cells(seen.first_cell, seen.cell_step)
        });
        self.session.show(picture, Arc::clone(&self.update), sight);
    }
}

fn corners(bounding_box: BoundingBox) -> [f64; 4] {
    let BoundingBox {
        x,
        y,
        width,
        height,
    } = bounding_box;
    [x, y, width, height]
}

fn template(cropper: &mut Cropper, frame: &Frame<'_>, bounding_box: BoundingBox) -> Rgb {
    let longer = bounding_box.width.max(bounding_box.height) * TEMPLATE_REACH;
    let side = longer.round().clamp(8.0, 16384.0) as u32;
    let window = SearchWindow::centered(bounding_box.center(), side);
    let mut data = vec![0; 3 * TEMPLATE_SIDE * TEMPLATE_SIDE];
    cropper.crop_rgb8(
        frame,
        window,
        &Padding::new([128; 3]),
        TEMPLATE_SIDE,
        &mut data,
    );
    Rgb {
        width: TEMPLATE_SIDE as u32,
        height: TEMPLATE_SIDE as u32,
        data,
    }
}
