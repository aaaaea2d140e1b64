"""A teacher's maps with its mistakes put right, where the truth is known.

A student that copies all of a teacher's answers copies its mistakes: high scores for what resembles the target, or
stands where it was. One that is told the truth alone, on the few videos there are, forgets what the teacher knows of
all others. So the label stays the teacher's wherever it is not wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.labels import STRIDE
from .losses import cell_positions, decode, overlap, target_cells

# Logits of cells that certainly do not, and certainly do, show the target.
_ABSENT = -5.0
_PRESENT = 2.0
# Overlap of the teacher's box with the truth above which it found the target.
_FOUND = 0.5


def corrected(
    maps: tuple[Tensor, Tensor], boxes: Tensor, present: Tensor, true_boxes: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits [B,1,n,n] and distances [B,4,n,n] of a teacher, for boxes [B,4] (corners in search pixels).

    Cells a stride or more beyond the box, and all cells of pairs whose target is not `present` [B], score no more than
    nothing does. Where the teacher's best cell misses the target, the inner cells of the box score. There, distances
    are the geometric mean of the teacher's and the truth's, the truth's alone where the teacher's overlap it by less
    than half, or everywhere with `true_boxes`.
    """
    cls, reg = maps
    n = cls.shape[-1]
    inner, _ = target_cells(boxes, n)
    inner = inner & present[:, None, None]
    quality, _ = overlap(decode(reg), boxes)
    best = cls[:, 0].flatten(1).argmax(1)
    found = quality.flatten(1).gather(1, best[:, None])[:, 0] > _FOUND
    logits = cls[:, 0]
    logits = torch.where(_beyond(boxes, n) | ~present[:, None, None], logits.clamp_max(_ABSENT), logits)
    logits = torch.where(inner & ~found[:, None, None], logits.clamp_min(_PRESENT), logits)
    truth = _distances(boxes, n).clamp_min(1.0)
    blend = (reg.clamp_min(0.1) * truth).sqrt()
    told = truth if true_boxes else torch.where((quality > _FOUND)[:, None], blend, truth)
    return logits[:, None], torch.where(inner[:, None], told, reg)


def _distances(boxes: Tensor, n: int) -> Tensor:
    """Distances left, top, right, bottom of each cell from the sides of the box, [B,4,n,n]."""
    grid = cell_positions(n, boxes.device)
    left, top, right, bottom = (side[:, None, None] for side in boxes.unbind(1))
    x, y = grid.view(1, 1, n), grid.view(1, n, 1)
    return torch.stack(torch.broadcast_tensors(x - left, y - top, right - x, bottom - y), 1)


def _beyond(boxes: Tensor, n: int) -> Tensor:
    """Cells at least a stride outside the box, bool [B,n,n]."""
    return _distances(boxes, n).amin(1) <= -STRIDE
