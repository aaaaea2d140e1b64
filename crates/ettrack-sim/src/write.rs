//! A flight as a folder in OTB's layout, or as a rosbag2 bag.

use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::{SimulatedFrame, Simulation};
use ettrack_bag::{BagError, BagWriter};
use ettrack_files::OutputError;
use ettrack_message::{
    CompressedImage, Detection2D, Detection2DArray, Header, Message, RegionOfInterest, Stamp, ToCdr,
};

/// Quality of the pictures, 1..=100: above what cameras and datasets use.
const JPEG_QUALITY: u8 = 92;
/// When bags of flights begin, nanoseconds since the epoch (2026-01-01).
const START_NS: i64 = 1_767_225_600_000_000_000;
/// Topic of the pictures in a bag.
pub const IMAGE_TOPIC: &str = "/camera/image_raw/compressed";
/// Topic of the target's first box in a bag.
pub const ROI_TOPIC: &str = "/initial_roi";
/// Topic of the target's true boxes in a bag; an empty array where it is not in sight.
pub const TRUTH_TOPIC: &str = "/ground_truth";

/// Why a flight cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// An option out of its range.
    #[error("{name} is {got}, expected {expected}")]
    Option {
        /// The option.
        name: &'static str,
        /// What came.
        got: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Nothing is overwritten.
    #[error("{0} exists; expected a name that is free")]
    Exists(PathBuf),
    /// Whoever heard of the progress did not want the rest.
    #[error("stopped before the end; nothing is written")]
    Stopped,
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The bag cannot be written.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A picture cannot be compressed.
    #[error("cannot compress a frame: {0}")]
    Jpeg(#[from] image::ImageError),
}

fn jpeg(picture: &RgbImage) -> Result<Vec<u8>, SimulateError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(picture)?;
    Ok(bytes)
}

/// Whether a flight can be written to `folder`, to be asked before the work begins.
pub fn check_free(folder: &Path) -> Result<(), SimulateError> {
    // An empty folder may stand there already: a rename replaces it.
    if fs::read_dir(folder).map_or(folder.exists(), |mut inside| inside.next().is_some()) {
        return Err(SimulateError::Exists(folder.to_owned()));
    }
    Ok(())
}

/// Writes `img/0001.jpg` …, `groundtruth_rect.txt` (x, y, width, height; pixels counted from 1 as in OTB-100; `NaN`
/// where the target is not in sight) and `visibility.txt` (0..=1) into the new folder `folder`. `after_frame` is called
/// with the number of frames done and may stop it: then nothing is left.
pub fn write_folder(
    simulation: &Simulation,
    folder: &Path,
    mut after_frame: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<(), SimulateError> {
    check_free(folder)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OutputError { path, source }
    };
    let absolute = std::path::absolute(folder).map_err(failed(folder))?;
    let parent = absolute.parent().unwrap_or(&absolute);
    fs::create_dir_all(parent).map_err(failed(parent))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".simulate-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    let temporary = builder.tempdir_in(parent).map_err(failed(folder))?;
    let images = temporary.path().join("img");
    fs::create_dir(&images).map_err(failed(folder))?;
    let (mut boxes, mut visibility) = (String::new(), String::new());
    for index in 0..simulation.options().frames {
        let SimulatedFrame {
            picture,
            target,
            visible,
        } = simulation.frame(index);
        let path = images.join(format!("{:04}.jpg", index + 1));
        fs::write(&path, jpeg(&picture)?).map_err(failed(&path))?;
        // Writing to a string does not fail.
        let _ = match target {
            Some(b) => writeln!(
                boxes,
                "{:.2},{:.2},{:.2},{:.2}",
                b.x + 1.0,
                b.y + 1.0,
                b.width,
                b.height
            ),
            None => writeln!(boxes, "NaN,NaN,NaN,NaN"),
        };
        let _ = writeln!(visibility, "{visible:.4}");
        if after_frame(index + 1).is_break() {
            return Err(SimulateError::Stopped);
        }
    }
    for (name, text) in [
        ("groundtruth_rect.txt", boxes),
        ("visibility.txt", visibility),
    ] {
        let path = temporary.path().join(name);
        fs::write(&path, text).map_err(failed(&path))?;
    }
    let finished = temporary.keep();
    fs::rename(&finished, &absolute).map_err(|source| {
        // What cannot be put in its place is not left lying about.
        let _ = fs::remove_dir_all(&finished);
        failed(folder)(source)
    })?;
    Ok(())
}

/// Writes a rosbag2 folder (mcap): pictures on [`IMAGE_TOPIC`], the first box on [`ROI_TOPIC`], the truth on
/// [`TRUTH_TOPIC`]. `after_frame` is called with the number of frames done and may stop
/// it: then nothing is left.
pub fn write_bag(
    simulation: &Simulation,
    folder: &Path,
    mut after_frame: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<(), SimulateError> {
    let mut bag = BagWriter::create(folder)?;
    let images = bag.add_topic(IMAGE_TOPIC, CompressedImage::TYPE)?;
    let first_box = bag.add_topic(ROI_TOPIC, RegionOfInterest::TYPE)?;
    let truth = bag.add_topic(TRUTH_TOPIC, Detection2DArray::TYPE)?;
    for index in 0..simulation.options().frames {
        let frame = simulation.frame(index);
        let since = (f64::from(index) / simulation.options().rate * 1e9).round() as i64;
        let now = START_NS + since;
        let header = Header {
            stamp: Stamp::from_nanoseconds(now),
            frame_id: "camera_optical".to_owned(),
        };
        let image = CompressedImage {
            header: header.clone(),
            format: "jpeg",
            data: &jpeg(&frame.picture)?,
        };
        bag.write(images, now, &image.to_cdr())?;
        if let (0, Some(b)) = (index, frame.target) {
            let roi = RegionOfInterest {
                x_offset: b.x.round() as u32,
                y_offset: b.y.round() as u32,
                width: b.width.round() as u32,
                height: b.height.round() as u32,
                do_rectify: false,
            };
            bag.write(first_box, now, &roi.to_cdr())?;
        }
        let detections = frame
            .target
            .map(|b| Detection2D {
                header: header.clone(),
                results: Vec::new(),
                bbox: b.into(),
                id: "target".to_owned(),
            })
            .into_iter()
            .collect();
        bag.write(
            truth,
            now,
            &Detection2DArray { header, detections }.to_cdr(),
        )?;
        if after_frame(index + 1).is_break() {
            return Err(SimulateError::Stopped);
        }
    }
    Ok(bag.finish()?)
}
