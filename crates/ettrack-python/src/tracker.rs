//! The class `Tracker`.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ettrack::{BoundingBox, Encoding, ModelFolder, StageTimings, TrackState};
use ettrack_models::DEFAULT;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::options::Keywords;
use crate::{errors, frame};

type Box4 = (f64, f64, f64, f64);

/// Seconds that the last frame took, stage by stage.
#[pyclass(module = "ettrack", frozen, get_all, eq)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timings {
    /// Cutting, resizing and normalising the search region, seconds.
    crop: f64,
    /// Running the network, seconds.
    network: f64,
    /// From the network's maps to a box, seconds.
    decode: f64,
}

#[pymethods]
impl Timings {
    fn __repr__(&self) -> String {
        let Self {
            crop,
            network,
            decode,
        } = self;
        format!("Timings(crop={crop:.6}, network={network:.6}, decode={decode:.6})")
    }
}

impl From<StageTimings> for Timings {
    fn from(timings: StageTimings) -> Self {
        Self {
            crop: timings.crop.as_secs_f64(),
            network: timings.network.as_secs_f64(),
            decode: timings.decode.as_secs_f64(),
        }
    }
}

/// What was said of the last frame.
#[derive(Debug, Clone, Copy)]
struct Last {
    state: &'static str,
    confidence: f32,
    timings: Timings,
}

impl Last {
    const fn new(state: &'static str, confidence: f32) -> Self {
        Self {
            state,
            confidence,
            timings: Timings {
                crop: 0.0,
                network: 0.0,
                decode: 0.0,
            },
        }
    }
}

/// Follows one target through the frames of a video or camera.
///
/// Frames are NumPy arrays, read in place: uint8 of shape (height, width, 3) in the order blue, green, red, as OpenCV
/// gives them, unless `encoding` names another layout. Boxes are (x, y, width, height) in pixels of the frame; (0, 0) is the
/// upper-left corner of the upper-left pixel, x grows to the right and y downwards.
///
/// `model`: a model folder or its model.yaml; None takes ettrack-nano, which the package brings.
///
/// `encoding`: how the arrays hold their pixels, by the names of ROS: "bgr8", "rgb8", "bgra8", "rgba8", "mono8", "mono16",
/// "yuyv", "uyvy", "nv12", "nv21", "bayer_rggb8" and the other Bayer orders.
///
/// `threads`: threads within an operator of the network; 0 takes the number of processors, at most four.
///
/// `library`: the ONNX Runtime library or its folder; None takes that of the installed package onnxruntime, unless
/// ORT_DYLIB_PATH names another. A process has only one library, which the first tracker chooses.
///
/// `provider`: the provider that runs the network inside ONNX Runtime: "cpu", or "openvino" and others if the library has
/// them.
///
/// `precision`: "exact", with the numbers of the model, or "fast", with half precision, bf16 or tf32, whichever provider and
/// processor have.
///
/// `provider_options`: further options of the provider, as texts under its own names: {"device_type": "GPU"}.
///
/// `constants`: name of one of the model's sets of constants.
///
/// `overrides`: constants that replace those of the set, by name.
///
/// `search_scale`: side of the widest search region relative to the authors', within SEARCH_SCALES. Above 1, a frame
/// whose usual region does not show the target is searched again in a region this much wider.
///
/// `lost`: what to do about a target that is no longer seen. "model" does as the model says, "off" runs the authors' loop
/// alone and always says found, "on" acts with the model's settings; a mapping replaces some of these settings.
///
/// What is None is as TrackerOptions of the Rust crate has it. Raises ModelError for a model that does not open or without ONNX
/// Runtime, ValueError for a value that cannot be, TypeError for a value of another type.
///
/// The interpreter's lock is released while a model is opened and a frame is tracked: trackers in several threads run side
/// by side. Two threads that share one tracker take turns. A frame must not be written to while it is tracked.
#[pyclass(module = "ettrack", frozen)]
#[derive(Debug)]
pub struct Tracker {
    encoding: Encoding,
    /// What runs the network, in words.
    execution: String,
    /// Taken only while the interpreter's lock is released: two threads that share a tracker take turns.
    tracker: Mutex<ettrack::Tracker>,
    /// Held for moments, so that it can be read while a frame is tracked.
    last: Mutex<Last>,
}

