//! The part of the Python package `ettrack` that is written in Rust. docs/python.md describes the package for users.

mod errors;
mod frame;
mod options;
mod tracker;

use pyo3::prelude::*;

/// Follow one target through camera frames, on the CPU.
#[pymodule]
mod _ettrack {
    #[pymodule_export]
    use super::errors::ModelError;
    #[pymodule_export]
    use super::tracker::{Timings, Tracker};

    use pyo3::prelude::*;

    #[pymodule_init]
    fn initialize(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let scales = ettrack::tracker::SEARCH_SCALES;
        module.add("SEARCH_SCALES", (*scales.start(), *scales.end()))?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
