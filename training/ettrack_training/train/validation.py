"""Measures whether the network uses the template. This predicts tracking better than the loss.

A network can lower its loss by finding anything that looks like a target. So each held-out pair is run twice, with its
own template and with the template of another pair.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..distil.losses import decode, overlap
from ..networks.siamese import SiameseTracker
from .forward import maps, ready, to_device

_TEMPLATES = ("template", "template_features")


@torch.no_grad()
def validate(
    network: SiameseTracker, held: Mapping[str, Tensor], inputs: str, *, device: torch.device, chunk: int = 64
) -> dict[str, float]:
    """Returns figures over the pairs that show the target, with the right (`*_right`) and a wrong template (`*_wrong`).

    `hit_*` is the share of pairs in which the best cell's box overlaps the true box by more than half. `score_*` is the
    mean score of the best cell, `iou_*` its mean overlap. The network stays in evaluation mode.
    """
    network.eval()
    row: dict[str, float] = {}
    present = held["present"]
    for name, shift in (("right", 0), ("wrong", 1)):
        pairs = {key: value.roll(shift, 0) if key in _TEMPLATES else value for key, value in held.items()}
        scores, ious = [], []
        for start in range(0, len(present), chunk):
            part = {key: value[start : start + chunk] for key, value in pairs.items()}
            score, iou = _best(network, ready(to_device(part, device)), inputs)
            scores.append(score.cpu())
            ious.append(iou.cpu())
        score, iou = torch.cat(scores)[present], torch.cat(ious)[present]
        row[f"hit_{name}"] = (iou > 0.5).float().mean().item()
        row[f"score_{name}"] = score.mean().item()
        row[f"iou_{name}"] = iou.mean().item()
    return row


def _best(network: SiameseTracker, batch: dict[str, Tensor], inputs: str) -> tuple[Tensor, Tensor]:
    """Returns the score of each pair's best cell and the overlap of its box with the true box, both [B]."""
    cls, reg, _ = maps(network, batch, inputs)
    score, best = cls[:, 0].float().sigmoid().flatten(1).max(1)
    iou, _ = overlap(decode(reg.float()), batch["box"])
    return score, iou.flatten(1).gather(1, best[:, None])[:, 0]
