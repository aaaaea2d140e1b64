//! What a confidence is made of, frame by frame, for fitting its weights: see docs/lost.md.

use std::fmt::Write;

use super::edit::{EditedSequence, Sight};
use crate::metrics::overlap;
use ettrack::model::lost::Features;
use ettrack::tracker::{Track, TrackState, Tracker};

/// A CSV table of features: a header, then a line per frame that a tracker was run on.
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
    /// One more frame of `sequence`, which `tracker` has just answered with `track`.
    ///
    /// `overlap` is that of the judged box with the truth: the box that the network saw, which is not the one given
    /// out while the target is lost. It is empty where there is no truth.
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
        // Sequences are folders' names: what a table could not hold is left out of them.
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
