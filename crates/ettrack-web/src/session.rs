//! State that viewers and the tracking thread share.
//!
//! The tracking thread publishes its answers, asks whether a viewer wants a picture, and never waits. Viewers take the newest
//! answer. Viewers' commands go to the tracking thread as [`Order`]s.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::command::{Command, Order};
use crate::picture::{self, Encoded, Rgb, Shown};
use crate::recording::{Recording, RecordingError, StartRecorder};
use crate::setting::Setting;
use crate::update::{Sight, State, Update};

/// Largest number of orders that wait for the tracking thread.
const ORDERS: usize = 32;

/// Largest number of rows that are kept for download: two hours at 30 frames per second.
const ROWS: usize = 216_000;

/// Largest number of messages that are kept for the page.
const MESSAGES: usize = 50;

/// Largest length of a message, bytes. Longer ones are cut.
const LONGEST_MESSAGE: usize = 2000;

/// The reason why an order was not accepted or not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Too many orders wait.
    #[error("{ORDERS} requests wait already; try again")]
    Busy,
    /// The tracking thread has ended or has dropped the order.
    #[error("the tracker has ended")]
    Gone,
    /// The order was refused, with the reason.
    #[error("{0}")]
    Refused(String),
}

/// State of the playback of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Playback {
    /// A live source, which cannot be paused.
    #[default]
    Live,
    /// A recorded source is playing.
    Playing,
    /// A recorded source is paused.
    Paused,
    /// A source has ended.
    Ended,
}

/// Values that do not change during a session.
#[derive(Debug, Clone, Default, Serialize)]
pub struct About {
    /// Name of the source: a file, a camera or a topic.
    pub title: String,
    /// Command that shows the same page, without changed settings: the page adds `--set NAME=VALUE` for each. Empty outside
    /// the command line.
    pub command_line: String,
    /// The node's name, under which parameters stand in a parameter file.
    pub node: String,
    /// Name and version of the software.
    pub software: String,
}

/// A message for viewers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Number of the message. It grows by one with each message.
    pub number: u64,
    /// Level: `info`, `warn` or `error`.
    pub level: &'static str,
    /// Text of the message.
    pub text: String,
}

/// One row of the list of boxes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Position in the source.
    pub frame: u64,
    /// Stamp of the frame, nanoseconds.
    pub stamp: i64,
    /// x, y, width, height, pixels of the frame. `None` without a target.
    pub bounding_box: Option<[f64; 4]>,
    /// Confidence, 0..=1.
    pub confidence: f32,
    /// State of the target.
    pub state: State,
    /// Time of all stages, milliseconds.
    pub ms: f32,
}

/// The answer to `GET /state`.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// The values that do not change.
    #[serde(flatten)]
    pub about: About,
    /// State of the playback.
    pub playback: Playback,
    /// Name of the model in use.
    pub model: String,
    /// Stamps of the oldest and newest frame in which a target can be chosen, nanoseconds as text.
    pub kept: Option<[String; 2]>,
    /// The newest answer.
    pub update: Update,
    /// The newest messages, oldest first.
    pub messages: Vec<Message>,
    /// Number of connected viewers, such as browsers.
    pub viewers: usize,
    /// `off`, `on` or `ready` (complete). `None` if nothing can be recorded.
    pub recording: Option<&'static str>,
    /// Number of rows in the list of boxes.
    pub rows: usize,
}

#[derive(Default)]
struct Inner {
    playback: Playback,
    model: String,
    kept: Option<(i64, i64)>,
    settings: Vec<Setting>,
    messages: VecDeque<Message>,
    said: u64,
    rows: VecDeque<Row>,
    template: Option<Arc<Rgb>>,
    recording: Option<Recording>,
}

/// Slot for the picture that waits to be encoded. The newest picture replaces an older one.
#[derive(Default)]
struct PictureSlot {
    waiting: Mutex<Option<Shown>>,
    changed: Condvar,
}

