//! JPEG files give the pixels that OpenCV reads from them, bit for bit. `tests/data/jpeg/make_jpeg.py` made the files and
//! the pictures beside them.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use ettrack::frame::{Encoding, ImageBuffer};

#[test]
fn every_kind_of_jpeg_gives_the_pixels_of_opencv() {
    let folder = ettrack_testing::data("jpeg");
    let mut image = ImageBuffer::empty();
    let mut kinds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jpg") {
            continue;
        }
        ettrack_picture::decode_into(&std::fs::read(&path).unwrap(), &mut image).unwrap();
        let expected = image::open(path.with_extension("png")).unwrap();
        assert_eq!(
            (image.width, image.height),
            (expected.width(), expected.height())
        );
        let is_grey = path.to_str().unwrap().contains("grey");
        let (encoding, expected) = match is_grey {
            true => (Encoding::Mono8, expected.into_luma8().into_raw()),
            false => (Encoding::Rgb8, expected.into_rgb8().into_raw()),
        };
        assert_eq!(image.encoding, encoding, "{}", path.display());
        let other = std::iter::zip(&image.data, &expected)
            .filter(|(got, expected)| got != expected)
            .count();
        assert_eq!(other, 0, "{}: values that differ", path.display());
        assert_eq!(image.data.len(), expected.len());
        kinds += 1;
    }
    assert_eq!(kinds, 17);
}

#[test]
fn a_damaged_jpeg_is_refused_with_the_decoders_message() {
    let file = std::fs::read(ettrack_testing::data("jpeg").join("420_odd.jpg")).unwrap();
    // Quantisation tables of another length than their header says.
    let table = file
        .windows(2)
        .position(|bytes| bytes == [0xff, 0xdb])
        .unwrap();
    let mut damaged = file;
    damaged[table + 4] = 0x0f;
    let error = ettrack_picture::decode_into(&damaged, &mut ImageBuffer::empty()).unwrap_err();
    assert!(
        error.to_string().starts_with("picture is damaged: "),
        "{error}"
    );
}

#[test]
fn a_progressive_jpeg_of_thousands_of_scans_is_refused_before_decoding() {
    let folder = ettrack_testing::data("jpeg");
    let file = std::fs::read(folder.join("grey_progressive.jpg")).unwrap();
    // The last scan again and again. Each would cost a pass over all blocks.
    let last = file
        .windows(2)
        .rposition(|bytes| bytes == [0xff, 0xda])
        .unwrap();
    let (scan, end) = file[last..].split_at(file.len() - last - 2);
    let many = [&file[..last], &scan.repeat(2000), end].concat();
    let error = ettrack_picture::decode_into(&many, &mut ImageBuffer::empty()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("scans, expected at most 500"), "{message}");
}
