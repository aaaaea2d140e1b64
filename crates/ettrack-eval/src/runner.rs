//! Runs a tracker over sequences: several at the same time, without those that an earlier run finished. A broken sequence
//! does not stop the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::dataset::{DatasetError, Sequence, SequenceEntry};
use super::results::{PictureHash, Pictures, ResultFolder, SequenceResult, hex};
use ettrack::frame::{FrameError, ImageBuffer};
use ettrack::tracker::{SingleObjectTracker, TrackError, TrackState};
use ettrack_files::OutputError;
use ettrack_media::source::{FolderSource, FrameSource, SourceError};

/// An error of a function that makes trackers.
pub type MakerError = Box<dyn std::error::Error + Send + Sync>;

/// A function that makes one tracker per worker thread.
pub type TrackerMaker<'a> =
    dyn Fn() -> Result<Box<dyn SingleObjectTracker>, MakerError> + Sync + 'a;

/// Why one sequence has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Truth or images cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// An image cannot be decoded.
    #[error(transparent)]
    Image(#[from] SourceError),
    /// The decoded pixels do not form a frame.
    #[error("{name} cannot be used")]
    Frame {
        /// The image.
        name: String,
        /// The reason.
        source: FrameError,
    },
    /// The tracker refused a frame.
    #[error("cannot track in {name}")]
    Track {
        /// The image.
        name: String,
        /// The tracker's reason.
        source: Box<TrackError>,
    },
    /// The tracker of a worker thread cannot be made.
    #[error("cannot make a tracker for a worker thread")]
    Maker(#[source] MakerError),
    /// There is no result to collect.
    #[error("no result; run its shard again")]
    NoResult,
    /// There is a result, but not of this run.
    #[error(
        "its result is of another model, other settings or other pictures; run its shard again with those of the others"
    )]
    OtherRun,
    /// Results cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// What a run gives for one sequence.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the sequence or run.
    pub name: String,
    /// Its frames and truth; `None` if they cannot be read.
    pub sequence: Option<Sequence>,
    /// Boxes and times, or the reason why there are none.
    pub result: Result<SequenceResult, RunError>,
    /// Whether the result is from an earlier run.
    pub resumed: bool,
}

/// A step of a run, for a progress bar. It is reported from the worker threads.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A worker thread starts a sequence.
    Started {
        /// Name of the sequence or run.
        name: &'a str,
        /// Number of frames.
        frames: usize,
    },
    /// A frame was tracked.
    Frame,
    /// A sequence was finished, or it failed.
    Ended {
        /// Name of the sequence or run.
        name: &'a str,
        /// Whether the result is from an earlier run.
        resumed: bool,
        /// Whether there is a result.
        succeeded: bool,
    },
}

/// Tracks each sequence from its first box, `jobs` at the same time, and writes each result when it is finished. Outcomes
/// are returned in the order of `entries`. A sequence whose result is in `results` already, with the same `fingerprint`
/// (model and settings), frames and first box, is not run again.
pub fn run(
    entries: &[SequenceEntry],
    make_tracker: &TrackerMaker<'_>,
    results: &ResultFolder,
    fingerprint: &str,
    jobs: usize,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Option<Outcome>>> = entries.iter().map(|_| Mutex::new(None)).collect();
    let workers = jobs.clamp(1, entries.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // The tracker is made for the first sequence that is not finished yet.
                let mut tracker = None;
                while let Some((index, entry)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    entries.get(index).map(|entry| (index, entry))
                } {
                    let outcome = one(
                        entry,
                        &mut tracker,
                        make_tracker,
                        results,
                        fingerprint,
                        progress,
                    );
                    progress(Progress::Ended {
                        name: &entry.name,
                        resumed: outcome.resumed,
                        succeeded: outcome.result.is_ok(),
                    });
                    *outcomes[index]
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                }
            });
        }
    });
    outcomes
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// The results that earlier runs left, without running anything. What is missing or from another model or other settings is
/// an error of that sequence.
pub fn collect(
    entries: &[SequenceEntry],
    results: &ResultFolder,
    fingerprint: &str,
) -> Vec<Outcome> {
    let one = |entry: &SequenceEntry| {
        let (sequence, result) = match entry.load() {
            Ok(sequence) => {
                let fingerprint = sequence_fingerprint(fingerprint, &sequence);
                let result = results.finished(&entry.name, &fingerprint, &sequence.frames);
                let missing = || match results.is_marked(&entry.name) {
                    true => RunError::OtherRun,
                    false => RunError::NoResult,
                };
                (Some(sequence), result.ok_or_else(missing))
            }
            Err(error) => (None, Err(error.into())),
        };
        Outcome {
            name: entry.name.clone(),
            sequence,
            resumed: result.is_ok(),
            result,
        }
    };
    entries.iter().map(one).collect()
}

