//! The arguments of `eval` and `sequences` that choose a benchmark and its runs.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use ettrack_eval::dataset::{
    self, DATASETS, Dataset, DatasetError, DatasetOptions, Evaluation, NfsRate, SequenceEntry,
    Subset,
};

use crate::console::BadInput;

/// Parses the name of a data set. Help and errors list the names of the registry.
pub fn parse_dataset() -> impl TypedValueParser<Value = &'static Dataset> {
    let values = DATASETS.iter().map(|dataset| {
        PossibleValue::new(dataset.name)
            .aliases(dataset.aliases.iter().copied())
            .help(dataset.help)
    });
    PossibleValuesParser::new(values)
        .try_map(|name| -> Result<&'static Dataset, DatasetError> { Dataset::find(&name) })
}

/// A benchmark and the runs of it.
#[derive(Debug, Args)]
pub struct DatasetArgs {
    /// The benchmark.
    #[arg(long, value_name = "NAME", value_parser = parse_dataset())]
    pub dataset: &'static Dataset,
    /// The benchmark's folder, in the layout its authors publish.
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Only this sequence. May be repeated.
    #[arg(long, value_name = "NAME")]
    sequence: Vec<String>,
    /// The starts of each sequence. ope: one-pass evaluation, from the first frame. tre: temporal robustness, from 20 frames
    /// of it. sre: spatial robustness, from 12 boxes beside the first one. multistart: VOT's experiment, forward and backward
    /// from each anchor (anchor.value). A run is named NAME@START.
    #[arg(long, value_name = "NAME", default_value_t = Evaluation::OnePass)]
    pub evaluation: Evaluation,
    /// Part of the benchmark: got10k has val and test, lasot test and all.
    #[arg(long, value_enum, default_value_t = SubsetArg::Usual)]
    subset: SubsetArg,
    /// Need for Speed: frames per second, 30 or 240.
    #[arg(long, value_name = "HZ", default_value = "30", value_parser = ["30", "240"])]
    nfs_rate: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SubsetArg {
    Usual,
    Val,
    Test,
    All,
}

impl DatasetArgs {
    /// The benchmark's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The runs that were asked for, in natural order of their sequences' names.
    pub fn entries(&self) -> anyhow::Result<Vec<SequenceEntry>> {
        let options = DatasetOptions {
            subset: match self.subset {
                SubsetArg::Usual => Subset::Usual,
                SubsetArg::Val => Subset::Validation,
                SubsetArg::Test => Subset::Test,
                SubsetArg::All => Subset::All,
            },
            nfs_rate: if self.nfs_rate == "240" {
                NfsRate::Fps240
            } else {
                NfsRate::Fps30
            },
        };
        let entries = dataset::list(self.dataset, &self.root, options, &self.sequence)
            .map_err(|error| BadInput::of(&error))?;
        let runs = |entry| self.evaluation.runs(entry);
        Ok(entries.into_iter().flat_map(runs).collect())
    }
}
