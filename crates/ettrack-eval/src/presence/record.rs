//! Records the features of the confidence per frame, to fit its weights: see docs/lost.md.

use std::fmt::Write;

use super::edit::{EditedSequence, Sight};
use super::failures::{OFF, ON};
use crate::metrics::overlap;
use ettrack::model::lost::Features;
use ettrack::tracker::{Track, TrackState, Tracker};

/// A CSV table of features: a header, then a line per frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureTable {
    text: String,
    failures: bool,
}

impl Default for FeatureTable {
    fn default() -> Self {
        let names = Features::NAMES.join(",");
        Self {
            text: format!("sequence,edit,frame,sight,overlap,state,confidence,{names}\n"),
            failures: false,
        }
    }
}

impl FeatureTable {
    /// A table of a tracker's own failures. A frame whose box is neither on the target nor off it is marked `partly`, and the
    /// start of a run, NAME@START, takes the place of the edit.
    pub fn of_failures() -> Self {
        Self {
            failures: true,
            ..Self::default()
        }
    }

    /// Adds a frame of `sequence` for which `tracker` has just returned `track`.
    ///
    /// The column `overlap` is that of the judged box with the truth. The judged box is the one that the network found, which
    /// is not returned while the target is lost. The column is empty if there is no truth.
    pub fn push(
        &mut self,
        sequence: &EditedSequence,
        frame: usize,
        tracker: &Tracker,
        track: &Track,
    ) {
        let overlap = sequence.truth[frame]
            .as_ref()
            .map(|truth| overlap(&tracker.judged(), truth));
        let between = overlap.is_some_and(|overlap| (OFF..=ON).contains(&overlap));
        let sight = match sequence.sight[frame] {
            Sight::Present if self.failures && between => "partly",
            Sight::Present => "present",
            Sight::Absent => "absent",
            Sight::Partly => "partly",
        };
        let state = match track.state {
            TrackState::Tracking => "tracking",
            TrackState::Lost => "lost",
        };
        let overlap = overlap.map_or_else(String::new, |overlap| format!("{overlap:.4}"));
        let (name, edit) = match sequence.name.split_once('@') {
            Some((name, start)) if self.failures => (name, start),
            _ => (sequence.name.as_str(), sequence.edit.name()),
        };
        let line = &mut self.text;
        // Names of sequences are names of folders: characters with a meaning in CSV are left out.
        line.extend(
            name.chars()
                .filter(|c| !matches!(c, ',' | '"' | '\n' | '\r')),
        );
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            ",{edit},{frame},{sight},{overlap},{state},{:.5}",
            track.confidence
        );
        for value in tracker.features().values() {
            let _ = write!(line, ",{value:.5}");
        }
        line.push('\n');
    }

    /// The table so far.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
