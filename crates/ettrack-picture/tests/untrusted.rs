//! Damaged picture files: the decoder gives pixels or an error and never panics.
#![allow(clippy::unwrap_used)] // helpers of tests count as plain functions for the lint

use ettrack::frame::ImageBuffer;
use ettrack_testing::messages::{jpeg, pixels};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn answers_damaged_pictures_without_a_panic(kind in 0..3_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), any in prop::collection::vec(any::<u8>(), 0..200)) {
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
        if ettrack_picture::decode_into(&file, &mut image).is_ok() {
            image.frame().unwrap();
        }
    }
}
