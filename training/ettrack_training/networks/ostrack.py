"""OSTrack (Ye et al., ECCV 2022): a one-stream ViT that leaves out background tokens after some blocks.

Parameter names are those of the authors' checkpoints (``vitb_256_mae_ce_32x4_ep300``, ``vitb_384_mae_ce_32x4_ep300``
and others). Images are RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .one_stream import HEAD_WIDTH, PATCH, Block, CenterHead, PatchEmbed, cells, position

#: Search tokens are left out after the attention of these blocks. The second number is the share kept (rounded up).
ELIMINATION_BLOCKS = (3, 6, 9)
KEEP_RATIO = 0.7
#: Row and column of the template token whose attention decides, by the template's number of cells per side.
JUDGES = {8: 3, 12: 5, 7: 3, 14: 6}
#: If two attentions differ by less than this share of the largest, either may be kept. Rounding causes a tenth of it.
SAME_ATTENTION = 1e-5


def kept_tokens(search_size: int) -> dict[int, int]:
    """Returns the number of search tokens after each block that leaves some out."""
    counts, remaining = {}, cells(search_size)
    for block in ELIMINATION_BLOCKS:
        remaining = math.ceil(KEEP_RATIO * remaining)
        counts[block] = remaining
    return counts


def judge_of(template_size: int) -> int:
    """Returns the index of the template token whose attention decides which search tokens are kept."""
    side = template_size // PATCH
    return JUDGES[side] * side + JUDGES[side]


class Backbone(nn.Module):
    """Patch embedding, learned positions, blocks, final norm."""

    def __init__(self, template_size: int, search_size: int, depth: int, width: int):
        super().__init__()
        # The authors' files have them. This network does not use them, but needs them to load strictly.
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 197, width))
        self.pos_embed_z = position(width, template_size)
        self.pos_embed_x = position(width, search_size)
        self.patch_embed = PatchEmbed(width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.ModuleList(Block(width, width // HEAD_WIDTH) for _ in range(depth))


class OSTrack(nn.Module):
    """The whole tracker network. With ``eliminates`` it leaves out search tokens (configurations ``_ce_``).

    ``template(z)``: ``[1, 3, template_size, template_size]`` to its tokens ``[1, n, width]``.
    ``track(tokens, x)``: with ``x`` of ``[1, 3, search_size, search_size]`` gives score ``[1, 1, s, s]`` in (0, 1),
    size ``[1, 2, s, s]`` as fractions of the search region and offset ``[1, 2, s, s]`` in cells, with ``s`` of
    ``search_size / 16``. ``kept`` are the indices of the tokens to keep if another implementation has chosen them.
    """

    def __init__(
        self,
        template_size: int = 128,
        search_size: int = 256,
        depth: int = 12,
        width: int = 768,
        head_width: int = 256,
        eliminates: bool = True,
    ):
        super().__init__()
        self.template_size, self.search_size = template_size, search_size
        self.counts = kept_tokens(search_size) if eliminates else {}
        self.backbone = Backbone(template_size, search_size, depth, width)
        self.box_head = CenterHead(width, head_width)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.backbone.blocks

    def template(self, image: Tensor) -> Tensor:
        return self.backbone.patch_embed(image) + self.backbone.pos_embed_z

    def track(self, template_tokens: Tensor, search: Tensor, *kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        net, first = self.backbone, cells(self.template_size)
        chosen = iter(kept)
        x = torch.cat([template_tokens, net.patch_embed(search) + net.pos_embed_x], dim=1)
        places = torch.arange(cells(self.search_size))
        for i, block in enumerate(net.blocks):
            mixed, weights = block.attn.with_weights(block.norm1(x))
            x = x + mixed
            if i in self.counts:
                order = self._order(weights, self.counts[i], next(chosen, None))
                x, places = torch.cat([x[:, :first], x[:, first:][:, order]], dim=1), places[order]
            x = x + block.mlp(block.norm2(x))
        tokens = net.norm(x)[:, first:]
        # The head gets zeros in the place of a token that was left out.
        whole = torch.zeros_like(tokens[:, :1]).repeat(1, cells(self.search_size), 1)
        whole[:, places] = tokens
        return self.box_head(whole)

    def _order(self, weights: Tensor, count: int, kept: Tensor | None) -> Tensor:
        """Returns the indices of the ``count`` search tokens that the judge attends to most, or ``kept``."""
        first = cells(self.template_size)
        attention = weights[0, :, judge_of(self.template_size), first:].mean(dim=0)
        values, order = attention.sort(descending=True)
        if kept is None:
            return order[:count]
        lost = (values[count - 1] - attention[kept].min()) / values[0]
        if kept.unique().numel() != count or not lost <= SAME_ATTENTION:
            raise ValueError(f"a kept token's attention is {lost:.2g} of the largest below the {count} to be kept")
        return kept

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.track(self.template(template), search)
