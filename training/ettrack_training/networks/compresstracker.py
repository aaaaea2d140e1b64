"""CompressTracker: OSTrack-256 (a ViT-B/16 over template and search tokens) compressed to a few transformer blocks.

Parameter names are those of the authors' stripped checkpoints (``compresstracker_vitb_256_{2,3,4,6}``).
Images are RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

from torch import Tensor, nn

from . import one_stream
from .one_stream import Block, CenterHead, OneStream

TEMPLATE_SIZE = 128
SEARCH_SIZE = 256
WIDTH = 768
HEADS = 12
#: Published depths.
DEPTHS = (2, 3, 4, 6)


class Backbone(one_stream.Backbone):
    """The backbone of one-stream trackers, with the blocks under the authors' name."""

    def __init__(self, depth: int, width: int, heads: int):
        super().__init__(TEMPLATE_SIZE, SEARCH_SIZE, width, ())
        del self.blocks
        self.distill_blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))


class CompressTracker(OneStream):
    """The complete network with ``depth`` blocks."""

    def __init__(self, depth: int = 4, width: int = WIDTH, heads: int = HEADS, head_width: int = 256):
        backbone = Backbone(depth, width, heads)
        super().__init__(TEMPLATE_SIZE, SEARCH_SIZE, backbone, CenterHead(width, head_width))

    @property
    def blocks(self) -> nn.ModuleList:
        return self.backbone.distill_blocks

    def track(self, template_tokens: Tensor, search: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.tokens(template_tokens, search)
        for block in self.blocks:
            x = block(x)
        return self.predict(x)
