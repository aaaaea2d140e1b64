//! Text and pictures from anywhere: an answer or an error, never a panic. `fuzz/` does the same for longer.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

mod support;

use std::path::Path;

use ettrack::frame::ImageBuffer;
use ettrack::message::{CompressedImage, FromCdr, Header, Image, ToCdr};
use ettrack::model::Manifest;
use ettrack::node::overrides::Overrides;
use ettrack::node::parameters::Parameters;
use ettrack::picture;
use proptest::prelude::*;
use support::*;

const MANIFEST: &str = include_str!("data/micro_model/model.yaml");
const PARAMETERS: &str = include_str!("../config/tracker.yaml");

/// Pieces of text that mean something in YAML, and others.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~\n]{0,6}",
        "(-1|0|1e9|[.]nan|[.]inf|99999999999999999999|null|~|!!binary|&a|[*]a|<<)"
    ]
}

/// Puts pieces over parts of `base`.
fn changed(base: &'static str) -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..12_usize, piece());
    prop::collection::vec(change, 1..5).prop_map(move |changes| {
        let mut text = base.as_bytes().to_vec();
        for (position, length, piece) in changes {
            let start = position.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.bytes());
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn manifests(text in changed(MANIFEST), any in "[ -~\n]{0,200}") {
        let _ = Manifest::parse(&text, Path::new("model.yaml"));
        prop_assert!(Manifest::parse(&any, Path::new("model.yaml")).is_err());
    }

    #[test]
    fn parameter_files(text in changed(PARAMETERS), any in "[ -~\n]{0,200}") {
        for text in [text, any] {
            let mut parameters = Parameters::default();
            let overrides = Overrides::from_text(&text);
            match overrides.and_then(|read| read.apply(&mut parameters, "/robot/tracker")) {
                Ok(_) => prop_assert!((1.0..=8.0).contains(&parameters.search_scale)),
                Err(_) => prop_assert_eq!(parameters, Parameters::default()),
            }
        }
    }

    #[test]
    fn pictures(kind in 0..3_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), any in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut file = match kind {
            0 => jpeg(24, 16, &pixels(24, 16, 90, (2, 2), 7)),
            1 => b"P6\n3 2\n255\n0123456789abcdefgh".to_vec(),
            _ => any,
        };
        for (position, value) in changes {
            if !file.is_empty() {
                let at = position.index(file.len());
                file[at] = value;
            }
        }
        let mut image = ImageBuffer::empty();
        if picture::decode_into(&file, &mut image).is_ok() {
            image.frame().unwrap();
        }
    }

    #[test]
    fn image_messages(width in 0..40_u32, height in 0..40_u32, step in 0..200_u32, encoding in "(rgb8|bgra8|mono8|mono16|yuv422|yuv422_yuy2|nv12|nv21|bayer_rggb8|32FC1|)", length in 0..4000_usize, is_bigendian: bool) {
        let data = vec![128; length];
        let bytes = Image { header: Header::default(), height, width, encoding: &encoding, is_bigendian, step, data: &data }.to_cdr();
        if let Ok(frame) = Image::from_cdr(&bytes).unwrap().frame() {
            let mut rgb = Vec::new();
            frame.to_rgb8(&mut rgb);
            prop_assert_eq!(rgb.len(), (width * height * 3) as usize);
        }
    }

    #[test]
    fn compressed_formats(format in "(bgr8; jpeg compressed bgr8|jpeg|png|bayer_rggb8; jpeg compressed |;|bayer_|)") {
        let file = jpeg(8, 8, &pixels(8, 8, 90, (2, 2), 3));
        let bytes = CompressedImage { header: Header::default(), format: &format, data: &file }.to_cdr();
        let mut image = ImageBuffer::empty();
        CompressedImage::from_cdr(&bytes).unwrap().decode_into(&mut image).unwrap();
        image.frame().unwrap();
    }
}

#[test]
fn a_mosaic_that_was_compressed_as_grey_is_a_mosaic_again() {
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
