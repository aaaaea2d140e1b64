//! The tracker: a target in, one [`Track`] per frame out.
//!
//! [`Tracker`] opens a model with the family that its manifest names ([`crate::families`]). A family's file holds the
//! loop of its authors and nothing else. What all share is here: the checks of input, and the target-lost logic, which
//! stands between what a family saw and what it does about it.

mod confidence;
mod options;
mod recovery;

use std::path::Path;
use std::time::Instant;

pub use crate::follower::{StageTimings, Track, TrackState};
pub use options::{LostMode, SEARCH_SCALES, TrackError, TrackerOptions};

use crate::families::{self, Family};
use crate::follower::{Follower, Inspection};
use crate::frame::{Frame, Levels, Region};
use crate::geometry::BoundingBox;
use crate::model::lost::{Features, LostSettings};
use crate::model::provider::Execution;
use crate::model::runtime::Runtime;
use crate::model::{Manifest, ModelFolder, NetworkOptions};
use recovery::Recovery;

/// One target followed through a stream of frames. [`Tracker`] has the same calls without this trait; it is for code
/// that also takes other trackers, for instance in tests.
pub trait SingleObjectTracker {
    /// Takes `target` in `frame` as the target from now on; may be called again at any time.
    ///
    /// # Errors
    /// [`TrackError`], see [`Tracker::initialize`].
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError>;
    /// Finds the target in the next frame.
    ///
    /// # Errors
    /// [`TrackError`], see [`Tracker::update`].
    fn update(&mut self, frame: &Frame<'_>) -> Result<Track, TrackError>;
    /// A box that `update` gave as the tracker's authors write it into result files, for figures comparable with theirs.
    fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox {
        bounding_box
    }
}

/// A single-object tracker: a model, a target, and one [`Track`] per frame.
#[derive(Debug)]
pub struct Tracker {
    manifest: Manifest,
    follower: Box<dyn Follower>,
    recovery: Recovery,
    /// The network's box that was judged in the last frame.
    judged: BoundingBox,
    /// Size of the frames, once there is a target.
    frame_size: Option<(u32, u32)>,
    /// Levels of frames of 16 bits for which the caller has set none.
    levels: Levels,
}

impl Tracker {
    /// Opens the model in `path` (a model folder or its `model.yaml`): manifest, checksums, graphs, shapes.
    ///
    /// # Errors
    /// [`TrackError::Model`] for a model that is not what its manifest says or without ONNX Runtime,
    /// [`TrackError::Setting`] for an option out of range.
    pub fn open(path: impl AsRef<Path>, options: &TrackerOptions) -> Result<Self, TrackError> {
        check_scale(options.search_scale)?;
        Self::from_model(ModelFolder::open(path)?, options)
    }

    /// Opens a model whose manifest was read before.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_model(model: ModelFolder, options: &TrackerOptions) -> Result<Self, TrackError> {
        let family = families::family_of(&model)?;
        Self::with_family(model, family, options)
    }

    /// Opens a model with a tracker family that need not be listed in [`families::FAMILIES`].
    ///
    /// # Errors
    /// As [`Self::open`]; also [`TrackError::Model`] if the manifest names another family.
    pub fn with_family(
        model: ModelFolder,
        family: &dyn Family,
        options: &TrackerOptions,
    ) -> Result<Self, TrackError> {
        check_scale(options.search_scale)?;
        families::check(family, &model.manifest)
            .map_err(|refusal| refusal.in_manifest(model.manifest_path()))?;
        let constants = model
            .manifest
            .constants(&options.constants)
            .map_err(|refusal| refusal.in_manifest(model.manifest_path()))?
            .with(&options.overrides);
        families::check_constants(family, &model.manifest, "*", &constants)
            .map_err(|refusal| refusal.in_manifest(model.manifest_path()))?;
        let network = NetworkOptions {
            threads: options.threads,
            library: options.library.clone(),
            provider: options.provider,
            precision: options.precision,
            provider_options: options.provider_options.clone(),
        };
        let follower = family.open(&model, &constants, &network)?;
        let manifest = model.manifest;
        let mut tracker = Self {
            follower,
            recovery: Recovery::new(manifest.lost.clone(), options.search_scale),
            judged: BoundingBox::new(0.0, 0.0, 1.0, 1.0),
            frame_size: None,
            levels: Levels::default(),
            manifest,
        };
        tracker.set_lost_mode(&options.lost)?;
        Ok(tracker)
    }

