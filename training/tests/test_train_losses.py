"""Tests of losses with numbers worked out by hand, on grids of few cells."""

from __future__ import annotations

import math

import pytest
import torch

from ettrack_training.distil.losses import WEIGHTS, decode, head_loss, overlap, target_cells
from ettrack_training.train.losses import (
    balanced_bce,
    hardest_negatives,
    log_iou,
    objective,
    part_names,
    supervised,
)
from ettrack_training.train.recipe import Labels, Loss

LN2 = math.log(2)


def test_balanced_cross_entropy_weighs_both_kinds_of_cells_the_same() -> None:
    logits = torch.zeros(1, 4, 4)
    labels = torch.zeros(1, 4, 4)
    labels[0, 1, 1] = 1
    # ln 2 per cell: half for one positive cell, half for fifteen negative ones.
    torch.testing.assert_close(balanced_bce(logits, labels), torch.tensor(LN2))
    logits[0, 1, 1] = -math.log(3)  # probability 1/4, so ln 4 there
    torch.testing.assert_close(balanced_bce(logits, labels), torch.tensor(0.5 * math.log(4) + 0.5 * LN2))
    # Without a target only the half of the other cells remains.
    torch.testing.assert_close(balanced_bce(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)), torch.tensor(0.5 * LN2))


def test_the_hardest_negatives_leave_out_targets_and_easy_cells() -> None:
    logits = torch.full((1, 2, 2), -20.0)
    logits[0, 0, 0], logits[0, 0, 1] = 5.0, math.log(3)  # the target; a distractor of probability 3/4
    labels = torch.zeros(1, 2, 2)
    labels[0, 0, 0] = 1
    torch.testing.assert_close(hardest_negatives(logits, labels, 1), torch.tensor(math.log(4)))
    torch.testing.assert_close(hardest_negatives(logits, labels, 2), torch.tensor(math.log(4) / 2))


def test_log_iou_equals_values_computed_by_hand() -> None:
    truth = torch.full((1, 4, 1, 1), 10.0)  # 20 x 20
    weight = torch.ones(1, 1, 1)
    assert log_iou(truth, truth, weight) == 0
    half = truth.clone()
    half[:, 0] = 0  # 10 x 20: I = 200, U = 400
    torch.testing.assert_close(log_iou(half, truth, weight), torch.tensor(math.log(401 / 201)))
    assert log_iou(half, truth, torch.zeros(1, 1, 1)) == 0


def test_overlap_of_decoded_boxes_equals_values_by_hand() -> None:
    distances = torch.tensor([8.0, 8.0, 24.0, 24.0]).view(1, 4, 1, 1).expand(1, 4, 2, 2)
    corners = decode(distances)
    assert corners[0, :, 1, 1].tolist() == [8.0, 8.0, 40.0, 40.0]
    iou, giou = overlap(corners, torch.tensor([[8.0, 8.0, 40.0, 72.0]]))
    torch.testing.assert_close(iou[0, 1, 1], torch.tensor(0.5))
    torch.testing.assert_close(giou[0, 1, 1], torch.tensor(0.5))
    far = torch.tensor([[72.0, 8.0, 104.0, 40.0]])  # the same size, 32 px to the right
    iou, giou = overlap(corners, far)
    assert iou[0, 1, 1] == 0
    # The hull is 96 x 32 and the union 2 * 32 * 32, so a third of the hull is empty.
    torch.testing.assert_close(giou[0, 1, 1], torch.tensor(-1 / 3))


def test_target_cells_are_an_inner_ellipse_and_a_ring() -> None:
    inner, ring = target_cells(torch.tensor([[64.0, 96.0, 192.0, 160.0]]), 16)
    # The centre (128, 128) is cell (8, 8). The half axes of the ellipse are 32 and 16 px, without the border.
    assert {tuple(c) for c in inner[0].nonzero().tolist()} == {(8, 7), (8, 8), (8, 9)}
    # The rest of the box is columns 5..11, rows 7..9, without the border.
    assert ring[0].sum() == 7 * 3 - 3
    assert not (inner & ring).any()
    tiny, _ = target_cells(torch.tensor([[33.0, 33.0, 37.0, 37.0]]), 16)
    assert tiny[0].nonzero().tolist() == [[2, 2]]


def _batch(present: bool) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[96.0, 96.0, 160.0, 160.0]]), torch.tensor([present])


def test_supervision_gives_the_parts_that_have_a_weight() -> None:
    box, present = _batch(True)
    cls, reg = torch.zeros(1, 1, 16, 16), torch.full((1, 4, 16, 16), 32.0)
    parts = supervised(cls, reg, box, present, Labels(), Loss(hard=0.5))
    assert list(parts) == ["cls", "iou", "hardest"]
    torch.testing.assert_close(parts["cls"], torch.tensor(LN2))
    assert list(supervised(cls, reg, box, present, Labels(), Loss(box=0))) == ["cls"]
    # With giou, only the cell at the box's middle predicts the right box.
    assert 0 < supervised(cls, reg, box, present, Labels(), Loss(overlap="giou"))["iou"] < 1


