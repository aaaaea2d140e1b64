//! SMAT, CompressTracker, SparseTT, OSTrack, LiteTrack, AVTrack, SGLATrack, HiT, AsymTrack, MixFormerV2, STARK and
//! SUTrack against their authors' implementations, like `parity.rs`: networks with pseudo-random weights on recorded crops,
//! and the closed loop over thirty frames.

use std::path::PathBuf;

use ettrack::geometry::BoundingBox;
use ettrack::model::{Constants, ModelFolder};
use ettrack::tracker::TrackState;
use ettrack_testing::parity::{
    FedNetwork, Npz, crop_of, distance, follower_with, frame_of, largest_difference, model, picture,
};
use ndarray::{Array1, Array2, Array3, ArrayD, IxDyn, OwnedRepr, s};

fn data(name: &str) -> PathBuf {
    ettrack_testing::data("family").join(name)
}

fn goldens(name: &str) -> Npz {
    ettrack_testing::parity::goldens(&data(&format!("{name}.npz")))
}

/// A recorded crop as R, G, B. The channels of a tracker that reads B, G, R are reversed.
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

/// Runs the network of `name` on the recorded crops; `outputs` are the keys of the
/// recorded outputs, in the family's order, with the largest difference allowed.
fn network_equals(name: &str, outputs: &[(&str, f32)]) {
    let Some(folder) = model(name) else { return };
    let folder = ModelFolder::open(folder).expect("a model folder");
    let mut fed = FedNetwork::open(&folder);
    let mut npz = goldens(name);
    let cells = |npz: &mut Npz, name: &str| npz.by_name::<OwnedRepr<f32>, ndarray::Ix3>(name);
    for image in 0..fed.network.template_images() {
        // Where no second template is recorded, it is the first one.
        let is_recorded = npz.by_name::<OwnedRepr<u8>, ndarray::Ix3>("second_template_crop");
        let prefix = if image == 1 && is_recorded.is_ok() {
            "second_template"
        } else {
            "template"
        };
        fed.fill_template(image, &crop(&mut npz, &format!("{prefix}_crop")));
        let target = npz.by_name::<OwnedRepr<f32>, ndarray::Ix2>(&format!("{prefix}_box"));
        if let Ok(target) = target {
            let target = target.as_slice().expect("standard layout");
            let target = target.try_into().expect("four numbers");
            fed.network.fill_template_box(image, target);
        }
        if let Ok(cells) = cells(&mut npz, &format!("{prefix}_outside")) {
            let cells = cells.as_slice().expect("standard layout");
            fed.network
                .fill_template_outside(image, |input| input.copy_from_slice(cells));
        }
    }
    fed.run_template();
    if let Ok(cells) = cells(&mut npz, "search_outside") {
        let cells = cells.as_slice().expect("standard layout");
        fed.network
            .fill_search_outside(|input| input.copy_from_slice(cells));
    }
    fed.search(&crop(&mut npz, "search_crop"));
    for (index, (key, gate)) in outputs.iter().enumerate() {
        let expected: ArrayD<f32> = npz.by_name::<OwnedRepr<f32>, IxDyn>(key).expect("a map");
        let worst = largest_difference(fed.network.output(index), &expected);
        println!("{name}: {key} within {worst:.1e} (gate {gate:.0e})");
        assert!(worst <= *gate, "{name}: {key} differs by {worst}");
    }
}

fn centre_head_network_equals(name: &str) {
    network_equals(
        name,
        &[
            ("score_map", 1e-4),
            ("size_map", 1e-4),
            ("offset_map", 1e-4),
        ],
    );
}

/// The largest accepted differences from the authors' results, in the first step and in the whole run.
struct Gates {
    /// Pixels.
    boxes: [f64; 2],
    scores: [f64; 2],
}

/// Tracks the recorded frames: equal cells and crops, boxes and scores within `gates`.
fn follows_as_the_authors_do(name: &str, gates: &Gates) {
    follows_with(name, gates, Constants::default());
}

/// The same with other constants of the loop.
fn follows_with(name: &str, gates: &Gates, constants: Constants) {
    let Some(folder) = model(name) else { return };
    let mut tracker = follower_with(&folder, constants);
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
    let (mut worst, mut worst_score) = (0.0_f64, 0.0_f64);
    for row in 1..boxes.nrows() {
        let pixels = picture(&data(&format!("frames/{:04}.png", row + 1)));
        let track = tracker.update(&frame_of(&pixels)).expect("a track");
        let seen = tracker.inspect();
        assert_eq!(
            seen.best,
            usize::try_from(cells[row]).ok(),
            "{name}, frame {row}: cell"
        );
        let score = f64::from(seen.evidence.score);
        let [gate, score_gate] = [gates.boxes, gates.scores].map(|gates| gates[row.min(2) - 1]);
        worst_score = worst_score.max((score - scores[row]).abs());
        assert!(
            worst_score <= score_gate,
            "{name}, frame {row}: score {score} against {}, gate {score_gate}",
            scores[row]
        );
        assert_eq!(track.state, TrackState::Tracking, "{name}, frame {row}");
        assert!((0.0..=1.0).contains(&track.confidence));
        let found = tracker.as_authors_write(track.bounding_box);
        worst = worst.max(distance(&found, boxes.row(row)));
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
        "{name}: {} frames, equal cells, boxes within {worst:.1e} px (gate {}), scores within {worst_score:.1e} (gate {})",
        boxes.nrows(),
        gates.boxes[1],
        gates.scores[1]
    );
}

