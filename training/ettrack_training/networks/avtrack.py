"""AVTrack (Li et al., ICML 2024): a one-stream ViT that decides for each search image which blocks it runs.

AVTrack-MD (Wu et al., 2025) has half of the blocks and runs all of them. Parameter names are those of the authors'
checkpoints (``deit_tiny_patch16_224``, ``vit_tiny_patch16_224`` and their ``_distilled_`` configurations). Images are
RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

from torch import Tensor, nn

from .one_stream import HEAD_WIDTH, Backbone, Block, CenterHead, OneStream, cells

TEMPLATE_SIZE = 128
SEARCH_SIZE = 256
WIDTH = 192
#: Blocks of AVTrack, which decides, and of AVTrack-MD, which does not.
DECIDING_DEPTH, DISTILLED_DEPTH = 12, 6
#: The first blocks, which always run.
FIRST = 2
#: A block runs if its probability is above this.
PROBABILITY = 0.5
#: If a probability is as near to `PROBABILITY`, either decision may be right. Rounding causes a tenth of it.
SAME_PROBABILITY = 1e-4
#: The share of the squared attention that is added. The authors' code leaves it out with PyTorch 2 and later, which
#: has another function for attention. They require PyTorch 1.10.
SQUARED_ATTENTION = 0.1


class DecidingBlock(Block):
    """A block with the layer that decides whether it runs, from the first channel of all tokens."""

    def __init__(self, width: int):
        super().__init__(width, width // HEAD_WIDTH, SQUARED_ATTENTION)
        self.active_score_module = nn.Linear(cells(TEMPLATE_SIZE) + cells(SEARCH_SIZE), 1)

    def probability(self, x: Tensor) -> Tensor:
        """The probability that the block runs on these tokens, ``[1, 1]``."""
        return self.active_score_module(x[:, :, 0]).sigmoid()


class AVTrack(OneStream):
    """The whole tracker network. The choices of ``track`` say for each block after the second whether it runs."""

    def __init__(self, depth: int = DECIDING_DEPTH, width: int = WIDTH, head_width: int = 256):
        backbone = Backbone(TEMPLATE_SIZE, SEARCH_SIZE, width, (DecidingBlock(width) for _ in range(depth)))
        super().__init__(TEMPLATE_SIZE, SEARCH_SIZE, backbone, CenterHead(width, head_width))

    @property
    def first_deciding(self) -> int:
        """The first block that may be left out."""
        depth = len(self.blocks)
        return FIRST if depth == DECIDING_DEPTH else depth

    def track(
        self, template_tokens: Tensor, search: Tensor, *chosen: Tensor, checked: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As in the base class. Without ``checked`` all choices are accepted."""
        x, choices = self.tokens(template_tokens, search), iter(chosen)
        for i, block in enumerate(self.blocks):
            if i < self.first_deciding or _runs(block, x, next(choices, None), checked):
                x = block(x)
        return self.predict(x)


def _runs(block: DecidingBlock, x: Tensor, chosen: Tensor | None, checked: bool) -> bool:
    """Returns whether the block runs, or ``chosen``."""
    probability = float(block.probability(x))
    runs = probability > PROBABILITY
    if chosen is None:
        return runs
    if checked and bool(chosen) != runs and not abs(probability - PROBABILITY) <= SAME_PROBABILITY:
        decision = "ran" if chosen else "did not run"
        raise ValueError(f"a block {decision}, but its probability is {probability:.6f}, the limit {PROBABILITY}")
    return bool(chosen)
