"""From a batch on its device to the network's maps."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..data.device import DeviceAugment
from ..networks.siamese import SiameseTracker
from ..pixels import normalise

Maps = tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]


def to_device(batch: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Moves a batch, pictures still as bytes; asynchronously where its memory is pinned."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def ready(
    batch: Mapping[str, Tensor], augment: DeviceAugment | None = None, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """A batch on its device with augmented, normalised pictures, where it has pictures."""
    batch = dict(batch) if augment is None else augment(batch, generator)
    for name in ("template", "search"):
        if name in batch:
            batch[name] = normalise(batch[name])
    return batch


def maps(network: SiameseTracker, batch: Mapping[str, Tensor], inputs: str) -> Maps:
    """Logits [B,1,n,n], distances [B,4,n,n], and the backbone's features of template and search.

    With `inputs` `teacher_features` the teacher's stand in for them (None is returned for them then).
    """
    if inputs == "teacher_features":
        features = None
        template, search = batch["template_features"], batch["search_features"]
    else:
        features = template, search = network.backbone(batch["template"]), network.backbone(batch["search"])
    cls, reg = network.predict(network.fuse(network.template_neck(template), network.search_neck(search)))
    return cls, reg, features
