//! Drawing what a tracker says onto frames, and writing such frames as a GIF or a video.
//!
//! ```no_run
//! use ettrack::overlay::{self, VideoWriter};
//! # fn example(frame: &ettrack::frame::Frame<'_>, track: &ettrack::tracker::Track) -> Result<(), overlay::VideoError> {
//! let mut video = VideoWriter::create("out.mp4".as_ref(), frame.width(), frame.height(), 30.0)?;
//! let mut picture = overlay::to_rgb_image(frame);
//! overlay::draw_track(&mut picture, track);
//! video.push(&picture)?;
//! video.finish()?;
//! # Ok(())
//! # }
//! ```

mod draw;
mod video;

pub use draw::{
    Color, GRAY, GREEN, ORANGE, WHITE, draw_box, draw_label, draw_track, text_size, to_rgb_image,
};
pub use video::{VideoError, VideoWriter};
