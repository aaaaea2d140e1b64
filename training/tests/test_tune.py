"""Cross-validated choice of constants."""

import argparse

import numpy as np
import pytest

from ettrack_training.tune import combinations, cross_validate, pair


def test_every_combination_is_tried():
    assert combinations({"a": ["1", "2"], "b": ["3"]}) == [{"a": "1", "b": "3"}, {"a": "2", "b": "3"}]


def test_a_lucky_row_wins_on_all_but_not_held_out():
    # Row 1 shines on one target alone: it is the best on all, and worth less on targets that did not choose it.
    scores = np.array([[0.5, 0.5, 0.5, 0.5], [1.0, 0.4, 0.4, 0.4]])
    best, held_out = cross_validate(scores, ["a", "b", "c", "d"], folds=4)
    assert best == 1
    assert held_out == pytest.approx((0.5 + 0.4 + 0.4 + 0.4) / 4)


def test_targets_of_one_video_stay_together():
    # If b-1 could be chosen for by b-2, row 1 would win there.
    scores = np.array([[0.5, 0.1, 0.1], [0.4, 0.9, 0.9]])
    _, held_out = cross_validate(scores, ["a", "b", "b"], folds=2)
    assert held_out == pytest.approx((0.4 + 0.1 + 0.1) / 3)


def test_pairs_need_both_sides():
    assert pair("penalty_k=0.1,0.2") == ("penalty_k", "0.1,0.2")
    with pytest.raises(argparse.ArgumentTypeError, match="penalty_k"):
        pair("penalty_k")