const CENTRE_HEAD: Gates = Gates {
    boxes: [1e-2; 2],
    scores: [1e-3; 2],
};

#[test]
fn smat_network_equals_the_authors() {
    centre_head_network_equals("smat");
}

#[test]
fn smat_follows_as_the_authors_do() {
    follows_as_the_authors_do("smat", &CENTRE_HEAD);
}

#[test]
fn compresstracker_network_equals_the_authors() {
    centre_head_network_equals("compresstracker");
}

#[test]
fn compresstracker_follows_as_the_authors_do() {
    follows_as_the_authors_do("compresstracker", &CENTRE_HEAD);
}

#[test]
fn sparsett_network_equals_the_authors() {
    network_equals("sparsett", &[("score", 1e-4), ("box", 1e-3)]);
}

#[test]
fn sparsett_follows_as_the_authors_do() {
    // With crops between pixels each rounding changes the next frame, and this network corrects no box. So one step has
    // a small tolerance, the whole run a large one.
    let gates = Gates {
        boxes: [1e-3, 0.1],
        scores: [1e-3, 5e-3],
    };
    follows_as_the_authors_do("sparsett", &gates);
}

#[test]
fn ostrack_network_equals_the_authors() {
    centre_head_network_equals("ostrack");
}

#[test]
fn ostrack_follows_as_the_authors_do() {
    follows_as_the_authors_do("ostrack", &CENTRE_HEAD);
}

#[test]
fn ostrack_without_elimination_follows_as_the_authors_do() {
    follows_as_the_authors_do("ostrack_all_tokens", &CENTRE_HEAD);
}

#[test]
fn litetrack_network_equals_the_authors() {
    centre_head_network_equals("litetrack");
}

#[test]
fn litetrack_follows_as_the_authors_do() {
    follows_as_the_authors_do("litetrack", &CENTRE_HEAD);
}

/// The frames lead to eight different sets of blocks that run.
#[test]
fn avtrack_network_equals_the_authors() {
    centre_head_network_equals("avtrack");
}

#[test]
fn avtrack_follows_as_the_authors_do() {
    follows_as_the_authors_do("avtrack", &CENTRE_HEAD);
}

/// The frames lead to two different last blocks.
#[test]
fn sglatrack_network_equals_the_authors() {
    centre_head_network_equals("sglatrack");
}

#[test]
fn sglatrack_follows_as_the_authors_do() {
    follows_as_the_authors_do("sglatrack", &CENTRE_HEAD);
}

#[test]
fn hit_network_equals_the_authors() {
    network_equals("hit", &[("box", 1e-4)]);
}

#[test]
fn hit_follows_as_the_authors_do() {
    follows_as_the_authors_do("hit", &CENTRE_HEAD);
}

#[test]
fn asymtrack_network_equals_the_authors() {
    network_equals("asymtrack", &[("box", 1e-4)]);
}

#[test]
fn asymtrack_follows_as_the_authors_do() {
    follows_as_the_authors_do("asymtrack", &CENTRE_HEAD);
}

#[test]
fn mixformer2_network_equals_the_authors() {
    network_equals("mixformer2", &[("box", 1e-4), ("score", 1e-4)]);
}

/// The second template is refreshed every five frames.
#[test]
fn mixformer2_follows_and_refreshes_its_template_as_the_authors_do() {
    let constants = Constants::from_iter([("update_interval", 5.0)]);
    follows_with("mixformer2", &CENTRE_HEAD, constants);
}

/// Some cells of both images lie outside the frame.
#[test]
fn stark_network_equals_the_authors() {
    network_equals("stark", &[("box", 1e-4)]);
}

/// Search regions cross the border from the third frame on.
#[test]
fn stark_follows_as_the_authors_do() {
    follows_as_the_authors_do("stark", &CENTRE_HEAD);
}

/// The second template is another one, and some cells of all three images lie outside the frame.
#[test]
fn stark_st_network_equals_the_authors() {
    network_equals("stark_st", &[("box", 1e-4), ("score", 1e-4)]);
}

/// The frames 5, 10 and 15 refresh the second template, with 0, 8 and 16 of its cells outside. The scores of the frames 20
/// and 25 are too low.
#[test]
fn stark_st_follows_and_refreshes_its_template_as_the_authors_do() {
    let constants = Constants::from_iter([("update_interval", 5.0)]);
    follows_with("stark_st", &CENTRE_HEAD, constants);
}

#[test]
fn sutrack_network_equals_the_authors() {
    centre_head_network_equals("sutrack");
}

#[test]
fn sutrack_follows_as_the_authors_do() {
    follows_as_the_authors_do("sutrack", &CENTRE_HEAD);
}

/// The second template is another one.
#[test]
fn sutrack_with_two_templates_network_equals_the_authors() {
    centre_head_network_equals("sutrack_b");
}

/// The frames 3, 6, 15 and 27 refresh the second template. The scores of five others after three frames are too low.
#[test]
fn sutrack_follows_and_refreshes_its_template_as_the_authors_do() {
    let constants = Constants::from_iter([("update_interval", 3.0), ("update_above", 0.25)]);
    follows_with("sutrack_b", &CENTRE_HEAD, constants);
}
