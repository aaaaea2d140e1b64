//! Several benchmark folders judged as one: the mean over all their targets, how sure it is, and how far ahead of another
//! tracker's on the same targets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::{self, Dataset, DatasetError, DatasetOptions, Evaluation, SequenceEntry};
use crate::interval::Interval;
use crate::metrics::Scores;

/// Why a suite cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is no list of benchmarks.
    #[error(
        "{path}: expected `benchmarks:`, a list of `dataset`, `root` and optionally `sequences`"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Place and reason.
        source: serde_yaml::Error,
    },
    /// A suite without a benchmark.
    #[error("{0}: no benchmark in it, expected one at least")]
    Empty(PathBuf),
    /// Two targets of one name, whose results would be one file.
    #[error("{path}: target {name} is in two of its benchmarks, expected names that differ")]
    Twice {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A benchmark cannot be listed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

/// A suite's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    benchmarks: Vec<Folder>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Folder {
    dataset: String,
    root: PathBuf,
    #[serde(default)]
    sequences: Vec<String>,
}

/// One benchmark folder of a suite.
#[derive(Debug, Clone)]
pub struct Benchmark {
    /// Its layout and protocol.
    pub dataset: &'static Dataset,
    /// Its folder.
    pub root: PathBuf,
    /// The sequences that count, in natural order of their names.
    pub entries: Vec<SequenceEntry>,
}

impl Benchmark {
    /// The runs of an evaluation.
    pub fn runs(&self, evaluation: Evaluation) -> Vec<SequenceEntry> {
        let entries = self.entries.iter().cloned();
        entries.flat_map(|entry| evaluation.runs(entry)).collect()
    }
}

/// Reads a suite's file and lists its benchmarks. Folders are relative to the file.
///
/// # Errors
/// [`SuiteError`], with the file and what was expected in it.
pub fn read(path: &Path) -> Result<Vec<Benchmark>, SuiteError> {
    let text = std::fs::read_to_string(path).map_err(|source| SuiteError::Read {
        path: path.to_owned(),
        source,
    })?;
    let file: File = serde_yaml::from_str(&text).map_err(|source| SuiteError::Format {
        path: path.to_owned(),
        source,
    })?;
    if file.benchmarks.is_empty() {
        return Err(SuiteError::Empty(path.to_owned()));
    }
    let around = path.parent().unwrap_or(Path::new(""));
    let mut names = std::collections::BTreeSet::new();
    let mut benchmarks = Vec::new();
    for folder in file.benchmarks {
        let dataset = Dataset::find(&folder.dataset)?;
        let root = around.join(folder.root);
        let entries = dataset::list(dataset, &root, DatasetOptions::default(), &folder.sequences)?;
        if let Some(entry) = entries
            .iter()
            .find(|entry| !names.insert(entry.name.clone()))
        {
            return Err(SuiteError::Twice {
                path: path.to_owned(),
                name: entry.name.clone(),
            });
        }
        benchmarks.push(Benchmark {
            dataset,
            root,
            entries,
        });
    }
    Ok(benchmarks)
}

/// A tracker's figures on each target, of all frames of the target's runs together.
pub type Targets = BTreeMap<String, Scores>;

/// How a measure is read from the scores of a run.
pub type Measure = fn(&Scores) -> f64;

/// The figures that a suite is judged by.
pub const MEASURES: [(&str, Measure); 3] = [
    ("success_auc", |scores| scores.success_auc),
    ("precision_20", |scores| scores.precision_20),
    ("sr_75", |scores| scores.sr_75),
];

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// `ope`, `sre` or `tre`.
    pub evaluation: String,
    /// A name of [`MEASURES`].
    pub measure: String,
    /// Targets with a result.
    pub targets: usize,
    /// The tracker's mean over them.
    pub tracker: Interval,
    /// Against another tracker, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Difference>,
}

/// Another tracker on the targets that both have results of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// How many targets those are.
    pub targets: usize,
    /// The other's mean over them.
    pub other: Interval,
    /// Mean of the targets' differences, the tracker's figure less the other's. Paired: what makes a target hard for both
    /// is not in it.
    pub difference: Interval,
    /// On how many targets the tracker's figure is higher.
    pub won: usize,
}

