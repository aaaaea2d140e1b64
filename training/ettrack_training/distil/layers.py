"""Losses that compare a head with a teacher's head: each layer and the maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.et_track import ETTrack

# Larger logits make no difference, because their sigmoid is 0 or 1.
_LOGIT = 8.0
# A cell with a smaller teacher's logit counts as empty.
_NOTHING = -2.0
_HARD_CELLS = 8


def map_losses(cls: Tensor, reg: Tensor, teacher_cls: Tensor, teacher_reg: Tensor) -> dict[str, Tensor]:
    """Losses between maps and the teacher's maps. Logits are [B,1,n,n], distances [B,4,n,n] in search pixels.

    * `score`: cross-entropy minus the teacher's own entropy. The cells to which the teacher gives a score have together
      the same weight as all cells.
    * `logit`: squared difference in units of the logits' variance.
    * `box`: absolute difference of the logarithms of the distances, weighted by the teacher's scores.
    * `hard`: mean cross-entropy of the eight worst cells of each pair that are empty for the teacher. In a mean over
      all cells, the few cells that mislead a tracker would have almost no weight.
    """
    probability = teacher_cls.sigmoid()
    excess = F.binary_cross_entropy_with_logits(cls, probability, reduction="none")
    excess = excess - F.binary_cross_entropy_with_logits(teacher_cls, probability, reduction="none")
    weight = probability / probability.sum().clamp_min(1) + 1 / probability.numel()
    empty = (excess * (teacher_cls < _NOTHING)).flatten(1)
    hard = empty.topk(min(_HARD_CELLS, empty.shape[1]), 1).values.mean()
    mine, target = cls.clamp(-2 * _LOGIT, 2 * _LOGIT), teacher_cls.clamp(-_LOGIT, _LOGIT)
    beyond = (teacher_cls.abs() >= _LOGIT) & (cls * teacher_cls.sign() >= _LOGIT)
    logit = ((mine - target).square() * ~beyond).mean() / target.var().clamp_min(1e-3)
    ratio = (reg.clamp_min(0.1).log() - teacher_reg.clamp_min(0.1).log()).abs().mean(1, keepdim=True)
    trust = probability + 0.01
    box = (ratio * trust).sum() / trust.sum()
    return {"score": (excess * weight).sum(), "logit": logit, "box": box, "hard": hard}


def other_loss(cls: Tensor, others: Tensor) -> Tensor:
    """Cross-entropy of logits [B,1,n,n] with the label 0 in cells of look-alikes, `others`, bool [B,n,n].

    It is the mean of the four worst cells of each pair, over the pairs with such cells.
    """
    loss = F.softplus(cls[:, 0]) * others
    worst = loss.flatten(1).topk(4, 1).values.sum(1) / others.flatten(1).sum(1).clamp(1, 4)
    return worst.sum() / others.flatten(1).any(1).sum().clamp_min(1)


WEIGHTS = {"score": 2.0, "logit": 1.0, "box": 5.0}


def hint_loss(mine: Tensor, teacher: Tensor) -> Tensor:
    """Share of the variance of the teacher's tensor [B,C,h,w] that `mine` does not reproduce, mean over channels.
    Channels that hardly vary count less."""
    variance = teacher.var((0, 2, 3), keepdim=True)
    floor = 0.05 * variance.mean().clamp_min(1e-6)
    return ((mine - teacher).square() / variance.clamp_min(floor)).mean()


def head_losses(
    network: ETTrack, template: Tensor, search: Tensor, hints: list[Tensor], maps: tuple[Tensor, Tensor], chained: bool
) -> dict[str, Tensor]:
    """Returns the losses of hints, named by tower and layer (`cls0` is the correlation), and those of the maps.

    `template` and `search` are raw features [B,C,h,w]. `hints` and `maps` are the teacher's. With `chained` the input
    of a layer is the student's own tensor.
    """
    zf, xf = network.template_neck(template), network.search_neck(search)
    half = len(hints) // 2
    losses: dict[str, Tensor] = {}
    outputs = []
    towers = zip(
        ("cls", "reg"),
        network.correlate(zf, xf),
        network.feature_fusor["adj_layer"],
        (network.cls_layers, network.reg_layers),
        (hints[:half], hints[half:]),
        strict=True,
    )
    for name, y, adjust, layers, targets in towers:
        for number, target in enumerate(targets):
            losses[f"{name}{number}"] = hint_loss(y, target)
            x = y if chained else target
            y = layers[number](adjust(x) if number == 0 else x)
        outputs.append(y)
    return losses | map_losses(network.cls_pred_head(outputs[0]), network.reg_pred_head(outputs[1]), *maps)


@torch.no_grad()
def start_at_scale(network: ETTrack, hints: list[Tensor]) -> None:
    """Prepares an untrained head for hints. Adjusting layers become the identity. Each batch norm gets the mean and
    standard deviation of the teacher's channels, which are far from 0 and 1."""
    for adjust in network.feature_fusor["adj_layer"]:
        nn.init.dirac_(adjust.weight)
        nn.init.zeros_(adjust.bias)
    half = len(hints) // 2
    for layers, targets in ((network.cls_layers, hints[:half]), (network.reg_layers, hints[half:])):
        for layer, target in zip(layers, targets[1:], strict=False):
            layer.BN.weight.copy_(target.std((0, 2, 3)).clamp_min(1e-3))
            layer.BN.bias.copy_(target.mean((0, 2, 3)))


def total(losses: dict[str, Tensor], hint_weight: float, features_weight: float, hard_weight: float = 0.0) -> Tensor:
    """Returns the weighted sum of the losses, which is minimised."""
    weights = WEIGHTS | {"features": features_weight, "hard": hard_weight}
    return sum(weights.get(name, hint_weight) * value for name, value in losses.items())
