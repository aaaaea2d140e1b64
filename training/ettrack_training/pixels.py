"""Converts pictures to the networks' input; `model.yaml` gives the same numbers to the runtime."""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = 255.0
# ImageNet's mean and standard deviation per channel (RGB), of values divided by `SCALE`.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(pictures: Tensor) -> Tensor:
    """Normalised pictures, float32 [B,3,S,S], channels last in memory, on the device of `pictures`.

    Takes RGB in 0..255, as bytes [B,S,S,3] (from the loader: a quarter of the memory transfer) or as
    floats [B,3,S,S] (from `data.device.DeviceAugment`).
    """
    x = pictures.permute(0, 3, 1, 2) if pictures.dtype == torch.uint8 else pictures
    mean = torch.tensor(MEAN, device=x.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=x.device).view(1, 3, 1, 1)
    return ((x.float() / SCALE - mean) / std).contiguous(memory_format=torch.channels_last)