def test_pairs_without_the_target_have_no_box_loss() -> None:
    box, present = _batch(False)
    reg = torch.rand(1, 4, 16, 16, requires_grad=True)
    parts = supervised(torch.zeros(1, 1, 16, 16), reg, box, present, Labels(), Loss())
    assert parts["iou"] == 0
    torch.testing.assert_close(parts["cls"], torch.tensor(0.5 * LN2))


def test_the_objective_is_the_weighted_sum_of_named_parts() -> None:
    torch.manual_seed(0)
    box, present = _batch(True)
    maps = {"cls": torch.randn(1, 1, 16, 16), "reg": torch.rand(1, 4, 16, 16) * 50}
    features = (torch.randn(1, 8, 8, 8), torch.randn(1, 8, 16, 16))
    batch = {"box": box, "present": present, **maps, "template_features": features[0], "search_features": features[1]}
    loss = Loss(cls=2.0, box=0.5, hard=0.25, teacher=1.5, features=3.0)
    value, parts = objective(torch.randn(1, 1, 16, 16), maps["reg"], features, batch, Labels(), loss)
    assert list(parts) == part_names(loss, "pictures")
    assert parts["features"] == 0
    assert parts["mimic"] == 0
    assert parts["box"] > 0
    head = sum(weight * parts[name] for name, weight in WEIGHTS.items())
    expected = 2 * parts["cls"] + 0.5 * parts["iou"] + 0.25 * parts["hardest"] + 1.5 * head
    torch.testing.assert_close(value, expected)


def test_a_teacher_that_fails_has_no_influence() -> None:
    box, present = _batch(True)
    cls, reg = torch.zeros(1, 1, 16, 16), torch.full((1, 4, 16, 16), 32.0)
    sure = torch.full((1, 1, 16, 16), -10.0)
    sure[0, 0, 2, 2] = 10.0  # a high score in a cell without target
    wrong = head_loss(cls, reg, box, present, sure, torch.full((1, 4, 16, 16), 8.0))
    assert wrong["mimic"] == 0
    # Only the true cells are positive, with the label 1.
    torch.testing.assert_close(wrong["pos"], torch.tensor(LN2))
    right = sure.roll((6, 6), (2, 3))
    found = head_loss(cls, reg, box, present, right, torch.full((1, 4, 16, 16), 36.0))
    # Only one cell has a good box (IoU 0.79), in which the logarithms of 36 and 32 pixels are compared.
    assert found["mimic"] == pytest.approx(math.log(36 / 32), abs=1e-5)


def test_the_teachers_scores_are_half_of_the_label_inside_the_box() -> None:
    box, present = _batch(True)
    cls, reg = torch.full((1, 1, 16, 16), math.log(3)), torch.full((1, 4, 16, 16), 32.0)
    teacher = torch.full((1, 1, 16, 16), -10.0)
    teacher[0, 0, 8, 8] = math.log(4)  # probability 4/5 in the target's cell
    teacher[0, 0, 8, 9] = 0.0  # and 1/2 in one of the ring around it
    # The labels are 9/10 and 1/4. At a probability of 3/4, the loss for a label y is ln 4 - y ln 3.
    expected = math.log(4) - (0.9 + 0.25) / 2 * math.log(3)
    assert head_loss(cls, reg, box, present, teacher, reg)["pos"] == pytest.approx(expected, abs=1e-5)


def test_the_teacher_has_no_influence_outside_the_target() -> None:
    box, present = _batch(True)
    cls, reg = torch.full((1, 1, 16, 16), -10.0), torch.full((1, 4, 16, 16), 32.0)
    sure = torch.full((1, 1, 16, 16), -10.0)
    sure[0, 0, 8, 8] = 10.0
    fooled = sure.clone()
    fooled[0, 0, 2, 2] = 9.0  # high scores for the target and for a look-alike
    for name, value in head_loss(cls, reg, box, present, sure, reg).items():
        torch.testing.assert_close(head_loss(cls, reg, box, present, fooled, reg)[name], value, msg=name)


def test_the_weight_of_the_teachers_distances_can_be_set() -> None:
    torch.manual_seed(0)
    box, present = _batch(True)
    teacher = torch.full((1, 1, 16, 16), -10.0)
    teacher[0, 0, 8, 8] = 10.0
    batch = {"box": box, "present": present, "cls": teacher, "reg": torch.full((1, 4, 16, 16), 36.0)}
    maps = torch.zeros(1, 1, 16, 16), torch.full((1, 4, 16, 16), 30.0)
    values = {}
    for mimic in (0.0, 1.0):
        chosen = Loss(cls=0, box=0, teacher=2.0, mimic=mimic)
        values[mimic], parts = objective(*maps, None, batch, Labels(), chosen)
    assert parts["mimic"] > 0
    torch.testing.assert_close(values[1.0] - values[0.0], 2 * parts["mimic"])
