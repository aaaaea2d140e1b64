//! Pictures for ettrack: JPEG, PNG, BMP and PNM into pixels, and boxes and text drawn on pixels.

mod draw;
mod picture;

pub use draw::{
    Color, GRAY, GREEN, ORANGE, WHITE, draw_box, draw_label, draw_track, text_size, to_rgb_image,
};
pub use picture::*;
