//! Measures over several benchmark folders together: each tracker's mean over all their targets with its interval, and the
//! difference of two trackers on the same targets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::{self, Dataset, DatasetError, DatasetOptions, Evaluation, SequenceEntry};
use crate::interval::Interval;
use crate::metrics::Scores;

/// The reason why a suite cannot be read.
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
    /// The file is not a list of benchmarks.
    #[error(
        "{path}: expected `benchmarks:`, a list of `dataset`, `root` and optionally `sequences`; and optionally \
         `models:` and `evaluations:`"
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
    /// Two targets with the same name. Their results would be in the same file.
    #[error("{path}: target {name} is in two of its benchmarks, expected names that differ")]
    Twice {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// An evaluation that does not exist.
    #[error("{path}: evaluations")]
    Evaluation {
        /// The file.
        path: PathBuf,
        /// The given value and the expected ones.
        source: DatasetError,
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
    #[serde(default)]
    models: Vec<Listed>,
    #[serde(default)]
    evaluations: Vec<String>,
}

/// A model, or a model with its settings.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Listed {
    Plain(PathBuf),
    Set(Model),
}

/// A model of a suite, and its own settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its folder, or the name of a built-in model.
    pub model: PathBuf,
    /// Name in tables; the model's name if not given.
    #[serde(default)]
    pub label: Option<String>,
    /// The set of constants.
    #[serde(default)]
    pub constants: Option<String>,
    /// Scale of the widest search region.
    #[serde(default)]
    pub search_scale: Option<f64>,
    /// Constants and settings as `KEY=VALUE`.
    #[serde(default)]
    pub set: Vec<String>,
}

/// A suite: benchmark folders, models and evaluations.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Its benchmark folders, at least one.
    pub benchmarks: Vec<Benchmark>,
    /// The models that the file names.
    pub models: Vec<Model>,
    /// The evaluations that the file names.
    pub evaluations: Vec<Evaluation>,
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
    /// Name in tables: that of the data set, followed by its folder if the suite has several folders of the data set.
    pub name: String,
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

/// Reads a suite's file and lists its benchmarks. Folders are relative to the file. If a model's folder does not exist
/// there, its name is not changed, because it may be a built-in model.
///
/// # Errors
/// [`SuiteError`], with the file and the expected content.
pub fn read(path: &Path) -> Result<Suite, SuiteError> {
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
    let several = |name: &str| {
        file.benchmarks
            .iter()
            .filter(|one| one.dataset == name)
            .count()
            > 1
    };
    let mut names = std::collections::BTreeSet::new();
    let mut benchmarks = Vec::new();
    for folder in &file.benchmarks {
        let dataset = Dataset::find(&folder.dataset)?;
        let root = around.join(&folder.root);
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
        let name = if several(&folder.dataset) {
            format!("{dataset} in {}", folder.root.display())
        } else {
            dataset.to_string()
        };
        benchmarks.push(Benchmark {
            name,
            dataset,
            root,
            entries,
        });
    }
    let evaluation = |name: &String| {
        name.parse().map_err(|source| SuiteError::Evaluation {
            path: path.to_owned(),
            source,
        })
    };
    let models = file.models.into_iter().map(|listed| {
        let model = match listed {
            Listed::Plain(model) => Model {
                model,
                ..Model::default()
            },
            Listed::Set(model) => model,
        };
        let beside = around.join(&model.model);
        Model {
            model: if beside.is_dir() { beside } else { model.model },
            ..model
        }
    });
    Ok(Suite {
        benchmarks,
        models: models.collect(),
        evaluations: file
            .evaluations
            .iter()
            .map(evaluation)
            .collect::<Result<_, _>>()?,
    })
}

/// A tracker's figures on a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TargetFigures {
    /// Over all frames of the target's runs together.
    #[serde(flatten)]
    pub scores: Scores,
    /// Share of the runs at whose end the box was on the target.
    pub held: f64,
}

#[cfg(test)]
impl TargetFigures {
    /// Every measure has the same value.
    pub fn all_equal(value: f64) -> Self {
        Self {
            scores: Scores::all_equal(value),
            held: value,
        }
    }
}

/// A tracker's figures on each target.
pub type Targets = BTreeMap<String, TargetFigures>;

/// Reads a measure from the figures of a target.
pub type Measure = fn(&TargetFigures) -> f64;

/// The measures of a suite.
pub const MEASURES: [(&str, Measure); 4] = [
    ("success_auc", |figures| figures.scores.success_auc),
    ("precision_20", |figures| figures.scores.precision_20),
    ("sr_75", |figures| figures.scores.sr_75),
    ("held", |figures| figures.held),
];

/// A line of the table of means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// `ope`, `sre` or `tre`.
    pub evaluation: String,
    /// The benchmark; `all` for all targets of the suite.
    pub benchmark: String,
    /// A name of [`MEASURES`].
    pub measure: String,
    /// The tracker.
    pub tracker: String,
    /// Targets with a result.
    pub targets: usize,
    /// The mean over them.
    pub interval: Interval,
}

/// The difference of two trackers on the targets for which both have results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// `ope`, `sre` or `tre`.
    pub evaluation: String,
    /// A name of [`MEASURES`].
    pub measure: String,
    /// The first of the two.
    pub tracker: String,
    /// The second.
    pub other: String,
    /// Number of targets for which both have results.
    pub targets: usize,
    /// Mean of the targets' differences: the first tracker's figure less the second's. Pairing removes the part that makes a
    /// target hard for both.
    pub difference: Interval,
    /// Number of targets on which the first tracker's figure is higher.
    pub won: usize,
}

