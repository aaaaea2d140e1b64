//! Where a target of known size is.

use ettrack_message::{CameraInfo, Point, PoseStamped, TargetState, TrackedTarget};

/// The place of a target whose side in the world is `meters`, in the frame of the camera, not turned. A pinhole: exact where
/// the image is rectified or the lens bends little.
pub(super) fn place(
    target: &TrackedTarget,
    camera: &CameraInfo,
    meters: f64,
) -> Option<PoseStamped> {
    let [x, y, z] = target.bearing.filter(|_| {
        // One that is lost is somewhere else.
        target.state == TargetState::Tracking && meters > 0.0
    })?;
    let binned = |focal: f64, binning: u32| focal / f64::from(binning.max(1));
    let focal = binned(camera.k[0], camera.binning_x) * binned(camera.k[4], camera.binning_y);
    let area = target.bounding_box.size_x * target.bounding_box.size_y;
    // A side of so many pixels at the focal length in pixels.
    let depth = meters * (focal / area).sqrt();
    let far = depth / z;
    let position = Point {
        x: x * far,
        y: y * far,
        z: depth,
    };
    let is_ahead = z > 0.0 && depth > 0.0;
    let is_finite = [position.x, position.y, position.z]
        .iter()
        .all(|part| part.is_finite());
    (is_ahead && is_finite).then(|| PoseStamped {
        header: target.header.clone(),
        position,
        orientation: [0.0, 0.0, 0.0, 1.0],
    })
}
