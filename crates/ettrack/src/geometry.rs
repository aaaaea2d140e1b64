//! Boxes in image coordinates.
//!
//! Everywhere in this crate (0, 0) is the upper-left corner of the upper-left pixel, x grows to the
//! right, y downwards, and lengths are pixels of the received image.

use crate::text::number;

/// An axis-aligned box: upper-left corner and size, in pixels of the received image.
///
/// The numbers are `f64` because the authors' trackers keep their state in double precision, and this crate gives the
/// same boxes.
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

    /// A box from its centre and size, in pixels.
    pub fn from_center(center: (f64, f64), width: f64, height: f64) -> Self {
        Self::new(
            center.0 - 0.5 * width,
            center.1 - 0.5 * height,
            width,
            height,
        )
    }

    /// Centre (x + width/2, y + height/2), pixels.
    pub fn center(&self) -> (f64, f64) {
        (self.x + 0.5 * self.width, self.y + 0.5 * self.height)
    }

    /// Right edge (exclusive), pixels.
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    /// Lower edge (exclusive), pixels.
    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }

    /// Area in square pixels.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// Whether all four numbers are finite and the size is positive.
    pub fn is_valid(&self) -> bool {
        [self.x, self.y, self.width, self.height]
            .iter()
            .all(|v| v.is_finite())
            && self.width > 0.0
            && self.height > 0.0
    }

    /// The common part of two boxes, `None` if they share no area.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        let common = Self::new(
            x,
            y,
            self.right().min(other.right()) - x,
            self.bottom().min(other.bottom()) - y,
        );
        common.is_valid().then_some(common)
    }

    /// Intersection over union of two boxes as areas in the plane, 0..=1; 0 where either box has no area.
    ///
    /// Benchmarks that count pixels inclusively use a formula of their own.
    pub fn iou(&self, other: &Self) -> f64 {
        if !self.is_valid() || !other.is_valid() {
            return 0.0;
        }
        let common = self.intersection(other).map_or(0.0, |b| b.area());
        let union = self.area() + other.area() - common;
        if union > 0.0 {
            (common / union).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// The part of the box inside an image of the given size, `None` if nothing of it is inside.
    pub fn clamped(&self, image_width: u32, image_height: u32) -> Option<Self> {
        self.intersection(&Self::new(
            0.0,
            0.0,
            f64::from(image_width),
            f64::from(image_height),
        ))
    }
}

impl std::fmt::Display for BoundingBox {
    /// `x,y,width,height`, as the command line takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [x, y, width, height] = [self.x, self.y, self.width, self.height].map(number);
        write!(f, "{x},{y},{width},{height}")
    }
}

#[cfg(test)]
mod tests {
    use super::BoundingBox;
    use proptest::prelude::*;

    fn boxes() -> impl Strategy<Value = BoundingBox> {
        (-500.0..500.0, -500.0..500.0, 0.01..400.0, 0.01..400.0)
            .prop_map(|(x, y, w, h)| BoundingBox::new(x, y, w, h))
    }

    #[test]
    fn iou_of_known_boxes() {
        let a = BoundingBox::new(0.0, 0.0, 10.0, 10.0);
        assert_eq!(a.iou(&a), 1.0);
        assert_eq!(a.iou(&BoundingBox::new(5.0, 0.0, 10.0, 10.0)), 50.0 / 150.0);
        assert_eq!(a.iou(&BoundingBox::new(10.0, 0.0, 10.0, 10.0)), 0.0);
        assert_eq!(a.iou(&BoundingBox::new(0.0, 0.0, f64::NAN, 10.0)), 0.0);
        assert_eq!(a.iou(&BoundingBox::new(0.0, 0.0, 0.0, 10.0)), 0.0);
    }

    proptest! {
        #[test]
        fn iou_is_symmetric_and_bounded(a in boxes(), b in boxes()) {
            let iou = a.iou(&b);
            prop_assert!((0.0..=1.0).contains(&iou));
            prop_assert_eq!(iou, b.iou(&a));
            prop_assert!((a.iou(&a) - 1.0).abs() < 1e-9);
        }

        #[test]
        fn centre_form_round_trips(b in boxes()) {
            let back = BoundingBox::from_center(b.center(), b.width, b.height);
            prop_assert!((back.x - b.x).abs() < 1e-9 && (back.y - b.y).abs() < 1e-9);
            prop_assert_eq!((back.width, back.height), (b.width, b.height));
        }

        #[test]
        fn clamped_lies_inside_image_and_box(b in boxes(), w in 1u32..600, h in 1u32..600) {
            if let Some(c) = b.clamped(w, h) {
                prop_assert!(c.is_valid());
                prop_assert!(c.x >= 0.0 && c.y >= 0.0);
                prop_assert!(c.right() <= f64::from(w) + 1e-9 && c.bottom() <= f64::from(h) + 1e-9);
                prop_assert!(c.area() <= b.area() + 1e-6);
            } else {
                let outside = b.x >= f64::from(w) || b.y >= f64::from(h) || b.right() <= 0.0 || b.bottom() <= 0.0;
                prop_assert!(outside);
            }
        }
    }
}
