//! Measures how often the state LOST and the confidence of a tracker are right when the target disappears. Disappearances
//! are made in real sequences by replacing frames or covering the target.

mod edit;
mod failures;
mod measure;
mod record;

use std::path::PathBuf;

pub use edit::{Edit, EditedSequence, Sight};
pub use failures::FailureScore;
pub use measure::{Answers, PresenceScore, area_under_roc, judge, pool};
pub use record::FeatureTable;

use super::dataset::Sequence;
use super::runner::RunError;
use ettrack::frame::ImageBuffer;
use ettrack::tracker::{SingleObjectTracker, Track, TrackState};

/// Makes the edited versions of each sequence. A cut sequence shows frames of the next sequence from another folder.
/// Sequences that are too short or have no published truth are left out.
pub fn edited(sequences: &[Sequence], edits: &[Edit]) -> Vec<EditedSequence> {
    let mut made = Vec::new();
    for (index, sequence) in sequences.iter().enumerate() {
        let folder = |one: &Sequence| {
            one.frames
                .first()
                .and_then(|path| Some(path.parent()?.to_owned()))
        };
        let elsewhere: Vec<PathBuf> = sequences
            .iter()
            .cycle()
            .skip(index + 1)
            .take(sequences.len().saturating_sub(1))
            .find(|other| folder(other) != folder(sequence))
            .map(|other| other.frames.clone())
            .unwrap_or_default();
        made.extend(
            edits
                .iter()
                .filter_map(|edit| EditedSequence::new(sequence, *edit, &elsewhere)),
        );
    }
    made
}

/// Runs a tracker over an edited sequence from its first box. `seen` is called after every frame but the first.
///
/// # Errors
/// [`RunError`] if an image cannot be read or the tracker refuses a frame.
pub fn answers<T: SingleObjectTracker>(
    tracker: &mut T,
    sequence: &EditedSequence,
    mut seen: impl FnMut(usize, &T, &Track),
) -> Result<Answers, RunError> {
    let mut image = ImageBuffer::empty();
    let mut answers = Answers::default();
    for index in 0..sequence.len() {
        sequence.read(index, &mut image)?;
        let name = || sequence.frame_name(index);
        let frame = image.frame().map_err(|source| RunError::Frame {
            name: name(),
            source,
        })?;
        let refused = |source| RunError::Track {
            name: name(),
            source: Box::new(source),
        };
        if index == 0 {
            tracker
                .initialize(&frame, sequence.first_box)
                .map_err(refused)?;
            answers.push(sequence.first_box, 1.0, false);
        } else {
            let track = tracker.update(&frame).map_err(refused)?;
            let lost = track.state == TrackState::Lost;
            let written = tracker.as_authors_write(track.bounding_box);
            answers.push(written, track.confidence, lost);
            seen(index, tracker, &track);
        }
    }
    Ok(answers)
}
