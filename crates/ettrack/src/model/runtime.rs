//! Finding and loading ONNX Runtime.
//!
//! The library is loaded when the first model is opened. It is looked for in this order, and the first one that works is
//! taken:
//!
//! 1. the file (or its folder) named by the caller's option, else by the environment variable
//!    `ORT_DYLIB_PATH`; no other place is tried in that case;
//! 2. the executable's folder, and `onnxruntime`, `lib`, `../lib` and `../lib/ettrack` from there;
//! 3. `.ettrack/onnxruntime` (which `make` fills) in the executable's folder, the working directory, or a
//!    folder above either;
//! 4. every prefix of `AMENT_PREFIX_PATH`: `lib/ettrack/onnxruntime`, `lib`, `lib/ettrack`,
//!    `share/ettrack/onnxruntime`, `opt/onnxruntime_vendor/lib`;
//! 5. Python's package `onnxruntime`: in `VIRTUAL_ENV`, in the installation of `python3` on `PATH`, in
//!    `~/.local`;
//! 6. the system's dynamic linker: `libonnxruntime.so.1`, `libonnxruntime.so`.

use std::ffi::{CStr, OsStr};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::AsPointer;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};

use super::shared_object;

/// The environment variable that names the library.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The oldest ONNX Runtime that works: 1.17.
const OLDEST_MINOR: u32 = ort::MINOR_VERSION;

/// ONNX Runtime, loaded.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) environment: Environment,
    /// The library's file, or its name if the dynamic linker found it.
    pub library: PathBuf,
    /// For instance `1.31.1`.
    pub version: String,
}

/// Why there is no ONNX Runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The library that was asked for does not work.
    #[error("ONNX Runtime cannot be loaded from {path} (named by {by}): {reason}")]
    Named {
        /// The library.
        path: PathBuf,
        /// Who named it.
        by: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No library was found that works.
    #[error(
        "ONNX Runtime (1.{OLDEST_MINOR} or newer) was not found; install it with `pip install onnxruntime`, or set \
         {LIBRARY_VARIABLE} to the path of libonnxruntime.so.{unusable}"
    )]
    NotFound {
        /// One line per library that exists but does not work, with the reason.
        unusable: String,
    },
    /// The library was loaded but failed to start.
    #[error("ONNX Runtime {version} at {path} does not start: {reason}")]
    Start {
        /// The library.
        path: PathBuf,
        /// Its version.
        version: String,
        /// Its message.
        reason: String,
    },
}

/// One process has one ONNX Runtime.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// The process's ONNX Runtime, loaded at the first call. `named` is the caller's choice of library (a file or
    /// its folder); later calls get what the first one loaded.
    ///
    /// # Errors
    /// [`RuntimeError`], which says what to do.
    pub fn load(named: Option<&Path>) -> Result<Self, RuntimeError> {
        // A panic while loading leaves no partial state, so a poisoned lock can be used.
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            return Ok(runtime.clone());
        }
        let (library, version) = find(named)?;
        let start = |reason: String| RuntimeError::Start {
            path: library.clone(),
            version: version.clone(),
            reason,
        };
        let environment = ort::init_from(&library)
            .map_err(|error| start(error.to_string()))?
            .with_name("ettrack")
            .with_telemetry(false)
            .with_logger(Arc::new(|level, _, _, _, message| keep(level, message)))
            .build()
            .map_err(|error| start(error.to_string()))?;
        environment.set_log_level(LogLevel::Error);
        share_arena(&environment).map_err(|error| start(error.to_string()))?;
        tracing::info!("ONNX Runtime {version} from {}", library.display());
        let runtime = Self {
            environment,
            library,
            version,
        };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }
}

/// The newest errors in ONNX Runtime's log. A provider that does not start says why there and nowhere else.
static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// More are not kept.
const MOST_MESSAGES: usize = 8;

/// Keeps an error of the log. It is not printed as an error, because what failed is reported by who asked for it.
fn keep(level: LogLevel, message: &str) {
    if !matches!(level, LogLevel::Error | LogLevel::Fatal) {
        return;
    }
    tracing::debug!("ONNX Runtime: {}", message.trim_end());
    let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
    if messages.len() < MOST_MESSAGES {
        messages.push(message.trim_end().to_owned());
    }
}

