"""CompressTracker: OSTrack-256 (a ViT-B/16 over template and search tokens) compressed to a few transformer blocks.

Parameter names are those of the authors' stripped checkpoints (``compresstracker_vitb_256_{2,3,4,6}``).
Images are RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .one_stream import Block, CenterHead, PatchEmbed, cells, position

TEMPLATE_SIZE = 128
SEARCH_SIZE = 256
WIDTH = 768
HEADS = 12
TEMPLATE_TOKENS = cells(TEMPLATE_SIZE)
#: Published depths.
DEPTHS = (2, 3, 4, 6)


class Backbone(nn.Module):
    """Patch embedding, learned positions, ``depth`` blocks, final norm."""

    def __init__(self, depth: int, width: int, heads: int):
        super().__init__()
        # Not used by this network. They exist because the authors' files contain them and are loaded strictly.
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 197, width))
        self.pos_embed_z = position(width, TEMPLATE_SIZE)
        self.pos_embed_x = position(width, SEARCH_SIZE)
        self.patch_embed = PatchEmbed(width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.distill_blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def forward(self, template_tokens: Tensor, search: Tensor) -> Tensor:
        """Template tokens ``[b, 64, width]`` and search image ``[b, 3, 256, 256]`` to all tokens ``[b, 320, width]``.

        The template's tokens already contain their positions and are the first 64 of the result.
        """
        x = torch.cat([template_tokens, self.patch_embed(search) + self.pos_embed_x], dim=1)
        for block in self.distill_blocks:
            x = block(x)
        return self.norm(x)


class CompressTracker(nn.Module):
    """The complete network with ``depth`` blocks.

    ``template(z)``: ``[1, 3, 128, 128]`` to its tokens ``[1, 64, width]``.
    ``track(tokens, x)``: with ``x`` of ``[1, 3, 256, 256]`` gives score ``[1, 1, 16, 16]`` in (0, 1),
    size ``[1, 2, 16, 16]`` as fractions of the search region and offset ``[1, 2, 16, 16]`` in cells.
    """

    def __init__(self, depth: int = 4, width: int = WIDTH, heads: int = HEADS, head_width: int = 256):
        super().__init__()
        self.template_size, self.search_size = TEMPLATE_SIZE, SEARCH_SIZE
        self.backbone = Backbone(depth, width, heads)
        self.box_head = CenterHead(width, head_width)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.backbone.distill_blocks

    def template(self, image: Tensor) -> Tensor:
        return self.backbone.patch_embed(image) + self.backbone.pos_embed_z

    def track(self, template_tokens: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.box_head(self.backbone(template_tokens, search)[:, TEMPLATE_TOKENS:])

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.track(self.template(template), search)
