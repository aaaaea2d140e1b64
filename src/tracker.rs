//! Opens the tracker and applies the node's settings to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ettrack::follower::Inspection;
use ettrack::frame::Region;
use ettrack::model::provider::{ProviderError, parse_option};
use ettrack::{LostMode, LostSettings, ModelError, TrackError, Tracker, TrackerOptions};

use super::parameters::Parameters;
use super::{ModelInfo, NodeTracker, TrackerSettings};

/// Opens the model that the parameters name, with their settings.
///
/// # Errors
/// As [`ettrack_models::open`] and [`Tracker::from_model`].
pub fn open_tracker(parameters: &Parameters) -> Result<(Tracker, ModelInfo), TrackError> {
    let library = &parameters.onnxruntime_library;
    let of_provider = |error: ProviderError| TrackError::from(ModelError::from(error));
    let provider_options = parameters
        .provider_options
        .split_whitespace()
        .map(parse_option)
        .collect::<Result<_, _>>()
        .map_err(of_provider)?;
    let options = TrackerOptions::default()
        .with_provider(parameters.provider.parse().map_err(of_provider)?)
        .with_precision(parameters.precision.parse().map_err(of_provider)?)
        .with_provider_options(provider_options)
        .with_threads(usize::try_from(parameters.num_threads).unwrap_or(0))
        .with_library((!library.is_empty()).then(|| library.into()))
        .with_constants(&parameters.constants)
        .with_search_scale(parameters.search_scale);
    let path = find_model(
        &parameters.model_path,
        std::env::var_os("AMENT_PREFIX_PATH"),
    );
    let tracker = Tracker::from_model(ettrack_models::open(path)?, &options)?;
    let model = ModelInfo {
        name: tracker.manifest().name.clone(),
        runtime: tracker.runtime().version.clone(),
        execution: tracker.execution().to_string(),
    };
    Ok((tracker, model))
}

/// Where a `model_path` lies: `package://PACKAGE/PATH` in that package's share folder, a relative path in the
/// working directory, else in the share folder of `ettrack`. `prefixes` is the value of `AMENT_PREFIX_PATH`.
/// A path that is not found is returned unchanged, because it may name the built-in model.
fn find_model(written: &str, prefixes: Option<OsString>) -> PathBuf {
    let prefixes = prefixes.unwrap_or_default();
    let in_share = |package: &str, rest: &str| {
        std::env::split_paths(&prefixes)
            .map(|prefix| prefix.join("share").join(package).join(rest))
            .find(|path| path.exists())
    };
    let found = match written.strip_prefix("package://") {
        Some(uri) => uri
            .split_once('/')
            .and_then(|(package, rest)| in_share(package, rest)),
        None if Path::new(written).exists() => None,
        None => in_share("ettrack", written),
    };
    found.unwrap_or_else(|| written.into())
}

impl NodeTracker for Tracker {
    fn next_region(&self) -> Option<Region> {
        Self::next_region(self)
    }

    fn inspection(&self) -> Option<Inspection<'_>> {
        Some(self.inspect())
    }

    fn configure(&mut self, settings: &TrackerSettings) -> Result<(), TrackError> {
        let old = self.lost_settings().clone();
        let lost = settings.over(&self.manifest().lost);
        self.set_lost_mode(&LostMode::Settings(lost))?;
        self.set_search_scale(settings.search_scale)
            .or_else(|error| {
                self.set_lost_mode(&LostMode::Settings(old))?;
                Err(error)
            })
    }
}

impl TrackerSettings {
    /// The model's settings, replaced by these settings if they are given.
    pub fn over(&self, model: &LostSettings) -> LostSettings {
        let mut settings = model.clone();
        settings.enabled = self.lost_detection;
        settings.report_below = self.report_threshold.unwrap_or(model.report_below);
        settings.lost_below = self.confidence_threshold.unwrap_or(model.lost_below);
        settings.found_above = self.recovery_threshold.unwrap_or(model.found_above);
        settings.lost_after = self.lost_after_frames.unwrap_or(model.lost_after);
        settings.found_after = self.found_after_frames.unwrap_or(model.found_after);
        settings.widen_most = self.widest_search.unwrap_or(model.widen_most);
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::{ParameterSet as _, Value};

    #[test]
    fn what_runs_the_model_is_said_and_what_cannot_run_it_is_refused() {
        let parameters = Parameters {
            model_path: "tests/data/micro_model".to_owned(),
            num_threads: 1,
            ..Parameters::default()
        };
        let (_, model) = open_tracker(&parameters).unwrap();
        assert_eq!(model.execution, "cpu, exact (f32)");
        let with = |name: &str, value: &str| {
            let mut changed = parameters.clone();
            changed.set(name, &Value::Text(value.to_owned())).unwrap();
            open_tracker(&changed).unwrap_err().to_string()
        };
        for (name, value, words) in [
            (
                "provider",
                "qnn",
                "does not have the provider qnn, it has cpu",
            ),
            ("provider_options", "device_type", "expected KEY=VALUE"),
            (
                "provider_options",
                "a=1 b=2",
                "\"a\" for provider cpu: this provider has no options",
            ),
        ] {
            let refused = with(name, value);
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn finds_models_in_share_folders() {
        let root = tempfile::tempdir().unwrap();
        let share = root.path().join("second/share/ettrack/models/a");
        std::fs::create_dir_all(&share).unwrap();
        let prefixes =
            std::env::join_paths([root.path().join("first"), root.path().join("second")]).unwrap();
        let find = |written: &str| find_model(written, Some(prefixes.clone()));
        assert_eq!(find("models/a"), share);
        assert_eq!(find("package://ettrack/models/a"), share);
        assert_eq!(find("models/b"), PathBuf::from("models/b"));
        assert_eq!(
            find("package://other/models/a"),
            PathBuf::from("package://other/models/a")
        );
        // A path that exists as written is preferred.
        assert_eq!(find("src"), PathBuf::from("src"));
        let absolute = share.to_string_lossy().into_owned();
        assert_eq!(find_model(&absolute, None), share);
    }
}
