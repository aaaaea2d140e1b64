//! Trackers: a target in, one [`Track`] per frame out.
//!
//! [`Tracker`] opens a model folder and picks the loop that its manifest's family names. A family's file holds
//! the loop of its authors and nothing else; what all share lies here: checks of input, stage timings, and
//! the target-lost logic ([`lost`]), which stands between what a family saw and what it does about it.

mod anchor_free;
mod appearance;
mod centre_head;
mod choice;
mod engine;
pub mod evidence;
pub mod lost;
mod siamese;
mod siamfcpp;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::crop::{Padding, SearchWindow, View};
use crate::frame::Frame;
use crate::geometry::BoundingBox;
use crate::model::manifest::{Constants, Family};
use crate::model::runtime::Runtime;
use crate::model::{Manifest, ModelError, ModelFolder, NetworkOptions};
use evidence::Evidence;
use lost::{Action, Features, LostLogic, LostSettings};

/// Whether the target is believed to be where the box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackState {
    /// The box holds the target.
    Tracking,
    /// The target is not seen; the box is where the search goes on.
    Lost,
}

/// Time spent on one frame, stage by stage, over all looks at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimings {
    /// Cutting, resizing and normalising the search region.
    pub crop: Duration,
    /// ONNX Runtime.
    pub network: Duration,
    /// From score and box maps to a track.
    pub decode: Duration,
}

/// What a tracker says of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// Where the target is, pixels of the frame; it may reach out of the frame.
    pub bounding_box: BoundingBox,
    /// How much the evidence supports the box, 0..=1.
    pub confidence: f32,
    /// Tracking or lost.
    pub state: TrackState,
    /// Where the time went.
    pub timings: StageTimings,
}

/// Why a frame could not be tracked, or a tracker not be made.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    /// `update` before `initialize`.
    #[error("no target yet: call initialize with a frame and a box first")]
    NotInitialized,
    /// A target that is no box, or lies outside the image.
    #[error("target {got} cannot be tracked: {reason} (the image is {width}x{height} pixels)")]
    Target {
        /// The box that came.
        got: BoundingBox,
        /// What is wrong with it.
        reason: &'static str,
        /// Pixels per row of the frame.
        width: u32,
        /// Rows of the frame.
        height: u32,
    },
    /// Frames of one stream have one size; choose the target anew after a change.
    #[error(
        "frame is {width}x{height} pixels, expected {expected_width}x{expected_height} as at initialization"
    )]
    FrameSize {
        /// Pixels per row of the frame that came.
        width: u32,
        /// Rows of the frame that came.
        height: u32,
        /// Pixels per row of the first frame.
        expected_width: u32,
        /// Rows of the first frame.
        expected_height: u32,
    },
    /// A setting out of its range.
    #[error("{name} is {got}, expected {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What came.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The model cannot be opened or run.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// One target followed through a stream of frames: the two calls every tracker of this crate has.
pub trait SingleObjectTracker {
    /// Takes `target` in `frame` as the target from now on; may be called again at any time.
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError>;
    /// Finds the target in the next frame.
    fn update(&mut self, frame: &Frame<'_>) -> Result<Track, TrackError>;
    /// A box that `update` gave as the tracker's authors write it into result files, so that figures are theirs.
    fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox {
        bounding_box
    }
}

/// What to do about a target that is no longer seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum LostMode {
    /// As the model's manifest says.
    #[default]
    FromModel,
    /// Never: the authors' loop, exactly. The confidence is still given.
    Off,
    /// With these settings.
    Settings(LostSettings),
}

/// How to track.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackerOptions {
    /// Threads within an operator of the network; 0 takes the processors there are, at most four.
    pub threads: usize,
    /// The ONNX Runtime library or its folder, instead of the search order of [`crate::model::runtime`].
    pub library: Option<PathBuf>,
    /// Which of the manifest's sets of constants to use.
    pub constants: String,
    /// Constants that replace those of the set, for tuning.
    pub overrides: Constants,
    /// Side of the widest window that is searched in a frame, against the authors', [`SEARCH_SCALES`]. Above 1, a frame
    /// whose usual window does not show the target is looked at again this much wider, at the same size of the
    /// network's input, and what that shows is looked at closer: up to three runs of the network in such a frame.
    pub search_scale: f64,
    /// Target-lost logic.
    pub lost: LostMode,
}

