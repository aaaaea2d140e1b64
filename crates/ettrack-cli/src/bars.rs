//! The progress bars of a run over many sequences.

use std::sync::Mutex;

use ettrack_eval::runner::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// One progress bar for the sequences, one for the frames of the running ones.
pub struct Bars {
    all: MultiProgress,
    sequences: ProgressBar,
    frames: ProgressBar,
    running: Mutex<Vec<String>>,
}

impl Bars {
    pub fn new(count: usize) -> Self {
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─")
        };
        let all = MultiProgress::new();
        let sequences = all.add(ProgressBar::new(count as u64));
        sequences.set_style(style(
            "sequences {bar:30} {pos}/{len}  {elapsed} (left: {eta})  {msg}",
        ));
        let frames = all.add(ProgressBar::new(0));
        frames.set_style(style("frames    {bar:30} {pos}/{len}  {per_sec}"));
        Self {
            all,
            sequences,
            frames,
            running: Mutex::new(Vec::new()),
        }
    }

    pub fn show(&self, progress: Progress<'_>) {
        match progress {
            Progress::Started { name, frames } => {
                self.frames.inc_length(frames as u64);
                self.names(|running| running.push(name.to_owned()));
            }
            Progress::Frame => self.frames.inc(1),
            Progress::Ended { name, .. } => {
                self.sequences.inc(1);
                self.names(|running| running.retain(|other| other != name));
            }
        }
    }

    fn names(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut running = self
            .running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut running);
        self.sequences.set_message(running.join(", "));
    }

    pub fn clear(&self) {
        self.sequences.finish_and_clear();
        self.frames.finish_and_clear();
        // The evaluation is valid even if the terminal cannot be cleared.
        let _ = self.all.clear();
    }
}
