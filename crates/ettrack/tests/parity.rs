//! The runtime against the authors' implementation: networks with pseudo-random weights, whose outputs and boxes were
//! recorded from the authors' code.
//!
//! Needs the model folders that `make parity` makes from those weights and names in `ETTRACK_PARITY_MODELS`. Without them
//! each test prints one line that says so.

use std::path::PathBuf;

use ettrack::geometry::BoundingBox;
use ettrack::model::ModelFolder;
use ettrack::tracker::TrackState;
use ettrack_testing::parity::{
    FedNetwork, Npz, crop_of, distance, follower, frame_of, largest_difference, model, picture,
};
use ndarray::{Array1, Array2, Array3, Array4};
use ndarray_npy::{ReadNpzError, ReadableElement};

/// The largest accepted difference between the floating-point results of two libraries.
const LOGITS: f32 = 2e-4;
const DISTANCES: f32 = 2e-3;
const PIXELS: f64 = 0.02;

fn data(name: &str) -> PathBuf {
    ettrack_testing::data("ettrack").join(name)
}

struct Goldens(Npz);

impl Goldens {
    fn open(name: &str) -> Self {
        Self(ettrack_testing::parity::goldens(&data(name)))
    }

    fn get<T: ReadableElement, D: ndarray::Dimension>(
        &mut self,
        name: &str,
    ) -> ndarray::Array<T, D> {
        self.find(name)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn find<T: ReadableElement, D: ndarray::Dimension>(
        &mut self,
        name: &str,
    ) -> Result<ndarray::Array<T, D>, ReadNpzError> {
        self.0.by_name(name)
    }
}

/// Frame `number`, counted from 1.
fn recorded_frame(number: usize) -> Array3<u8> {
    picture(&data(&format!("frames/{number:04}.png")))
}

fn network_equals(name: &str, prefix: &str) {
    let Some(folder) = model(name) else { return };
    let folder = ModelFolder::open(folder).expect("a model folder");
    let mut fed = FedNetwork::open(&folder);
    let mut goldens = Goldens::open("network.npz");
    fed.set_template(&goldens.get("z_crop"));
    for (index, size) in ["", "x288_"].into_iter().enumerate() {
        let search: Array3<u8> = goldens.get(&format!("{size}x_crop"));
        let scores: Array4<f32> = goldens.get(&format!("{prefix}{size}cls"));
        let distances: Array4<f32> = goldens.get(&format!("{prefix}{size}reg"));
        fed.network.select_size(index);
        fed.search(&search);
        let network = &fed.network;
        let score_error = largest_difference(network.output(0), &scores);
        let distance_error = largest_difference(network.output(1), &distances);
        println!(
            "{name} at {}: cls within {score_error:.1e} (gate {LOGITS:.0e}), reg within {distance_error:.1e} px (gate {DISTANCES:.0e})",
            network.search_size()
        );
        assert!(score_error <= LOGITS && distance_error <= DISTANCES);
    }
}

#[test]
fn et_track_network_equals_the_authors() {
    network_equals("et_track", "");
}

#[test]
fn lighttrack_network_equals_the_authors() {
    network_equals("lighttrack", "lighttrack_");
}

#[test]
fn et_track_follows_as_the_authors_do() {
    let Some(folder) = model("et_track") else {
        return;
    };
    let mut tracker = follower(&folder);
    let mut goldens = Goldens::open("tracker.npz");
    for run in ["seq_a", "seq_b"] {
        let boxes: Array2<f64> = goldens.get(&format!("{run}_bbox"));
        let cells: Array1<i64> = goldens.get(&format!("{run}_argmax"));
        let scores: Array1<f64> = goldens.get(&format!("{run}_score"));
        let target = boxes.row(0);
        let first = recorded_frame(1);
        tracker
            .initialize(
                &frame_of(&first),
                BoundingBox::new(target[0], target[1], target[2], target[3]),
            )
            .expect("a target");
        let expected: Array3<u8> = goldens.get(&format!("{run}_z_crop"));
        assert_eq!(
            crop_of(&tracker, &first, expected.dim().0),
            expected,
            "{run}: template crop"
        );

        let mut worst = 0.0_f64;
        for number in 2..=boxes.nrows() {
            let row = number - 1;
            let pixels = recorded_frame(number);
            let track = tracker.update(&frame_of(&pixels)).expect("a track");
            let seen = tracker.inspect();
            assert_eq!(
                seen.best,
                usize::try_from(cells[row]).ok(),
                "{run}, frame {number}: cell"
            );
            let found = tracker.as_authors_write(track.bounding_box);
            worst = worst.max(distance(&found, boxes.row(row)));
            assert!(
                worst <= PIXELS,
                "{run}, frame {number}: {found} against {}",
                boxes.row(row)
            );
            assert!(
                (f64::from(seen.evidence.score) - scores[row]).abs() <= 1e-4,
                "{run}, frame {number}: score"
            );
            assert_eq!(
                track.state,
                TrackState::Tracking,
                "without the target-lost logic nothing is lost"
            );
            if let Ok(expected) = goldens.find::<f32, ndarray::Ix4>(&format!("{run}_cls_f{number}"))
            {
                assert!(
                    largest_difference(&seen.outputs[0], &expected) <= LOGITS,
                    "{run}, frame {number}: cls"
                );
                let expected: Array4<f32> = goldens.get(&format!("{run}_reg_f{number}"));
                assert!(
                    largest_difference(&seen.outputs[1], &expected) <= DISTANCES,
                    "{run}, frame {number}: reg"
                );
                let crop = crop_of(&tracker, &pixels, seen.search_size);
                if let Ok(expected) =
                    goldens.find::<u8, ndarray::Ix3>(&format!("{run}_x_crop_f{number}"))
                {
                    assert_eq!(crop, expected, "{run}, frame {number}: crop");
                }
            }
        }
        println!(
            "et_track, {run}: {} frames, equal cells, boxes within {worst:.1e} px (gate {PIXELS})",
            boxes.nrows()
        );
    }
}
