"""A backbone of which only the last stages learn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..networks.et_track import ETTrack
from ..pixels import normalise


def first_stages(network: ETTrack, count: int) -> nn.Sequential:
    """The stem and the first `count` stages of a network's backbone."""
    backbone = network.backbone_net
    return nn.Sequential(backbone.conv_stem, backbone.bn1, backbone.act1, *backbone.blocks[:count])


class Late:
    """A backbone of which only the last `stages` learn: the first cost the most time and gain the least.

    What the first ones make of a crop never changes, so that it is made once and kept instead of the crop.
    All its batch norms keep their statistics. Templates and search windows have different ones, and an average over
    batches of both would fit neither.

    Raises ValueError for more stages than there are, or fewer than none.
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
        """Pictures u8 [B,S,S,3] -> what the stages that learn are fed with, f16 [B,C,h,w]."""
        self._early.eval()
        return self._early(normalise(torch.from_numpy(pictures))).half().numpy()

    def __call__(self, x: Tensor) -> Tensor:
        """What `early` gives, f32 -> features [B,C,h,w]."""
        self.late.eval()
        return self.late(x.contiguous(memory_format=torch.channels_last)).contiguous()
