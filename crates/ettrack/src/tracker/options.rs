//! How to track, and why a tracker cannot.

use std::path::PathBuf;

use crate::geometry::BoundingBox;
use crate::model::lost::LostSettings;
use crate::model::provider::{Precision, Provider};
use crate::model::{Constants, ModelError};

/// What to do about a target that is no longer seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum LostMode {
    /// As the model's manifest says.
    #[default]
    FromModel,
    /// Nothing: the authors' loop runs unchanged. The confidence is still computed.
    Off,
    /// Act with these settings.
    Settings(LostSettings),
}

/// How to open and run a tracker. Start from [`TrackerOptions::default`] and change what differs.
///
/// ```
/// use ettrack::{LostMode, TrackerOptions};
///
/// let options = TrackerOptions::default().with_threads(2).with_lost(LostMode::Off);
/// assert_eq!(options.threads, 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrackerOptions {
    /// Threads within an operator of the network; 0 takes the number of processors, at most four.
    pub threads: usize,
    /// The ONNX Runtime library or its folder, instead of the search order of [`crate::model::runtime`].
    pub library: Option<PathBuf>,
    /// The provider that runs the network inside ONNX Runtime. The library must have it ([`crate::model::provider`]).
    pub provider: Provider,
    /// How exactly the provider computes.
    pub precision: Precision,
    /// Further options of the provider under its own names, such as `device_type` and `GPU`. Of several with one name, the
    /// last counts.
    pub provider_options: Vec<(String, String)>,
    /// Which of the manifest's sets of constants to use.
    pub constants: String,
    /// Constants that replace those of the set, for tuning.
    pub overrides: Constants,
    /// Side of the widest search region relative to the authors', within [`SEARCH_SCALES`]. Above 1, a frame whose
    /// usual region does not show the target is searched again in a region this much wider, at the same size of the
    /// network's input, and the place found there once more in the usual region. Such a frame costs up to three runs
    /// of the network.
    pub search_scale: f64,
    /// Target-lost logic.
    pub lost: LostMode,
}

impl Default for TrackerOptions {
    /// All processors up to four, ONNX Runtime's own kernels in the graph's numbers, the model's constants and target-lost settings, the authors' search region.
    fn default() -> Self {
        Self {
            threads: 0,
            library: None,
            provider: Provider::Cpu,
            precision: Precision::Exact,
            provider_options: Vec::new(),
            constants: "default".to_owned(),
            overrides: Constants::default(),
            search_scale: 1.0,
            lost: LostMode::FromModel,
        }
    }
}

impl TrackerOptions {
    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets [`Self::library`].
    #[must_use]
    pub fn with_library(mut self, library: Option<PathBuf>) -> Self {
        self.library = library;
        self
    }

    /// Sets [`Self::provider`].
    #[must_use]
    pub fn with_provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// Sets [`Self::precision`].
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets [`Self::provider_options`].
    #[must_use]
    pub fn with_provider_options(mut self, options: Vec<(String, String)>) -> Self {
        self.provider_options = options;
        self
    }

    /// Sets [`Self::constants`].
    #[must_use]
    pub fn with_constants(mut self, constants: impl Into<String>) -> Self {
        self.constants = constants.into();
        self
    }

    /// Sets [`Self::overrides`].
    #[must_use]
    pub fn with_overrides(mut self, overrides: Constants) -> Self {
        self.overrides = overrides;
        self
    }

    /// Sets [`Self::search_scale`].
    #[must_use]
    pub fn with_search_scale(mut self, search_scale: f64) -> Self {
        self.search_scale = search_scale;
        self
    }

    /// Sets [`Self::lost`].
    #[must_use]
    pub fn with_lost(mut self, lost: LostMode) -> Self {
        self.lost = lost;
        self
    }
}

/// The accepted search scales. The authors' region, 1, is the smallest because their networks judge a target's size by
/// that region: with one a tenth narrower they track much worse.
pub const SEARCH_SCALES: std::ops::RangeInclusive<f64> = 1.0..=8.0;

/// Why a frame could not be tracked, or a tracker not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// A frame of another size than that of the target's first frame.
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
