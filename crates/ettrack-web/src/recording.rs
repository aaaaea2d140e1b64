//! The annotated video that viewers record. The program that uses this crate provides the [`Recorder`] that writes the file.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::picture::Shown;

/// Number of pictures that may wait for the recorder. The tracking thread never waits: if all places are taken, the picture
/// is left out.
const WAITING: usize = 8;

/// Largest number of pictures in a recording: half an hour at 30 frames per second.
const MOST: u64 = 54_000;

/// Writes annotated pictures into a file.
pub trait Recorder: Send {
    /// Adds a picture.
    ///
    /// # Errors
    /// Returns the reason if the picture cannot be written.
    fn push(&mut self, shown: &Shown) -> Result<(), String>;
    /// Completes the file.
    ///
    /// # Errors
    /// Returns the reason if the file cannot be completed.
    fn finish(self: Box<Self>) -> Result<Recorded, String>;
}

/// A complete recording. Dropping it removes the file.
pub struct Recorded {
    /// The file.
    pub path: PathBuf,
    /// Owner of the file. Dropping it removes the file.
    pub keep: Box<dyn Send>,
}

/// Starts a recorder. The given picture is the first; all later ones have its size. Returns the reason if it cannot start.
pub type StartRecorder = Arc<dyn Fn(&Shown) -> Result<Box<dyn Recorder>, String> + Send + Sync>;

/// The reason why there is no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// The session has no recorder.
    #[error(
        "nothing can be recorded here; `ettrack serve` can, and `ros2 bag record` does for the node"
    )]
    None,
    /// Nothing was recorded.
    #[error("nothing was recorded: begin a recording and end it first")]
    Empty,
    /// The recorder failed.
    #[error("the recording failed: {0}")]
    Failed(String),
}

type Outcome = Result<Option<Recorded>, String>;

/// A recording that is running or complete.
pub(crate) struct Recording {
    pictures: Option<SyncSender<Shown>>,
    /// Whether the file is not wanted any more.
    is_unwanted: Arc<AtomicBool>,
    thread: Option<JoinHandle<Outcome>>,
    made: Option<Mutex<Recorded>>,
}

impl Recording {
    pub fn start(start: StartRecorder) -> Result<Self, RecordingError> {
        let (pictures, received) = sync_channel::<Shown>(WAITING);
        let is_unwanted = Arc::new(AtomicBool::new(false));
        let unwanted = Arc::clone(&is_unwanted);
        let record = move || -> Outcome {
            let mut recorder: Option<Box<dyn Recorder>> = None;
            let mut last = None;
            for (count, shown) in (0_u64..).zip(received) {
                if unwanted.load(Ordering::Acquire) {
                    break;
                }
                // A frame that is answered twice is recorded once.
                if count >= MOST || last == Some(shown.update.stamp) {
                    continue;
                }
                last = Some(shown.update.stamp);
                match &mut recorder {
                    Some(recorder) => recorder.push(&shown)?,
                    none => none.insert(start(&shown)?).push(&shown)?,
                }
            }
            // A recorder that is dropped leaves no file.
            let recorder = recorder.filter(|_| !unwanted.load(Ordering::Acquire));
            recorder.map(|recorder| recorder.finish()).transpose()
        };
        let thread = std::thread::Builder::new()
            .name("recording".into())
            .spawn(record)
            .map_err(|error| RecordingError::Failed(error.to_string()))?;
        Ok(Self {
            pictures: Some(pictures),
            is_unwanted,
            thread: Some(thread),
            made: None,
        })
    }

    pub fn is_running(&self) -> bool {
        self.pictures.is_some()
    }

    /// Hands a picture to the recorder. If the recorder is too slow, the picture is left out.
    pub fn push(&mut self, shown: &Shown) {
        if let Some(pictures) = &self.pictures {
            let _ = pictures.try_send(shown.clone());
        }
    }

    /// Completes the file. Waits for the recorder.
    pub fn finish(&mut self) -> Result<(), RecordingError> {
        self.pictures = None;
        let Some(thread) = self.thread.take() else {
            return if self.made.is_some() {
                Ok(())
            } else {
                Err(RecordingError::Empty)
            };
        };
        let outcome = thread
            .join()
            .unwrap_or_else(|_| Err("its thread has ended".into()));
        match outcome {
            Ok(Some(recorded)) => {
                self.made = Some(Mutex::new(recorded));
                Ok(())
            }
            Ok(None) => Err(RecordingError::Empty),
            Err(reason) => Err(RecordingError::Failed(reason)),
        }
    }

    /// Removes the file without completing it.
    pub fn discard(mut self) {
        self.is_unwanted.store(true, Ordering::Release);
        // A recording that failed has no file either.
        let _ = self.finish();
    }

    /// Opens the complete file and returns it with its extension.
    pub fn open(&self) -> Result<(File, String), RecordingError> {
        let made = self.made.as_ref().ok_or(RecordingError::Empty)?;
        let made = made.lock().unwrap_or_else(PoisonError::into_inner);
        let file =
            File::open(&made.path).map_err(|error| RecordingError::Failed(error.to_string()))?;
        let extension = made.path.extension().unwrap_or_default();
        Ok((file, extension.to_string_lossy().into_owned()))
    }
}