/// State that is shared by the tracking thread, the encoding thread and all viewers.
pub struct Session {
    about: About,
    deliver: Box<dyn Fn(Order) + Send + Sync>,
    start_recorder: Option<StartRecorder>,
    places: Arc<Semaphore>,
    inner: Mutex<Inner>,
    updates: watch::Sender<Arc<Update>>,
    /// Grows by one when a part of the snapshot changes that no update holds.
    notices: watch::Sender<u64>,
    pictures: watch::Sender<Option<Arc<Encoded>>>,
    slot: PictureSlot,
    /// Number of viewers that wait for a picture.
    picture_viewers: AtomicUsize,
    /// Number of viewers that want the search region and its scores.
    sight_viewers: AtomicUsize,
    viewers: AtomicUsize,
    /// Number of the answer whose picture went to the viewers last, plus one. 0 before the first.
    shown: AtomicU64,
    /// The same for the recording.
    recorded: AtomicU64,
    /// Whether a recording is running.
    records: AtomicBool,
    /// Whether the encoding thread is to end.
    closed: AtomicBool,
}

/// Counts one viewer until it is dropped.
#[derive(Debug)]
pub struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Session")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Creates a session. `deliver` passes orders to the tracking thread. It must not wait.
    pub fn new(about: About, deliver: impl Fn(Order) + Send + Sync + 'static) -> Self {
        Self {
            about,
            deliver: Box::new(deliver),
            start_recorder: None,
            places: Arc::new(Semaphore::new(ORDERS)),
            inner: Mutex::default(),
            updates: watch::Sender::new(Arc::default()),
            notices: watch::Sender::new(0),
            pictures: watch::Sender::new(None),
            slot: PictureSlot::default(),
            picture_viewers: AtomicUsize::new(0),
            sight_viewers: AtomicUsize::new(0),
            viewers: AtomicUsize::new(0),
            shown: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
            records: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Lets viewers record the annotated video.
    #[must_use]
    pub fn with_recorder(mut self, start: StartRecorder) -> Self {
        self.start_recorder = Some(start);
        self
    }

    /// Locks the state, also after a panic of another thread, because a panic leaves every field valid.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notice(&self) {
        self.notices.send_modify(|number| *number += 1);
    }

    // Functions for the tracking thread. None of them waits for a viewer.

    /// Publishes the answer for a frame. `kept` holds the stamps of the oldest and newest frame in which a target can be
    /// chosen, nanoseconds. An answer with the stamp of the last row replaces that row.
    pub fn publish(&self, update: Update, kept: Option<(i64, i64)>) {
        let row = Row {
            frame: update.frame,
            stamp: update.stamp,
            bounding_box: update.bounding_box,
            confidence: update.confidence,
            state: update.state,
            ms: update.ms.iter().sum(),
        };
        let mut inner = self.inner();
        inner.kept = kept;
        // A restarted source begins a new list.
        if inner.rows.back().is_some_and(|last| last.stamp > row.stamp) {
            inner.rows.clear();
        }
        if inner
            .rows
            .back()
            .is_some_and(|last| last.stamp == row.stamp)
        {
            inner.rows.pop_back();
        }
        if inner.rows.len() == ROWS {
            inner.rows.pop_front();
        }
        inner.rows.push_back(row);
        drop(inner);
        self.updates.send_replace(Arc::new(update));
    }

    /// Returns whether the picture of answer `seq` is wanted. If so, the caller passes it to [`Session::show`].
    pub fn wants_picture(&self, seq: u64) -> bool {
        let is_new = |last: &AtomicU64| last.load(Ordering::Acquire) != seq + 1;
        self.picture_viewers.load(Ordering::Acquire) > 0 && is_new(&self.shown)
            || self.records.load(Ordering::Acquire) && is_new(&self.recorded)
    }

    /// Returns whether a viewer wants the search region and its scores.
    pub fn wants_sight(&self) -> bool {
        self.sight_viewers.load(Ordering::Acquire) > 0
    }

    /// Hands over the picture of an answered frame, for viewers and the recording. It replaces an older picture that still
    /// waits.
    pub fn show(&self, picture: Rgb, update: Arc<Update>, sight: Option<Sight>) {
        let number = update.seq + 1;
        let shown = Shown {
            picture: Arc::new(picture),
            update,
            sight,
        };
        if self.records.load(Ordering::Acquire)
            && self.recorded.swap(number, Ordering::AcqRel) != number
            && let Some(recording) = &mut self.inner().recording
        {
            recording.push(&shown);
        }
        if self.picture_viewers.load(Ordering::Acquire) > 0 {
            self.shown.store(number, Ordering::Release);
            *self
                .slot
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(shown);
            self.slot.changed.notify_one();
        }
    }

    /// Sets the picture of the target at the time it was chosen. `None` without a target.
    pub fn set_template(&self, template: Option<Rgb>) {
        self.inner().template = template.map(Arc::new);
    }

    /// Adds a message for viewers. `level` is `info`, `warn` or `error`.
    pub fn say(&self, level: &'static str, text: &str) {
        let mut end = text.len().min(LONGEST_MESSAGE);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut inner = self.inner();
        inner.said += 1;
        let number = inner.said;
        if inner.messages.len() == MESSAGES {
            inner.messages.pop_front();
        }
        inner.messages.push_back(Message {
            number,
            level,
            text: text[..end].to_owned(),
        });
        drop(inner);
        self.notice();
    }

    /// Sets the state of the playback.
    pub fn set_playback(&self, playback: Playback) {
        let before = std::mem::replace(&mut self.inner().playback, playback);
        if before != playback {
            self.notice();
        }
    }

    /// Sets the settings with their present values.
    pub fn set_settings(&self, settings: Vec<Setting>) {
        self.inner().settings = settings;
        self.notice();
    }

    /// Sets the name of the model in use.
    pub fn set_model(&self, model: &str) {
        model.clone_into(&mut self.inner().model);
        self.notice();
    }

    // Functions for viewers.

    /// Sends a command to the tracking thread and returns what was done.
    ///
    /// # Errors
    /// Returns an [`OrderError`] if the command was not carried out.
    pub async fn order(&self, command: Command) -> Result<String, OrderError> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| OrderError::Busy)?;
        let (answer, answered) = oneshot::channel();
        (self.deliver)(Order {
            command,
            answer,
            _place: place,
        });
        match answered.await {
            Ok(outcome) => outcome.map_err(OrderError::Refused),
            Err(_) => Err(OrderError::Gone),
        }
    }

    /// Returns the answer to `GET /state`.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.inner();
        Snapshot {
            about: self.about.clone(),
            playback: inner.playback,
            model: inner.model.clone(),
            kept: inner
                .kept
                .map(|(oldest, newest)| [oldest.to_string(), newest.to_string()]),
            update: Update::clone(&self.updates.borrow()),
            messages: inner.messages.iter().cloned().collect(),
            viewers: self.viewers.load(Ordering::Relaxed),
            recording: self
                .start_recorder
                .as_ref()
                .map(|_| match &inner.recording {
                    None => "off",
                    Some(recording) if recording.is_running() => "on",
                    Some(_) => "ready",
                }),
            rows: inner.rows.len(),
        }
    }

    /// Returns the settings with their present values.
    pub fn settings(&self) -> Vec<Setting> {
        self.inner().settings.clone()
    }

    /// Returns the boxes so far, oldest first.
    pub fn rows(&self) -> Vec<Row> {
        self.inner().rows.iter().copied().collect()
    }

    /// Returns the picture of the target at the time it was chosen. `None` without a target.
    pub fn template(&self) -> Option<Arc<Rgb>> {
        self.inner().template.clone()
    }

    /// Returns the values that do not change.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Returns a receiver of answers. It begins with the newest answer. A slow viewer gets only the newest.
    pub fn updates(&self) -> watch::Receiver<Arc<Update>> {
        self.updates.subscribe()
    }

    /// Returns a receiver that reports a change when a part of the snapshot changes that no update holds.
    pub fn notices(&self) -> watch::Receiver<u64> {
        self.notices.subscribe()
    }

    /// Returns a receiver of encoded pictures. It begins with the newest. New pictures come only while a viewer is counted by
    /// [`Session::count_picture_viewer`].
    pub fn pictures(&self) -> watch::Receiver<Option<Arc<Encoded>>> {
        self.pictures.subscribe()
    }

    /// Counts a viewer that waits for a picture, until the returned value is dropped.
    pub fn count_picture_viewer(&self) -> Counted<'_> {
        Counted::new(&self.picture_viewers)
    }

    /// Counts a viewer that wants the search region and its scores, until the returned value is dropped.
    pub fn count_sight_viewer(&self) -> Counted<'_> {
        let counted = Counted::new(&self.sight_viewers);
        // The picture of a paused source is shown again, now with its search region.
        self.shown.store(0, Ordering::Release);
        counted
    }

    /// Counts a connected viewer, until the returned value is dropped.
    pub fn viewer(&self) -> Counted<'_> {
        Counted::new(&self.viewers)
    }

    // Functions for the recording.

    /// Begins to record the annotated video. Drops an earlier recording.
    ///
    /// # Errors
    /// Returns a [`RecordingError`] if the session has no recorder, or no thread can be started.
    pub fn start_recording(&self) -> Result<(), RecordingError> {
        let start = self.start_recorder.clone().ok_or(RecordingError::None)?;
        let recording = Recording::start(start)?;
        let old = self.inner().recording.replace(recording);
        // Dropping a recording that is still running takes time, so it is done outside the lock.
        drop(old);
        // The present frame belongs to the new recording, also if an old one has it.
        self.recorded.store(0, Ordering::Release);
        self.records.store(true, Ordering::Release);
        self.notice();
        Ok(())
    }

    /// Ends the recording. Waits for the video encoder, so the tracking thread must not call it.
    ///
    /// # Errors
    /// Returns a [`RecordingError`] if nothing was recorded, or if the recorder failed.
    pub fn stop_recording(&self) -> Result<(), RecordingError> {
        self.records.store(false, Ordering::Release);
        let Some(mut recording) = self.inner().recording.take() else {
            return Err(RecordingError::Empty);
        };
        let outcome = recording.finish();
        if outcome.is_ok() {
            self.inner().recording = Some(recording);
        }
        self.notice();
        outcome
    }

    /// Removes the recording and its file, also while it is running.
    pub fn discard_recording(&self) {
        self.records.store(false, Ordering::Release);
        let recording = self.inner().recording.take();
        if let Some(recording) = recording {
            recording.discard();
        }
        self.notice();
    }

    /// Opens the file of the complete recording and returns it with the extension of its name.
    ///
    /// # Errors
    /// Returns a [`RecordingError`] if there is no complete recording, or if its file cannot be opened.
    pub fn recorded(&self) -> Result<(std::fs::File, String), RecordingError> {
        match &self.inner().recording {
            Some(recording) => recording.open(),
            None => Err(RecordingError::Empty),
        }
    }

    // Functions for the encoding thread.

    /// Encodes pictures until [`Session::close`] is called. It needs its own thread.
    pub fn encode(&self) {
        let mut scratch = picture::Scratch::default();
        loop {
            let mut waiting = self
                .slot
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let shown = loop {
                if self.closed.load(Ordering::Acquire) {
                    return;
                }
                match waiting.take() {
                    Some(shown) => break shown,
                    None => {
                        waiting = self
                            .slot
                            .changed
                            .wait(waiting)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(waiting);
            match picture::encode(&shown, &mut scratch) {
                Ok(encoded) => {
                    self.pictures.send_replace(Some(Arc::new(encoded)));
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                    self.say("error", &format!("{error}{cause}"));
                }
            }
        }
    }

    /// Makes [`Session::encode`] return.
    pub fn close(&self) {
        let _waiting = self
            .slot
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        self.slot.changed.notify_all();
    }
}
