//! Folders that appear whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::OutputError;
use crate::pending::folder_of;
use crate::sync::{sync, sync_tree};

/// A folder under a temporary name beside its target. If it is dropped before [`PendingFolder::commit`], it is removed
/// with everything in it.
#[derive(Debug)]
pub struct PendingFolder {
    target: PathBuf,
    temporary: TempDir,
}

impl PendingFolder {
    /// Makes an empty hidden folder beside `target`; missing folders above it are made.
    ///
    /// # Errors
    /// [`OutputError`] if the folder that will hold `target` cannot be made or written.
    pub fn create(target: &Path) -> Result<Self, OutputError> {
        // The working directory may change before the folder is complete.
        let target = std::path::absolute(target).map_err(OutputError::at(target))?;
        let parent = folder_of(&target);
        fs::create_dir_all(parent).map_err(OutputError::at(&target))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".writing-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Temporary folders are private by default; results get the permissions of any other new folder.
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let temporary = builder
            .tempdir_in(parent)
            .map_err(OutputError::at(&target))?;
        Ok(Self { target, temporary })
    }

    /// Where to write until [`PendingFolder::commit`].
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Syncs everything in the folder to the disk and gives the folder its name.
    ///
    /// # Errors
    /// [`OutputError`] if the disk reports an error, or a file or a folder that is not empty has the name already. Nothing
    /// is left then.
    pub fn commit(self) -> Result<(), OutputError> {
        let Self { target, temporary } = self;
        let at = || OutputError::at(&target);
        sync_tree(temporary.path()).map_err(at())?;
        // On Unix a rename replaces an empty folder and fails on all else.
        fs::rename(temporary.path(), &target).map_err(at())?;
        // The folder has moved, so there is nothing left to remove under the temporary name.
        let _ = temporary.keep();
        sync(folder_of(&target)).map_err(at())
    }

    /// An error about `path`, a file in this folder or the folder itself, as messages should name it: below the target.
    pub fn error_at(&self, path: &Path, source: io::Error) -> OutputError {
        let path = match path.strip_prefix(self.path()) {
            Ok(inside) if !inside.as_os_str().is_empty() => self.target.join(inside),
            Ok(_) => self.target.clone(),
            Err(_) => path.to_owned(),
        };
        OutputError { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_dropped_folder_leaves_nothing_and_a_committed_one_has_its_name() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("deep/flight");
        let pending = PendingFolder::create(&target).unwrap();
        fs::create_dir(pending.path().join("img")).unwrap();
        fs::write(pending.path().join("img/1.jpg"), "x").unwrap();
        drop(pending);
        assert!(names(&place.path().join("deep")).is_empty());

        let pending = PendingFolder::create(&target).unwrap();
        fs::create_dir(pending.path().join("img")).unwrap();
        fs::write(pending.path().join("img/1.jpg"), "x").unwrap();
        assert!(!target.exists());
        pending.commit().unwrap();
        assert_eq!(names(&place.path().join("deep")), ["flight"]);
        assert_eq!(names(&target.join("img")), ["1.jpg"]);
    }

    #[test]
    fn does_not_replace_a_folder_with_content_and_leaves_nothing_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("flight");
        let pending = PendingFolder::create(&target).unwrap();
        fs::write(pending.path().join("new"), "x").unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "x").unwrap();
        let error = pending.commit().unwrap_err();
        assert!(error.to_string().contains("flight"), "{error}");
        assert_eq!(names(place.path()), ["flight"]);
        assert_eq!(names(&target), ["old"]);
    }

    #[test]
    fn errors_name_files_below_the_target() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("flight");
        let pending = PendingFolder::create(&target).unwrap();
        let error = pending.error_at(
            &pending.path().join("img/1.jpg"),
            io::ErrorKind::Other.into(),
        );
        assert_eq!(error.path, target.join("img/1.jpg"));
    }
}
