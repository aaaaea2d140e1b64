"""Targets of the two heads, built from boxes on the device that trains.

The output grid has n = size / stride cells a side; the point of cell (row i, column j) in the search crop is
((j - n/2) * stride + size/2, (i - n/2) * stride + size/2), so cell n/2 is the crop's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .geometry import SEARCH_SIZE
from .pairs import Kind

STRIDE = 16


@dataclass(frozen=True)
class Labels:
    """``score`` float [b, n, n] in 0..1; ``distances`` float [b, 4, n, n], left, top, right, bottom in search
    pixels (negative outside the box); ``regression_weight`` float [b, n, n], 1 where a box is to be predicted."""

    score: torch.Tensor
    distances: torch.Tensor
    regression_weight: torch.Tensor


def grid_points(size: int, stride: int, device: torch.device | None = None) -> torch.Tensor:
    """Coordinate of each grid column (and row), float [n], as the trackers' loops place their cells: the one in the
    middle of the window is number n // 2, for odd n too."""
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
    """Labels for boxes [b, 4] (x1, y1, x2, y2) of pairs of the given kinds [b].

    ``score`` chooses the classification label: ``plus``, cells within city-block distance ``radius`` of the
    target's cell (LightTrack, E.T.Track); ``centre``, cells in the box shrunk to ``centre_fraction``;
    ``centreness``, the geometric centreness within that region (FCOS). The target's own cell always counts.
    In pairs without the template's object nothing is positive and no box is asked for.
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
    """sqrt(min(l,r)/max(l,r) * min(t,b)/max(t,b)) per cell, 0 outside the box; [b, 4, n, n] to [b, n, n]."""
    left, top, right, bottom = distances.clamp(min=0).unbind(dim=1)
    across = torch.minimum(left, right) / torch.maximum(left, right).clamp(min=1e-6)
    down = torch.minimum(top, bottom) / torch.maximum(top, bottom).clamp(min=1e-6)
    return (across * down).sqrt()


def iou_of_distances(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """IoU per cell of boxes given as distances [b, 4, n, n]; 0 where the cell is outside the target.

    With this as the positives' score label, the score says how good the cell's own box is.
    """
    inside = (target > 0).all(dim=1)
    predicted, target = predicted.clamp(min=0), target.clamp(min=0)

    def area(d: torch.Tensor) -> torch.Tensor:
        return (d[:, 0] + d[:, 2]) * (d[:, 1] + d[:, 3])

    overlap = area(torch.minimum(predicted, target))
    union = (area(predicted) + area(target) - overlap).clamp(min=1e-6)
    return torch.where(inside, overlap / union, torch.zeros_like(union))


def _steps_from_target(box: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """City-block distance in cells from the cell of the box's centre, [b, n, n].

    The cell is n/2 + trunc(offset / stride), truncated towards the middle as the published code does.
    """
    count = round(size / stride)
    centre = (box[:, :2] + box[:, 2:]) / 2
    cell = (count // 2 + torch.trunc((centre - size / 2) / stride)).clamp(0, count - 1)
    index = torch.arange(count, device=box.device, dtype=torch.float32)
    across = (index[None, :] - cell[:, :1]).abs()
    down = (index[None, :] - cell[:, 1:]).abs()
    return down[:, :, None] + across[:, None, :]
