"""The objective of the training, and the losses of the E.T.Track paper: balanced cross-entropy and logarithm of the
IoU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.labels import STRIDE, build_labels
from ..data.pairs import Kind
from ..distil.losses import WEIGHTS, decode, head_loss, overlap, total
from ..processes import variance, weighted_mean
from .recipe import Labels, Loss


def balanced_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Half of the mean cross-entropy over cells of the target plus half of that over the other cells, both [B,n,n]."""
    bce = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    positive = labels > 0
    return 0.5 * weighted_mean(bce, positive) + 0.5 * weighted_mean(bce, ~positive)


def hardest_negatives(logits: Tensor, labels: Tensor, cells: int) -> Tensor:
    """Mean cross-entropy of the `cells` worst cells without the target of each pair. Logits and labels are [B,n,n].

    In an average over all cells, the few cells that mislead a tracker would have almost no weight.
    """
    bce = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (bce * (labels == 0)).flatten(1).topk(cells, 1).values.mean()


def log_iou(distances: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of -ln((I + 1) / (U + 1)) over cells, with intersection I and union U in square pixels (UnitBox).

    `distances` and `truth` are left, top, right, bottom [B,4,n,n] in search pixels. `weight` [B,n,n] is 0 for cells
    outside the box.
    """
    near = torch.minimum(distances, truth).clamp_min(0)
    inner = (near[:, 0] + near[:, 2]) * (near[:, 1] + near[:, 3])
    union = _area(distances) + _area(truth) - inner
    return weighted_mean(torch.log((union + 1) / (inner + 1)), weight)


def supervised(cls: Tensor, reg: Tensor, boxes: Tensor, present: Tensor, labels: Labels, loss: Loss) -> dict:
    """Returns the parts with a weight above 0: `cls`, `iou`, `hardest`.

    `cls` are logits [B,1,n,n], `reg` distances [B,4,n,n] in search pixels, `boxes` corners [B,4] in search pixels, and
    `present` is bool [B].
    """
    kind = torch.where(present, int(Kind.POSITIVE), int(Kind.WRONG_TEMPLATE))
    target = build_labels(
        boxes,
        kind,
        size=cls.shape[-1] * STRIDE,
        score=labels.score,
        radius=labels.radius,
        centre_fraction=labels.centre_fraction,
    )
    logits = cls[:, 0]
    parts = {}
    if loss.cls:
        parts["cls"] = balanced_bce(logits, target.score)
    if loss.box and loss.overlap == "log_iou":
        parts["iou"] = log_iou(reg, target.distances, target.regression_weight)
    elif loss.box:
        _, giou = overlap(decode(reg), boxes)
        parts["iou"] = weighted_mean(1 - giou, target.regression_weight)
    if loss.hard:
        parts["hardest"] = hardest_negatives(logits, target.score, loss.hard_cells)
    return parts


def feature_distance(mine: Tensor, teacher: Tensor, scale: Tensor) -> Tensor:
    """Mean squared difference of features [B,C,h,w] in units of the teacher's variance `scale` of each channel
    [1,C,1,1]."""
    return ((mine - teacher).square() / scale).mean()


def part_names(loss: Loss, inputs: str) -> list[str]:
    """Returns the names of the parts that `objective` returns, in their order."""
    names = [name for name, weight in (("cls", loss.cls), ("iou", loss.box), ("hardest", loss.hard)) if weight]
    names += WEIGHTS if loss.teacher else []
    return [*names, "features"] if loss.features and inputs == "pictures" else names


def objective(
    cls: Tensor, reg: Tensor, features: tuple[Tensor, Tensor] | None, batch: dict, labels: Labels, loss: Loss
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the weighted sum that is minimised, and its parts without weights.

    `features` are the backbone's features of template and search, or None if the inputs were features. The teacher's
    parts need its `cls`, `reg`, `template_features` and `search_features` in the batch.
    """
    parts = supervised(cls, reg, batch["box"], batch["present"], labels, loss)
    weights = {"cls": loss.cls, "iou": loss.box, "hardest": loss.hard}
    value = sum((weights[name] * part for name, part in parts.items()), cls.new_zeros(()))
    if loss.teacher:
        distilled = head_loss(cls, reg, batch["box"], batch["present"], batch["cls"], batch["reg"])
        value = value + loss.teacher * total(distilled, WEIGHTS | {"mimic": loss.mimic})
        parts |= distilled
    if loss.features and features is not None:
        # Both are scaled by the variance of the search features, which have four times as many cells.
        scale = variance(batch["search_features"]).clamp_min(1e-6)
        names = ("template_features", "search_features")
        mimic = sum(feature_distance(mine, batch[name], scale) for mine, name in zip(features, names, strict=True))
        value = value + loss.features * mimic
        parts["features"] = mimic
    return value, parts


def _area(distances: Tensor) -> Tensor:
    left, top, right, bottom = distances.unbind(1)
    return (left + right) * (top + bottom)
