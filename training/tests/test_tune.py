"""Tests of the cross-validated choice of constants."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from ettrack_training.train.evaluation import Benchmark, video_of
from ettrack_training.tune import auc_by_target, combinations, cross_validate, main, pair


def test_tries_every_combination():
    assert combinations({"a": ["1", "2"], "b": ["3"]}) == [{"a": "1", "b": "3"}, {"a": "2", "b": "3"}]


def test_a_lucky_row_is_best_on_all_targets_and_worse_on_held_out_ones():
    # Row 1 is good on one target only. It has the best mean, but is worse on targets that were not used to choose it.
    scores = np.array([[0.5, 0.5, 0.5, 0.5], [1.0, 0.4, 0.4, 0.4]])
    best, held_out = cross_validate(scores, ["a", "b", "c", "d"], folds=4)
    assert best == 1
    assert held_out == pytest.approx((0.5 + 0.4 + 0.4 + 0.4) / 4)


def test_targets_of_one_video_stay_together():
    # If one target of video b were used to choose for the other, row 1 would be chosen.
    scores = np.array([[0.5, 0.1, 0.1], [0.4, 0.9, 0.9]])
    _, held_out = cross_validate(scores, ["a", "b", "b"], folds=2)
    assert held_out == pytest.approx((0.4 + 0.1 + 0.1) / 3)


def test_only_otb_has_two_targets_of_one_video():
    assert video_of("Jogging-1") == video_of("Jogging-2") == "Jogging"
    names = ["airplane-1", "airplane-9", "GOT-10k_Val_000001", "GOT-10k_Val_000002", "Skating1", "bike-packing"]
    assert [video_of(name) for name in names] == names


def test_refuses_an_option_given_twice(capsys: pytest.CaptureFixture[str]):
    options = ["--model", "m", "--values", "penalty_k=0.1", "--dataset", "otb100=a", "--dataset", "otb100=b"]
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert "expected each --dataset once, got otb100, otb100" in capsys.readouterr().err


@pytest.mark.parametrize("folds", [-1, 0, 1, 3])
def test_refuses_a_wrong_number_of_folds(folds: int):
    with pytest.raises(ValueError, match=f"as many as there are videos, 2, got {folds}"):
        cross_validate(np.ones((2, 3)), ["a", "b", "b"], folds)


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """A replacement of the command line that reports the given constant as each target's success."""
    binary = tmp_path / "ettrack"
    binary.write_text(
        """#!/bin/sh
        for word; do
            case "$before" in
                --output) folder=$word;;
                --dataset) dataset=$word;;
                --evaluation) target=car-$word;;
            esac
            case "$word" in --set=penalty_k=*) value=${word#--set=penalty_k=};; esac
            before=$word
        done
        mkdir -p "$folder"
        printf '{"dataset": "%s", "mean": {"success_auc": %s}, "sequences": {"%s": {"success_auc": %s}}}' \
            "$dataset" "$value" "$target" "$value" > "$folder/summary.json"
        """
    )
    binary.chmod(0o755)
    return binary


def test_passes_constants_to_the_runtime_and_separates_targets_of_equal_names(binary: Path, tmp_path: Path):
    benchmarks = [Benchmark("otb100", tmp_path), Benchmark("uav123", tmp_path, evaluation="sre")]
    aucs = auc_by_target(binary, tmp_path, benchmarks, tmp_path / "out", {"penalty_k": "0.25"})
    assert aucs == {("otb100", "car-ope"): 0.25, ("uav123", "car-sre"): 0.25}


def test_refuses_too_many_folds_after_one_combination(binary: Path, tmp_path: Path):
    words = ["--model", str(tmp_path), "--binary", str(binary), "--output", str(tmp_path / "out"), "--folds", "2"]
    words += ["--dataset", f"otb100={tmp_path}", "--dataset", f"uav123={tmp_path}", "--values", "penalty_k=0.1,0.2"]
    with pytest.raises(SystemExit, match="as many as there are videos, 1, got 2"):
        main(words)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["penalty_k=0.1"]


def test_refuses_an_option_without_values():
    assert pair("penalty_k=0.1,0.2") == ("penalty_k", "0.1,0.2")
    with pytest.raises(argparse.ArgumentTypeError, match="penalty_k"):
        pair("penalty_k")
