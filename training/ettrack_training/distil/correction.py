"""Corrects a teacher's maps where the truth is known.

A student that copies all answers of a teacher also copies its mistakes: high scores for objects that resemble the
target or are at its place. A student that is trained only on the truth of a few videos forgets what the teacher knows
about all others. So the teacher's answer is the label, except where it is wrong.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.labels import STRIDE
from .losses import cell_positions, decode, overlap, target_cells

# Largest logit of a cell that does not show the target, and smallest of one that does.
_ABSENT = -5.0
_PRESENT = 2.0
# Overlap (IoU) of the teacher's box with the true box, above which the teacher has found the target.
_FOUND = 0.5
# Share at each side of a look-alike's box whose cells may show the background.
_RIM = 0.15


def corrected(
    maps: tuple[Tensor, Tensor],
    boxes: Tensor,
    present: Tensor,
    true_boxes: bool = False,
    others: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns corrected logits [B,1,n,n] and distances [B,4,n,n] of a teacher's `maps`.

    `boxes` [B,4] are the true boxes, corners in search pixels. The logits of cells a stride or more outside the box,
    and of all cells of pairs whose target is not `present` [B], are lowered to at most that of an empty cell. If the
    teacher's best cell misses the target, the logits of the inner cells of the box are raised. In inner cells,
    distances become the geometric mean of the teacher's and the true ones. They become the true ones if the teacher's
    box overlaps the true box by less than half, or in all pairs with `true_boxes`.

    `others`, bool [B,n,n], are cells of look-alikes. Their logits are lowered, too. In pairs with such cells,
    `true_boxes` sets the true distances in all other cells of the target's box, so that boxes do not grow over both.
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
    distances = _distances(boxes, n)
    told_cells = inner
    if others is not None:
        logits = torch.where(others, logits.clamp_max(_ABSENT), logits)
        if true_boxes:
            beset = present & others.flatten(1).any(1)
            told_cells = inner | ((distances.amin(1) > 0) & beset[:, None, None] & ~others)
    truth = distances.clamp_min(1.0)
    blend = (reg.clamp_min(0.1) * truth).sqrt()
    told = truth if true_boxes else torch.where((quality > _FOUND)[:, None], blend, truth)
    return logits[:, None], torch.where(told_cells[:, None], told, reg)


def other_cells(boxes: Tensor, others: Tensor, n: int) -> Tensor:
    """Cells inside the boxes `others` [B,k,4] of look-alikes, except the inner part of the target's `boxes` [B,4]: bool
    [B,n,n]. Boxes are corners in search pixels. Boxes of zeros have no cells."""
    inner, _ = target_cells(boxes, n)
    within = torch.zeros_like(inner)
    for box in others.unbind(1):
        # The outermost cells of a box often show the background.
        size = box[:, 2:] - box[:, :2]
        cells = _distances(torch.cat([box[:, :2] + size * _RIM, box[:, 2:] - size * _RIM], 1), n).amin(1) >= 0
        within |= cells & (size.amin(1) > 0)[:, None, None]
    return within & ~inner


def _distances(boxes: Tensor, n: int) -> Tensor:
    """Distances of each cell from the left, top, right and bottom side of the box, search pixels, [B,4,n,n]."""
    grid = cell_positions(n, boxes.device)
    left, top, right, bottom = (side[:, None, None] for side in boxes.unbind(1))
    x, y = grid.view(1, 1, n), grid.view(1, n, 1)
    return torch.stack(torch.broadcast_tensors(x - left, y - top, right - x, bottom - y), 1)


def _beyond(boxes: Tensor, n: int) -> Tensor:
    """Cells at least a stride outside the box, bool [B,n,n]."""
    return _distances(boxes, n).amin(1) <= -STRIDE