/// Judges a tracker, alone and against another: a line for each measure. None where no target has a result.
pub fn judge(evaluation: Evaluation, tracker: &Targets, other: Option<&Targets>) -> Vec<Judgement> {
    let line = |(name, measure): &(&str, fn(&Scores) -> f64)| {
        let of = |targets: &Targets| targets.values().map(measure).collect::<Vec<_>>();
        Some(Judgement {
            evaluation: evaluation.name().to_owned(),
            measure: (*name).to_owned(),
            targets: tracker.len(),
            tracker: Interval::of(&of(tracker))?,
            against: other.and_then(|other| difference(tracker, other, measure)),
        })
    };
    MEASURES.iter().filter_map(line).collect()
}

fn difference(
    tracker: &Targets,
    other: &Targets,
    measure: impl Fn(&Scores) -> f64,
) -> Option<Difference> {
    let (others, differences): (Vec<f64>, Vec<f64>) = tracker
        .iter()
        .filter_map(|(name, scores)| {
            let theirs = measure(other.get(name)?);
            Some((theirs, measure(scores) - theirs))
        })
        .unzip();
    Some(Difference {
        targets: differences.len(),
        other: Interval::of(&others)?,
        difference: Interval::of(&differences)?,
        won: differences.iter().filter(|d| **d > 0.0).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(figures: &[(&str, f64)]) -> Targets {
        let scores = |auc: f64| Scores {
            success_auc: auc,
            precision_20: auc,
            normalized_precision_20: auc,
            sr_50: auc,
            sr_75: auc,
            ao: auc,
        };
        let named = figures
            .iter()
            .map(|(name, auc)| ((*name).to_owned(), scores(*auc)));
        named.collect()
    }

    #[test]
    fn a_difference_is_paired_by_target() {
        // Hard and easy targets differ by far more than the trackers do on each.
        let ours = targets(&[("a", 0.12), ("b", 0.52), ("c", 0.92), ("only ours", 1.0)]);
        let theirs = targets(&[("a", 0.1), ("b", 0.5), ("c", 0.9), ("only theirs", 0.0)]);
        let lines = judge(Evaluation::Spatial, &ours, Some(&theirs));
        assert_eq!(lines.len(), 3);
        let line = &lines[0];
        assert_eq!((line.evaluation.as_str(), line.targets), ("sre", 4));
        let against = line.against.as_ref().expect("there is another tracker");
        assert_eq!((against.targets, against.won), (3, 3));
        let Interval { mean, low, high } = against.difference;
        assert!((mean - 0.02).abs() < 1e-9 && low > 0.019 && high < 0.021);
        assert!(against.other.high - against.other.low > 0.3, "{against:?}");
    }

    #[test]
    fn without_a_target_there_is_nothing_to_judge() {
        assert!(judge(Evaluation::OnePass, &Targets::new(), None).is_empty());
        let alone = judge(
            Evaluation::OnePass,
            &targets(&[("a", 0.5)]),
            Some(&Targets::new()),
        );
        assert!(alone.iter().all(|line| line.against.is_none()));
    }

    #[test]
    fn a_file_that_is_no_suite_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("suite.yaml");
        let refusal = |text: &str| {
            std::fs::write(&path, text).expect("it can be written");
            read(&path).expect_err("no suite").to_string()
        };
        assert!(refusal("benchmarks: []").contains("no benchmark in it"));
        assert!(refusal("targets: 3").contains("expected `benchmarks:`"));
        let nowhere = "benchmarks: [{dataset: otb100, root: nowhere}]";
        assert!(refusal(nowhere).contains("nowhere"), "{}", refusal(nowhere));
        assert!(refusal("benchmarks: [{dataset: otb, root: .}]").contains("unknown dataset"));
        for name in ["one/Couple", "two/Couple"] {
            let images = folder.path().join(name).join("img");
            std::fs::create_dir_all(&images).expect("folders");
            std::fs::write(images.join("0001.jpg"), "").expect("a file");
            let truth = folder.path().join(name).join("groundtruth_rect.txt");
            std::fs::write(truth, "1,2,3,4\n").expect("a file");
        }
        let twice = "benchmarks: [{dataset: otb100, root: one}, {dataset: otb100, root: two}]";
        assert!(
            refusal(twice).contains("Couple is in two"),
            "{}",
            refusal(twice)
        );
        std::fs::write(&path, "benchmarks: [{dataset: otb100, root: one}]").expect("written");
        let benchmarks = read(&path).expect("a suite");
        assert_eq!(benchmarks[0].entries.len(), 1);
        assert_eq!(benchmarks[0].runs(Evaluation::Spatial).len(), 12);
    }
}
