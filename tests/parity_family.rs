//! SMAT, CompressTracker and SparseTT against their authors' implementations, like `parity.rs`: networks with
//! pseudo-random weights on recorded crops, and the closed loop over thirty frames.

mod common;

use std::path::{Path, PathBuf};

use common::{frame_of, model, picture};
use ettrack::crop::{Cropper, Normalization, Padding, SearchWindow};
use ettrack::geometry::BoundingBox;
use ettrack::model::network::WantedOutput;
use ettrack::model::{ModelFolder, Network, NetworkOptions};
use ettrack::tracker::{LostMode, SingleObjectTracker, TrackState, Tracker, TrackerOptions};
use ndarray::{Array1, Array2, Array3, ArrayD, IxDyn, OwnedRepr, s};
use ndarray_npy::NpzReader;

type Npz = NpzReader<std::fs::File>;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/family")
        .join(name)
}

fn goldens(name: &str) -> Npz {
    let file = std::fs::File::open(data(&format!("{name}.npz")))
        .expect("the fixture is part of the repository");
    NpzReader::new(file).expect("an npz file")
}

/// A recorded crop as R, G, B; that of a tracker that reads B, G, R is turned round.
fn crop(npz: &mut Npz, name: &str) -> Array3<u8> {
    if let Ok(pixels) = npz.by_name::<OwnedRepr<u8>, ndarray::Ix3>(name) {
        return pixels;
    }
    let pixels: Array3<u8> = npz.by_name(&format!("{name}_bgr")).expect("the crop");
    pixels
        .slice(s![.., .., ..;-1])
        .as_standard_layout()
        .to_owned()
}

