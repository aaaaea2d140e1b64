//! `ettrack sequences`: a benchmark's sequences for other programs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::console::stdout;
use crate::dataset_args::DatasetArgs;

/// List a benchmark's sequences for another tracker to run on: a line of JSON each.
///
/// Its boxes are then scored by `ettrack eval --boxes`. A sequence that cannot be read is reported and does not stop the
/// others; the exit code is then 1.
#[derive(Debug, Args)]
pub struct SequencesArgs {
    #[command(flatten)]
    dataset: DatasetArgs,
}

/// One line.
#[derive(serde::Serialize)]
struct Line {
    /// Name of the run; its boxes belong in NAME.txt.
    name: String,
    /// What the benchmark calls the upper-left pixel, 0 or 1: to be added to x and y of boxes that are written.
    first_pixel: f64,
    /// x, y, width and height of the target in the first frame, 0-based.
    first_box: [f64; 4],
    /// Image files in order.
    frames: Vec<PathBuf>,
}

impl SequencesArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let entries = self.dataset.entries()?;
        let mut out = stdout();
        let mut failed = 0;
        for entry in &entries {
            match entry.load() {
                Ok(sequence) => {
                    let first = sequence.first_box;
                    let line = Line {
                        name: sequence.name,
                        first_pixel: self.dataset.kind.first_pixel(),
                        first_box: [first.x, first.y, first.width, first.height],
                        frames: sequence.frames,
                    };
                    writeln!(out, "{}", serde_json::to_string(&line)?)?;
                }
                Err(error) => {
                    eprintln!("error: {}: {error}", entry.name);
                    failed += 1;
                }
            }
        }
        out.flush()?;
        if failed > 0 {
            bail!("{failed} of {} sequences cannot be read", entries.len());
        }
        Ok(())
    }
}
