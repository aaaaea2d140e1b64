"""MixFormerV2 (Cui et al., NeurIPS 2023): two templates and the search image in one ViT, and four tokens for the box.

Parameter names are those of the authors' checkpoints (``mixformerv2_small.pth.tar``, ``mixformerv2_base.pth.tar``).
Images are RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .one_stream import MemoryBlock, PatchEmbed, cells, position

#: Number of tokens from which the box and its score are read, in this order: left, right, top, bottom.
BOX_TOKENS = 4
#: Number of places along the search image over which each side of the box has a distribution.
PLACES = 96


class Backbone(nn.Module):
    """Patch embedding, fixed positions, blocks, learned tokens for the box."""

    def __init__(self, template_size: int, search_size: int, depth: int, width: int, hidden: int):
        super().__init__()
        self.patch_embed = PatchEmbed(width)
        self.blocks = nn.ModuleList(MemoryBlock(width, hidden) for _ in range(depth))
        self.pos_embed_s = position(width, search_size)
        self.pos_embed_t = position(width, template_size)
        self.reg_tokens = nn.Parameter(torch.zeros(1, BOX_TOKENS, width))
        self.pos_embed_reg = nn.Parameter(torch.zeros(1, BOX_TOKENS, width))


class BoxHead(nn.Module):
    """The places of the box's sides: a distribution over places for each of the four tokens, and its mean."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()),
            nn.Sequential(nn.Linear(width, PLACES), nn.LayerNorm(PLACES)),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """``[1, 4, width]`` to centre, width and height as shares of the search image, ``[1, 1, 4]``."""
        places = torch.arange(PLACES, dtype=tokens.dtype) / PLACES
        left, right, top, bottom = (self.layers(tokens).softmax(dim=-1) * places).sum(dim=-1).unbind(dim=-1)
        centre = ((left + right) / 2, (top + bottom) / 2)
        return torch.stack([*centre, right - left, bottom - top], dim=-1)[:, None]


class ScoreHead(nn.Module):
    """Gives a logit: how suitable the box's region is as a template."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Sequential(nn.Linear(width, width), nn.ReLU()), nn.Linear(width, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers(tokens).mean(dim=1).reshape(-1)


class MixFormer2(nn.Module):
    """The whole tracker network.

    ``template(z, second)``: two images ``[1, 3, template_size, template_size]`` to the keys and values of their tokens
    in all blocks, ``[depth * 2n, width]`` each. The templates' tokens do not attend to the search image.
    ``track(keys, values, x)``: with ``x`` of ``[1, 3, search_size, search_size]`` gives the box ``[1, 1, 4]`` (centre,
    width and height as shares of the search image) and the logit of its score, ``[1]``.
    """

    def __init__(
        self, template_size: int = 112, search_size: int = 224, depth: int = 4, width: int = 768, hidden: int = 768
    ):
        super().__init__()
        self.template_size, self.search_size = template_size, search_size
        self.backbone = Backbone(template_size, search_size, depth, width, hidden)
        self.box_head = BoxHead(width)
        self.score_head = ScoreHead(width)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.backbone.blocks

    def template(self, image: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        net = self.backbone
        x = torch.cat([net.patch_embed(picture) + net.pos_embed_t for picture in (image, second)], dim=1)
        keys, values = [], []
        for block in net.blocks:
            key, value = block.memory(x)
            keys.append(key[0])
            values.append(value[0])
            x = block(x)
        return torch.cat(keys), torch.cat(values)

    def track(self, keys: Tensor, values: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        net, count = self.backbone, 2 * cells(self.template_size)
        x = torch.cat([net.patch_embed(search) + net.pos_embed_s, net.reg_tokens + net.pos_embed_reg], dim=1)
        for block, key, value in zip(net.blocks, keys.split(count), values.split(count), strict=True):
            x = block(x, (key[None], value[None]))
        tokens = x[:, -BOX_TOKENS:]
        return self.box_head(tokens), self.score_head(tokens)

    def forward(self, template: Tensor, second: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        return self.track(*self.template(template, second), search)
