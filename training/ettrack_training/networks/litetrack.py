"""LiteTrack (Wei et al., ICRA 2024): a ViT in which the template attends only to itself.

In the last blocks the search tokens also attend to the template's tokens.

Parameter names are those of the authors' checkpoints (``B4_cae_center_all_ep300`` and with 6, 8 or 9 blocks). Images
are RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .one_stream import HEAD_WIDTH, Attention, CenterHead, MemoryBlock, Mlp, PatchEmbed, cells, position

TEMPLATE_SIZE = 128
SEARCH_SIZE = 256
#: The number of last blocks in which search tokens attend to the template's tokens, by the number of all blocks.
INTERACTIONS = {4: 2, 6: 3, 8: 3, 9: 3}


class BiasedAttention(Attention):
    """Attention whose keys have no bias, like in CAE's pre-trained ViT."""

    def __init__(self, width: int, heads: int):
        super().__init__(width, heads)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))

    def qkv_bias(self) -> Tensor:
        return torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])


class Block(MemoryBlock):
    """A block with a learned scale per channel for attention and MLP."""

    def __init__(self, width: int):
        super().__init__(width, 4 * width)
        self.gamma_1 = nn.Parameter(torch.full((width,), 0.1))
        self.gamma_2 = nn.Parameter(torch.full((width,), 0.1))

    @staticmethod
    def attention(width: int) -> Attention:
        return BiasedAttention(width, width // HEAD_WIDTH)

    def scales(self) -> tuple[Tensor, Tensor]:
        return self.gamma_1, self.gamma_2


class Backbone(nn.Module):
    """Patch embedding, learned positions, blocks."""

    def __init__(self, depth: int, width: int):
        super().__init__()
        # The authors' files have them. This network does not use them, but needs them to load strictly.
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 197, width))
        self.pos_embed_z = position(width, TEMPLATE_SIZE)
        self.pos_embed_x = position(width, SEARCH_SIZE)
        self.patch_embed = PatchEmbed(width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))


class TargetToken(Mlp):
    """The target's box in the template image to a token, ``[1, 4]`` to ``[1, width]``."""

    def __init__(self, width: int):
        super().__init__(4, 4)
        self.fc2 = nn.Linear(4, width)


class LiteTrack(nn.Module):
    """The whole tracker network of ``depth`` blocks.

    ``template(z, box)``: ``[1, 3, 128, 128]`` and the target's left, top, right and bottom as shares of it, ``[1, 4]``,
    to the keys and values that the search tokens attend to, ``[interactions * 64, width]`` each.
    ``track(keys, values, x)``: with ``x`` of ``[1, 3, 256, 256]`` gives score ``[1, 1, 16, 16]`` in (0, 1), size
    ``[1, 2, 16, 16]`` as fractions of the search region and offset ``[1, 2, 16, 16]`` in cells.
    """

    def __init__(self, depth: int = 8, width: int = 768, head_width: int = 256):
        super().__init__()
        self.backbone = Backbone(depth, width)
        self.box_head = CenterHead(width, head_width)
        self.target_token_embed = TargetToken(width)

    @property
    def first_interaction(self) -> int:
        """The first block in which search tokens attend to the template's tokens."""
        depth = len(self.backbone.blocks)
        return depth - INTERACTIONS[depth]

    def template(self, image: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        net = self.backbone
        x = torch.cat([self.target_token_embed(box)[:, None], net.patch_embed(image) + net.pos_embed_z], dim=1)
        for block in net.blocks:
            x = block(x)
        memories = [block.memory(x[:, 1:]) for block in net.blocks[self.first_interaction :]]
        keys, values = zip(*memories, strict=True)
        return torch.cat(keys, dim=1)[0], torch.cat(values, dim=1)[0]

    def track(self, keys: Tensor, values: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        net, count = self.backbone, cells(TEMPLATE_SIZE)
        x = net.patch_embed(search) + net.pos_embed_x
        for block in net.blocks[: self.first_interaction]:
            x = block(x)
        memories = zip(keys.split(count), values.split(count), strict=True)
        for block, (key, value) in zip(net.blocks[self.first_interaction :], memories, strict=True):
            x = block(x, (key[None], value[None]))
        return self.box_head(x)

    def forward(self, template: Tensor, box: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.track(*self.template(template, box), search)
