//! What the parity tests share.

use std::path::{Path, PathBuf};

use ettrack::frame::{Encoding, Frame};
use ndarray::Array3;

const VARIABLE: &str = "ETTRACK_PARITY_MODELS";

/// The folder of a parity model, or nothing and a line that says so.
pub fn model(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(VARIABLE).map(|root| Path::new(&root).join(name));
    match folder {
        Some(folder) if folder.join("model.yaml").is_file() => Some(folder),
        Some(folder) => {
            println!(
                "parity of {name} was not checked: there is no {}; run `make parity`",
                folder.display()
            );
            None
        }
        None => {
            println!("parity of {name} was not checked: {VARIABLE} is not set; run `make parity`");
            None
        }
    }
}

/// Pixels (rows, columns, R G B) as a frame.
pub fn frame_of(pixels: &Array3<u8>) -> Frame<'_> {
    let (height, width, _) = pixels.dim();
    Frame::packed(
        pixels.as_slice().expect("standard layout"),
        width as u32,
        height as u32,
        Encoding::Rgb8,
    )
    .expect("it fits")
}

/// A picture of the repository.
pub fn picture(path: &Path) -> Array3<u8> {
    let image = image::open(path)
        .expect("the fixture is part of the repository")
        .into_rgb8();
    let (width, height) = image.dimensions();
    Array3::from_shape_vec((height as usize, width as usize, 3), image.into_raw())
        .expect("its size")
}
