//! The annotated video that viewers of the page record.

use std::sync::Arc;

use ettrack::error_chain;
use ettrack::geometry::BoundingBox;
use ettrack::tracker::{Track, TrackState};
use ettrack_media::source::find_ffmpeg;
use ettrack_media::video::VideoWriter;
use ettrack_web::{Recorded, Recorder, Shown, StartRecorder, State};
use image::RgbImage;
use tempfile::TempDir;

/// Longest pause of a live source that the video shows, seconds. A longer pause is shortened to this.
const LONGEST_PAUSE: f64 = 10.0;

/// How the pictures get their times in the video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Each frame is one picture.
    Frames,
    /// A frame is shown from its stamp to the next stamp. For a live source, whose frames come at a rate that is not known.
    Stamps,
}

/// Gives the frames their places in a video with a constant rate.
struct Places {
    timing: Timing,
    rate: f64,
    /// Stamp of the first picture, nanoseconds. Later if pauses were shortened.
    first: i64,
    last: i64,
    /// Number of pictures so far.
    count: u64,
}

impl Places {
    fn new(timing: Timing, rate: f64, first: i64) -> Self {
        Self {
            timing,
            rate,
            first,
            last: first,
            count: 0,
        }
    }

    /// Returns the number of pictures that are missing before this frame. `None` if its place is taken by an earlier frame.
    fn missing_before(&mut self, stamp: i64) -> Option<u64> {
        let nanoseconds = |pictures: u64| (pictures as f64 / self.rate * 1e9) as i64;
        if self.timing == Timing::Frames {
            return Some(0);
        }
        // The system's clock was set back.
        if stamp < self.last {
            self.first = stamp - nanoseconds(self.count);
        }
        self.last = stamp;
        let due = ((stamp - self.first) as f64 * 1e-9 * self.rate).round() as u64;
        let missing = due.checked_sub(self.count)?;
        let most = (LONGEST_PAUSE * self.rate) as u64;
        self.first += nanoseconds(missing.saturating_sub(most));
        let missing = missing.min(most);
        self.count += missing + 1;
        Some(missing)
    }
}

/// Writes into a temporary folder, which is removed together with the recording.
struct Annotated {
    folder: TempDir,
    path: std::path::PathBuf,
    writer: VideoWriter,
    places: Places,
    /// The last picture with its box.
    last: Option<RgbImage>,
}

/// Starts recorders of videos with `rate` pictures per second: .mp4 if ffmpeg is installed, else .gif.
pub fn start(rate: f64, timing: Timing) -> StartRecorder {
    Arc::new(move |first: &Shown| {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let name = if find_ffmpeg().is_ok() {
            "tracked.mp4"
        } else {
            "tracked.gif"
        };
        let path = folder.path().join(name);
        let writer = VideoWriter::create(&path, first.picture.width, first.picture.height, rate)
            .map_err(|error| error_chain(&error))?;
        Ok(Box::new(Annotated {
            folder,
            path,
            writer,
            places: Places::new(timing, rate, first.update.stamp),
            last: None,
        }) as Box<dyn Recorder>)
    })
}

impl Recorder for Annotated {
    fn push(&mut self, shown: &Shown) -> Result<(), String> {
        let Some(missing) = self.places.missing_before(shown.update.stamp) else {
            return Ok(());
        };
        let told = |error| error_chain(&error);
        for last in self.last.iter().cycle().take(missing as usize) {
            self.writer.push(last).map_err(told)?;
        }
        let rgb = &shown.picture;
        let mut picture = RgbImage::from_raw(rgb.width, rgb.height, rgb.data.clone())
            .ok_or("a picture has too few pixels")?;
        if let Some([x, y, width, height]) = shown.update.bounding_box {
            let state = match shown.update.state {
                State::Lost => TrackState::Lost,
                State::Idle | State::Tracking => TrackState::Tracking,
            };
            let bounding_box = BoundingBox::new(x, y, width, height);
            let track = Track::new(bounding_box, shown.update.confidence, state);
            ettrack_picture::draw_track(&mut picture, &track);
        }
        self.writer.push(&picture).map_err(told)?;
        self.last = Some(picture);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Recorded, String> {
        self.writer.finish().map_err(|error| error_chain(&error))?;
        Ok(Recorded {
            path: self.path,
            keep: Box::new(self.folder),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn places(timing: Timing, stamps: &[i64]) -> Vec<Option<u64>> {
        let mut places = Places::new(timing, 30.0, stamps[0]);
        stamps
            .iter()
            .map(|stamp| places.missing_before(*stamp))
            .collect()
    }

    #[test]
    fn frames_of_a_recorded_source_are_one_picture_each() {
        let stamps = [5, 5 + SECOND, 5 + 9 * SECOND];
        assert_eq!(places(Timing::Frames, &stamps), [Some(0); 3]);
    }

    #[test]
    fn frames_of_a_live_source_are_shown_for_as_long_as_they_lasted() {
        // Ten frames per second, at their times within some milliseconds.
        let stamps = [0, 98, 203, 300].map(|ms| 7 * SECOND + ms * 1_000_000);
        let expected = [Some(0), Some(2), Some(2), Some(2)];
        assert_eq!(places(Timing::Stamps, &stamps), expected);
        // Sixty frames per second: every second one.
        let stamps = [0, 16, 33, 50, 66, 83].map(|ms| ms * 1_000_000);
        let written = places(Timing::Stamps, &stamps);
        assert_eq!(written.iter().flatten().sum::<u64>(), 0, "{written:?}");
        assert_eq!(written.iter().flatten().count(), 3, "{written:?}");
    }

    #[test]
    fn a_long_pause_is_shortened_and_a_clock_that_is_set_back_does_not_stop_the_video() {
        let stamps = [0, 3600, 3601, 5, 6].map(|seconds| seconds * SECOND);
        let expected = [Some(0), Some(300), Some(29), Some(0), Some(29)];
        assert_eq!(places(Timing::Stamps, &stamps), expected);
    }
}