    /// Takes `target` in `frame` as the target from now on; may be called again at any time.
    ///
    /// # Errors
    /// [`TrackError::Target`] for a box that is not finite, has no area, or lies outside the frame. The tracker
    /// then keeps the target it had.
    pub fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
        check_target(frame, target)?;
        self.frame_size = None;
        // The result must not depend on an earlier target.
        self.levels.restart();
        let frame = &self.leveled(frame);
        self.follower.initialize(frame, target)?;
        let size = (frame.width(), frame.height());
        self.recovery.start(size, self.follower.pose());
        self.judged = target;
        self.frame_size = Some(size);
        Ok(())
    }

    /// A frame of 16 bits with levels of black and white: those that the caller has set, or those of the frames so far.
    fn leveled<'a>(&mut self, frame: &Frame<'a>) -> Frame<'a> {
        match frame.levels {
            Some(_) => *frame,
            None => self.levels.follow(*frame, 0),
        }
    }

    /// Finds the target in the next frame.
    ///
    /// # Errors
    /// [`TrackError::NotInitialized`] without a target, [`TrackError::FrameSize`] for a frame of another size than
    /// the first. Encodings may change: each frame is read by its own.
    pub fn update(&mut self, frame: &Frame<'_>) -> Result<Track, TrackError> {
        let (expected_width, expected_height) =
            self.frame_size.ok_or(TrackError::NotInitialized)?;
        let (width, height) = (frame.width(), frame.height());
        if (width, height) != (expected_width, expected_height) {
            return Err(TrackError::FrameSize {
                width,
                height,
                expected_width,
                expected_height,
            });
        }
        let started = Instant::now();
        let frame = &self.leveled(frame);
        let follower = self.follower.as_mut();
        let mut timings = StageTimings::default();
        let answer = self.recovery.track(follower, frame, &mut timings)?;
        self.judged = follower.reported(answer.judged);
        let mut track = Track {
            bounding_box: follower.reported(answer.reported),
            confidence: answer.confidence,
            state: answer.state,
            timings,
        };
        follower.end_frame(frame, &track)?;
        follower.place(answer.next);
        // All that is neither crop nor network.
        track.timings.decode = started
            .elapsed()
            .saturating_sub(timings.crop + timings.network);
        Ok(track)
    }

    /// The region of the next frame that [`Self::update`] searches first, as far as it lies in the frame. `None` without a
    /// target, and for a family that does not tell.
    ///
    /// A source that decodes only this region gives [`Frame::with_region`]. An update may read more: the colours of a box at
    /// the region's border, a wider region while the target is in doubt, a new template. It then asks for the whole picture.
    pub fn next_region(&self) -> Option<Region> {
        let size = self.frame_size?;
        let view = self.follower.view(&self.recovery.request())?;
        // A view between pixels reads one pixel more on each side, and a source may read pairs of columns.
        Some(Region::shown(&view.enclosing(), size).grown(2, size))
    }

    /// A box that [`Self::update`] gave as the tracker's authors write it into result files, for figures comparable with
    /// theirs.
    pub fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox {
        self.follower.as_authors_write(bounding_box)
    }

    /// What the model's manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The ONNX Runtime that runs the model.
    pub fn runtime(&self) -> &Runtime {
        self.follower.runtime()
    }

    /// What runs it inside ONNX Runtime, and in which numbers.
    pub fn execution(&self) -> &Execution {
        self.follower.execution()
    }

    /// Changes the search scale from the next frame on.
    ///
    /// # Errors
    /// [`TrackError::Setting`] outside [`SEARCH_SCALES`].
    pub fn set_search_scale(&mut self, search_scale: f64) -> Result<(), TrackError> {
        check_scale(search_scale)?;
        self.recovery.set_search_scale(search_scale);
        Ok(())
    }

    /// Changes the target-lost logic from the next frame on.
    ///
    /// # Errors
    /// [`TrackError::Setting`] for settings out of their ranges.
    pub fn set_lost_mode(&mut self, mode: &LostMode) -> Result<(), TrackError> {
        let settings = match mode {
            LostMode::FromModel => self.manifest.lost.clone(),
            LostMode::Off => LostSettings {
                enabled: false,
                ..self.manifest.lost.clone()
            },
            LostMode::Settings(settings) => settings.clone(),
        };
        settings
            .check()
            .map_err(|(name, got, expected)| TrackError::Setting {
                name,
                got,
                expected,
            })?;
        if let Some(pose) = self.recovery.set(settings) {
            self.follower.place(pose);
        }
        Ok(())
    }

    /// The settings of the target-lost logic in force.
    pub fn lost_settings(&self) -> &LostSettings {
        self.recovery.settings()
    }

    /// What the last look showed the network.
    pub fn inspect(&self) -> Inspection<'_> {
        self.follower.inspect()
    }

    /// What the confidence of the last frame was computed from.
    pub fn features(&self) -> &Features {
        self.recovery.features()
    }

    /// The network's box that these features belong to, pixels. It is not the reported box while the target is lost,
    /// and with a search scale above 1 it need not be that of the last look.
    pub fn judged(&self) -> BoundingBox {
        self.judged
    }
}

impl SingleObjectTracker for Tracker {
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
        Self::initialize(self, frame, target)
    }

    fn update(&mut self, frame: &Frame<'_>) -> Result<Track, TrackError> {
        Self::update(self, frame)
    }

    fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox {
        Self::as_authors_write(self, bounding_box)
    }
}

fn check_scale(search_scale: f64) -> Result<(), TrackError> {
    if SEARCH_SCALES.contains(&search_scale) {
        return Ok(());
    }
    Err(TrackError::Setting {
        name: "search_scale",
        got: search_scale.to_string(),
        expected: "1..=8",
    })
}

fn check_target(frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
    let (width, height) = (frame.width(), frame.height());
    let refuse = |reason| {
        Err(TrackError::Target {
            got: target,
            reason,
            width,
            height,
        })
    };
    if ![target.x, target.y, target.width, target.height]
        .iter()
        .all(|v| v.is_finite())
    {
        return refuse("its numbers are not all finite");
    }
    if !target.is_valid() {
        return refuse("width and height must be positive");
    }
    let (right, bottom) = (f64::from(width), f64::from(height));
    if target.x >= right || target.y >= bottom || target.right() <= 0.0 || target.bottom() <= 0.0 {
        return refuse("it lies outside the image");
    }
    if target.clamped(width, height).is_none() {
        return refuse("it is too small for a part of the image");
    }
    // A larger box cannot be a target in this image, and the limit bounds everything computed from the size.
    if target.width > 10.0 * f64::from(width) || target.height > 10.0 * f64::from(height) {
        return refuse("it is more than ten times the image");
    }
    Ok(())
}
