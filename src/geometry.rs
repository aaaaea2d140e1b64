//! Boxes in image coordinates.
//!
//! Everywhere in this crate (0, 0) is the upper-left corner of the upper-left pixel, x grows to the
//! right, y downwards, and lengths are pixels of the received image.

/// An axis-aligned box: upper-left corner and size, in pixels of the received image.
///
/// `f64`, because the authors' trackers keep their state in double precision and are reproduced exactly.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BoundingBox {
    /// Left edge, pixels.
    pub x: f64,
    /// Upper edge, pixels.
    pub y: f64,
    /// Extent along x, pixels.
    pub width: f64,
    /// Extent along y, pixels.
    pub height: f64,
}

impl BoundingBox {
    /// A box from its upper-left corner and size, in pixels.
    pub const fn new(x: f64, y: f64, width: f64, height: f64) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    /// Centre (x + width/2, y + height/2), pixels.
    pub fn center(&self) -> (f64, f64) {
        (self.x + 0.5 * self.width, self.y + 0.5 * self.height)
    }

    /// Area in square pixels.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }
}
