"""Moves a batch to the training device and runs the network on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..data.device import DeviceAugment
from ..networks.siamese import SiameseTracker
from ..pixels import normalise

Maps = tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Moves a batch, with pictures as u8, to the device. Does not wait if its memory is pinned."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def ready(
    batch: Mapping[str, Tensor], augment: DeviceAugment | None = None, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Returns a batch on its device with augmented and normalised pictures f32 [B,3,S,S], if it has pictures."""
    batch = dict(batch) if augment is None else augment(batch, generator)
    for name in ("template", "search"):
        if name in batch:
            batch[name] = normalise(batch[name])
    return batch


def frozen_backbone(network: SiameseTracker, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from pictures u8 [B,S,S,3] to features [B,C,h,w], both in main memory. It uses a copy of the
    network's present backbone."""
    backbone = copy.deepcopy(network.backbone_net).to(device).eval()

    @torch.no_grad()
    def features(pictures: np.ndarray) -> np.ndarray:
        return backbone(normalise(torch.from_numpy(pictures).to(device))).cpu().numpy()

    return features


def freeze_norms(network: nn.Module) -> None:
    """Makes batch norms use and keep their statistics until the network is set to training mode again."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()


def maps(network: SiameseTracker, batch: Mapping[str, Tensor], inputs: str) -> Maps:
    """Returns logits [B,1,n,n], distances [B,4,n,n] in search pixels, and the backbone's features of template and
    search.

    If `inputs` are not `pictures`, the batch contains the features, and None is returned for them.
    """
    if inputs == "pictures":
        features = template, search = network.backbone(batch["template"]), network.backbone(batch["search"])
    else:
        features = None
        template, search = batch["template_features"], batch["search_features"]
    cls, reg = network.predict(network.fuse(network.template_neck(template), network.search_neck(search)))
    return cls, reg, features
