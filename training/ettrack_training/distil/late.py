"""A backbone whose last stages are trained. Its first stages stay as they are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.et_track import ETTrack
from ..pixels import normalise


def first_stages(network: ETTrack, count: int) -> nn.Sequential:
    """Returns the stem and the first `count` stages of a network's backbone, [B,3,S,S] -> [B,C,h,w]."""
    backbone = network.backbone_net
    return nn.Sequential(backbone.conv_stem, backbone.bn1, backbone.act1, *backbone.blocks[:count])


class Late:
    """A backbone whose last `stages` stages are trained. The first ones need the most time and improve the least.

    The output of the first stages for a crop never changes, so it is computed once and stored instead of the crop. All
    batch norms keep their statistics, because those of templates and search windows differ, and an average over both
    would fit neither.

    Raises ValueError if `stages` is negative or larger than the number of stages.
    """

    def __init__(self, network: ETTrack, stages: int):
        backbone = network.backbone_net
        if not 0 <= stages <= len(backbone.blocks):
            raise ValueError(f"expected 0 to {len(backbone.blocks)} stages of the backbone to learn, got {stages}")
        frozen = len(backbone.blocks) - stages
        self._early = first_stages(network, frozen)
        self._early.requires_grad_(False)
        self.late = backbone.blocks[frozen:]
        backbone.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def early(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures u8 [B,S,S,3] -> input of the trained stages, f16 [B,C,h,w]."""
        self._early.eval()
        return self._early(normalise(torch.from_numpy(pictures))).half().numpy()

    def __call__(self, x: Tensor) -> Tensor:
        """Output of `early`, as f32 -> features [B,C,h,w]."""
        self.late.eval()
        return self.late(x.contiguous(memory_format=torch.channels_last)).contiguous()
