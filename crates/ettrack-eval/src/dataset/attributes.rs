//! Attributes of sequences: the difficulties that the benchmarks' authors list.

use std::path::Path;

use super::text::parse_flags;
use super::{DatasetError, SequenceEntry};

/// Attributes of a benchmark, in files with a flag for each.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// Names in the order of the flags.
    pub names: &'static [&'static str],
    /// Places of a sequence's file below the root, tried in this order.
    pub files: &'static [fn(&str) -> String],
}

impl Attributes {
    /// The names of a sequence's attributes; `None` if there is no file of them below `root`.
    ///
    /// # Errors
    /// [`DatasetError`] if the file is malformed or has another number of flags.
    pub fn of(
        &self,
        root: &Path,
        entry: &SequenceEntry,
    ) -> Result<Option<Vec<&'static str>>, DatasetError> {
        let name = entry.name.split('@').next().unwrap_or(&entry.name);
        let places = self.files.iter().map(|file| root.join(file(name)));
        let Some(path) = places.into_iter().find(|path| path.is_file()) else {
            return Ok(None);
        };
        let flags = parse_flags(&path)?;
        if flags.len() != self.names.len() {
            return Err(DatasetError::Text {
                path,
                line: 1,
                expected: format!("{} flags", self.names.len()),
                got: format!("{} numbers", flags.len()),
            });
        }
        let names = self.names.iter().zip(flags);
        Ok(Some(
            names
                .filter(|(_, flag)| *flag)
                .map(|(name, _)| *name)
                .collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::{self, Dataset, DatasetOptions};

    #[test]
    fn flags_become_names_and_another_number_of_them_is_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, text).expect("written");
        };
        write("anno/UAV123/bike1.txt", "1,1,5,5\n");
        write("data_seq/UAV123/bike1/000001.jpg", "");
        let uav123 = Dataset::find("uav123").expect("it is there");
        let options = DatasetOptions::default();
        let entries = dataset::list(uav123, root.path(), options, &[]).expect("listed");
        let attributes = uav123.attributes.expect("UAV123 has some");
        assert_eq!(
            attributes.of(root.path(), &entries[0]).expect("no file"),
            None
        );
        write("anno/UAV123/att/bike1.txt", "1,0,0,1,0,0,0,0,0,0,0,0\n");
        let found = attributes.of(root.path(), &entries[0]).expect("read");
        assert_eq!(found, Some(vec!["scale variation", "fast motion"]));
        write("anno/UAV123/att/bike1.txt", "1,0\n");
        let error = attributes
            .of(root.path(), &entries[0])
            .expect_err("too few");
        assert!(error.to_string().contains("12 flags"), "{error}");
    }
}
