//! Malformed image messages: reading gives a frame or an error and never panics. `fuzz/` tests the same for longer.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use ettrack::frame::ImageBuffer;
use ettrack_message::{CompressedImage, FromCdr, Header, Image, ToCdr};
use ettrack_testing::messages::{jpeg, pixels};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn image_messages_of_any_size_give_a_frame_or_an_error(width in 0..40_u32, height in 0..40_u32, step in 0..200_u32, encoding in "(rgb8|bgra8|mono8|mono16|yuv422|yuv422_yuy2|nv12|nv21|bayer_rggb8|32FC1|)", length in 0..4000_usize, is_bigendian: bool) {
        let data = vec![128; length];
        let bytes = Image { header: Header::default(), height, width, encoding: &encoding, is_bigendian, step, data: &data }.to_cdr();
        if let Ok(frame) = Image::from_cdr(&bytes).unwrap().frame() {
            let mut rgb = Vec::new();
            frame.to_rgb8(&mut rgb);
            prop_assert_eq!(rgb.len(), (width * height * 3) as usize);
        }
    }

    #[test]
    fn decodes_pictures_under_any_format_name(format in "(bgr8; jpeg compressed bgr8|jpeg|png|bayer_rggb8; jpeg compressed |;|bayer_|)") {
        let file = jpeg(8, 8, &pixels(8, 8, 90, (2, 2), 3));
        let bytes = CompressedImage { header: Header::default(), format: &format, data: &file }.to_cdr();
        let mut image = ImageBuffer::empty();
        CompressedImage::from_cdr(&bytes).unwrap().decode_into(&mut image).unwrap();
        image.frame().unwrap();
    }
}

#[test]
fn restores_a_bayer_mosaic_that_was_compressed_as_grey() {
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(&[7; 64], 8, 8, ExtendedColorType::L8)
        .unwrap();
    let mut image = ImageBuffer::empty();
    for (format, name) in [
        ("bayer_grbg8; png compressed ", "bayer_grbg8"),
        ("mono8; png compressed mono8", "mono8"),
        ("png", "mono8"),
    ] {
        let message = CompressedImage {
            header: Header::default(),
            format,
            data: &file,
        };
        message.decode_into(&mut image).unwrap();
        assert_eq!(image.encoding.ros_name(), name, "{format}");
    }
}
