"""Tests of fitting the weights of the confidence."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from ettrack_training import fit_evidence
from ettrack_training.fit_evidence import evidence, fit, fitter, held_out, read, roc_auc, smoothed

HEADER = "sequence,edit,frame,sight,overlap,state,confidence,score,noise\n"


def recording(path: Path, sequences: dict[str, float], seed: int = 0) -> Path:
    """Writes frames whose score tells whether the target is in the box. Each sequence has its own mean score."""
    chance = np.random.default_rng(seed)
    lines = [HEADER]
    for name, level in sequences.items():
        for frame in range(1, 61):
            absent = 20 <= frame < 35
            sight = "absent" if absent else "partly" if frame < 25 and frame > 14 else "present"
            overlap = 0.1 if absent or frame > 50 else 0.8
            score = level + (2.0 if overlap > 0.3 else -2.0) + chance.normal(0, 0.5)
            lines.append(f"{name},cut,{frame},{sight},{overlap},tracking,0.5,{score:.4f},{chance.normal():.4f}\n")
    path.write_text("".join(lines))
    return path


def test_newton_finds_the_weights_that_made_the_labels():
    chance = np.random.default_rng(1)
    features = chance.normal(3.0, 2.0, (20_000, 2))
    wanted = np.array([-2.0, 1.5, -0.5])
    labels = chance.random(len(features)) < evidence(wanted, features)
    found = fit(features, labels.astype(float), np.full(len(features), 1 / len(features)), 1e-9)
    assert found == pytest.approx(wanted, abs=0.15)


def test_a_constant_feature_gets_weight_zero_and_a_penalty_shrinks_weights():
    features = np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [3.0, 7.0]])
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    weights = np.full(4, 0.25)
    loose, tight = fit(features, labels, weights, 0.01), fit(features, labels, weights, 1.0)
    assert loose[2] == 0.0
    assert 0 < tight[1] < loose[1]


def test_the_area_under_the_curve_equals_the_value_by_hand():
    assert roc_auc(np.array([0.4, 0.8, 0.3, 0.6]), np.array([True, True, False, False])) == 0.75
    assert roc_auc(np.array([0.5, 0.5]), np.array([True, False])) == 0.5


def test_smoothing_starts_again_with_each_run():
    values = smoothed(np.array([1.0, 0.0, 0.0]), np.array([0, 0, 1]), 0.6)
    assert values == pytest.approx([1.0, 0.4, 0.0])


def test_a_target_beside_the_box_does_not_count_as_in_it(tmp_path: Path):
    table = read([recording(tmp_path / "a.csv", {"Jogging-1": 0.0, "Jogging-2": 0.0, "Deer": 1.0})])
    assert table.names == ("score", "noise")
    assert set(table.video) == {"Jogging", "Deer"}
    assert len(np.unique(table.run)) == 3
    first = table.run == table.run[0]
    assert table.in_box[first].sum() == 60 - 15 - 5 - 10
    assert table.present[first].sum() == 60 - 15 - 5
    assert (~table.counts[first]).sum() == 5


def test_a_video_is_judged_by_weights_fitted_on_the_others(tmp_path: Path):
    # In one of two videos the score has the opposite meaning, so the weights of each are wrong for the other. Weights
    # fitted on both would be right for one of them.
    table = read([recording(tmp_path / "a.csv", {"a": 0.0, "b": 0.0})])
    odd = table.video == "b"
    table.features[odd, 0] *= -1
    values = held_out(table, fitter(table, [], 0.01))
    assert roc_auc(values[~odd], table.in_box[~odd]) < 0.1
    assert roc_auc(values[odd], table.in_box[odd]) < 0.1


def test_the_printed_block_fits_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = [recording(tmp_path / f"{name}.csv", {name: level}) for name, level in (("a", 0.0), ("b", 0.5))]
    fit_evidence.main([*map(str, files), "--without", "noise"])
    weights = yaml.safe_load(capsys.readouterr().out)["lost"]["weights"]
    assert list(weights) == ["bias", "score", "noise"]
    assert weights["score"] > 0
    assert weights["noise"] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a,b\n1,2\n", "expected the columns"), (HEADER, "no frames")],
)
def test_refuses_other_files(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(SystemExit, match=expected):
        fit_evidence.main([str(path)])
