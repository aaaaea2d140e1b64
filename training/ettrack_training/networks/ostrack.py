"""OSTrack (Ye et al., ECCV 2022): a one-stream ViT that leaves out background tokens after some blocks.

Parameter names are those of the authors' checkpoints (``vitb_256_mae_ce_32x4_ep300``, ``vitb_384_mae_ce_32x4_ep300``
and others). Images are RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .one_stream import HEAD_WIDTH, PATCH, Backbone, Block, CenterHead, OneStream, cells

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


class OSTrack(OneStream):
    """The whole tracker network. With ``eliminates`` it leaves out search tokens (configurations ``_ce_``).

    The choices of ``track`` are the indices of the search tokens that stay.
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
        blocks = (Block(width, width // HEAD_WIDTH) for _ in range(depth))
        backbone = Backbone(template_size, search_size, width, blocks)
        super().__init__(template_size, search_size, backbone, CenterHead(width, head_width))
        self.counts = kept_tokens(search_size) if eliminates else {}

    def track(self, template_tokens: Tensor, search: Tensor, *chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, kept = cells(self.template_size), iter(chosen)
        x = self.tokens(template_tokens, search)
        places = torch.arange(cells(self.search_size))
        for i, block in enumerate(self.blocks):
            mixed, weights = block.attn.with_weights(block.norm1(x))
            x = x + mixed
            if i in self.counts:
                order = self._order(weights, self.counts[i], next(kept, None))
                x, places = torch.cat([x[:, :first], x[:, first:][:, order]], dim=1), places[order]
            x = x + block.mlp(block.norm2(x))
        tokens = self.backbone.norm(x)[:, first:]
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
