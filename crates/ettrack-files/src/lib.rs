//! Files and folders that appear whole or not at all, and the natural order of file names.
//!
//! Output is written under a temporary name beside its target, synced to the disk, and renamed when it is complete. So a
//! reader sees the old content or the new one, never a part, also after a power cut.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("results/boxes.txt");
//! ettrack_files::write_file(&path, "10,20,30,40\n")?;
//! assert_eq!(std::fs::read_to_string(&path)?, "10,20,30,40\n");
//!
//! let mut names = ["10.jpg", "9.jpg"];
//! names.sort_by(|a, b| ettrack_files::natural_order(a.as_ref(), b.as_ref()));
//! assert_eq!(names, ["9.jpg", "10.jpg"]);
//! # Ok(())
//! # }
//! ```

mod folder;
mod frames;
mod order;
mod pending;
mod sync;

pub use folder::PendingFolder;
pub use frames::sort_frames;
pub use order::natural_order;
pub use pending::{OutputError, PendingFile, is_same_file, write_file};
