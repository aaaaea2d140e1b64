//! What trackers on pytracking's evaluation code share (OSTrack and STARK, and all that come of them): the region around
//! the target, a box as shares of the region, and the box's limits in the image.

use crate::crop::{Padding, SearchWindow};
use crate::follower::Pose;
use crate::geometry::BoundingBox;

/// At least this many pixels of a box stay in the image; also its smallest side.
pub(super) const MARGIN: f64 = 10.0;

/// Sides of the template and search regions in units of the target's mean side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    pub template: f64,
    pub search: f64,
}

/// Black. At the right and lower border the authors' crop leaves out the image's last column and row.
pub(super) fn padding() -> Padding {
    Padding {
        color: [0; 3],
        drops_last: true,
    }
}

/// The region around `pose` whose side is `factor` times the target's mean side.
pub(super) fn window(pose: &Pose, factor: f64) -> SearchWindow {
    let side = ((pose.width * pose.height).sqrt() * factor).ceil();
    let (x, y) = pose.center;
    SearchWindow::from_corner((x - 0.5 * side, y - 0.5 * side), side as u32)
}

/// The box in the frame of centre, width and height as shares of the search region around `pose`. The region has `size`
/// search pixels a side, `scale` of them to a frame pixel. Multiplied in `f32`, as the authors multiply.
pub(super) fn placed(pose: &Pose, shares: [f32; 4], size: f64, scale: f64) -> Pose {
    let [x, y, width, height] = shares.map(|share| f64::from(share * size as f32 / scale as f32));
    let half = 0.5 * size / scale;
    let (center_x, center_y) = pose.center;
    Pose {
        center: (x + (center_x - half), y + (center_y - half)),
        width,
        height,
    }
}

/// The box with at least the margin inside an `image` of this width and height, pixels.
pub(super) fn clipped(found: BoundingBox, image: (f64, f64)) -> BoundingBox {
    let clip = |first: f64, length: f64, most: f64| {
        let last = (first + length).max(MARGIN).min(most);
        let first = first.max(0.0).min(most - MARGIN);
        (first, (last - first).max(MARGIN))
    };
    let (x, width) = clip(found.x, found.width, image.0);
    let (y, height) = clip(found.y, found.height, image.1);
    BoundingBox::new(x, y, width, height)
}