impl Runtime {
    /// Forgets the errors in the log so far.
    pub(super) fn forget_messages(&self) {
        MESSAGES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The errors in the log since.
    pub(super) fn messages(&self) -> Vec<String> {
        MESSAGES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Makes all sessions of the process share one arena of memory. Two sizes of a network never run at the same time, so they
/// need not keep memory for both.
#[allow(unsafe_code)]
fn share_arena(environment: &Environment) -> ort::Result<()> {
    let memory = MemoryInfo::new(
        AllocationDevice::CPU,
        0,
        AllocatorType::Arena,
        MemoryType::Default,
    )?;
    // SAFETY: both pointers are valid for the call, which copies what it needs of them; without a configuration it
    // takes its defaults. The environment's own locks guard the change.
    unsafe {
        let status = (ort::api().CreateAndRegisterAllocator)(
            environment.ptr().cast_mut(),
            memory.ptr(),
            std::ptr::null(),
        );
        ort::Error::result_from_status(status)
    }
}

/// The first library that works, and its version.
fn find(named: Option<&Path>) -> Result<(PathBuf, String), RuntimeError> {
    let variable = std::env::var_os(LIBRARY_VARIABLE)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let named = named
        .map(|path| (path.to_path_buf(), "an option"))
        .or(variable.map(|path| (path, LIBRARY_VARIABLE)));
    if let Some((path, by)) = named {
        let refuse = |path: &Path, reason: String| RuntimeError::Named {
            path: path.to_path_buf(),
            by,
            reason,
        };
        let file = if path.is_dir() {
            libraries_in(&path)
                .into_iter()
                .next()
                .ok_or_else(|| refuse(&path, format!("the folder holds no {}*", library_name())))?
        } else {
            path
        };
        // Relative paths count from the working directory. A name that is no file is left to the dynamic linker.
        let file = if file.exists() {
            std::path::absolute(&file).unwrap_or(file)
        } else {
            file
        };
        let version = probe(&file).map_err(|reason| refuse(&file, reason))?;
        return Ok((file, version));
    }
    let mut unusable = String::new();
    for folder in folders() {
        for file in libraries_in(&folder) {
            match probe(&file) {
                Ok(version) => return Ok((file, version)),
                Err(reason) => {
                    // Writing to a string cannot fail.
                    let _ = write!(unusable, "\n  unusable: {}: {reason}", file.display());
                }
            }
        }
    }
    for name in [format!("{}.1", library_name()), library_name()] {
        let file = PathBuf::from(name);
        if let Ok(version) = probe(&file) {
            return Ok((file, version));
        }
    }
    Err(RuntimeError::NotFound { unusable })
}

fn library_name() -> String {
    format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    )
}

/// Files in `folder` that look like the library, the newest version first.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let wanted = library_name();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        // libonnxruntime_providers_*.so are its plug-ins.
        .filter(|path| {
            path.file_name()
                .and_then(OsStr::to_str)
                .is_some_and(|name| name.starts_with(&wanted))
        })
        .filter(|path| path.is_file())
        .collect();
    let version_of = |path: &PathBuf| -> Vec<u32> {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name[wanted.len().min(name.len())..]
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect()
    };
    files.sort_by_key(|path| std::cmp::Reverse(version_of(path)));
    files
}

/// The folders of the search order, 2 to 5.
fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let executable = std::env::current_exe()
        .ok()
        .and_then(|path| path.canonicalize().ok());
    let beside = executable.as_deref().and_then(Path::parent);
    if let Some(folder) = beside {
        folders.extend([
            folder.to_path_buf(),
            folder.join("onnxruntime"),
            folder.join("lib"),
            folder.join("../lib"),
            folder.join("../lib/ettrack"),
        ]);
    }
    let working_directory = std::env::current_dir().ok();
    for start in [beside, working_directory.as_deref()].into_iter().flatten() {
        folders.extend(
            start
                .ancestors()
                .map(|folder| folder.join(".ettrack/onnxruntime")),
        );
    }
    for prefix in paths_in("AMENT_PREFIX_PATH") {
        let places = [
            // Where colcon puts the one that the node was built with. With --symlink-install, the executable is elsewhere.
            "lib/ettrack/onnxruntime",
            "lib",
            "lib/ettrack",
            "share/ettrack/onnxruntime",
            "opt/onnxruntime_vendor/lib",
        ];
        folders.extend(places.map(|place| prefix.join(place)));
    }
    let virtual_environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let interpreter = paths_in("PATH")
        .into_iter()
        .map(|folder| folder.join("python3"))
        .find(|file| file.is_file());
    // A link on PATH may point to the interpreter of another prefix. Both prefixes are tried.
    let resolved = interpreter
        .as_deref()
        .and_then(|file| file.canonicalize().ok());
    let prefix_of = |file: PathBuf| Some(file.parent()?.parent()?.to_path_buf());
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local"));
    let prefixes = [
        virtual_environment,
        interpreter.and_then(prefix_of),
        resolved.and_then(prefix_of),
        home,
    ];
    for prefix in prefixes.into_iter().flatten() {
        folders.extend(python_packages(&prefix));
        folders.extend(python_packages(&prefix.join("local")));
    }
    folders
}

