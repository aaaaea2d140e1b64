//! Where ettrack's frames come from and where annotated ones go, without ROS.
//!
//! [`source`] reads frames from folders of pictures, videos, cameras and bags. [`video`] writes GIFs and videos, [`live`]
//! sends a stream. Videos, cameras and streams need the program `ffmpeg`; folders, bags and GIFs do not.
//!
//! ```
//! use ettrack::frame::ImageBuffer;
//! use ettrack_media::source;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("1.ppm"), b"P6\n1 1\n255\nabc")?;
//! # let folder = folder.path().to_str().ok_or("not UTF-8")?;
//! // A folder of pictures; the same call opens a video, a camera or a bag.
//! let mut frames = source::open(folder, None)?;
//! let mut image = ImageBuffer::empty();
//! while let Some(info) = frames.next_into(&mut image)? {
//!     let frame = image.frame()?;
//!     println!("{}: {}x{} pixels", info.name, frame.width(), frame.height());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The folder `examples` has complete programs: `track_folder` and `read_a_bag`.

pub mod live;
pub mod source;
pub mod video;