impl Default for TrackerOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            library: None,
            constants: "default".to_owned(),
            overrides: Constants::default(),
            search_scale: 1.0,
            lost: LostMode::FromModel,
        }
    }
}

/// The accepted search scales. There is nothing below 1, the authors' window, because their networks judge a target's size
/// by that window: with one a tenth narrower they track much worse.
pub const SEARCH_SCALES: std::ops::RangeInclusive<f64> = 1.0..=8.0;

/// What a family's loop offers to [`Tracker`].
///
/// Looking and following are apart, so that what was seen can be judged before it moves the tracker.
pub(crate) trait Follower: Send + std::fmt::Debug {
    /// Takes a new target. The box is valid and overlaps the frame.
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError>;
    /// Runs the network on the window around the current position.
    fn look(
        &mut self,
        frame: &Frame<'_>,
        gaze: &Gaze,
        timings: &mut StageTimings,
    ) -> Result<Sighting, TrackError>;
    /// Moves and resizes to what was seen, by the authors' rules.
    fn follow(&mut self, sighting: &Sighting);
    /// Goes to a position and size that [`Self::pose`] gave before, or one centred elsewhere.
    fn place(&mut self, pose: Pose);
    /// Position and size as the loop keeps them; may reach out of the image.
    fn pose(&self) -> Pose;
    /// The box to give out for a pose.
    fn reported(&self, pose: Pose) -> BoundingBox;
    /// That box as the authors write it into result files.
    fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox;
    /// Raw maps and window of the last look.
    fn inspect(&self) -> Inspection<'_>;
    /// The ONNX Runtime that runs it.
    fn runtime(&self) -> &Runtime;
}

/// Position and size as the loops keep them, pixels.
///
/// The centre is kept as it is: derived from an edge it would move by a rounding error, which may move the next
/// window by a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pose {
    pub center: (f64, f64),
    pub width: f64,
    pub height: f64,
}

impl Pose {
    fn bounding_box(&self) -> BoundingBox {
        BoundingBox::from_center(self.center, self.width, self.height)
    }
}

impl Pose {
    /// Distance of another centre, in units of this target's mean side.
    fn displacement_of(&self, other: &Self) -> f32 {
        let (dx, dy) = (
            other.center.0 - self.center.0,
            other.center.1 - self.center.1,
        );
        (dx.hypot(dy) / (self.width * self.height).sqrt()) as f32
    }
}

impl From<BoundingBox> for Pose {
    fn from(target: BoundingBox) -> Self {
        Self {
            center: target.center(),
            width: target.width,
            height: target.height,
        }
    }
}

/// How to look at a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gaze {
    /// Side of the window against the authors'.
    pub reach: f64,
    /// Whether cells near the window's centre are preferred, as the authors do; a lost target may be anywhere.
    pub prefer_center: bool,
}

/// What a look showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting {
    /// Cell of the maps, row-major; `None` where no cell holds a usable number.
    pub best: Option<usize>,
    /// The network's box at that cell, pixels of the frame.
    pub candidate: Pose,
    /// Weight of the new size in the authors' smoothing, 0..=1.
    pub rate: f64,
    /// What speaks for it being the target.
    pub evidence: Evidence,
}

impl Sighting {
    /// No cell was usable: the target may be where it was.
    fn nothing(pose: Pose) -> Self {
        Self {
            best: None,
            candidate: pose,
            rate: 0.0,
            evidence: Evidence::default(),
        }
    }
}

