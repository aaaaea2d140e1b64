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

/// Writes into a temporary folder, which is removed together with the recording.
struct Annotated {
    folder: TempDir,
    path: std::path::PathBuf,
    writer: VideoWriter,
}

/// Starts recorders of videos: .mp4 if ffmpeg is installed, else .gif. The frames of a recorded source are shown at a constant `rate`.
/// Those of a live source come at an unknown rate, so they are shown when they came.
pub fn start(rate: f64, is_live: bool) -> StartRecorder {
    Arc::new(move |first: &Shown| {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let name = if find_ffmpeg().is_ok() {
            "tracked.mp4"
        } else {
            "tracked.gif"
        };
        let path = folder.path().join(name);
        let create = if is_live {
            VideoWriter::create_live
        } else {
            VideoWriter::create
        };
        let writer = create(&path, first.picture.width, first.picture.height, rate)
            .map_err(|error| error_chain(&error))?;
        Ok(Box::new(Annotated {
            folder,
            path,
            writer,
        }) as Box<dyn Recorder>)
    })
}

impl Recorder for Annotated {
    fn push(&mut self, shown: &Shown) -> Result<(), String> {
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
        self.writer
            .push(&picture)
            .map_err(|error| error_chain(&error))
    }

    fn finish(self: Box<Self>) -> Result<Recorded, String> {
        self.writer.finish().map_err(|error| error_chain(&error))?;
        Ok(Recorded {
            path: self.path,
            keep: Box::new(self.folder),
        })
    }
}
