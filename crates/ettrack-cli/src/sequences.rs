//! `ettrack sequences`: lists a benchmark's sequences for other programs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use ettrack::error_chain;

use crate::console::stdout;
use crate::dataset_args::DatasetArgs;

/// List a benchmark's sequences for another tracker to run on, one line of JSON each.
///
/// `ettrack eval --boxes` scores the boxes of that tracker. A sequence that cannot be read is reported and does not stop
/// the others; the exit code is then 1.
#[derive(Debug, Args)]
pub struct SequencesArgs {
    #[command(flatten)]
    dataset: DatasetArgs,
}

/// One line.
#[derive(serde::Serialize)]
struct Line {
    /// Name of the run; its boxes are expected in NAME.txt.
    name: String,
    /// The benchmark's coordinate of the upper-left pixel, 0 or 1. Add it to x and y of the boxes that you write.
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
                        first_pixel: self.dataset.dataset.first_pixel,
                        first_box: [first.x, first.y, first.width, first.height],
                        frames: sequence.frames,
                    };
                    writeln!(out, "{}", serde_json::to_string(&line)?)?;
                }
                Err(error) => {
                    eprintln!("error: {}: {}", entry.name, error_chain(&error));
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