/// What the last look at a frame showed the network: for tests, drawing and tuning. With a search scale above 1 a frame
/// may be looked at three times, and what the last look showed need not be what was followed.
#[derive(Debug, Clone, Copy)]
pub struct Inspection<'a> {
    /// Source pixels that were searched, whole ones.
    pub window: SearchWindow,
    /// What was cut out exactly.
    pub view: View,
    /// What surrounds the image.
    pub padding: Padding,
    /// Side of the network's search image, pixels.
    pub search_size: usize,
    /// The score output as the network gave it, row-major.
    pub raw_scores: &'a [f32],
    /// The box output as the network gave it, row-major planes.
    pub raw_boxes: &'a [f32],
    /// Scores 0..=1, `map_side` x `map_side`, row-major.
    pub scores: &'a [f32],
    /// Cells along each side of the maps.
    pub map_side: usize,
    /// The chosen cell; `None` before the first update and where nothing was usable.
    pub best: Option<usize>,
    /// The network's box at that cell, pixels of the frame; where no cell was usable, the target as it was.
    pub candidate: BoundingBox,
    /// What was judged.
    pub evidence: Evidence,
}

/// A single-target tracker: a model folder, a target, and one [`Track`] per frame.
#[derive(Debug)]
pub struct Tracker {
    manifest: Manifest,
    follower: Box<dyn Follower>,
    search_scale: f64,
    lost: LostLogic,
    /// What the last look that was judged took for the target.
    judged: BoundingBox,
    /// Size of the frames, once there is a target.
    frame_size: Option<(u32, u32)>,
}

impl Tracker {
    /// Opens the model in `path` (a model folder or its `model.yaml`): manifest, checksums, graphs, shapes.
    ///
    /// # Errors
    /// [`TrackError::Model`] for a model that is not what its manifest says or without ONNX Runtime,
    /// [`TrackError::Setting`] for an option out of range.
    pub fn open(path: impl AsRef<Path>, options: &TrackerOptions) -> Result<Self, TrackError> {
        check_scale(options.search_scale)?;
        let folder = ModelFolder::open(path)?;
        let constants = folder
            .manifest
            .constants(&options.constants, &folder.manifest_path())?
            .with(&options.overrides);
        let network = NetworkOptions {
            threads: options.threads,
            library: options.library.clone(),
        };
        let follower: Box<dyn Follower> = match folder.manifest.family {
            Family::AnchorFree => Box::new(anchor_free::open(&folder, constants, &network)?),
            Family::CentreHead => Box::new(centre_head::open(&folder, constants, &network)?),
            Family::Siamfcpp => Box::new(siamfcpp::open(&folder, constants, &network)?),
        };
        let ModelFolder { manifest, .. } = folder;
        let mut tracker = Self {
            follower,
            search_scale: options.search_scale,
            lost: LostLogic::new(manifest.lost.clone()),
            judged: BoundingBox::new(0.0, 0.0, 1.0, 1.0),
            frame_size: None,
            manifest,
        };
        tracker.set_lost_mode(&options.lost)?;
        Ok(tracker)
    }

    /// What the model's folder says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The ONNX Runtime that runs the model.
    pub fn runtime(&self) -> &Runtime {
        self.follower.runtime()
    }

    /// Changes the search scale from the next frame on.
    ///
    /// # Errors
    /// [`TrackError::Setting`] outside [`SEARCH_SCALES`].
    pub fn set_search_scale(&mut self, search_scale: f64) -> Result<(), TrackError> {
        check_scale(search_scale)?;
        self.search_scale = search_scale;
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
        // Without the logic the authors' loop goes on, from where it is and not from where the target was searched for.
        if !settings.enabled
            && let Some(pose) = self.lost.loop_pose()
        {
            self.follower.place(pose);
        }
        self.lost.set(settings);
        Ok(())
    }

