//! The arguments that say which tracker runs and how, shared by the subcommands that track.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ettrack::model::ModelFolder;
use ettrack::tracker::{LostMode, TrackerOptions};

/// Whether the target-lost logic acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lost {
    /// Never: the authors' loop, exactly.
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
    /// Threads of the network; 0 takes the processors there are, at most four.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
    /// The ONNX Runtime library or its folder.
    #[arg(long, value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,
    /// Which of the model's sets of constants to use.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub constants: String,
    /// Side of the searched window against the authors'.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub search_scale: f64,
}

impl TrackerArgs {
    /// Options for [`ettrack::tracker::Tracker::open`].
    pub fn options(&self, model: &ModelFolder, lost: Lost) -> anyhow::Result<TrackerOptions> {
        let mut settings = model.manifest.lost.clone();
        let lost = match lost {
            Lost::Off => LostMode::Off,
            Lost::Model => LostMode::Settings(settings),
            Lost::On => {
                settings.enabled = true;
                LostMode::Settings(settings)
            }
        };
        Ok(TrackerOptions {
            threads: self.threads,
            library: self.onnxruntime.clone(),
            constants: self.constants.clone(),
            search_scale: self.search_scale,
            lost,
        })
    }
}
