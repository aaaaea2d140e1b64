"""Losses of the head against the truth and the teacher, and of the hardest cells."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..boxes import overlap as box_overlap
from ..data.labels import STRIDE, grid_points
from ..processes import weighted_mean


def cell_positions(n: int, device: torch.device) -> Tensor:
    """Position of each cell in search pixels along one axis, [n]: 0, 16, ... (cell n/2 is the centre)."""
    return grid_points(n * STRIDE, STRIDE, device)


def decode(distances: Tensor) -> Tensor:
    """Distances left, top, right, bottom [B,4,n,n] -> corners x1, y1, x2, y2 [B,4,n,n]."""
    n = distances.shape[-1]
    grid = cell_positions(n, distances.device)
    x, y = grid.view(1, 1, n), grid.view(1, n, 1)
    left, top, right, bottom = distances.unbind(1)
    return torch.stack((x - left, y - top, x + right, y + bottom), 1)


def overlap(corners: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of each cell's box with the truth: [B,4,n,n] and [B,4] -> two of [B,n,n]."""
    return box_overlap(corners.movedim(1, -1), truth[:, None, None])


def target_cells(boxes: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Cells of the inner part of each box, and cells to leave out, bool [B,n,n].

    The inner ellipse has half the box's axes (never under the nearest cell); the ring out to the
    whole box belongs neither to the target nor to the background.
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
    """Every part of the loss, means over the batch.

    cls [B,1,n,n] logits, reg [B,4,n,n] search pixels, boxes [B,4] corners in search pixels,
    present [B] bool; the teacher's of the same shapes. Where the teacher finds the target, its soft map
    is half of the label within the box; where it fails, the truth is. Cells without the target learn
    zero, whatever the teacher sees in them, and the eight hardest of them count again: averaged over all
    cells, the few that matter vanish.
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
    # The teacher's distances, where they are good, say more than one number per box.
    trusted = positive & (teacher_iou > 0.5)
    ratio = (reg.clamp_min(0.1).log() - teacher_reg.clamp_min(0.1).log()).abs().mean(1)
    mimic = weighted_mean(ratio, trusted)
    return {"pos": pos, "neg": neg, "hard": hardest, "box": box, "mimic": mimic}


WEIGHTS = {"pos": 1.0, "neg": 1.0, "hard": 1.0, "box": 1.0, "mimic": 2.0}


def total(parts: dict[str, Tensor], weights: Mapping[str, float] = WEIGHTS) -> Tensor:
    """The weighted sum that is minimised."""
    return sum(weights[name] * value for name, value in parts.items())
