//! The arguments that choose the tracker and its settings, shared by the subcommands that track.

use anyhow::Context;
use clap::{Args, ValueEnum};
use ettrack::error_chain;
use ettrack::families;
use ettrack::model::Constants;
use ettrack::{Execution, LostMode, LostSettings, ModelFolder, Tracker, TrackerOptions};

use crate::console::BadInput;
use crate::engine_args::EngineArgs;

/// Whether the lost state is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lost {
    /// Never: exactly the authors' loop.
    Off,
    /// As the model's folder says.
    Model,
    /// Always, with the model's settings.
    On,
}

/// Which tracker, and how it runs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tracker")]
pub struct TrackerArgs {
    /// Threads of the network; 0 takes one per processor, at most four.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=64))]
    pub threads: u16,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Which of the model's sets of constants to use.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub constants: String,
    /// Scale of the widest search region against the authors' (1 to 8). A frame whose usual search region does not show
    /// the target is searched again in one that is this much wider.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub search_scale: f64,
    /// Replace a constant of the model (window_influence, penalty_k, …) or a setting of the lost state such as
    /// lost.lost_below. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl TrackerArgs {
    /// Options for [`Tracker::open`], with `--set` applied to what the model says.
    pub fn options(&self, model: &ModelFolder, lost: Lost) -> anyhow::Result<TrackerOptions> {
        let mut overrides = Constants::default();
        let mut settings = serde_json::to_value(&model.manifest.lost)?;
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                BadInput(format!(
                    "--set {pair}: expected KEY=VALUE, such as window_influence=0.4"
                ))
            })?;
            if let Some(key) = key.strip_prefix("lost.") {
                set_lost(&mut settings, key, value)?;
            } else {
                set_constant(&mut overrides, model, key, value)?;
            }
        }
        let mut settings: LostSettings = serde_json::from_value(settings)
            .map_err(|error| BadInput(format!("--set lost.…: {error}")))?;
        let lost = match lost {
            // Not `LostMode::Off`: the weights of the confidence can still be set.
            Lost::Off => {
                settings.enabled = false;
                LostMode::Settings(settings)
            }
            Lost::Model => LostMode::Settings(settings),
            Lost::On => {
                settings.enabled = true;
                LostMode::Settings(settings)
            }
        };
        Ok(self
            .engine
            .apply(TrackerOptions::default())
            .with_threads(self.threads.into())
            .with_constants(&self.constants)
            .with_overrides(overrides)
            .with_search_scale(self.search_scale)
            .with_lost(lost))
    }
}

fn set_constant(
    constants: &mut Constants,
    model: &ModelFolder,
    key: &str,
    value: &str,
) -> anyhow::Result<()> {
    let family = families::family_of(model).map_err(|error| BadInput::of(&error))?;
    let known = || {
        let constants = family.constants().iter();
        constants.filter(|constant| constant.applies_to(&model.manifest))
    };
    let constant = known()
        .find(|constant| constant.name == key)
        .ok_or_else(|| {
            let names: String = known()
                .map(|constant| format!("{}, ", constant.name))
                .collect();
            BadInput(format!(
                "--set {key}: expected {names}lost.NAME for {} (family {})",
                model.manifest.name, model.manifest.family
            ))
        })?;
    let number = value
        .parse()
        .ok()
        .filter(|number| constant.range.contains(number))
        .ok_or_else(|| {
            BadInput(format!(
                "--set {key}={value}: expected {} ({})",
                constant.expected(),
                constant.description
            ))
        })?;
    constants.set(key, number);
    Ok(())
}

/// Sets `key` (dots lead into inner settings) to a value of the same type as the present one.
fn set_lost(settings: &mut serde_json::Value, key: &str, value: &str) -> anyhow::Result<()> {
    let unknown = |at: &serde_json::Value| {
        let known = at
            .as_object()
            .map(|inner| inner.keys().cloned().collect::<Vec<_>>().join(", "))
            .unwrap_or_default();
        BadInput(format!(
            "--set lost.{key}: unknown setting; expected one of {known}"
        ))
    };
    let mut at = settings;
    for part in key.split('.') {
        let error = unknown(at);
        at = at.get_mut(part).ok_or(error)?;
    }
    let expected = if at.is_boolean() {
        "true or false"
    } else {
        "a number"
    };
    let new: serde_json::Value = serde_json::from_str(value)
        .ok()
        .filter(|new: &serde_json::Value| {
            (new.is_number() && at.is_number()) || (new.is_boolean() && at.is_boolean())
        })
        .with_context(|| BadInput(format!("--set lost.{key}={value}: expected {expected}")))?;
    *at = new;
    Ok(())
}

/// Opens the model once before the work, so that a wrong model is refused early, and says what will run it.
///
/// Returns what runs it, and the version of ONNX Runtime.
pub fn check_opens(
    model: &ModelFolder,
    options: &TrackerOptions,
) -> anyhow::Result<(Execution, String)> {
    let tracker = Tracker::from_model(model.clone(), options)
        .map_err(|error| BadInput(format!("cannot open the model: {}", error_chain(&error))))?;
    tell(&tracker);
    let version = tracker.runtime().version.to_string();
    Ok((tracker.execution().clone(), version))
}

/// Says which model runs, and what runs it, in the log.
pub fn tell(tracker: &Tracker) {
    tracing::info!(
        "model {}, {}, ONNX Runtime {} at {}",
        tracker.manifest().name,
        tracker.execution(),
        tracker.runtime().version,
        tracker.runtime().library.display()
    );
}
