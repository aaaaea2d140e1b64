"""Images for the check of exported graphs."""

from __future__ import annotations

import torch
from torch import Tensor


def generator() -> torch.Generator:
    """A random generator that always gives the same numbers."""
    return torch.Generator().manual_seed(0)


def structured_noise(size: int, random: torch.Generator) -> Tensor:
    """A random normalised image with structure at several scales, float32 [1,3,size,size]."""
    image = torch.zeros(1, 3, size, size)
    for cells in (2, 8, 32):
        coarse = torch.randn(1, 3, cells, cells, generator=random)
        image += torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return image