#[pymethods]
impl Tracker {
    #[new]
    #[pyo3(signature = (
        model = None, *, encoding = "bgr8", threads = None, library = None, provider = None, precision = None,
        provider_options = None, constants = None, overrides = None, search_scale = None, lost = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn new(
        py: Python<'_>,
        model: Option<PathBuf>,
        encoding: &str,
        threads: Option<i64>,
        library: Option<PathBuf>,
        provider: Option<String>,
        precision: Option<String>,
        provider_options: Option<Bound<'_, PyAny>>,
        constants: Option<String>,
        overrides: Option<Bound<'_, PyAny>>,
        search_scale: Option<f64>,
        lost: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let encoding =
            Encoding::from_ros_name(encoding).map_err(|error| errors::of_frame(&error))?;
        let model = match model {
            Some(path) => ModelFolder::open(path),
            None => ModelFolder::from_memory(DEFAULT.name, DEFAULT.files),
        };
        let model = model.map_err(|error| errors::of_model(&error))?;
        let keywords = Keywords {
            threads,
            library,
            provider,
            precision,
            provider_options,
            constants,
            overrides,
            search_scale,
            lost,
        };
        let options = keywords.options(py, &model)?;
        let tracker = py
            .detach(|| ettrack::Tracker::from_model(model, &options))
            .map_err(errors::of_track)?;
        Ok(Self {
            encoding,
            execution: tracker.execution().to_string(),
            tracker: Mutex::new(tracker),
            last: Mutex::new(Last::new("idle", 0.0)),
        })
    }

    /// Takes `box`, (x, y, width, height) in pixels, in `frame` as the target from now on; may be called again at any time.
    ///
    /// Raises ValueError for a box that is not finite, has no area or lies outside the frame, and for a frame of another
    /// shape than the encoding's; the tracker then keeps the target it had. Raises TypeError for a frame that is no array or of
    /// another element type.
    fn init(
        &self,
        py: Python<'_>,
        frame: &Bound<'_, PyAny>,
        r#box: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let target = read_box(r#box)?;
        let frame = frame::read(frame, self.encoding)?;
        py.detach(|| lock(&self.tracker).initialize(&frame, target))
            .map_err(errors::of_track)?;
        *lock(&self.last) = Last::new("tracking", 1.0);
        Ok(())
    }

    /// Finds the target in the next frame: (found, (x, y, width, height)), the box in pixels of the frame.
    ///
    /// `found` is whether `state` is "tracking". While it is False the box is where the search goes on, not where the target
    /// is. A box may reach out of the frame.
    ///
    /// Raises RuntimeError before `init`, ValueError for a frame of another size than the first, and what `init` raises for
    /// a frame.
    fn update(&self, py: Python<'_>, frame: &Bound<'_, PyAny>) -> PyResult<(bool, Box4)> {
        let frame = frame::read(frame, self.encoding)?;
        let track = py
            .detach(|| lock(&self.tracker).update(&frame))
            .map_err(errors::of_track)?;
        *lock(&self.last) = Last {
            state: match track.state {
                TrackState::Tracking => "tracking",
                TrackState::Lost => "lost",
            },
            confidence: track.confidence,
            timings: track.timings.into(),
        };
        let BoundingBox {
            x,
            y,
            width,
            height,
        } = track.bounding_box;
        Ok((track.state == TrackState::Tracking, (x, y, width, height)))
    }

    /// "idle" before a target was chosen, "tracking" while the box holds it, "lost" while it is not seen.
    #[getter]
    fn state(&self) -> &'static str {
        lock(&self.last).state
    }

    /// How much the last frame supports its box, 0 to 1; 1 after `init`.
    #[getter]
    fn confidence(&self) -> f32 {
        lock(&self.last).confidence
    }

    /// The provider and precision that run the network, as text: "openvino, fast (bf16)".
    #[getter]
    fn execution(&self) -> &str {
        &self.execution
    }

    /// Where the time of the last `update` went, in seconds.
    #[getter]
    fn timings(&self) -> Timings {
        lock(&self.last).timings
    }
}

fn read_box(value: &Bound<'_, PyAny>) -> PyResult<BoundingBox> {
    let [x, y, width, height] = value.extract::<[f64; 4]>().map_err(|_| {
        let text = format!(
            "box is {}, expected four numbers: x, y, width, height in pixels",
            value
                .repr()
                .map_or_else(|_| "unreadable".to_owned(), |text| text.to_string())
        );
        if value.len().is_ok() {
            PyValueError::new_err(text)
        } else {
            PyTypeError::new_err(text)
        }
    })?;
    Ok(BoundingBox::new(x, y, width, height))
}

/// A panic leaves a tracker as good as any error does.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
