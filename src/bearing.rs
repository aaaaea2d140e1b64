//! Converts a pixel to a direction, by the pinhole model and its lens distortions.

use ettrack_message::CameraInfo;

/// Rounds of the fixed-point iteration that removes a lens distortion. Usual lenses settle in five.
const ROUNDS: usize = 20;

/// How far the distorted result of the iteration may lie from the point, in units of the focal length.
const TOLERANCE: f64 = 1e-4;

/// Unit vector from the camera through the image point (x, y) in the optical frame: x right, y down, z forward.
///
/// The point is in pixels of the received image with (0, 0) at the corner of the first pixel; calibrations
/// count from its centre, half a pixel further. Binning and region of interest lead back to the sensor's
/// pixels. A raw image uses the intrinsics K and the distortion D, a `rectified` one the projection P.
///
/// `None` for an uncalibrated camera, a distortion model that is not known (known: `plumb_bob`,
/// `rational_polynomial`, `equidistant`, none), and a point outside the lens's calibrated range. The calibration must be for
/// images of this size.
pub fn bearing(camera: &CameraInfo, rectified: bool, (x, y): (f64, f64)) -> Option<[f64; 3]> {
    let sensor_x = x * f64::from(camera.binning_x.max(1)) + f64::from(camera.roi.x_offset) - 0.5;
    let sensor_y = y * f64::from(camera.binning_y.max(1)) + f64::from(camera.roi.y_offset) - 0.5;
    let [fx, cx, fy, cy] = if rectified {
        [camera.p[0], camera.p[2], camera.p[5], camera.p[6]]
    } else {
        [camera.k[0], camera.k[2], camera.k[4], camera.k[5]]
    };
    if !(fx > 0.0 && fy > 0.0) {
        return None;
    }
    let point = ((sensor_x - cx) / fx, (sensor_y - cy) / fy);
    let direction = match camera.distortion_model.as_str() {
        _ if rectified => (point.0, point.1, 1.0),
        // All coefficients may be zero here, too. The lens is then an ideal fisheye, not a pinhole.
        "equidistant" => undistort_equidistant(&camera.d, point)?,
        _ if camera.d.iter().all(|coefficient| *coefficient == 0.0) => (point.0, point.1, 1.0),
        "plumb_bob" | "rational_polynomial" => {
            let (x, y) = undistort_polynomial(&camera.d, point)?;
            (x, y, 1.0)
        }
        _ => return None,
    };
    let length = direction.0.hypot(direction.1).hypot(direction.2);
    let unit = [
        direction.0 / length,
        direction.1 / length,
        direction.2 / length,
    ];
    unit.iter().all(|part| part.is_finite()).then_some(unit)
}

/// Width and height of the images that a calibration is for, after region of interest and binning; `None` where it does
/// not say.
pub fn image_size(camera: &CameraInfo) -> Option<(u32, u32)> {
    let (width, height) = match (camera.roi.width, camera.roi.height) {
        // A width or height of 0 means the whole sensor, as the message defines it.
        (0, _) | (_, 0) => (camera.width, camera.height),
        region => region,
    };
    (width > 0 && height > 0).then(|| {
        (
            width / camera.binning_x.max(1),
            height / camera.binning_y.max(1),
        )
    })
}

/// Distortion of Brown and Conrady with the rational extension: radial k1 k2 k3 over k4 k5 k6, tangential p1 p2,
/// in OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6. Returns the factor and the tangential shift at (x, y).
fn distortion(d: &[f64; 8], x: f64, y: f64) -> (f64, f64, f64) {
    let [k1, k2, p1, p2, k3, k4, k5, k6] = *d;
    let r2 = x * x + y * y;
    let radial = (1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1.0 + r2 * (k4 + r2 * (k5 + r2 * k6)));
    let shift_x = 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x);
    let shift_y = p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y;
    (radial, shift_x, shift_y)
}

/// Inverts [`distortion`] by iteration. Coefficients beyond the eighth (thin prism, tilt) must be zero.
fn undistort_polynomial(coefficients: &[f64], (px, py): (f64, f64)) -> Option<(f64, f64)> {
    if coefficients
        .iter()
        .skip(8)
        .any(|coefficient| *coefficient != 0.0)
    {
        return None;
    }
    let mut d = [0.0; 8];
    for (to, from) in d.iter_mut().zip(coefficients) {
        *to = *from;
    }
    let (mut x, mut y) = (px, py);
    for _ in 0..ROUNDS {
        let (radial, shift_x, shift_y) = distortion(&d, x, y);
        (x, y) = ((px - shift_x) / radial, (py - shift_y) / radial);
    }
    let (radial, shift_x, shift_y) = distortion(&d, x, y);
    let error = (x * radial + shift_x - px).hypot(y * radial + shift_y - py);
    // Outside the calibrated range the iteration does not converge. Then there is no direction, because it would be wrong.
    (error < TOLERANCE).then_some((x, y))
}