    /// Looks where the target may be, and further where it is not seen there.
    ///
    /// The wider window only tells where: from a target that looks much smaller than in training, these networks
    /// read a size that is too large, and the next window would be too wide once more. So the size is read in a
    /// closer look, the authors' own.
    fn search(
        &mut self,
        frame: &Frame<'_>,
        timings: &mut StageTimings,
    ) -> Result<Sighting, TrackError> {
        let gaze = self.lost.gaze(self.search_scale);
        let usual = self.follower.look(frame, &gaze, timings)?;
        // The search for a lost target has its own widenings and closer looks.
        if self.search_scale <= 1.0 || !self.lost.is_tracking() {
            return Ok(usual);
        }
        let conviction = self.lost.conviction(&usual);
        if conviction >= self.lost.settings().found_above {
            return Ok(usual);
        }
        let wide = Gaze {
            reach: self.search_scale,
            prefer_center: false,
        };
        let wide = self.follower.look(frame, &wide, timings)?;
        let before = self.follower.pose();
        if wide.best.is_some() {
            self.follower.place(Pose {
                center: wide.candidate.center,
                ..before
            });
            let closer = self.follower.look(frame, &gaze, timings)?;
            if self.lost.conviction(&closer) > conviction {
                return Ok(closer);
            }
            self.follower.place(before);
        }
        Ok(usual)
    }

    /// The settings of the target-lost logic in force.
    pub fn lost_settings(&self) -> &LostSettings {
        self.lost.settings()
    }

    /// What the last look showed the network.
    pub fn inspect(&self) -> Inspection<'_> {
        self.follower.inspect()
    }

    /// What the confidence of the last frame was computed from.
    pub fn features(&self) -> &Features {
        self.lost.features()
    }

    /// The network's box that these features belong to, pixels: neither the box given out while the target is lost nor,
    /// with a search scale above 1, always what the last look showed.
    pub fn judged(&self) -> BoundingBox {
        self.judged
    }
}

impl SingleObjectTracker for Tracker {
    /// # Errors
    /// [`TrackError::Target`] for a box that is not finite, has no area, or lies outside the frame. The tracker
    /// then keeps the target it had.
    fn initialize(&mut self, frame: &Frame<'_>, target: BoundingBox) -> Result<(), TrackError> {
        check_target(frame, target)?;
        self.frame_size = None;
        self.follower.initialize(frame, target)?;
        let size = (frame.width(), frame.height());
        self.lost.start(size, self.follower.pose());
        self.judged = target;
        self.frame_size = Some(size);
        Ok(())
    }

    /// # Errors
    /// [`TrackError::NotInitialized`] without a target, [`TrackError::FrameSize`] for a frame of another size than
    /// the first. Encodings may change: each frame is read by its own.
    fn update(&mut self, frame: &Frame<'_>) -> Result<Track, TrackError> {
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
        let mut timings = StageTimings::default();
        let sighting = self.search(frame, &mut timings)?;

        let started = Instant::now();
        self.judged = sighting.candidate.bounding_box();
        let verdict = self.lost.judge(&sighting, self.follower.pose());
        match verdict.action {
            Action::Follow => self.follower.follow(&sighting),
            Action::Stay => {}
            Action::Place(pose) => self.follower.place(pose),
        }
        let pose = self.follower.pose();
        self.lost.remember(pose);
        if let Some(next) = self.lost.next_pose() {
            self.follower.place(next);
        }
        Ok(Track {
            bounding_box: self
                .follower
                .reported(self.lost.last_pose().unwrap_or(pose)),
            confidence: verdict.confidence,
            state: verdict.state,
            timings: StageTimings {
                decode: timings.decode + started.elapsed(),
                ..timings
            },
        })
    }

    fn as_authors_write(&self, bounding_box: BoundingBox) -> BoundingBox {
        self.follower.as_authors_write(bounding_box)
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
    if target.clamped(width, height).is_none() {
        return refuse("it lies outside the image");
    }
    // Ten times the image is no target in it, and bounds all that is computed from the size.
    if target.width > 10.0 * f64::from(width) || target.height > 10.0 * f64::from(height) {
        return refuse("it is more than ten times the image");
    }
    Ok(())
}
