//! Conversions of camera encodings against OpenCV's, byte for byte.

use ettrack::frame::{Encoding, Frame};
use ndarray::{Array2, Array3, ArrayD};
use ndarray_npy::NpzReader;

#[test]
fn encodings_read_as_opencv_reads_them() {
    let file = std::fs::File::open(ettrack_testing::data("ettrack/encodings.npz"))
        .expect("the fixture is part of the repository");
    let mut npz = NpzReader::new(file).expect("an npz file");
    for name in [
        "uyvy",
        "yuyv",
        "nv12",
        "nv21",
        "bayer_rggb8",
        "bayer_bggr8",
        "bayer_gbrg8",
        "bayer_grbg8",
    ] {
        let raw: ArrayD<u8> = npz.by_name(name).expect("raw bytes");
        let expected: Array3<u8> = npz.by_name(&format!("{name}_rgb")).expect("OpenCV's RGB");
        let (height, width, _) = expected.dim();
        let encoding = Encoding::from_ros_name(name).expect("a known name");
        let raw = raw.as_standard_layout();
        let tight = raw.as_slice().expect("standard layout");

        // Once tightly packed, once with padded rows.
        let row = encoding.row_bytes(width as u32);
        let rows =
            Array2::from_shape_vec((tight.len() / row, row), tight.to_vec()).expect("whole rows");
        let mut padded = Array2::from_elem((rows.nrows(), row + 5), 0xAB);
        padded.slice_mut(ndarray::s![.., ..row]).assign(&rows);
        let padded = padded.into_raw_vec_and_offset().0;
        for (data, stride) in [(tight, row), (&padded[..], row + 5)] {
            let frame =
                Frame::new(data, width as u32, height as u32, stride, encoding).expect("it fits");
            let mut rgb = Vec::new();
            frame.to_rgb8(&mut rgb);
            assert_eq!(
                rgb,
                expected.as_slice().expect("standard layout"),
                "{name}, stride {stride}"
            );
        }
    }
}