fn one(
    entry: &SequenceEntry,
    tracker: &mut Option<Box<dyn SingleObjectTracker>>,
    make_tracker: &TrackerMaker<'_>,
    results: &ResultFolder,
    fingerprint: &str,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Outcome {
    let failed = |sequence, error| Outcome {
        name: entry.name.clone(),
        sequence,
        result: Err(error),
        resumed: false,
    };
    let sequence = match entry.load() {
        Ok(sequence) => sequence,
        Err(error) => return failed(None, error.into()),
    };
    let fingerprint = sequence_fingerprint(fingerprint, &sequence);
    let claim = match results.claim(&entry.name) {
        Ok(claim) => claim,
        Err(error) => return failed(Some(sequence), error.into()),
    };
    if let Some(result) = results.finished(&entry.name, &fingerprint, &sequence.frames) {
        return Outcome {
            name: entry.name.clone(),
            sequence: Some(sequence),
            result: Ok(result),
            resumed: true,
        };
    }
    progress(Progress::Started {
        name: &entry.name,
        frames: sequence.frames.len(),
    });
    let tracker = match tracker {
        Some(tracker) => tracker,
        none => match make_tracker() {
            Ok(made) => none.insert(made),
            Err(error) => return failed(Some(sequence), RunError::Maker(error)),
        },
    };
    // Before the pictures are read: a change while they are read is then noticed by the next run.
    let files = Pictures::state_of_files(&sequence.frames).unwrap_or_default();
    let mut hash = PictureHash::default();
    let step = |content: &[u8]| {
        hash.add(content);
        progress(Progress::Frame);
    };
    let result = track_each(tracker.as_mut(), &sequence, step).and_then(|result| {
        let content = hash.finish();
        let pictures = Pictures { content, files };
        results.write(&entry.name, &fingerprint, &pictures, &result)?;
        // As a later run reads it, so that both give the same figures to the last digit.
        let written = results.finished(&entry.name, &fingerprint, &sequence.frames);
        Ok(written.unwrap_or(result))
    });
    drop(claim);
    Outcome {
        name: entry.name.clone(),
        sequence: Some(sequence),
        result,
        resumed: false,
    }
}

/// Hash of everything that a result depends on beside the content of the pictures: model and settings, names, first box.
fn sequence_fingerprint(fingerprint: &str, sequence: &Sequence) -> String {
    let mut hash = Sha256::new();
    hash.update(fingerprint);
    for frame in &sequence.frames {
        hash.update(frame.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
    }
    let b = sequence.first_box;
    for number in [b.x, b.y, b.width, b.height] {
        hash.update(number.to_le_bytes());
    }
    hex(&hash.finalize())
}

/// Tracks one sequence: the tracker gets the first box and no other. The times do not include reading images.
///
/// # Errors
/// [`RunError`] if an image cannot be read or the tracker refuses a frame.
pub fn track(
    tracker: &mut dyn SingleObjectTracker,
    sequence: &Sequence,
    after_frame: &dyn Fn(),
) -> Result<SequenceResult, RunError> {
    track_each(tracker, sequence, |_| after_frame())
}

/// As [`track`]; `after_frame` gets the bytes of the picture's file.
fn track_each(
    tracker: &mut dyn SingleObjectTracker,
    sequence: &Sequence,
    mut after_frame: impl FnMut(&[u8]),
) -> Result<SequenceResult, RunError> {
    let mut source = FolderSource::from_files(sequence.frames.clone());
    let mut image = ImageBuffer::empty();
    let mut result = SequenceResult::default();
    while let Some(info) = source.next_into(&mut image)? {
        let frame = image.frame().map_err(|source| RunError::Frame {
            name: info.name.clone(),
            source,
        })?;
        let refused = |source| RunError::Track {
            name: info.name.clone(),
            source: Box::new(source),
        };
        let start = Instant::now();
        let (bounding_box, confidence, state) = if info.index == 0 {
            tracker
                .initialize(&frame, sequence.first_box)
                .map_err(refused)?;
            (sequence.first_box, 1.0, TrackState::Tracking)
        } else {
            let track = tracker.update(&frame).map_err(refused)?;
            let written = tracker.as_authors_write(track.bounding_box);
            (written, track.confidence, track.state)
        };
        let taken: Duration = start.elapsed();
        result.boxes.push(bounding_box);
        result.confidence.push(confidence);
        result.states.push(state);
        result.seconds.push(taken.as_secs_f64());
        after_frame(source.last_bytes());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DatasetOptions, OTB100, list};
    use ettrack::error_chain;
    use ettrack::frame::Frame;
    use ettrack::geometry::BoundingBox;
    use ettrack::tracker::Track;
    use std::path::Path;

    /// A tracker whose box moves by one pixel per frame. It counts its updates.
    struct Drifter<'a> {
        at: BoundingBox,
        updates: &'a AtomicUsize,
    }

    impl SingleObjectTracker for Drifter<'_> {
        fn initialize(&mut self, _: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
            self.at = target;
            Ok(())
        }

        fn update(&mut self, _: &Frame<'_>) -> Result<Track, TrackError> {
            self.updates.fetch_add(1, Ordering::Relaxed);
            self.at.x += 1.0;
            Ok(Track::new(self.at, 0.5, TrackState::Tracking))
        }
    }

    fn otb_sequence(root: &Path, name: &str, frames: usize) {
        let images = root.join(name).join("img");
        std::fs::create_dir_all(&images).unwrap();
        for frame in 1..=frames {
            image::RgbImage::from_pixel(32, 24, image::Rgb([frame as u8, 0, 0]))
                .save(images.join(format!("{frame:04}.png")))
                .unwrap();
        }
        let rows = "5,6,7,8\n".repeat(frames);
        std::fs::write(root.join(name).join("groundtruth_rect.txt"), rows).unwrap();
    }

    fn run_all(
        root: &Path,
        results: &ResultFolder,
        fingerprint: &str,
        jobs: usize,
    ) -> (Vec<Outcome>, usize) {
        // Trackers outlive the call's borrow, so the count is leaked: some bytes a test.
        let updates: &'static AtomicUsize = Box::leak(Box::default());
        let entries = list(&OTB100, root, DatasetOptions::default(), &[]).unwrap();
        let outcomes = run(
            &entries,
            &|| {
                Ok(Box::new(Drifter {
                    at: BoundingBox::new(0.0, 0.0, 1.0, 1.0),
                    updates,
                }))
            },
            results,
            fingerprint,
            jobs,
            &|_| {},
        );
        (outcomes, updates.load(Ordering::Relaxed))
    }

    #[test]
    fn a_run_continues_after_a_broken_sequence_and_is_resumed() {
        let root = tempfile::tempdir().unwrap();
        let output = tempfile::tempdir().unwrap();
        let results = ResultFolder::new(output.path(), &OTB100);
        for (name, frames) in [("A", 3), ("B", 4), ("C", 5)] {
            otb_sequence(root.path(), name, frames);
        }
        let broken = root.path().join("B/img/0003.png");
        let whole = std::fs::read(&broken).unwrap();
        std::fs::write(&broken, &whole[..whole.len() / 2]).unwrap();

        let (outcomes, updates) = run_all(root.path(), &results, "model 1", 2);
        let names: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.name.as_str())
            .collect();
        assert_eq!(names, ["A", "B", "C"]);
        assert!(outcomes[0].result.is_ok() && outcomes[2].result.is_ok());
        let error = error_chain(outcomes[1].result.as_ref().unwrap_err());
        assert!(error.contains("0003.png"), "{error}");
        assert!(!output.path().join("boxes/B.txt").exists());
        // Boxes are 0-based in the program, and the first is the given one.
        let boxes = &outcomes[0].result.as_ref().unwrap().boxes;
        assert_eq!(boxes[0], BoundingBox::new(4.0, 5.0, 7.0, 8.0));
        assert_eq!(boxes[2].x, 6.0);
        assert_eq!(updates, 2 + 1 + 4);

        // After the repair only the missing sequence is run.
        std::fs::write(&broken, whole).unwrap();
        let (outcomes, updates) = run_all(root.path(), &results, "model 1", 1);
        assert_eq!(updates, 3);
        let resumed: Vec<_> = outcomes.iter().map(|outcome| outcome.resumed).collect();
        assert_eq!(resumed, [true, false, true]);

        // With another model or another first box a sequence is run again.
        let (_, updates) = run_all(root.path(), &results, "model 2", 1);
        assert_eq!(updates, 2 + 3 + 4);
        std::fs::write(
            root.path().join("A/groundtruth_rect.txt"),
            "6,6,7,8\n5,6,7,8\n5,6,7,8\n",
        )
        .unwrap();
        let (_, updates) = run_all(root.path(), &results, "model 2", 1);
        assert_eq!(updates, 2);

        // With another picture of the same name, even of the same size and time, too.
        let picture = root.path().join("A/img/0002.png");
        let time = std::fs::metadata(&picture).unwrap().modified().unwrap();
        std::fs::copy(root.path().join("A/img/0003.png"), &picture).unwrap();
        std::fs::File::options()
            .write(true)
            .open(&picture)
            .unwrap()
            .set_modified(time)
            .unwrap();
        let (_, updates) = run_all(root.path(), &results, "model 2", 1);
        assert_eq!(updates, 2);
        let (_, updates) = run_all(root.path(), &results, "model 2", 1);
        assert_eq!(updates, 0);
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_jobs() {
        let root = tempfile::tempdir().unwrap();
        for index in 0..5 {
            otb_sequence(root.path(), &format!("S{index}"), 2 + index);
        }
        let boxes = |jobs| -> Vec<_> {
            let output = tempfile::tempdir().unwrap();
            let results = ResultFolder::new(output.path(), &OTB100);
            let (outcomes, _) = run_all(root.path(), &results, "m", jobs);
            outcomes
                .into_iter()
                .map(|outcome| outcome.result.unwrap().boxes)
                .collect()
        };
        assert_eq!(boxes(1), boxes(3));
    }

    #[test]
    fn reports_why_a_tracker_cannot_be_made() {
        let root = tempfile::tempdir().unwrap();
        let output = tempfile::tempdir().unwrap();
        otb_sequence(root.path(), "A", 2);
        let entries = list(&OTB100, root.path(), DatasetOptions::default(), &[]).unwrap();
        let results = ResultFolder::new(output.path(), &OTB100);
        let outcomes = run(
            &entries,
            &|| Err("no library".into()),
            &results,
            "m",
            1,
            &|_| {},
        );
        let error = error_chain(outcomes[0].result.as_ref().unwrap_err());
        assert!(error.contains("no library"), "{error}");
    }
}
