"""Builds the training targets of the two heads from boxes, on the training device.

The output grid has n = size / stride cells on each side. The point of cell (row i, column j) in the search crop is
((j - n/2) * stride + size/2, (i - n/2) * stride + size/2), so cell n/2 is at the crop's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .geometry import SEARCH_SIZE
from .pairs import Kind

STRIDE = 16


@dataclass(frozen=True)
class Labels:
    """Training targets of a batch.

    ``score`` is float [b, n, n] in 0..1. ``distances`` is float [b, 4, n, n]: left, top, right, bottom in search
    pixels, negative outside the box. ``regression_weight`` is float [b, n, n]: 1 for cells that have to predict a box,
    else 0.
    """

    score: torch.Tensor
    distances: torch.Tensor
    regression_weight: torch.Tensor


def grid_points(size: int, stride: int, device: torch.device | None = None) -> torch.Tensor:
    """Coordinate of each grid column (and row) in search pixels, float [n], as in the trackers' loops. Cell n // 2 is
    in the middle of the window, for odd n too."""
    count = round(size / stride)
    return (torch.arange(count, device=device, dtype=torch.float32) - count // 2) * stride + size // 2


def build_labels(
    box: torch.Tensor,
    kind: torch.Tensor,
    *,
    size: int = SEARCH_SIZE,
    stride: int = STRIDE,
    score: str = "plus",
    radius: int = 1,
    centre_fraction: float = 0.5,
) -> Labels:
    """Builds labels for boxes [b, 4] (x1, y1, x2, y2 in search pixels) of pairs of the given kinds [b].

    ``score`` chooses the classification label. ``plus``: 1 for cells within city-block distance ``radius`` of the
    target's cell (LightTrack, E.T.Track). ``centre``: 1 for cells inside the box shrunk to ``centre_fraction``.
    ``centreness``: the geometric centreness within that region (FCOS). The target's own cell is always 1. In pairs
    without the template's object all labels and weights are 0. Raises ValueError for another ``score``.
    """
    points = grid_points(size, stride, box.device)
    positive = (kind == Kind.POSITIVE).to(torch.float32)[:, None, None]
    left = points[None, None, :] - box[:, 0, None, None]
    top = points[None, :, None] - box[:, 1, None, None]
    right = box[:, 2, None, None] - points[None, None, :]
    bottom = box[:, 3, None, None] - points[None, :, None]
    distances = torch.stack(torch.broadcast_tensors(left, top, right, bottom), dim=1)
    inside = (distances > 0).all(dim=1)
    steps = _steps_from_target(box, size, stride)
    if score == "plus":
        label = (steps <= radius).to(torch.float32)
    elif score in ("centre", "centreness"):
        centre = (box[:, :2] + box[:, 2:]) / 2
        half = (box[:, 2:] - box[:, :2]) / 2 * centre_fraction
        near_x = (points[None, :] - centre[:, :1]).abs() <= half[:, :1]
        near_y = (points[None, :] - centre[:, 1:]).abs() <= half[:, 1:]
        region = (near_y[:, :, None] & near_x[:, None, :] & inside) | (steps == 0)
        label = region.to(torch.float32)
        if score == "centreness":
            label = torch.where(steps == 0, torch.ones_like(label), label * centreness(distances))
    else:
        raise ValueError(f"expected score label plus, centre or centreness, got {score!r}")
    return Labels(label * positive, distances, inside.to(torch.float32) * positive)


def centreness(distances: torch.Tensor) -> torch.Tensor:
    """sqrt(min(l,r)/max(l,r) * min(t,b)/max(t,b)) of each cell, 0 outside the box: [b, 4, n, n] to [b, n, n]."""
    left, top, right, bottom = distances.clamp(min=0).unbind(dim=1)
    across = torch.minimum(left, right) / torch.maximum(left, right).clamp(min=1e-6)
    down = torch.minimum(top, bottom) / torch.maximum(top, bottom).clamp(min=1e-6)
    return (across * down).sqrt()


def iou_of_distances(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """IoU of each cell's predicted and target box, given as distances [b, 4, n, n]: [b, n, n]. 0 outside the target.

    If this is the score label of positive cells, the score predicts the accuracy of the cell's own box.
    """
    inside = (target > 0).all(dim=1)
    predicted, target = predicted.clamp(min=0), target.clamp(min=0)

    def area(d: torch.Tensor) -> torch.Tensor:
        return (d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3])

    overlap = area(torch.minimum(predicted, target))
    union = (area(predicted) + area(target) - overlap).clamp(min=1e-6)
    return torch.where(inside, overlap / union, torch.zeros_like(union))


def _steps_from_target(box: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """City-block distance of each cell from the cell of the box's centre, in cells, [b, n, n].

    The centre's cell is n/2 + trunc(offset / stride). It is rounded towards the middle, as in the published code.
    """
    count = round(size / stride)
    centre = (box[:, :2] + box[:, 2:]) / 2
    cell = (count // 2 + torch.trunc((centre - size / 2) / stride)).clamp(0, count - 1)
    index = torch.arange(count, device=box.device, dtype=torch.float32)
    across = (index[None, :] - cell[:, :1]).abs()
    down = (index[None, :] - cell[:, 1:]).abs()
    return down[:, :, None] + across[:, None, :]