/// Runs the network of `name` on the recorded crops; `outputs` are golden key, tensor name, shape and gate.
fn network_equals(name: &str, outputs: &[(&str, WantedOutput<'_>, f32)]) {
    let Some(folder) = model(name) else { return };
    let folder = ModelFolder::open(folder).expect("a model folder");
    let wanted: Vec<_> = outputs.iter().map(|(_, wanted, _)| *wanted).collect();
    let options = NetworkOptions {
        threads: 1,
        ..NetworkOptions::default()
    };
    let mut network =
        Network::open(&folder, &wanted, &options).expect("a model that fits its manifest");
    let input = &folder.manifest.input;
    let normalization = Normalization::new(false, input.scale, input.mean, input.std);
    let mut npz = goldens(name);
    let mut cropper = Cropper::new();
    let mut copy = |pixels: &Array3<u8>, tensor: &mut [f32]| {
        let side = pixels.dim().0;
        let whole = SearchWindow {
            x: 0,
            y: 0,
            side: side as u32,
        };
        let padding = Padding::new([0; 3]);
        cropper.crop_tensor(
            &frame_of(pixels),
            whole,
            &padding,
            side,
            &normalization,
            tensor,
        );
    };
    let template = crop(&mut npz, "template_crop");
    network
        .set_template(|tensor| copy(&template, tensor))
        .expect("it runs");
    let search = crop(&mut npz, "search_crop");
    network.fill_search(|tensor| copy(&search, tensor));
    network.infer().expect("it runs");
    for (index, (key, _, gate)) in outputs.iter().enumerate() {
        let expected: ArrayD<f32> = npz.by_name::<OwnedRepr<f32>, IxDyn>(key).expect("a map");
        let worst = network
            .output(index)
            .iter()
            .zip(&expected)
            .fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        println!("{name}: {key} within {worst:.1e} (gate {gate:.0e})");
        assert_eq!(network.output(index).len(), expected.len());
        assert!(worst <= *gate, "{name}: {key} differs by {worst}");
    }
}

fn centre_head_network_equals(name: &str) {
    let plane = |name, shape| WantedOutput { name, shape };
    network_equals(
        name,
        &[
            ("score_map", plane("score", |n| vec![1, 1, n, n]), 1e-4),
            ("size_map", plane("size", |n| vec![1, 2, n, n]), 1e-4),
            ("offset_map", plane("offset", |n| vec![1, 2, n, n]), 1e-4),
        ],
    );
}

/// Tracks the recorded frames: equal cells and crops, boxes within `gate` pixels, the first one within `first_gate`.
fn follows_as_the_authors_do(name: &str, first_gate: f64, gate: f64) {
    let Some(folder) = model(name) else { return };
    let options = TrackerOptions {
        threads: 1,
        lost: LostMode::Off,
        ..TrackerOptions::default()
    };
    let mut tracker = Tracker::open(folder, &options).expect("a model that fits its manifest");
    let mut npz = goldens(name);
    let boxes: Array2<f64> = npz.by_name("boxes").expect("boxes");
    let cells: Array1<i64> = npz.by_name("argmax").expect("cells");
    let scores: Array1<f64> = npz.by_name("score_raw").expect("scores");
    let target: Array1<f64> = npz.by_name("init").expect("box");
    let target = BoundingBox::new(target[0], target[1], target[2], target[3]);
    let first = picture(&data("frames/0001.png"));
    tracker
        .initialize(&frame_of(&first), target)
        .expect("a target");
    assert_eq!(
        crop_of(&tracker, &first, tracker.manifest().template.size),
        crop(&mut npz, "template_crop"),
        "{name}: template crop"
    );
    let mut worst = 0.0_f64;
    for row in 1..boxes.nrows() {
        let pixels = picture(&data(&format!("frames/{:04}.png", row + 1)));
        let track = tracker.update(&frame_of(&pixels)).expect("a track");
        let seen = tracker.inspect();
        assert_eq!(
            seen.best,
            usize::try_from(cells[row]).ok(),
            "{name}, frame {row}: cell"
        );
        assert!(
            (f64::from(seen.evidence.score) - scores[row]).abs() <= 1e-3,
            "{name}, frame {row}: score"
        );
        assert_eq!(track.state, TrackState::Tracking);
        assert!((0.0..=1.0).contains(&track.confidence));
        let found = track.bounding_box;
        for (ours, theirs) in [found.x, found.y, found.width, found.height]
            .iter()
            .zip(boxes.row(row))
        {
            worst = worst.max((ours - theirs).abs());
        }
        let gate = if row == 1 { first_gate } else { gate };
        assert!(
            worst <= gate,
            "{name}, frame {row}: {found} against {}, gate {gate}",
            boxes.row(row)
        );
        if row == 1 {
            assert_eq!(
                crop_of(&tracker, &pixels, seen.search_size),
                crop(&mut npz, "search_crop"),
                "{name}: search crop"
            );
        }
    }
    println!(
        "{name}: {} frames, equal cells, boxes within {worst:.1e} px (gate {gate})",
        boxes.nrows()
    );
}

/// What the tracker's last view shows, as the pixels that go into the tensor.
fn crop_of(tracker: &Tracker, pixels: &Array3<u8>, size: usize) -> Array3<u8> {
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

#[test]
fn smat_network_equals_the_authors() {
    centre_head_network_equals("smat");
}

#[test]
fn smat_follows_as_the_authors_do() {
    follows_as_the_authors_do("smat", 1e-2, 1e-2);
}

#[test]
fn compresstracker_network_equals_the_authors() {
    centre_head_network_equals("compresstracker");
}

#[test]
fn compresstracker_follows_as_the_authors_do() {
    follows_as_the_authors_do("compresstracker", 1e-2, 1e-2);
}

#[test]
fn sparsett_network_equals_the_authors() {
    let rows = |name, shape| WantedOutput { name, shape };
    network_equals(
        "sparsett",
        &[
            ("score", rows("score", |n| vec![1, n * n, 1]), 1e-4),
            ("box", rows("box", |n| vec![1, n * n, 4]), 1e-3),
        ],
    );
}

#[test]
fn sparsett_follows_as_the_authors_do() {
    // Crops between pixels carry each rounding into the next frame, and this network pulls no box back: one step is
    // held tightly, the whole run loosely.
    follows_as_the_authors_do("sparsett", 1e-3, 0.1);
}
