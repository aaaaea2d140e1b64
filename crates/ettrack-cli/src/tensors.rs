//! `ettrack tensors`: the images that a model's networks read, cut by the loop.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use ettrack::Tracker;
use ettrack::frame::ImageBuffer;
use ettrack_files::write_file;

use crate::console::BadInput;
use crate::dataset_args::DatasetArgs;
use crate::interrupt;
use crate::tracker_args::{Lost, TrackerArgs, tell};

/// Write the images that a model's networks read while it tracks a benchmark's targets: template and search images.
///
/// They are NumPy files of shape [1, 3, side, side], float32, normalised. OUTPUT/index.json lists them with the names of
/// their inputs. `python -m ettrack_training.quantize` calibrates with them.
#[derive(Debug, Args)]
pub struct TensorsArgs {
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Model folder.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The folder to write. It must not exist yet.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Write the search image of every Nth frame.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Largest number of search images per target.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    most: u32,
    /// Whether the lost state is used.
    #[arg(long, value_enum, default_value_t = Lost::Off)]
    lost: Lost,
    #[command(flatten)]
    tracker: TrackerArgs,
}

/// The images of one frame, with the inputs of the graphs.
#[derive(Debug, serde::Serialize)]
struct Entry {
    sequence: String,
    /// Counted from 0.
    frame: usize,
    /// Pixels per side of the search image.
    search_size: usize,
    /// Name of the graph's input, and file in the folder.
    inputs: Vec<(String, String)>,
}

impl TensorsArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        if self.output.exists() {
            anyhow::bail!(BadInput(format!(
                "--output {}: expected a folder that is not there yet",
                self.output.display()
            )));
        }
        let entries = self.dataset.entries()?;
        let model = ettrack_models::open(&self.model).map_err(|error| BadInput::of(&error))?;
        let options = self.tracker.options(&model, self.lost)?;
        let mut tracker =
            Tracker::from_model(model, &options).map_err(|error| BadInput::of(&error))?;
        tell(&tracker);
        interrupt::watch()?;
        let mut index = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let sequence = entry
                .load()
                .with_context(|| BadInput(format!("cannot read {}", entry.name)))?;
            let mut written = 0;
            for (frame, path) in sequence.frames.iter().enumerate() {
                anyhow::ensure!(!interrupt::came(), "interrupted");
                if written == self.most {
                    break;
                }
                let mut image = ImageBuffer::empty();
                ettrack_picture::decode_into(&std::fs::read(path)?, &mut image)
                    .with_context(|| BadInput(path.display().to_string()))?;
                if frame == 0 {
                    tracker.initialize(&image.frame()?, sequence.first_box)?;
                    continue;
                }
                tracker.update(&image.frame()?)?;
                if (frame as u32).is_multiple_of(self.every) {
                    let stem = format!("{number:03}-{frame:05}");
                    let (inputs, search_size) = self.write(&tracker, &stem)?;
                    index.push(Entry {
                        sequence: entry.name.clone(),
                        frame,
                        search_size,
                        inputs,
                    });
                    written += 1;
                }
            }
        }
        anyhow::ensure!(
            !index.is_empty(),
            BadInput("no sequence has that many frames; expected a smaller --every".into())
        );
        let text = serde_json::to_string_pretty(&index)? + "\n";
        write_file(&self.output.join("index.json"), text)?;
        eprintln!(
            "{} search images of {} targets in {}",
            index.len(),
            entries.len(),
            self.output.display()
        );
        Ok(())
    }

    /// Writes the images that the networks read last. Returns the file of each input, and the search image's side.
    fn write(
        &self,
        tracker: &Tracker,
        stem: &str,
    ) -> anyhow::Result<(Vec<(String, String)>, usize)> {
        let manifest = tracker.manifest();
        let seen = tracker.inspect();
        let names = [
            Some(&manifest.template.input),
            manifest.template.refreshed_input.as_ref(),
        ];
        let mut images: Vec<(&str, usize, &[f32])> = names
            .into_iter()
            .zip(seen.template_images)
            .filter_map(|(name, image)| Some((name?.as_str(), manifest.template.size, image?)))
            .collect();
        images.push((&manifest.search.input, seen.search_size, seen.search_image));
        let mut files = Vec::with_capacity(images.len());
        for (place, (input, side, values)) in images.into_iter().enumerate() {
            let file = format!("{stem}-{place}.npy");
            write_npy(&self.output.join(&file), side, values)?;
            files.push((input.to_owned(), file));
        }
        Ok((files, seen.search_size))
    }
}

/// Writes `[1, 3, side, side]` numbers in NumPy's format, version 1.
fn write_npy(path: &Path, side: usize, values: &[f32]) -> anyhow::Result<()> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, {side}, {side}), }}");
    // The numbers begin at a multiple of 64 bytes.
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u16::try_from(header.len())?.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    write_file(path, bytes)?;
    Ok(())
}
