//! The annotated video that viewers record. Who writes it, the host gives.

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::picture::Shown;

/// Pictures that may wait for the recorder; the thread that tracks does not wait for it.
const WAITING: usize = 8;

/// The most pictures of a recording; at 30 a second, half an hour.
const MOST: u64 = 54_000;

/// Writes annotated pictures into a file.
pub trait Recorder: Send {
    /// Adds a picture.
    ///
    /// # Errors
    /// Why it could not.
    fn push(&mut self, shown: &Shown) -> Result<(), String>;
    /// Completes the file.
    ///
    /// # Errors
    /// Why it could not.
    fn finish(self: Box<Self>) -> Result<Recorded, String>;
}

/// A complete recording. The file goes when this does.
pub struct Recorded {
    /// The file.
    pub path: PathBuf,
    /// What removes it when dropped.
    pub keep: Box<dyn Send>,
}

/// Starts a recorder for pictures of the first one's size.
pub type StartRecorder = Arc<dyn Fn(&Shown) -> Result<Box<dyn Recorder>, String> + Send + Sync>;

/// Why there is no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// The host gives no recorder.
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

/// A recording that runs, or one that was made.
pub(crate) struct Recording {
    pictures: Option<SyncSender<Shown>>,
    thread: Option<JoinHandle<Outcome>>,
    made: Option<Mutex<Recorded>>,
}

impl Recording {
    pub fn start(start: StartRecorder) -> Result<Self, RecordingError> {
        let (pictures, received) = sync_channel::<Shown>(WAITING);
        let record = move || -> Outcome {
            let mut recorder: Option<Box<dyn Recorder>> = None;
            let mut last = None;
            for (count, shown) in (0_u64..).zip(received) {
                // A frame that is answered again stands once.
                if count >= MOST || last == Some(shown.update.stamp) {
                    continue;
                }
                last = Some(shown.update.stamp);
                match &mut recorder {
                    Some(recorder) => recorder.push(&shown)?,
                    none => none.insert(start(&shown)?).push(&shown)?,
                }
            }
            recorder.map(|recorder| recorder.finish()).transpose()
        };
        let thread = std::thread::Builder::new()
            .name("recording".into())
            .spawn(record)
            .map_err(|error| RecordingError::Failed(error.to_string()))?;
        Ok(Self {
            pictures: Some(pictures),
            thread: Some(thread),
            made: None,
        })
    }

    pub fn is_running(&self) -> bool {
        self.pictures.is_some()
    }

    /// Hands a picture over; where the recorder is too slow it is left out.
    pub fn push(&mut self, shown: &Shown) {
        if let Some(pictures) = &self.pictures {
            let _ = pictures.try_send(shown.clone());
        }
    }

    /// Completes the file.
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

    /// The complete file and its extension.
    pub fn open(&self) -> Result<(File, String), RecordingError> {
        let made = self.made.as_ref().ok_or(RecordingError::Empty)?;
        let made = made.lock().unwrap_or_else(PoisonError::into_inner);
        let file =
            File::open(&made.path).map_err(|error| RecordingError::Failed(error.to_string()))?;
        let extension = made.path.extension().unwrap_or_default();
        Ok((file, extension.to_string_lossy().into_owned()))
    }
}
