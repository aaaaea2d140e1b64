"""Losses that compare the head's maps with the truth and with the teacher's maps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..boxes import overlap as box_overlap
from ..data.labels import STRIDE, grid_points
from ..processes import weighted_mean


def cell_positions(n: int, device: torch.device) -> Tensor:
    """Position of each cell along one axis, search pixels, [n]: 0, 16, ... Cell n/2 is the centre."""
    return grid_points(n * STRIDE, STRIDE, device)


def decode(distances: Tensor) -> Tensor:
    """Distances left, top, right, bottom [B,4,n,n] -> corners x1, y1, x2, y2 [B,4,n,n], both in search pixels."""
    n = distances.shape[-1]
    grid = cell_positions(n, distances.device)
    x, y = grid.view(1, 1, n), grid.view(1, n, 1)
    left, top, right, bottom = distances.unbind(1)
    return torch.stack((x - left, y - top, x + right, y + bottom), 1)


def overlap(corners: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of each cell's box with the true box: [B,4,n,n] and [B,4] -> two of [B,n,n]."""
    return box_overlap(corners.movedim(1, -1), truth[:, None, None])


def target_cells(boxes: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Returns the cells of the inner part of each box [B,4], and the cells of the ring around it, both bool [B,n,n].

    The inner part is an ellipse with half the box's axes. It contains at least the nearest cell. The ring is the rest
    of the box, which counts neither as target nor as background.
    """
    grid = cell_positions(n, boxes.device)
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    dx = (grid.view(1, 1, n) - centre[:, 0, None, None]) / size[:, 0, None, None].clamp_min(1)
    dy = (grid.view(1, n, 1) - centre[:, 1, None, None]) / size[:, 1, None, None].clamp_min(1)
    radius = dx.square() + dy.square()
    nearest = radius == radius.amin((1, 2), keepdim=True)
    inner = (radius < 0.25**2) | nearest
    outer = (dx.abs() < 0.5) & (dy.abs() < 0.5) & ~inner
    return inner, outer


def head_loss(
    cls: Tensor,
    reg: Tensor,
    boxes: Tensor,
    present: Tensor,
    teacher_cls: Tensor,
    teacher_reg: Tensor,
) -> dict[str, Tensor]:
    """Returns all parts of the loss, means over the batch.

    `cls` are logits [B,1,n,n], `reg` distances [B,4,n,n] in search pixels, `boxes` corners [B,4] in search pixels, and
    `present` is bool [B]. The teacher's maps have the same shapes. If the teacher finds the target, its scores are half
    of the label inside the box. If it fails, the label is the truth. The label of cells without the target is 0,
    whatever the teacher's score. The eight worst of these cells of each pair count once more, because in a mean over
    all cells the few important ones would have almost no weight.
    """
    n = cls.shape[-1]
    logits = cls[:, 0]
    inner, ring = target_cells(boxes, n)
    inner = inner & present[:, None, None]
    ring = ring & present[:, None, None]
    probability = teacher_cls[:, 0].sigmoid()
    teacher_iou, _ = overlap(decode(teacher_reg), boxes)
    best = probability.flatten(1).argmax(1)
    found = present & (teacher_iou.flatten(1).gather(1, best[:, None])[:, 0] > 0.5)

    hard = inner.float()
    soft = torch.where(found[:, None, None] & (inner | ring), 0.5 * hard + 0.5 * probability, hard)
    bce = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    positive = inner | (found[:, None, None] & (probability > 0.3) & (inner | ring))
    negative = ~positive & ~(ring & ~found[:, None, None])
    pos = weighted_mean(bce, positive)
    neg = weighted_mean(bce, negative)
    hardest = (bce * negative).flatten(1).topk(8, 1).values.mean()

    iou, giou = overlap(decode(reg), boxes)
    weight = inner.float() + 0.5 * (ring & (probability > 0.3)).float()
    box = weighted_mean(1 - giou, weight)
    # Where the teacher's distances are good, they are a better label than one overlap per box.
    trusted = positive & (teacher_iou > 0.5)
    ratio = (reg.clamp_min(0.1).log() - teacher_reg.clamp_min(0.1).log()).abs().mean(1)
    mimic = weighted_mean(ratio, trusted)
    return {"pos": pos, "neg": neg, "hard": hardest, "box": box, "mimic": mimic}


WEIGHTS = {"pos": 1.0, "neg": 1.0, "hard": 1.0, "box": 1.0, "mimic": 2.0}


def total(parts: dict[str, Tensor], weights: Mapping[str, float] = WEIGHTS) -> Tensor:
    """Returns the weighted sum of the parts, which is minimised."""
    return sum(weights[name] * value for name, value in parts.items())
