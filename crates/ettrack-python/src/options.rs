//! Converts keyword arguments to [`TrackerOptions`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use ettrack::model::provider::ProviderError;
use ettrack::model::runtime::LIBRARY_VARIABLE;
use ettrack::model::{Constants, Refusal};
use ettrack::{LostMode, LostSettings, ModelFolder, TrackerOptions, families};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::errors;

/// The keyword arguments of `Tracker`. Arguments that are not given have the values of [`TrackerOptions::default`].
#[derive(Debug)]
pub struct Keywords<'py> {
    pub threads: Option<i64>,
    pub library: Option<PathBuf>,
    pub provider: Option<String>,
    pub precision: Option<String>,
    pub provider_options: Option<Bound<'py, PyAny>>,
    pub constants: Option<String>,
    pub overrides: Option<Bound<'py, PyAny>>,
    pub search_scale: Option<f64>,
    pub lost: Option<Bound<'py, PyAny>>,
}

impl Keywords<'_> {
    /// Returns the options for `model`.
    ///
    /// # Errors
    /// `TypeError` if a keyword has another type. `ValueError` if the model or the settings do not accept a name or a number.
    pub fn options(self, py: Python<'_>, model: &ModelFolder) -> PyResult<TrackerOptions> {
        let library = match self.library {
            None => installed_library(py)?,
            named => named,
        };
        let mut options = TrackerOptions::default().with_library(library);
        if let Some(threads) = self.threads {
            let threads = usize::try_from(threads).map_err(|_| {
                PyValueError::new_err(format!("threads is {threads}, expected 0 or more"))
            })?;
            options = options.with_threads(threads);
        }
        if let Some(provider) = self.provider {
            options = options.with_provider(provider.parse().map_err(of_name)?);
        }
        if let Some(precision) = self.precision {
            options = options.with_precision(precision.parse().map_err(of_name)?);
        }
        if let Some(given) = self.provider_options {
            let pairs: BTreeMap<String, String> = given.extract().map_err(|_| {
                PyTypeError::new_err(format!(
                    "provider_options is {given}, expected a dict of texts by texts"
                ))
            })?;
            options = options.with_provider_options(pairs.into_iter().collect());
        }
        if let Some(constants) = self.constants {
            options = options.with_constants(constants);
        }
        if let Some(overrides) = self.overrides {
            let overrides: BTreeMap<String, f64> = overrides.extract().map_err(|_| {
                PyTypeError::new_err(format!(
                    "overrides is {overrides}, expected a dict of names and numbers"
                ))
            })?;
            options = options.with_overrides(Constants::from_iter(overrides));
        }
        if let Some(search_scale) = self.search_scale {
            options = options.with_search_scale(search_scale);
        }
        if let Some(lost) = &self.lost {
            options = options.with_lost(lost_mode(lost, &model.manifest.lost)?);
        }
        check_constants(model, &options)?;
        Ok(options)
    }
}

fn of_name(error: ProviderError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Refuses constants that the tracker would refuse. Here the error names the keyword; the tracker's error would blame the model.
fn check_constants(model: &ModelFolder, options: &TrackerOptions) -> PyResult<()> {
    let refuse = |keyword: &str, refusal: Refusal| {
        let Refusal { key, got, expected } = refusal;
        PyValueError::new_err(format!("{keyword}: {key} is {got}, expected {expected}"))
    };
    let family = families::family_of(model).map_err(|error| errors::of_model(&error))?;
    let constants = model
        .manifest
        .constants(&options.constants)
        .map_err(|refusal| refuse("constants", refusal))?
        .with(&options.overrides);
    families::check_constants(family, &model.manifest, &options.constants, &constants)
        .map_err(|refusal| refuse("overrides", refusal))
}

/// Reads the argument `lost`: `"model"`, `"off"`, `"on"`, or settings that replace those of the model.
fn lost_mode(given: &Bound<'_, PyAny>, model: &LostSettings) -> PyResult<LostMode> {
    if let Ok(word) = given.cast::<PyString>() {
        return match word.to_cow()?.as_ref() {
            "model" => Ok(LostMode::FromModel),
            "off" => Ok(LostMode::Off),
            "on" => {
                let mut settings = model.clone();
                settings.enabled = true;
                Ok(LostMode::Settings(settings))
            }
            word => Err(PyValueError::new_err(format!(
                "lost is {word:?}, expected \"model\", \"off\", \"on\" or a mapping of settings"
            ))),
        };
    }
    let given = given.cast::<PyMapping>().map_err(|_| {
        PyTypeError::new_err(format!(
            "lost is {given}, expected \"model\", \"off\", \"on\" or a mapping of settings"
        ))
    })?;
    let settings = pythonize::pythonize(given.py(), model)?
        .cast_into::<PyDict>()
        .map_err(PyErr::from)?;
    replace(&settings, given)?;
    let settings = pythonize::depythonize(&settings)
        .map_err(|error| PyValueError::new_err(format!("lost: {error}")))?;
    Ok(LostMode::Settings(settings))
}

/// Replaces values in `settings` by those in `given`, also in nested settings.
fn replace(settings: &Bound<'_, PyDict>, given: &Bound<'_, PyMapping>) -> PyResult<()> {
    for item in given.items()? {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        let inner = settings.get_item(&key)?;
        match (inner, value.cast::<PyMapping>()) {
            (Some(inner), Ok(value)) if inner.is_instance_of::<PyDict>() => {
                replace(inner.cast::<PyDict>()?, value)?;
            }
            _ => settings.set_item(key, value)?,
        }
    }
    Ok(())
}

/// Returns the folder of ONNX Runtime in the package `onnxruntime` of this interpreter, without importing the package. `None` if
/// there is no such package, or if an environment variable names another library. Then the core's search order is used.
fn installed_library(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    if std::env::var_os(LIBRARY_VARIABLE).is_some_and(|value| !value.is_empty()) {
        return Ok(None);
    }
    let package = py
        .import("importlib.util")?
        .call_method1("find_spec", ("onnxruntime",))?;
    if package.is_none() {
        return Ok(None);
    }
    let folders = package.getattr("submodule_search_locations")?;
    let folders: Vec<PathBuf> = if folders.is_none() {
        Vec::new()
    } else {
        folders
            .try_iter()?
            .map(|folder| folder?.extract())
            .collect::<PyResult<_>>()?
    };
    Ok(folders
        .into_iter()
        .map(|folder| folder.join("capi"))
        .find(|folder| folder.is_dir()))
}