/// Fisheye model of Kannala and Brandt: the radius in the image is a polynomial of the angle to the optical axis.
fn undistort_equidistant(d: &[f64], (px, py): (f64, f64)) -> Option<(f64, f64, f64)> {
    let radius = px.hypot(py);
    if radius == 0.0 {
        return Some((0.0, 0.0, 1.0));
    }
    let coefficient = |index: usize| d.get(index).copied().unwrap_or(0.0);
    let distorted = |angle: f64| {
        let a2 = angle * angle;
        angle
            * (1.0
                + a2 * (coefficient(0)
                    + a2 * (coefficient(1) + a2 * (coefficient(2) + a2 * coefficient(3)))))
    };
    let mut angle = radius;
    for _ in 0..ROUNDS {
        let a2 = angle * angle;
        let slope = 1.0
            + a2 * (3.0 * coefficient(0)
                + a2 * (5.0 * coefficient(1)
                    + a2 * (7.0 * coefficient(2) + a2 * 9.0 * coefficient(3))));
        angle -= (distorted(angle) - radius) / slope;
    }
    let settled = (distorted(angle) - radius).abs() < TOLERANCE;
    (settled && (0.0..std::f64::consts::PI).contains(&angle)).then(|| {
        let side = angle.sin() / radius;
        (px * side, py * side, angle.cos())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn camera(model: &str, d: &[f64]) -> CameraInfo {
        CameraInfo {
            width: 640,
            height: 480,
            distortion_model: model.into(),
            d: d.to_vec(),
            k: [500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0],
            p: [
                400.0, 0.0, 300.0, 0.0, 0.0, 410.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0,
            ],
            ..CameraInfo::default()
        }
    }

    fn near(a: Option<[f64; 3]>, b: [f64; 3]) {
        let a = a.unwrap();
        assert!(
            a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9),
            "{a:?} {b:?}"
        );
    }

    #[test]
    fn treats_zero_coefficients_of_a_fisheye_as_a_fisheye() {
        // A radius of one focal length is an angle of one radian.
        for d in [&[][..], &[0.0; 4]] {
            let seen = bearing(&camera("equidistant", d), false, (820.0, 240.0));
            near(seen, [1.0_f64.sin(), 0.0, 1.0_f64.cos()]);
        }
    }

    #[test]
    fn the_image_centre_is_straight_ahead_with_x_right_and_y_down() {
        near(
            bearing(&camera("", &[]), false, (320.0, 240.0)),
            [0.0, 0.0, 1.0],
        );
        let half = 0.5_f64.sqrt();
        near(
            bearing(&camera("", &[]), false, (820.0, 240.0)),
            [half, 0.0, half],
        );
        near(
            bearing(&camera("", &[]), false, (320.0, 750.0)),
            [0.0, half, half],
        );
        near(
            bearing(&camera("unheard of", &[1.0]), true, (300.5, 610.5)),
            [0.0, half, half],
        );
    }

    #[test]
    fn converts_binned_and_cropped_pixels_to_sensor_pixels() {
        let mut info = camera("", &[]);
        (info.binning_x, info.binning_y) = (2, 2);
        (info.roi.x_offset, info.roi.y_offset) = (120, 40);
        near(bearing(&info, false, (100.0, 100.0)), [0.0, 0.0, 1.0]);
    }

    #[test]
    fn image_size_is_that_after_region_and_binning() {
        let mut info = camera("", &[]);
        assert_eq!(image_size(&info), Some((640, 480)));
        (info.binning_x, info.binning_y) = (2, 4);
        assert_eq!(image_size(&info), Some((320, 120)));
        (info.roi.width, info.roi.height) = (101, 200);
        assert_eq!(image_size(&info), Some((50, 50)));
        assert_eq!(image_size(&CameraInfo::default()), None);
    }

    #[test]
    fn gives_no_direction_without_a_calibration_or_with_an_unknown_lens() {
        assert_eq!(bearing(&CameraInfo::default(), false, (1.0, 1.0)), None);
        assert_eq!(
            bearing(&camera("unheard of", &[0.1]), false, (1.0, 1.0)),
            None
        );
        let tilted = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1];
        assert_eq!(
            bearing(&camera("rational_polynomial", &tilted), false, (1.0, 1.0)),
            None
        );
        // A strong barrel distortion maps no direction to points this far out.
        assert_eq!(
            bearing(&camera("plumb_bob", &[-0.4, 0.0]), false, (2000.0, 240.0)),
            None
        );
    }

    proptest! {
        #[test]
        fn a_distorted_direction_is_found_again(x in -0.6..0.6, y in -0.5..0.5, k1 in -0.3..0.1, k2 in -0.02..0.05, p in -0.002..0.002_f64) {
            let d = [k1, k2, p, -p, 0.01];
            let mut all = [0.0; 8];
            all[..5].copy_from_slice(&d);
            let (radial, shift_x, shift_y) = distortion(&all, x, y);
            let pixel = (500.0 * (x * radial + shift_x) + 320.0, 510.0 * (y * radial + shift_y) + 240.0);
            let found = bearing(&camera("plumb_bob", &d), false, pixel).unwrap();
            prop_assert!((found[0] / found[2] - x).abs() < 1e-3 && (found[1] / found[2] - y).abs() < 1e-3);
        }

        #[test]
        fn a_fisheye_direction_is_found_again(angle in 0.01..1.4_f64, around in 0.0..std::f64::consts::TAU, k in -0.02..0.02) {
            let radius = angle * (1.0 + k * angle * angle);
            let pixel = (500.0 * radius * around.cos() + 320.0, 510.0 * radius * around.sin() + 240.0);
            let found = bearing(&camera("equidistant", &[k, 0.0, 0.0, 0.0]), false, pixel).unwrap();
            let expected = [angle.sin() * around.cos(), angle.sin() * around.sin(), angle.cos()];
            for (found, expected) in found.iter().zip(expected) {
                prop_assert!((found - expected).abs() < 1e-6);
            }
        }
    }
}
