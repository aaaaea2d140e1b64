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

/// Times of the stages for the last frame, seconds.
#[pyclass(module = "ettrack", frozen, get_all, eq)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timings {
    /// Cutting, resizing and normalising the search region, seconds.
    crop: f64,
    /// Running the network, seconds.
    network: f64,
    /// Computing a box from the network's maps, seconds.
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

/// The answer for the last frame.
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
/// Frames are NumPy arrays, which are not copied: uint8 of shape (height, width, 3) in the order blue, green, red, as OpenCV
/// gives them, unless `encoding` names another layout. Boxes are (x, y, width, height) in pixels of the frame; (0, 0) is the
/// upper-left corner of the upper-left pixel, x grows to the right and y downwards.
///
/// `model`: a model folder or its model.yaml; None takes ettrack-nano, which the package contains.
///
/// `encoding`: layout of the pixels in the arrays, by the names of ROS: "bgr8", "rgb8", "bgra8", "rgba8", "mono8", "mono16",
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
/// `lost`: whether a target that is no longer seen is reported as lost. "model": as the model says. "off": never; exactly the
/// authors' loop. "on": always, with the model's settings. A mapping replaces some of these settings.
///
/// An argument that is None has the default of the Rust crate's TrackerOptions. Raises ModelError if the model cannot be opened or
/// there is no ONNX Runtime, ValueError for a value that is not accepted, TypeError for a value of another type.
///
/// The interpreter's lock is released while a model is opened and while a frame is tracked, so trackers in several threads run at
/// the same time. Two threads that share one tracker take turns. A frame must not be written to while it is tracked.
#[pyclass(module = "ettrack", frozen)]
#[derive(Debug)]
pub struct Tracker {
    encoding: Encoding,
    /// Provider and precision as text.
    execution: String,
    /// Taken only while the interpreter's lock is released: two threads that share a tracker take turns.
    tracker: Mutex<ettrack::Tracker>,
    /// This lock is held only for a short time, so the answer can be read while the next frame is tracked.
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

    /// Chooses the target: `box`, (x, y, width, height) in pixels of `frame`. It can be called again to choose another target.
    ///
    /// Raises ValueError if the box is not finite, has no area or lies outside the frame, or if the frame does not have the
    /// encoding's shape. Raises TypeError if the frame is not an array or has another element type. After an error the tracker
    /// keeps the target that it had.
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

    /// Searches for the target in the next frame. Returns (found, (x, y, width, height)), the box in pixels of the frame.
    ///
    /// `found` is True if `state` is "tracking". If it is False, the box is the place where the search continues, and not the place
    /// of the target. A part of the box may lie outside the frame.
    ///
    /// Raises RuntimeError if `init` was not called before, and ValueError if the frame has another size than the first. A wrong
    /// frame raises the same errors as in `init`.
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

    /// "idle" before a target is chosen, "tracking" while the target is in the box, "lost" while it is not seen.
    #[getter]
    fn state(&self) -> &'static str {
        lock(&self.last).state
    }

    /// Confidence that the target is in the box of the last frame, 0 to 1. It is 1 after `init`.
    #[getter]
    fn confidence(&self) -> f32 {
        lock(&self.last).confidence
    }

    /// The provider and precision that run the network, as text: "openvino, fast (bf16)".
    #[getter]
    fn execution(&self) -> &str {
        &self.execution
    }

    /// Times of the stages of the last `update`, in seconds.
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

/// Locks the mutex, also after a panic of another thread, because a panic leaves the value valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
