"""FEAR-XS (Borsuk et al., ECCV 2022) in its published form for inference: batch norms are folded into convolutions.

It has an FBNet backbone of stride 16, and a tower of separable convolutions each for scores and boxes. A tower takes
the search features together with their pixel-wise correlation with the 8 x 8 template.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .siamese import PixelwiseCorrelation, SiameseTracker

_STEM = 16
# Kernel, expanded channels (0: no expansion), output channels, stride. A block that keeps its shape adds its input.
_BLOCKS = (
    (3, 0, 16, 1),
    (3, 96, 24, 2),
    (3, 0, 24, 1),
    (3, 0, 24, 1),
    (5, 144, 32, 2),
    (5, 96, 32, 1),
    (5, 192, 32, 1),
    (3, 192, 32, 1),
    (5, 192, 64, 2),
    (5, 192, 64, 1),
    (5, 384, 64, 1),
    (5, 384, 64, 1),
    (5, 384, 112, 1),
    (5, 672, 112, 1),
    (5, 672, 112, 1),
    (5, 336, 112, 1),
)
_CHANNELS = 256
_CELLS = 64


class Block(nn.Module):
    """An inverted residual: 1x1, depthwise, 1x1, with ReLU after the first two. [B,in,H,W] ->
    [B,out,H/stride,W/stride]."""

    def __init__(self, inputs: int, kernel: int, expanded: int, outputs: int, stride: int):
        super().__init__()
        middle = expanded or inputs
        self.expand = nn.Sequential(nn.Conv2d(inputs, middle, 1), nn.ReLU()) if expanded else nn.Identity()
        self.depthwise = nn.Conv2d(middle, middle, kernel, stride, kernel // 2, groups=middle)
        self.project = nn.Conv2d(middle, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)).relu())
        return x + y if self.residual else y


class Separable(nn.Sequential):
    """A 3x3 depthwise convolution, with or without `bias`, followed directly by a 1x1: [B,in,H,W] -> [B,out,H,W]."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=bias)
        super().__init__(depthwise, nn.Conv2d(inputs, outputs, 1))


class Tower(nn.Module):
    """One branch: encodes the search features, correlates them with the template, and predicts [B,outputs,n,n]."""

    def __init__(self, outputs: int):
        super().__init__()
        self.encode = Separable(_CHANNELS, _CHANNELS, bias=False)
        self.adjust = Separable(_CHANNELS + _CELLS, _CHANNELS)
        self.layers = nn.ModuleList(Separable(_CHANNELS, _CHANNELS) for _ in range(2))
        self.predict = Separable(_CHANNELS, outputs)

    def forward(self, zf: Tensor, xf: Tensor) -> Tensor:
        y = self.encode(xf).relu()
        y = self.adjust(torch.cat([y, PixelwiseCorrelation.correlate(zf, y)], 1)).relu()
        for layer in self.layers:
            y = layer(y).relu()
        return self.predict(y)


class Fear(SiameseTracker):
    """FEAR-XS. Template 128 x 128, search 256 x 256 pixels, cut from windows of the box's own shape."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 3, 2, 1)
        inputs, blocks = _STEM, []
        for kernel, expanded, outputs, stride in _BLOCKS:
            blocks.append(Block(inputs, kernel, expanded, outputs, stride))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.neck = nn.Conv2d(inputs, _CHANNELS, 1)
        self.score, self.box = Tower(1), Tower(4)

    def backbone(self, image: Tensor) -> Tensor:
        return self.neck(self.blocks(self.stem(image).relu()))

    def template_neck(self, raw: Tensor) -> Tensor:
        return raw

    def search_neck(self, raw: Tensor) -> Tensor:
        return raw

    def track(self, zf: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        xf = self.backbone(search)
        return self.score(zf, xf), self.box(zf, xf).exp()


def layer_order() -> list[str]:
    """Returns the names of the convolutions of `Fear` in the order of the authors' files."""
    with torch.device("meta"):
        network = Fear()
    names = {module: name for name, module in network.named_modules()}
    body = [network.stem]
    for block in network.blocks:
        body += [
            *([block.expand[0]] if isinstance(block.expand, nn.Sequential) else []),
            block.depthwise,
            block.project,
        ]
    body.append(network.neck)
    score, box = network.score, network.box
    # The files list the box tower before the rest of the score tower.
    parts = (score.encode, box.encode, score.adjust, box.adjust, *box.layers, box.predict, *score.layers, score.predict)
    return [names[module] for module in (*body, *(module for part in parts for module in part))]
