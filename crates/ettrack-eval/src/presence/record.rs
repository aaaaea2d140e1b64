//! Records the features of the confidence per frame, to fit its weights: see docs/lost.md.

use std::fmt::Write;

use super::edit::{EditedSequence, Sight};
use crate::metrics::overlap;
use ettrack::model::lost::Features;
use ettrack::tracker::{Track, TrackState, Tracker};

/// A CSV table of features: a header, then a line per frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureTable(String);

impl Default for FeatureTable {
    fn default() -> Self {
        Self(format!(
            "sequence,edit,frame,sight,overlap,state,confidence,{}\n",
            Features::NAMES.join(",")
        ))
    }
}

impl FeatureTable {
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
        let sight = match sequence.sight[frame] {
            Sight::Present => "present",
            Sight::Absent => "absent",
            Sight::Partly => "partly",
        };
        let state = match track.state {
            TrackState::Tracking => "tracking",
            TrackState::Lost => "lost",
        };
        let overlap = sequence.truth[frame]
            .as_ref()
            .map_or_else(String::new, |truth| {
                format!("{:.4}", overlap(&tracker.judged(), truth))
            });
        let line = &mut self.0;
        // Names of sequences are names of folders: characters with a meaning in CSV are left out.
        line.extend(
            sequence
                .name
                .chars()
                .filter(|c| !matches!(c, ',' | '"' | '\n' | '\r')),
        );
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            ",{},{frame},{sight},{overlap},{state},{:.5}",
            sequence.edit.name(),
            track.confidence
        );
        for value in tracker.features().values() {
            let _ = write!(line, ",{value:.5}");
        }
        line.push('\n');
    }

    /// The table so far.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
