//! Errors of the tracker as Python's exceptions.

use ettrack::{FrameError, ModelError as Model, TrackError, error_chain};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    ettrack,
    ModelError,
    PyRuntimeError,
    "A model that cannot be opened or run, or no ONNX Runtime to run it."
);

/// Returns the exception for an error of a tracker.
pub fn of_track(error: TrackError) -> PyErr {
    match error {
        TrackError::Model(error) => of_model(&error),
        TrackError::NotInitialized => {
            PyRuntimeError::new_err("no target yet: call init(frame, box) first")
        }
        error => PyValueError::new_err(error_chain(&error)),
    }
}

/// Returns the exception for a model that cannot be opened.
pub fn of_model(error: &Model) -> PyErr {
    ModelError::new_err(error_chain(error))
}

/// Returns the exception for an array that is not an image.
pub fn of_frame(error: &FrameError) -> PyErr {
    PyValueError::new_err(error_chain(error))
}
