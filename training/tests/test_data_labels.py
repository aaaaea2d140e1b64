"""Tests of label grids with cells worked out by hand."""

from __future__ import annotations

import pytest
import torch

from ettrack_training.data.labels import build_labels, centreness, grid_points, iou_of_distances
from ettrack_training.data.pairs import Kind

CENTRED = torch.tensor([[96.0, 80.0, 160.0, 176.0]])
POSITIVE = torch.tensor([Kind.POSITIVE])


def test_the_grid_has_its_centre_at_cell_eight() -> None:
    points = grid_points(256, 16)
    assert points.tolist() == [16.0 * i for i in range(16)]
    assert grid_points(288, 16)[9] == 144
    # This is the position in the trackers' loops, for odd numbers of cells, too.
    odd = grid_points(240, 16)
    assert len(odd) == 15
    assert odd[7] == 120


def test_the_plus_label_marks_five_cells_around_the_target() -> None:
    labels = build_labels(CENTRED, POSITIVE)
    positive = {tuple(cell) for cell in labels.score[0].nonzero().tolist()}
    assert positive == {(8, 8), (7, 8), (9, 8), (8, 7), (8, 9)}
    # The centre is 44 px to the right and 28 px up, 2.75 and 1.75 cells. Both are rounded towards the middle: 2 and 1.
    moved = CENTRED + torch.tensor([44.0, -28.0, 44.0, -28.0])
    # With radius 0 only its own cell is positive, so that an error of one cell would show.
    assert build_labels(moved, POSITIVE, radius=0).score[0].nonzero().tolist() == [[7, 10]]


def test_distances_count_inside_the_box_only() -> None:
    labels = build_labels(CENTRED, POSITIVE)
    assert labels.distances[0, :, 8, 8].tolist() == [32.0, 48.0, 32.0, 48.0]
    assert labels.distances[0, :, 8, 7].tolist() == [16.0, 48.0, 48.0, 48.0]
    # Columns 7..9 and rows 6..10 are strictly inside.
    assert labels.regression_weight[0].sum() == 3 * 5


@pytest.mark.parametrize("kind", [Kind.WRONG_TEMPLATE, Kind.ABSENT])
def test_negative_pairs_have_no_labels(kind: Kind) -> None:
    labels = build_labels(CENTRED, torch.tensor([kind]))
    assert labels.score.sum() == 0
    assert labels.regression_weight.sum() == 0


def test_centre_labels_mark_the_shrunk_box() -> None:
    labels = build_labels(CENTRED, POSITIVE, score="centre", centre_fraction=0.5)
    rows, columns = labels.score[0].nonzero().unbind(dim=1)
    assert set(columns.tolist()) == {7, 8, 9}
    assert set(rows.tolist()) == {7, 8, 9}
    soft = build_labels(CENTRED, POSITIVE, score="centreness")
    assert soft.score[0, 8, 8] == 1
    assert 0 < soft.score[0, 8, 7] < 1
    tiny = torch.tensor([[130.0, 130.0, 134.0, 134.0]])
    assert build_labels(tiny, POSITIVE, score="centre").score.sum() == 1
    with pytest.raises(ValueError, match="plus, centre or centreness"):
        build_labels(CENTRED, POSITIVE, score="round")


def test_iou_of_distances_compares_boxes_of_each_cell() -> None:
    target = build_labels(CENTRED, POSITIVE).distances
    assert iou_of_distances(target, target)[0, 8, 8] == 1
    assert iou_of_distances(target, target)[0, 0, 0] == 0
    half = target.clone()
    half[:, 0] = 0
    torch.testing.assert_close(iou_of_distances(half, target)[0, 8, 8], torch.tensor(0.5))
    torch.testing.assert_close(centreness(target)[0, 8, 8], torch.tensor(1.0))
