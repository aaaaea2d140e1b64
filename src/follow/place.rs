//! Computes the position of a target of known size.

use ettrack_message::{CameraInfo, Point, PoseStamped, TargetState, TrackedTarget};

/// Returns the position of a target in the frame of the camera, without rotation. `meters` is the side of the target in the
/// world. The model is a pinhole, so the position is exact only if the image is `rectified` or the lens has little distortion.
pub(super) fn place(
    target: &TrackedTarget,
    camera: &CameraInfo,
    meters: f64,
    rectified: bool,
) -> Option<PoseStamped> {
    let [x, y, z] = target.bearing.filter(|_| {
        // The box of a lost target does not show where the target is.
        target.state == TargetState::Tracking && meters > 0.0
    })?;
    let binned = |focal: f64, binning: u32| focal / f64::from(binning.max(1));
    // As for the bearing: pixels of a rectified image belong to the projection P.
    let [fx, fy] = if rectified {
        [camera.p[0], camera.p[5]]
    } else {
        [camera.k[0], camera.k[4]]
    };
    let focal = binned(fx, camera.binning_x) * binned(fy, camera.binning_y);
    let area = target.bounding_box.size_x * target.bounding_box.size_y;
    // The side in the world over the depth equals the side in pixels over the focal length in pixels.
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