/// The means of each tracker, by measure. None for a tracker without a result.
pub fn means(evaluation: Evaluation, benchmark: &str, trackers: &[(&str, &Targets)]) -> Vec<Mean> {
    let line = |name: &str, measure: Measure, tracker: &str, targets: &Targets| {
        let values: Vec<_> = targets.values().map(measure).collect();
        Some(Mean {
            evaluation: evaluation.name().to_owned(),
            benchmark: benchmark.to_owned(),
            measure: name.to_owned(),
            tracker: tracker.to_owned(),
            targets: values.len(),
            interval: Interval::of(&values)?,
        })
    };
    let lines = MEASURES.iter().flat_map(|(name, measure)| {
        let of =
            move |(tracker, targets): &(&str, &Targets)| line(name, *measure, tracker, targets);
        trackers.iter().filter_map(of)
    });
    lines.collect()
}

/// The differences of each pair of trackers, by measure. None for a pair without a common target.
pub fn differences(evaluation: Evaluation, trackers: &[(&str, &Targets)]) -> Vec<Difference> {
    let line = |name: &str, measure: Measure, one: &(&str, &Targets), other: &(&str, &Targets)| {
        let differences: Vec<f64> = one
            .1
            .iter()
            .filter_map(|(target, figures)| Some(measure(figures) - measure(other.1.get(target)?)))
            .collect();
        Some(Difference {
            evaluation: evaluation.name().to_owned(),
            measure: name.to_owned(),
            tracker: one.0.to_owned(),
            other: other.0.to_owned(),
            targets: differences.len(),
            difference: Interval::of(&differences)?,
            won: differences.iter().filter(|d| **d > 0.0).count(),
        })
    };
    let mut lines = Vec::new();
    for (name, measure) in MEASURES {
        for (index, one) in trackers.iter().enumerate() {
            let others = trackers[index + 1..].iter();
            lines.extend(others.filter_map(|other| line(name, measure, one, other)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(figures: &[(&str, f64)]) -> Targets {
        let named = figures
            .iter()
            .map(|(name, auc)| ((*name).to_owned(), TargetFigures::all_equal(*auc)));
        named.collect()
    }

    #[test]
    fn a_difference_is_paired_by_target() {
        // Hard and easy targets differ much more than the two trackers on each target.
        let ours = targets(&[("a", 0.12), ("b", 0.52), ("c", 0.92), ("only ours", 1.0)]);
        let theirs = targets(&[("a", 0.1), ("b", 0.5), ("c", 0.9), ("only theirs", 0.0)]);
        let trackers = [("ours", &ours), ("theirs", &theirs)];
        let lines = differences(Evaluation::Spatial, &trackers);
        assert_eq!(lines.len(), MEASURES.len());
        let line = &lines[0];
        assert_eq!(
            (line.evaluation.as_str(), line.targets, line.won),
            ("sre", 3, 3)
        );
        assert_eq!(
            (line.tracker.as_str(), line.other.as_str()),
            ("ours", "theirs")
        );
        let Interval { mean, low, high } = line.difference;
        assert!((mean - 0.02).abs() < 1e-9 && low > 0.019 && high < 0.021);

        let lines = means(Evaluation::Spatial, "all", &trackers);
        assert_eq!(lines.len(), 2 * MEASURES.len());
        assert_eq!((lines[1].tracker.as_str(), lines[1].targets), ("theirs", 4));
        assert!(
            lines[1].interval.high - lines[1].interval.low > 0.3,
            "{lines:?}"
        );
    }

    #[test]
    fn each_pair_of_trackers_has_a_difference() {
        let figures = targets(&[("a", 0.5)]);
        let trackers = [("one", &figures), ("two", &figures), ("three", &figures)];
        let lines = differences(Evaluation::OnePass, &trackers);
        let pairs: Vec<_> = lines[..3]
            .iter()
            .map(|line| (line.tracker.as_str(), line.other.as_str()))
            .collect();
        assert_eq!(pairs, [("one", "two"), ("one", "three"), ("two", "three")]);
    }

    #[test]
    fn without_a_target_there_is_nothing_to_judge() {
        let (none, some) = (Targets::new(), targets(&[("a", 0.5)]));
        let trackers = [("none", &none), ("some", &some)];
        assert!(means(Evaluation::OnePass, "all", &trackers[..1]).is_empty());
        let lines = means(Evaluation::OnePass, "all", &trackers);
        assert_eq!(lines.len(), MEASURES.len());
        assert!(differences(Evaluation::OnePass, &trackers).is_empty());
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
        let one = "benchmarks: [{dataset: otb100, root: one}]";
        let unknown = refusal(&format!("{one}\nevaluations: [ope, all]"));
        assert!(unknown.contains("suite.yaml: evaluations"), "{unknown}");
        assert!(
            refusal(&format!("{one}\nmodels: [{{folder: x}}]")).contains("expected `benchmarks:`")
        );
        let text = "evaluations: [sre, ope]\nmodels: [built-in, one, {model: one, label: b, set: [penalty_k=0.1]}]";
        std::fs::write(&path, format!("{one}\n{text}")).expect("written");
        let suite = read(&path).expect("a suite");
        assert_eq!(suite.benchmarks[0].entries.len(), 1);
        assert_eq!(suite.benchmarks[0].runs(Evaluation::Spatial).len(), 12);
        assert_eq!(suite.benchmarks[0].name, "otb100");
        assert_eq!(
            suite.evaluations,
            [Evaluation::Spatial, Evaluation::OnePass]
        );
        let [built_in, beside, set] = &suite.models[..] else {
            panic!("three models, got {:?}", suite.models);
        };
        assert_eq!(built_in.model, Path::new("built-in"));
        assert_eq!(beside.model, folder.path().join("one"));
        assert_eq!(set.set, ["penalty_k=0.1"]);
    }
}
