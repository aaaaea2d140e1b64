"""SGLATrack (Xue et al., CVPR 2025): a one-stream ViT that runs one of its last six blocks for each search image.

Parameter names are those of the authors' checkpoints (``deit_distilled``). Images are RGB, normalised with the
ImageNet mean and standard deviation.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .one_stream import HEAD_WIDTH, Backbone, Block, CenterHead, OneStream, cells

TEMPLATE_SIZE = 128
SEARCH_SIZE = 256
WIDTH = 192
#: Blocks that always run, and those of which one runs.
FIRST, CANDIDATES = 6, 6
#: Two candidates whose probabilities differ by less may both be the right one. Rounding causes a tenth of it.
SAME_PROBABILITY = 1e-4


class Choice(nn.Module):
    """Two layers that give each candidate a probability, from the first channel of all tokens."""

    def __init__(self):
        super().__init__()
        tokens = cells(TEMPLATE_SIZE) + cells(SEARCH_SIZE)
        self.fc1 = nn.Linear(tokens, 160)
        self.fc2 = nn.Linear(160, CANDIDATES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(x[:, :, 0]))).sigmoid()


class SGLABackbone(Backbone):
    """The backbone with the layers of the choice."""

    def __init__(self, width: int):
        blocks = (Block(width, width // HEAD_WIDTH) for _ in range(FIRST + CANDIDATES))
        # DeiT's pre-training has places for two further tokens.
        super().__init__(TEMPLATE_SIZE, SEARCH_SIZE, width, blocks, places=198)
        self.MLP = Choice()


class SGLATrack(OneStream):
    """The whole tracker network. The choice of ``track`` is the number of the candidate that runs."""

    def __init__(self, width: int = WIDTH, head_width: int = 256):
        super().__init__(TEMPLATE_SIZE, SEARCH_SIZE, SGLABackbone(width), CenterHead(width, head_width))

    def track(
        self, template_tokens: Tensor, search: Tensor, *chosen: Tensor, checked: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As in the base class. Without ``checked`` all choices are accepted."""
        x = self.tokens(template_tokens, search)
        for block in self.blocks[:FIRST]:
            x = block(x)
        probabilities = self.backbone.MLP(x)[0]
        best = int(probabilities.argmax())
        candidate = int(chosen[0]) if chosen else best
        lost = float(probabilities[best] - probabilities[candidate])
        if checked and not lost <= SAME_PROBABILITY:
            raise ValueError(
                f"candidate {candidate} ran, but candidate {best} has a probability that is {lost:.6f} higher"
            )
        return self.predict(self.blocks[FIRST + candidate](x))
