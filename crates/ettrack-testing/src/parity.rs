//! Helpers of the parity tests.

use std::path::{Path, PathBuf};

use ettrack::crop::{Cropper, Normalization, Padding, SearchWindow};
use ettrack::families::family_of;
use ettrack::frame::{Encoding, Frame};
use ettrack::geometry::BoundingBox;
use ettrack::model::provider::Provider;
use ettrack::model::{Constants, ModelFolder, Network, NetworkOptions};
use ettrack::tracker::{LostMode, Tracker, TrackerOptions};
use ndarray::{Array, Array3, ArrayView1, Dimension};
use ndarray_npy::NpzReader;

pub type Npz = NpzReader<std::fs::File>;

const VARIABLE: &str = "ETTRACK_PARITY_MODELS";

/// The provider that runs the networks; `cpu` if it is not set.
const PROVIDER: &str = "ETTRACK_PARITY_PROVIDER";

fn provider() -> Provider {
    std::env::var(PROVIDER).map_or(Provider::Cpu, |name| {
        name.parse()
            .unwrap_or_else(|error| panic!("{PROVIDER}: {error}"))
    })
}

/// Returns the folder of a parity model. If there are no such models, prints the reason and returns `None`.
pub fn model(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os(VARIABLE) else {
        crate::not_run(
            &format!("parity of {name}"),
            &format!("{VARIABLE} is not set; run `make parity`"),
        );
        return None;
    };
    let folder = Path::new(&root).join(name);
    assert!(
        folder.join("model.yaml").is_file(),
        "{VARIABLE} names a folder without {name}; run `make parity`"
    );
    Some(folder)
}

/// Returns pixels (rows, columns, R G B) as a frame.
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

/// Reads a picture of the repository.
pub fn picture(path: &Path) -> Array3<u8> {
    let image = image::open(path)
        .expect("the fixture is part of the repository")
        .into_rgb8();
    let (width, height) = image.dimensions();
    Array3::from_shape_vec((height as usize, width as usize, 3), image.into_raw())
        .expect("its size")
}

/// Opens a file of recorded arrays.
pub fn goldens(path: &Path) -> Npz {
    let file = std::fs::File::open(path).expect("the fixture is part of the repository");
    NpzReader::new(file).expect("an npz file")
}

/// A network whose input pictures already have the network's input sizes.
pub struct FedNetwork {
    pub network: Network,
    cropper: Cropper,
    normalization: Normalization,
}

impl FedNetwork {
    /// Opens the network with the outputs that the model's family reads.
    pub fn open(folder: &ModelFolder) -> Self {
        let options = NetworkOptions {
            threads: 1,
            provider: provider(),
            ..NetworkOptions::default()
        };
        let family = family_of(folder).expect("a known family");
        let input = &folder.manifest.input;
        Self {
            network: Network::open(folder, &options, |size| {
                let outputs = family.outputs(&folder.manifest, size);
                Ok(outputs.expect("the outputs of its family"))
            })
            .expect("a model that fits its manifest"),
            cropper: Cropper::new(),
            normalization: Normalization::new(false, input.scale, input.mean, input.std),
        }
    }

    /// Makes a picture template image `image`, from the next [`Self::run_template`] on.
    pub fn fill_template(&mut self, image: usize, pixels: &Array3<u8>) {
        let (cropper, normalization) = (&mut self.cropper, &self.normalization);
        self.network.fill_template(image, |tensor| {
            whole(cropper, normalization, pixels, tensor);
        });
    }

    pub fn run_template(&mut self) {
        self.network.run_template().expect("it runs");
    }

    /// Makes a picture the template, and also the second template if there is one.
    pub fn set_template(&mut self, pixels: &Array3<u8>) {
        for image in 0..self.network.template_images() {
            self.fill_template(image, pixels);
        }
        self.run_template();
    }

    pub fn search(&mut self, pixels: &Array3<u8>) {
        let (cropper, normalization) = (&mut self.cropper, &self.normalization);
        self.network
            .fill_search(|tensor| whole(cropper, normalization, pixels, tensor));
        self.network.infer().expect("it runs");
    }
}

/// Writes a whole picture into a tensor, normalised.
fn whole(
    cropper: &mut Cropper,
    normalization: &Normalization,
    pixels: &Array3<u8>,
    tensor: &mut [f32],
) {
    let side = pixels.dim().0;
    let window = SearchWindow {
        x: 0,
        y: 0,
        side: side as u32,
    };
    let padding = Padding::new([0; 3]);
    cropper.crop_tensor(
        &frame_of(pixels),
        window,
        &padding,
        side,
        normalization,
        tensor,
    );
}

/// Opens a tracker without the lost state, which runs exactly the authors' loop.
pub fn follower(folder: &Path) -> Tracker {
    follower_with(folder, Constants::default())
}

/// Opens the same tracker with other `constants` of the loop.
pub fn follower_with(folder: &Path, constants: Constants) -> Tracker {
    let options = TrackerOptions::default()
        .with_threads(1)
        .with_provider(provider())
        .with_lost(LostMode::Off)
        .with_overrides(constants);
    Tracker::open(folder, &options).expect("a model that fits its manifest")
}

/// Returns the pixels of the tracker's last search region, as they go into the tensor.
pub fn crop_of(tracker: &Tracker, pixels: &Array3<u8>, size: usize) -> Array3<u8> {
    let seen = tracker.inspect();
    let mut crop = Array3::zeros((size, size, 3));
    Cropper::new().crop_rgb8(
        &frame_of(pixels),
        seen.view,
        &seen.padding,
        size,
        crop.as_slice_mut().expect("standard layout"),
    );
    crop
}

/// Returns the largest difference between two lists of the same length.
pub fn largest_difference<D: Dimension>(ours: &[f32], theirs: &Array<f32, D>) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter()
        .zip(theirs)
        .fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}

/// Returns the largest difference between a box and a recorded x, y, width, height, pixels.
pub fn distance(ours: &BoundingBox, theirs: ArrayView1<'_, f64>) -> f64 {
    [ours.x, ours.y, ours.width, ours.height]
        .iter()
        .zip(theirs)
        .fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}