fn paths_in(variable: &str) -> Vec<PathBuf> {
    std::env::var_os(variable)
        .map(|value| std::env::split_paths(&value).collect())
        .unwrap_or_default()
}

/// Where the package `onnxruntime` lies under a Python installation's prefix.
fn python_packages(prefix: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for lib in ["lib", "lib64"] {
        let Ok(entries) = std::fs::read_dir(prefix.join(lib)) else {
            continue;
        };
        let mut versions: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .and_then(OsStr::to_str)
                    .is_some_and(|name| name.starts_with("python3"))
            })
            .collect();
        versions.sort();
        for version in versions.into_iter().rev() {
            folders.extend(
                ["site-packages", "dist-packages"]
                    .map(|kind| version.join(kind).join("onnxruntime/capi")),
            );
        }
    }
    folders
}

/// An error with its causes: only those contain the dynamic linker's message.
fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The version of the library `file`, where it is an ONNX Runtime that is new enough.
///
/// `ort` would load the library without this, but does not give its version.
#[allow(unsafe_code)]
fn probe(file: &Path) -> Result<String, String> {
    if let Some(fault) = shared_object::fault(file) {
        return Err(fault);
    }
    // SAFETY: loading a library runs its initialisers; ONNX Runtime's have no preconditions. `OrtGetApiBase` has
    // had this signature since the first release, returns a pointer to a static table, and
    // `GetVersionString` one to a static string. The library stays loaded while both are used.
    let version = unsafe {
        let library = libloading::Library::new(file).map_err(|error| with_causes(&error))?;
        let base: libloading::Symbol<'_, unsafe extern "C" fn() -> *const ort::sys::OrtApiBase> =
            library
                .get(b"OrtGetApiBase")
                .map_err(|_| "it is no ONNX Runtime (no OrtGetApiBase in it)".to_owned())?;
        let base = base();
        if base.is_null() {
            return Err("its OrtGetApiBase gives nothing".to_owned());
        }
        let version = CStr::from_ptr(((*base).GetVersionString)())
            .to_string_lossy()
            .into_owned();
        // The library stays loaded: to unload it would only cost a second initialisation.
        std::mem::forget(library);
        version
    };
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < (1, OLDEST_MINOR) {
        return Err(format!(
            "it is version {version}, expected 1.{OLDEST_MINOR} or newer"
        ));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::{libraries_in, library_name, probe};

    #[test]
    fn files_that_are_no_onnx_runtime_are_refused_with_a_reason() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join(library_name());
        std::fs::write(&file, b"no library").expect("written");
        assert_eq!(libraries_in(folder.path()), std::slice::from_ref(&file));
        let reason = probe(&file).expect_err("no library");
        if cfg!(target_os = "linux") {
            // The dynamic linker's message, which docs/onnxruntime.md explains.
            assert!(reason.contains("file too short"), "{reason}");
            let nowhere = folder.path().join("nowhere.so");
            let reason = probe(&nowhere).expect_err("no file");
            let words = "cannot open shared object file";
            assert!(reason.contains(words), "{reason}");
        }
        // A library for this processor that was cut after its header.
        let program = std::env::current_exe().expect("a program");
        let start = std::fs::read(program).expect("a file")[..4096].to_vec();
        std::fs::write(&file, start).expect("written");
        if cfg!(target_os = "linux") {
            let reason = probe(&file).expect_err("a cut library");
            assert!(reason.contains("it is cut: it has 4096 bytes"), "{reason}");
        }
        // A library that is not ONNX Runtime: the C library is in every process.
        if cfg!(target_os = "linux") {
            let reason = probe(std::path::Path::new("libc.so.6")).expect_err("another library");
            assert!(reason.contains("no ONNX Runtime"), "{reason}");
        }
    }

    #[test]
    fn the_newest_version_comes_first_and_plug_ins_do_not_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.31.1",
            "libonnxruntime_providers_shared.so",
        ] {
            std::fs::write(folder.path().join(name), b"").expect("written");
        }
        if cfg!(target_os = "linux") {
            let names = libraries_in(folder.path());
            assert!(
                names[0].ends_with("libonnxruntime.so.1.31.1") && names.len() == 2,
                "{names:?}"
            );
        }
    }
}
