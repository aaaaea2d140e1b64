"""Tests of corrected labels near look-alikes."""

from __future__ import annotations

import torch

from ettrack_training.distil.correction import corrected, other_cells
from ettrack_training.distil.layers import other_loss
from ettrack_training.distil.losses import decode

TARGET = torch.tensor([[80.0, 80.0, 144.0, 144.0]])
BESIDE = torch.tensor([[[128.0, 80.0, 192.0, 144.0], [0.0, 0.0, 0.0, 0.0]]])


def maps_of_both() -> tuple[torch.Tensor, torch.Tensor]:
    """A teacher with high scores in all cells and one box over the target and the object beside it."""
    points = torch.arange(14) * 16.0
    x, y = points.view(1, 14).expand(14, 14), points.view(14, 1).expand(14, 14)
    distances = torch.stack([x - 80, y - 80, 192 - x, 144 - y]).clamp_min(0.1)
    return torch.full((1, 1, 14, 14), 3.0), distances[None]


def test_cells_of_a_lookalike_lie_inside_its_box() -> None:
    cells = other_cells(TARGET, BESIDE, 14)[0]
    rows, columns = cells.nonzero().unbind(1)
    # Cell 8 is at 128, at the edge of the box, where the background may show.
    assert sorted(set(columns.tolist())) == [9, 10, 11]
    assert sorted(set(rows.tolist())) == [6, 7, 8]
    # The inner part of the target is never a look-alike's cell, even if it is covered.
    over = other_cells(TARGET, TARGET[:, None], 14)[0]
    assert not over[7, 7]
    assert over.any()
    assert not other_cells(TARGET, torch.zeros(1, 2, 4), 14).any()


def test_lowers_scores_of_a_lookalike_and_keeps_the_targets_box() -> None:
    others = other_cells(TARGET, BESIDE, 14)
    cls, reg = corrected(maps_of_both(), TARGET, torch.tensor([True]), True, others)
    assert (cls[0, 0][others[0]] == -5).all()
    assert cls[0, 0, 7, 7] == 3
    boxes = decode(reg)[0]
    # All cells of the target's box, not only the inner ones, have the true distances.
    for row, column in ((7, 7), (6, 6), (8, 8)):
        torch.testing.assert_close(boxes[:, row, column], TARGET[0])
    # Without look-alikes the outer cells keep the teacher's distances.
    none = other_cells(TARGET, torch.zeros(1, 2, 4), 14)
    _, reg = corrected(maps_of_both(), TARGET, torch.tensor([True]), True, none)
    assert decode(reg)[0, 2, 6, 6] == 192


def test_the_loss_on_lookalikes_counts_only_their_worst_cells() -> None:
    others = torch.zeros(2, 14, 14, dtype=torch.bool)
    others[0, 3, 3:9] = True
    cls = torch.full((2, 1, 14, 14), 9.0)
    cls[0, 0, 3, 3:9] = -20
    assert other_loss(cls, others) < 1e-6
    cls[0, 0, 3, 3:7] = 0
    torch.testing.assert_close(other_loss(cls, others), torch.tensor(0.6931), atol=1e-3, rtol=0)
    # A pair without such cells does not change the mean. Without any such cell the loss is 0.
    assert other_loss(cls[1:], others[1:]) == 0
