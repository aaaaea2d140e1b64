//! `ettrack simulate`: renders a flight with its true boxes.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ettrack_sim::{
    SimulateError, Simulation, SimulationOptions, check_free, write_bag, write_folder,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::console::BadInput;
use crate::interrupt;

/// Render a drone's flight behind a car, with the true boxes: a test sequence that anyone can make.
///
/// The target is seen in the open, is passed by look-alikes, is shaken and blurred, is hidden under a bridge, and leaves
/// the picture for a while. The same options give the same frames. A folder is in OTB's layout (img,
/// groundtruth_rect.txt, and visibility.txt beside it) and can be given to `ettrack eval --dataset simulated`, a bag to
/// `ettrack replay` or `ros2 bag play`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// New folder for the frames or the bag.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Pictures in a folder, or a rosbag2 bag (mcap).
    #[arg(long, value_enum, default_value_t = Format::Folder)]
    format: Format,
    /// Seed of the random numbers that choose place, cars and flight.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Frames to render.
    #[arg(long, value_name = "N", default_value_t = 300)]
    frames: u32,
    /// Frames per second.
    #[arg(long, value_name = "HZ", default_value_t = 30.0)]
    rate: f64,
    /// Pixels per row.
    #[arg(long, value_name = "PIXELS", default_value_t = 640)]
    width: u32,
    /// Rows.
    #[arg(long, value_name = "PIXELS", default_value_t = 480)]
    height: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Folder,
    Bag,
}

impl SimulateArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let options = SimulationOptions {
            seed: self.seed,
            width: self.width,
            height: self.height,
            frames: self.frames,
            rate: self.rate,
        };
        let explain = |error: SimulateError| match error {
            error @ (SimulateError::Option { .. } | SimulateError::Exists(_)) => {
                anyhow::Error::new(BadInput::of(&error))
            }
            error => error.into(),
        };
        check_free(&self.output).map_err(explain)?;
        let start = Instant::now();
        let simulation = Simulation::new(options).map_err(explain)?;
        let bar = ProgressBar::new(u64::from(self.frames));
        let style =
            ProgressStyle::with_template("rendering {bar:30} {pos}/{len}  {per_sec} (left: {eta})");
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─"),
        );
        interrupt::watch()?;
        let after_frame = |done: u32| {
            bar.set_position(u64::from(done));
            interrupt::go_on()
        };
        let written = match self.format {
            Format::Folder => write_folder(&simulation, &self.output, after_frame),
            Format::Bag => write_bag(&simulation, &self.output, after_frame),
        };
        bar.finish_and_clear();
        written.map_err(explain)?;
        eprintln!(
            "{} frames in {} ({:.0} s)",
            self.frames,
            self.output.display(),
            start.elapsed().as_secs_f64()
        );
        Ok(())
    }
}
