//! `ettrack models`: lists model folders and checks each by opening it.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use ettrack::error_chain;
use ettrack::model::manifest::Quantization;
use ettrack::{TrackError, Tracker, TrackerOptions};

use crate::console::{self, BadInput};
use crate::engine_args::EngineArgs;

/// List model folders and check them: manifest, checksums, tensors, one run of each graph.
///
/// All models are checked. The exit code is 1 if one of them fails.
#[derive(Debug, Args)]
pub struct Models {
    /// Model folders, folders with model folders, or names of built-in models. If none are given: the folder `models` if it
    /// exists, else the built-in models.
    folders: Vec<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Print a JSON array instead of lines.
    #[arg(long)]
    json: bool,
}

/// One line of the list.
#[derive(Debug, serde::Serialize)]
struct Entry {
    path: PathBuf,
    name: Option<String>,
    family: Option<String>,
    description: Option<String>,
    parameters: Option<u64>,
    macs_track: Option<u64>,
    quantization: Option<Quantization>,
    /// `None` for a model that works.
    error: Option<String>,
}

impl Models {
    /// Lists and checks.
    pub fn run(self) -> anyhow::Result<()> {
        let searched = match self.folders.is_empty() {
            false => self.folders,
            true if Path::new("models").is_dir() => vec!["models".into()],
            true => ettrack_models::ALL.iter().map(|m| m.name.into()).collect(),
        };
        let mut folders = Vec::new();
        for folder in &searched {
            collect(folder, &mut folders)?;
        }
        if folders.is_empty() {
            let searched = searched
                .iter()
                .map(|f| f.display().to_string())
                .collect::<Vec<_>>()
                .join(", ");
            bail!(BadInput(format!(
                "no model folder (one with a model.yaml) in {searched}"
            )));
        }
        let options = self.engine.apply(TrackerOptions::default().with_threads(1));
        let entries: Vec<Entry> = folders
            .iter()
            .map(|folder| check(folder, &options))
            .collect();

        let mut out = console::stdout();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &entries)?;
            writeln!(out)?;
        } else {
            for entry in &entries {
                print(&mut out, entry)?;
            }
        }
        out.flush()?;
        let failed = entries.iter().filter(|entry| entry.error.is_some()).count();
        if failed > 0 {
            bail!("{failed} of {} models cannot be used", entries.len());
        }
        Ok(())
    }
}

/// Adds `folder` itself, or the model folders in it.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let is_built_in = !folder.exists() && folder.to_str().and_then(ettrack_models::named).is_some();
    if folder.join("model.yaml").is_file() || folder.is_file() || is_built_in {
        found.push(folder.to_path_buf());
        return Ok(());
    }
    let entries = std::fs::read_dir(folder)
        .with_context(|| BadInput(format!("cannot list {}", folder.display())))?;
    let mut inside = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        if path.join("model.yaml").is_file() {
            inside.push(path);
        }
    }
    inside.sort();
    found.extend(inside);
    Ok(())
}

fn check(path: &Path, options: &TrackerOptions) -> Entry {
    let model = ettrack_models::open(path);
    let manifest = model.as_ref().ok().map(|model| model.manifest.clone());
    let quantization = manifest.as_ref().and_then(|manifest| manifest.quantization);
    let cost = manifest.as_ref().and_then(|manifest| manifest.cost);
    Entry {
        path: path.to_path_buf(),
        name: manifest.as_ref().map(|manifest| manifest.name.clone()),
        family: manifest.as_ref().map(|manifest| manifest.family.clone()),
        description: manifest.map(|manifest| manifest.description),
        parameters: cost.map(|cost| cost.parameters),
        macs_track: cost.map(|cost| cost.macs_track),
        quantization,
        error: model
            .map_err(TrackError::from)
            .and_then(|model| Tracker::from_model(model, options))
            .err()
            .map(|error| error_chain(&error)),
    }
}

fn print(out: &mut impl Write, entry: &Entry) -> std::io::Result<()> {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
    let millions =
        |value: Option<u64>| value.map_or("?".to_owned(), |v| format!("{:.1} M", v as f64 / 1e6));
    writeln!(
        out,
        "{}  {}  {} parameters, {} MACs per frame{}  {}",
        if entry.error.is_some() {
            "BROKEN"
        } else {
            "ok"
        },
        entry.path.display(),
        millions(entry.parameters),
        millions(entry.macs_track),
        entry.quantization.map_or_else(String::new, |it| format!(
            ", {} of {} layers in {} bits",
            it.layers, it.of, it.bits
        )),
        known(&entry.family),
    )?;
    match &entry.error {
        Some(error) => writeln!(out, "    {error}"),
        None => writeln!(out, "    {}", known(&entry.description)),
    }
}
