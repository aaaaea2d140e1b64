//! Model folders: on disk, or carried inside the program.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ModelError;
use super::manifest::{File, Manifest};

/// The manifest's file name.
const MANIFEST: &str = "model.yaml";

/// A model folder whose manifest was read and checked. Its other files are read and checked against their checksums
/// when the model is opened.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// What `model.yaml` says.
    pub manifest: Manifest,
    /// Checksum of `model.yaml`.
    checksum: String,
    place: Place,
}

/// Names and bytes of files inside the program.
type Embedded = &'static [(&'static str, &'static [u8])];

#[derive(Clone)]
enum Place {
    Disk(PathBuf),
    Memory(Embedded),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(path) => f.debug_tuple("Disk").field(path).finish(),
            Self::Memory(files) => {
                let names = files.iter().map(|(name, _)| name);
                f.write_str("Memory")?;
                f.debug_list().entries(names).finish()
            }
        }
    }
}

impl ModelFolder {
    /// Reads the manifest of `path`, a model folder or its `model.yaml`.
    ///
    /// # Errors
    /// [`ModelError::Read`], [`ModelError::Manifest`] and [`ModelError::Value`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let file = if path.is_dir() {
            path.join(MANIFEST)
        } else {
            path.to_path_buf()
        };
        let failed = |reason| ModelError::Read {
            path: file.clone(),
            reason,
        };
        let text = std::fs::read_to_string(&file).map_err(failed)?;
        let manifest = Manifest::parse(&text, &file)?;
        // Resolves names such as ".". Not the file's own path is resolved: that may be a link to another folder.
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = folder.canonicalize().map_err(failed)?;
        let folder_name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        check_name(&manifest, &folder_name, &file)?;
        Ok(Self {
            manifest,
            checksum: sha256(text.as_bytes()),
            place: Place::Disk(folder),
        })
    }

    /// Takes a model folder called `name` that the program carries: its files' names with their bytes, `model.yaml`
    /// among them. They are checked like files on disk.
    ///
    /// ```no_run
    /// # const MODEL: &[u8] = b""; const TEMPLATE: &[u8] = b""; const TRACK: &[u8] = b"";
    /// use ettrack::model::ModelFolder;
    ///
    /// // In a program the bytes come from include_bytes!.
    /// static FILES: [(&str, &[u8]); 3] =
    ///     [("model.yaml", MODEL), ("template.onnx", TEMPLATE), ("track.onnx", TRACK)];
    /// let model = ModelFolder::from_memory("ettrack-nano", &FILES)?;
    /// # Ok::<(), ettrack::model::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_memory(
        name: &str,
        files: &'static [(&'static str, &'static [u8])],
    ) -> Result<Self, ModelError> {
        let path = Path::new(name).join(MANIFEST);
        let bytes = find(files, MANIFEST, &path)?;
        let text = std::str::from_utf8(bytes).map_err(|error| ModelError::Manifest {
            path: path.clone(),
            reason: format!("it is not UTF-8 text ({error})"),
        })?;
        let manifest = Manifest::parse(text, &path)?;
        check_name(&manifest, name, &path)?;
        Ok(Self {
            manifest,
            checksum: sha256(bytes),
            place: Place::Memory(files),
        })
    }

    /// The folder on disk; `None` for a model inside the program.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Disk(path) => Some(path),
            Place::Memory(_) => None,
        }
    }

    /// The SHA-256 of `model.yaml`, 64 lower-case hexadecimal digits. As the manifest holds the checksums of the other
    /// files, it stands for the whole model.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// The path of one of its files, for messages.
    pub fn file(&self, name: &str) -> PathBuf {
        match &self.place {
            Place::Disk(path) => path.join(name),
            Place::Memory(_) => Path::new(&self.manifest.name).join(name),
        }
    }

    /// The manifest's path, for messages.
    pub fn manifest_path(&self) -> PathBuf {
        self.file(MANIFEST)
    }

    /// The bytes of one of the folder's files, once their checksum is right. `key` is the checksum's in the manifest.
    pub(crate) fn read(
        &self,
        key: &str,
        file: &File,
    ) -> Result<(PathBuf, Cow<'static, [u8]>), ModelError> {
        let path = self.file(&file.path);
        let bytes = match &self.place {
            Place::Disk(_) => {
                std::fs::read(&path)
                    .map(Cow::Owned)
                    .map_err(|reason| ModelError::Read {
                        path: path.clone(),
                        reason,
                    })?
            }
            Place::Memory(files) => Cow::Borrowed(find(files, &file.path, &path)?),
        };
        let got = sha256(&bytes);
        if got != file.sha256 {
            return Err(ModelError::Checksum {
                path,
                key: key.to_owned(),
                got,
                expected: file.sha256.clone(),
            });
        }
        Ok((path, bytes))
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_name(manifest: &Manifest, folder_name: &str, file: &Path) -> Result<(), ModelError> {
    if manifest.name == folder_name {
        return Ok(());
    }
    Err(ModelError::Value {
        path: file.to_path_buf(),
        key: "name".to_owned(),
        got: manifest.name.clone(),
        expected: format!("{folder_name}, the name of the folder"),
    })
}

fn find(files: Embedded, name: &str, path: &Path) -> Result<&'static [u8], ModelError> {
    files
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| *bytes)
        .ok_or_else(|| ModelError::Read {
            path: path.to_path_buf(),
            reason: std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "the model inside the program has no such file",
            ),
        })
}

#[cfg(test)]
mod tests {
    use super::ModelFolder;

    static FILES: [(&str, &[u8]); 3] = [
        (
            "model.yaml",
            include_bytes!("../../../../tests/data/micro_model/model.yaml"),
        ),
        (
            "template.onnx",
            include_bytes!("../../../../tests/data/micro_model/template.onnx"),
        ),
        ("track.onnx", b"another file"),
    ];

    #[test]
    fn a_model_in_memory_is_checked_like_one_on_disk() {
        let model = ModelFolder::from_memory("micro_model", &FILES).unwrap();
        assert_eq!(model.path(), None);
        let files = &model.manifest.files;
        let (path, bytes) = model
            .read("files.template.sha256", files.template.as_ref().unwrap())
            .unwrap();
        assert_eq!(bytes, FILES[1].1);
        assert!(path.ends_with("micro_model/template.onnx"));
        let error = model.read("files.track.sha256", &files.track).unwrap_err();
        assert!(
            error.to_string().contains("track.onnx: sha256 is"),
            "{error}"
        );
        let error = ModelFolder::from_memory("other", &FILES).unwrap_err();
        assert!(error.to_string().contains("name is micro_model"), "{error}");
        for (files, words) in [
            (&FILES[1..], "cannot read micro_model/model.yaml"),
            (&FILES[..1], "cannot read micro_model/template.onnx"),
        ] {
            let read = ModelFolder::from_memory("micro_model", files).and_then(|model| {
                let file = model.manifest.files.template.clone().unwrap();
                model.read("files.template.sha256", &file).map(|_| ())
            });
            let error = read.unwrap_err().to_string();
            assert!(
                error.contains(words) && error.contains("no such file"),
                "{error}"
            );
        }
    }
}
