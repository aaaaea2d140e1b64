//! Compares the tracking loops of NanoTrack and MixFormerV2 with their authors' code: the boxes of thirty frames. The trackers
//! are small ONNX files with pseudo-random weights. `ettrack_training.adopt` made model folders from them.

use std::path::PathBuf;

use ettrack::geometry::BoundingBox;
use ettrack::tracker::TrackState;
use ettrack_testing::parity::{Npz, distance, follower, frame_of, model, picture};
use ndarray::{Array1, Array2};

fn data(name: &str) -> PathBuf {
    ettrack_testing::data("family").join(name)
}

fn goldens(name: &str) -> Npz {
    ettrack_testing::parity::goldens(&data(&format!("{name}.npz")))
}

/// Tracks the recorded frames with the model `small_{name}`. Boxes must agree within `gate` pixels, scores within 0.001.
fn follows_as_the_authors_do(name: &str, gate: f64) {
    let model_name = format!("small_{name}");
    let Some(folder) = model(&model_name) else {
        return;
    };
    let mut tracker = follower(&folder);
    let mut npz = goldens(name);
    let boxes: Array2<f64> = npz.by_name("boxes").expect("boxes");
    let scores: Array1<f64> = npz.by_name("score_raw").expect("scores");
    let target: Array1<f64> = npz.by_name("init").expect("box");
    let target = BoundingBox::new(target[0], target[1], target[2], target[3]);
    let first = picture(&data("frames/0001.png"));
    tracker
        .initialize(&frame_of(&first), target)
        .expect("a target");
    let (mut worst, mut worst_score) = (0.0_f64, 0.0_f64);
    for row in 1..boxes.nrows() {
        let pixels = picture(&data(&format!("frames/{:04}.png", row + 1)));
        let track = tracker.update(&frame_of(&pixels)).expect("a track");
        assert_eq!(track.state, TrackState::Tracking);
        let score = f64::from(tracker.inspect().evidence.score);
        worst_score = worst_score.max((score - scores[row]).abs());
        assert!(
            worst_score <= 1e-3,
            "{name}, frame {row}: score {score} against {}",
            scores[row]
        );
        let found = tracker.as_authors_write(track.bounding_box);
        worst = worst.max(distance(&found, boxes.row(row)));
        assert!(
            worst <= gate,
            "{name}, frame {row}: {found} against {}, gate {gate}",
            boxes.row(row)
        );
    }
    println!(
        "{name}: {} frames, boxes within {worst:.1e} px (gate {gate}), scores within {worst_score:.1e}",
        boxes.nrows()
    );
}

#[test]
fn nanotrack_follows_as_the_authors_do() {
    follows_as_the_authors_do("nanotrack", 0.01);
}

/// The second template is refreshed every five frames. Some frames have too low a score.
#[test]
fn mixformer_follows_and_refreshes_its_template_as_the_authors_do() {
    follows_as_the_authors_do("mixformer", 0.01);
}
