//! Compares the measures with numbers from outside of this crate. `tests/data/eval/make_metrics.py` computes them in numpy
//! and checks them against the got10k toolkit.
#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

use ettrack::geometry::BoundingBox;
use ettrack_eval::dataset::{Dataset, Sequence};
use ettrack_eval::metrics::{FrameErrors, Scores, frame_errors, total};
use serde_json::Value;

fn boxes(rows: &Value) -> Vec<BoundingBox> {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let at = |i: usize| row[i].as_f64().unwrap();
            BoundingBox::new(at(0), at(1), at(2), at(3))
        })
        .collect()
}

fn close(name: &str, ours: f64, expected: &Value) {
    let expected = expected[name].as_f64().unwrap();
    assert!(
        (ours - expected).abs() < 1e-12,
        "{name}: {ours}, expected {expected}"
    );
}

fn all_frames(dataset: &Dataset, data: &Value) -> Vec<FrameErrors> {
    let size = data["image_size"].as_array().unwrap();
    let size = (size[0].as_f64().unwrap(), size[1].as_f64().unwrap());
    let sequences = data["sequences"].as_array().unwrap();
    sequences
        .iter()
        .map(|one| {
            let truth = boxes(&one["truth"]);
            let cover = one["cover"].as_array().unwrap().iter();
            let sequence = Sequence {
                name: "s".to_owned(),
                frames: Vec::new(),
                first_box: truth[0],
                truth: Some(truth.into_iter().map(Some).collect()),
                visible: (dataset.name == "got10k")
                    .then(|| cover.map(|cover| cover.as_i64() != Some(0)).collect()),
                length: 0,
            };
            let guess = boxes(&one["guess"]);
            frame_errors(&dataset.protocol, &guess, &sequence, Some(size)).unwrap()
        })
        .collect()
}

fn data() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/eval/metrics.json")).unwrap()
}

#[test]
fn one_pass_evaluation_equals_the_reference_per_sequence_and_in_the_mean() {
    let data = data();
    let otb100 = Dataset::find("otb100").unwrap();
    let errors = all_frames(otb100, &data);
    let check = |scores: &Scores, expected: &Value| {
        close("success_auc", scores.success_auc, expected);
        close("precision_20", scores.precision_20, expected);
        close(
            "normalized_precision_20",
            scores.normalized_precision_20,
            expected,
        );
        close("sr_50", scores.sr_50, expected);
        close("sr_75", scores.sr_75, expected);
        close("ao", scores.ao, expected);
    };
    for (errors, expected) in errors.iter().zip(data["sequences"].as_array().unwrap()) {
        check(&Scores::of(errors), &expected["one_pass"]);
    }
    let errors: Vec<_> = errors.iter().collect();
    let (mean, _) = total(&otb100.protocol, &errors).unwrap();
    check(&mean, &data["one_pass_mean"]);
}

#[test]
fn got10k_equals_the_reference_over_all_frames() {
    let data = data();
    let got10k = Dataset::find("got10k").unwrap();
    let errors = all_frames(got10k, &data);
    let errors: Vec<_> = errors.iter().collect();
    let (pooled, _) = total(&got10k.protocol, &errors).unwrap();
    close("ao", pooled.ao, &data["got10k"]);
    close("sr_50", pooled.sr_50, &data["got10k"]);
    close("sr_75", pooled.sr_75, &data["got10k"]);
}
