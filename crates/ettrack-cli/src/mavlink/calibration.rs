//! Reads the calibration of a camera from a YAML file in the format of `camera_calibration` of ROS 2.

use std::path::Path;

use anyhow::Context;
use ettrack_message::CameraInfo;
use serde::Deserialize;

use crate::console::BadInput;

#[derive(Deserialize)]
struct File {
    image_width: u32,
    image_height: u32,
    camera_matrix: Matrix,
    #[serde(default)]
    distortion_model: String,
    distortion_coefficients: Option<Matrix>,
}

#[derive(Deserialize)]
struct Matrix {
    data: Vec<f64>,
}

/// Reads the calibration from a file.
pub fn read(path: &Path) -> anyhow::Result<CameraInfo> {
    let wrong = || BadInput(format!("--calibration {}", path.display()));
    let text = std::fs::read_to_string(path).with_context(wrong)?;
    parse(&text).with_context(wrong)
}

fn parse(text: &str) -> anyhow::Result<CameraInfo> {
    let file: File = serde_yaml::from_str(text)?;
    let found = file.camera_matrix.data.len();
    let k: [f64; 9] = file.camera_matrix.data.try_into().map_err(|_| {
        anyhow::anyhow!("camera_matrix has {found} numbers, expected 9, row by row")
    })?;
    if !(k[0] > 0.0 && k[4] > 0.0 && k.iter().all(|number| number.is_finite())) {
        anyhow::bail!(
            "the focal lengths of camera_matrix are {} and {}, expected positive numbers",
            k[0],
            k[4]
        );
    }
    Ok(CameraInfo {
        width: file.image_width,
        height: file.image_height,
        distortion_model: file.distortion_model,
        d: file
            .distortion_coefficients
            .map(|matrix| matrix.data)
            .unwrap_or_default(),
        k,
        ..CameraInfo::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "image_width: 640\nimage_height: 480\ncamera_name: front\ncamera_matrix:\n  rows: 3\n  cols: 3\n  \
        data: [500.0, 0, 320, 0, 510.0, 240, 0, 0, 1]\ndistortion_model: plumb_bob\ndistortion_coefficients:\n  rows: 1\n  \
        cols: 5\n  data: [0.1, -0.2, 0, 0, 0]\n";

    #[test]
    fn reads_a_calibration_file_of_ros() {
        let camera = parse(FILE).unwrap();
        assert_eq!(
            (camera.width, camera.height, camera.k[4]),
            (640, 480, 510.0)
        );
        assert_eq!(
            (camera.distortion_model.as_str(), camera.d.len()),
            ("plumb_bob", 5)
        );
        assert!(ettrack_node::bearing(&camera, false, (320.0, 240.0)).is_some());
    }

    #[test]
    fn refuses_a_calibration_without_focal_lengths_or_a_whole_matrix() {
        assert!(parse(&FILE.replace("500.0", "0")).is_err());
        assert!(parse(&FILE.replace(", 0, 0, 1]", "]")).is_err());
        assert!(parse("image_width: 640").is_err());
    }
}
