//! Writes a flight as a folder in OTB's layout or as a rosbag2 bag.

use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use super::{SimulatedFrame, Simulation};
use ettrack_bag::{BagError, BagWriter};
use ettrack_files::{OutputError, PendingFolder};
use ettrack_message::{
    CompressedImage, Detection2D, Detection2DArray, Header, Message, RegionOfInterest, Stamp, ToCdr,
};

/// Quality of the JPEG pictures, 1..=100. It is higher than in most cameras and data sets.
const JPEG_QUALITY: u8 = 92;
/// Time of the first frame in a bag, nanoseconds since the epoch (2026-01-01).
const START_NS: i64 = 1_767_225_600_000_000_000;
/// Topic of the pictures in a bag.
pub const IMAGE_TOPIC: &str = "/camera/image_raw/compressed";
/// Topic of the target's first box in a bag.
pub const ROI_TOPIC: &str = "/initial_roi";
/// Topic of the target's true boxes in a bag. The array is empty while the target is not visible.
pub const TRUTH_TOPIC: &str = "/ground_truth";

/// Why a flight cannot be rendered or written.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// An option is outside of its range.
    #[error("{name} is {got}, expected {expected}")]
    Option {
        /// The option.
        name: &'static str,
        /// The value.
        got: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// The output exists already. It is not overwritten.
    #[error("{0} exists; expected a name that is free")]
    Exists(PathBuf),
    /// The callback stopped the work.
    #[error("stopped before the end; nothing is written")]
    Stopped,
    /// A file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The bag cannot be written.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// A picture cannot be compressed. The encoder's message holds its own causes, so they are not given again as a source.
    #[error("cannot compress a frame: {0}")]
    Jpeg(image::ImageError),
}

impl From<image::ImageError> for SimulateError {
    fn from(error: image::ImageError) -> Self {
        Self::Jpeg(error)
    }
}

fn jpeg(picture: &RgbImage) -> Result<Vec<u8>, SimulateError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(picture)?;
    Ok(bytes)
}

/// Checks that nothing is at `folder`, or only an empty folder, before the work begins.
///
/// # Errors
/// [`SimulateError::Exists`] if something is there.
pub fn check_free(folder: &Path) -> Result<(), SimulateError> {
    if fs::read_dir(folder).map_or(folder.exists(), |mut inside| inside.next().is_some()) {
        return Err(SimulateError::Exists(folder.to_owned()));
    }
    Ok(())
}

/// Writes a flight into the new folder `folder`: `img/0001.jpg` …, `groundtruth_rect.txt` (x, y, width, height; pixels
/// counted from 1 as in OTB-100; `NaN` while the target is not visible) and `visibility.txt` (0..=1).
///
/// `after_frame` is called with the number of finished frames and may stop the work; then nothing is left.
///
/// # Errors
/// [`SimulateError`] if the folder exists already or cannot be written, or the work was stopped.
pub fn write_folder(
    simulation: &Simulation,
    folder: &Path,
    mut after_frame: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<(), SimulateError> {
    check_free(folder)?;
    let pending = PendingFolder::create(folder)?;
    let write = |path: PathBuf, content: &[u8]| {
        fs::write(&path, content).map_err(|error| pending.error_at(&path, error))
    };
    let images = pending.path().join("img");
    fs::create_dir(&images).map_err(|error| pending.error_at(&images, error))?;
    let (mut boxes, mut visibility) = (String::new(), String::new());
    for index in 0..simulation.options().frames {
        let SimulatedFrame {
            picture,
            target,
            visible,
        } = simulation.frame(index);
        write(
            images.join(format!("{:04}.jpg", index + 1)),
            &jpeg(&picture)?,
        )?;
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
    write(
        pending.path().join("groundtruth_rect.txt"),
        boxes.as_bytes(),
    )?;
    write(pending.path().join("visibility.txt"), visibility.as_bytes())?;
    Ok(pending.commit()?)
}

/// Writes a flight as a rosbag2 folder (mcap): pictures on [`IMAGE_TOPIC`], the first box on [`ROI_TOPIC`], the true boxes
/// on [`TRUTH_TOPIC`].
///
/// `after_frame` is called with the number of finished frames and may stop the work; then nothing is left.
///
/// # Errors
/// [`SimulateError`] if the bag exists already or cannot be written, or the work was stopped.
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
