//! The descriptor of a data set, and the list of all descriptors.

use std::fmt;
use std::path::Path;

use super::attributes::Attributes;
use super::{DatasetError, DatasetOptions, Sequence, SequenceEntry, Subset};
use super::{aerial, avist, got10k, lasot, nfs, otb, simulated, tnl2k, trackingnet, uav123, vot};
use crate::archive::ServerArchive;
use crate::metrics::Protocol;

/// All data sets, in the order in which users see them. A new data set is added here and nowhere else.
pub static DATASETS: &[&Dataset] = &[
    &otb::OTB100,
    &uav123::UAV123,
    &uav123::UAV123_10FPS,
    &uav123::UAV20L,
    &aerial::DTB70,
    &aerial::UAVTRACK112,
    &aerial::UAVTRACK112_L,
    &aerial::VISDRONE_SOT,
    &nfs::NFS,
    &lasot::LASOT,
    &lasot::LASOT_EXT,
    &tnl2k::TNL2K,
    &avist::AVIST,
    &trackingnet::TRACKINGNET,
    &got10k::GOT10K,
    &vot::VOT,
    &vot::VOT_LT,
    &simulated::SIMULATED,
];

/// Everything that is particular to one data set. The rest of the crate is the same for all.
pub struct Dataset {
    /// Name on the command line, in summary.json and in messages.
    pub name: &'static str,
    /// Other names that are accepted.
    pub aliases: &'static [&'static str],
    /// One line for the help text.
    pub help: &'static str,
    /// The files that a folder of this data set has, for the message about a folder that has none of them.
    pub expected: &'static str,
    /// Coordinates of the upper-left pixel in the truth files: 1 for tools written in Matlab, else 0. Result files are
    /// written in the same convention, so that the benchmark's own tools can read them.
    pub first_pixel: f64,
    /// The subsets that can be chosen; the first is the default.
    pub subsets: &'static [Subset],
    /// Finds the sequences below a root folder that exists, in any order. An empty list means that the folder is not this
    /// data set.
    pub list: fn(&Search<'_>) -> Result<Vec<SequenceEntry>, DatasetError>,
    /// Reads the truth and lists the images of one sequence.
    pub load: fn(&SequenceEntry) -> Result<Sequence, DatasetError>,
    /// How boxes are scored.
    pub protocol: Protocol,
    /// The archive that the benchmark's server takes, if the truth of a part is not published.
    pub archive: Option<ServerArchive>,
    /// How other tools name the result files of a sequence.
    pub result_names: ResultNames,
    /// Whether targets disappear in the sequences often enough to measure the state LOST without editing frames.
    pub has_disappearances: bool,
    /// Where the benchmark says what is hard in a sequence; `None` if it does not.
    pub attributes: Option<Attributes>,
}

/// How other tools name the result files of a sequence, from the sequence's name here.
#[derive(Debug, Clone, Copy)]
pub struct ResultNames {
    /// pysot's name.
    pub pysot: fn(&str) -> String,
    /// pytracking's name, which OSTrack and its relatives use too.
    pub pytracking: fn(&str) -> String,
    /// The got10k toolkit's name.
    pub got10k: fn(&str) -> String,
    /// Whether pysot and the got10k toolkit keep a folder for each sequence: `NAME/NAME_001.txt`.
    pub nested: bool,
    /// Folder around these, if a benchmark has several experiments.
    pub experiment: Option<&'static str>,
}

impl ResultNames {
    /// The sequence's own name everywhere, a file for each sequence.
    pub const PLAIN: Self = Self {
        pysot: str::to_owned,
        pytracking: str::to_owned,
        got10k: str::to_owned,
        nested: false,
        experiment: None,
    };
}

/// What [`Dataset::list`] searches for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The data set.
    pub dataset: &'static Dataset,
    /// The folder that the user gave. It exists and can be listed.
    pub root: &'a Path,
    /// Choices of the user.
    pub options: DatasetOptions,
    /// Whether the user asks for sequences by name. A data set may then also look outside of the chosen subset.
    pub by_name: bool,
}

impl Search<'_> {
    /// The root does not have the files of the data set: an error that names what was expected.
    pub fn layout_error(&self, expected: impl Into<String>) -> DatasetError {
        DatasetError::Layout {
            root: self.root.to_owned(),
            dataset: self.dataset.name,
            expected: expected.into(),
        }
    }
}

impl Dataset {
    /// The data set of this name or alias.
    ///
    /// # Errors
    /// [`DatasetError::UnknownDataset`] with the list of names.
    pub fn find(name: &str) -> Result<&'static Self, DatasetError> {
        DATASETS
            .iter()
            .find(|dataset| dataset.name == name || dataset.aliases.contains(&name))
            .copied()
            .ok_or_else(|| DatasetError::UnknownDataset {
                name: name.to_owned(),
                known: DATASETS.iter().map(|dataset| dataset.name).collect(),
            })
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Dataset({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_differ_and_are_found() {
        let mut names: Vec<&str> = Vec::new();
        for dataset in DATASETS {
            for name in [dataset.name].iter().chain(dataset.aliases) {
                assert!(!names.contains(name), "{name} occurs twice");
                names.push(name);
                let found = Dataset::find(name).expect("it is in the list");
                assert_eq!(found.name, dataset.name);
            }
            assert!(!dataset.help.is_empty() && !dataset.expected.is_empty());
            assert_eq!(dataset.subsets.first(), Some(&Subset::Usual), "{dataset}");
        }
    }

    #[test]
    fn refuses_an_unknown_name_with_the_list() {
        let error = Dataset::find("otb99").expect_err("no such data set");
        let text = error.to_string();
        assert!(text.contains("\"otb99\""), "{text}");
        for dataset in DATASETS {
            assert!(text.contains(dataset.name), "{text}");
        }
    }
}
