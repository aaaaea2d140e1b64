//! Files that appear whole or not at all: written under a temporary name, synced to the disk, then renamed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::sync::sync;

/// A file or folder that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct OutputError {
    /// The file or folder that was to be written.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

impl OutputError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// The folder that holds `path`; `.` for a bare file name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Symbolic links that are followed one after the other, as many as Linux follows.
const MOST_LINKS: usize = 40;

/// The path at the end of a chain of symbolic links; the file there need not exist. Other paths are returned unchanged.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(to) => path = folder_of(&path).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other(format!(
        "expected at most {MOST_LINKS} links in a row"
    )))
}

/// Whether two paths name the same file. The file need not exist yet.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => return (one.dev(), one.ino()) == (other.dev(), other.ino()),
        // Neither exists yet: compare the places where they would be made.
        (Err(_), Err(_)) => {}
        _ => return false,
    }
    let place = |path: &Path| {
        let path = resolved(path).ok()?;
        let folder = folder_of(&path);
        let folder = fs::canonicalize(folder).or_else(|_| std::path::absolute(folder));
        Some(folder.ok()?.join(path.file_name()?))
    };
    place(one).is_some_and(|one| place(other) == Some(one))
}

/// Whether the path names something that can be written but is no regular file, such as a pipe or `/dev/null`.
fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// A file under a temporary name beside its target. If it is dropped before [`PendingFile::commit`], it is removed.
///
/// A pipe or a device is written directly. Symbolic links are followed: the file they point to is replaced, not the link.
#[derive(Debug)]
pub struct PendingFile {
    target: PathBuf,
    /// `None` for a pipe or a device.
    temporary: Option<TempPath>,
}

impl PendingFile {
    /// Makes an empty hidden file beside `target` with the same extension, because some writers choose their format by
    /// it. Missing folders are made.
    ///
    /// # Errors
    /// [`OutputError`] if `target` is a folder, or its folder cannot be made or written.
    pub fn create(target: &Path) -> Result<Self, OutputError> {
        // This check comes first, because a link to a pipe (/dev/fd/N) has no target in the file system.
        if is_stream(target) {
            return Ok(Self {
                target: target.to_owned(),
                temporary: None,
            });
        }
        let target = &resolved(target).map_err(OutputError::at(target))?;
        if target.is_dir() {
            // Reported now, before the work whose result is to be written.
            return Err(OutputError::at(target)(io::ErrorKind::IsADirectory.into()));
        }
        let folder = folder_of(target);
        fs::create_dir_all(folder).map_err(OutputError::at(target))?;
        let suffix = target
            .extension()
            .map(|extension| format!(".{}", extension.to_string_lossy()))
            .unwrap_or_default();
        let mut builder = tempfile::Builder::new();
        builder.prefix(".writing-").suffix(&suffix);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Temporary files are private by default; results get the permissions of any other new file.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder
            .tempfile_in(folder)
            .map_err(OutputError::at(target))?;
        Ok(Self {
            target: target.to_owned(),
            temporary: Some(file.into_temp_path()),
        })
    }

    /// Where to write until [`PendingFile::commit`].
    pub fn path(&self) -> &Path {
        self.temporary.as_deref().unwrap_or(&self.target)
    }

    /// Writes `content` and commits the file.
    ///
    /// # Errors
    /// [`OutputError`] if the file cannot be written or renamed.
    pub fn write(self, content: impl AsRef<[u8]>) -> Result<(), OutputError> {
        fs::write(self.path(), content).map_err(OutputError::at(&self.target))?;
        self.commit()
    }

    /// Syncs the file to the disk and gives it its name. An older file of that name is replaced.
    ///
    /// # Errors
    /// [`OutputError`] if the disk reports an error or the file cannot be renamed. The older file is then unchanged, unless
    /// only the last step failed, the sync of the folder's names.
    pub fn commit(self) -> Result<(), OutputError> {
        let Self { target, temporary } = self;
        let Some(temporary) = temporary else {
            return Ok(());
        };
        // Without this sync the new name could be on the disk before the content, and a power cut would leave an empty file.
        sync(&temporary).map_err(OutputError::at(&target))?;
        temporary
            .persist(&target)
            .map_err(|error| OutputError::at(&target)(error.error))?;
        sync(folder_of(&target)).map_err(OutputError::at(&target))
    }
}

/// Writes a whole file. Readers see the old content or the new content, never a part.
///
/// # Errors
/// [`OutputError`] if the file cannot be written.
pub fn write_file(target: &Path, content: impl AsRef<[u8]>) -> Result<(), OutputError> {
    PendingFile::create(target)?.write(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_file_leaves_nothing_and_a_committed_one_replaces_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("deep/er/a.txt");
        write_file(&target, "old").unwrap();
        let pending = PendingFile::create(&target).unwrap();
        fs::write(pending.path(), "half").unwrap();
        drop(pending);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
        write_file(&target, "new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[cfg(unix)]
    #[test]
    fn a_result_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let ours = folder.path().join("ours");
        let plain = folder.path().join("plain");
        write_file(&ours, "x").unwrap();
        fs::write(&plain, "x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[cfg(unix)]
    #[test]
    fn follows_links_and_writes_to_devices() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        // The file does not exist the first time and exists the second time.
        for content in ["first", "second"] {
            write_file(&link, content).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        // Through two links, which both stay.
        let (far, chain) = (folder.path().join("far"), folder.path().join("chain"));
        std::os::unix::fs::symlink("chain", &far).unwrap();
        std::os::unix::fs::symlink("not-yet", &chain).unwrap();
        write_file(&far, "third").unwrap();
        assert!(fs::symlink_metadata(&far).unwrap().is_symlink());
        assert!(fs::symlink_metadata(&chain).unwrap().is_symlink());
        assert!(folder.path().join("not-yet").is_file());
        let circle = folder.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        let error = write_file(&circle, "never").unwrap_err();
        assert!(
            error.source.to_string().contains("links in a row"),
            "{error}"
        );

        let pending = PendingFile::create(Path::new("/dev/null")).unwrap();
        assert_eq!(pending.path(), Path::new("/dev/null"));
        fs::write(pending.path(), "gone").unwrap();
        pending.commit().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    /// The name is the one that a shell's `>(program)` gives.
    #[cfg(target_os = "linux")]
    #[test]
    fn writes_to_a_pipe_of_this_process() {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        let (mut reader, writer) = io::pipe().unwrap();
        let name = format!("/dev/fd/{}", writer.as_raw_fd());
        write_file(Path::new(&name), "through").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[cfg(unix)]
    #[test]
    fn recognizes_a_file_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "x").unwrap();
        fs::create_dir(at("inner")).unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        std::os::unix::fs::symlink("later", at("dangling")).unwrap();
        for (one, other, expected) in [
            ("a", "inner/../a", true),
            ("a", "link", true),
            ("later", "dangling", true),
            ("later", "inner/../later", true),
            ("nowhere/later", "nowhere/later", true),
            ("a", "later", false),
            ("later", "inner/later", false),
        ] {
            assert_eq!(
                is_same_file(&at(one), &at(other)),
                expected,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn names_a_place_that_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let blocker = folder.path().join("file");
        fs::write(&blocker, "x").unwrap();
        let error = write_file(&blocker.join("a.txt"), "y").unwrap_err();
        assert!(error.to_string().contains("file/a.txt"), "{error}");
        let error = PendingFile::create(folder.path()).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::IsADirectory, "{error}");
    }
}
