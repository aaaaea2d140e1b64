"""HiT (Kang et al., ICCV 2023): LeViT over search and template tokens together, and a head for the box's corners.

Parameter names are those of the authors' checkpoints (``HiT_Base``, ``HiT_Small``, ``HiT_Tiny``). Images are RGB,
normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .smat import conv_bn_relu

TEMPLATE_SIZE = 128
SEARCH_SIZE = 256
PATCH = 16
#: Width of values in units of the keys' width, within a stage and from one stage to the next.
VALUE_RATIO, SHRINKING_VALUE_RATIO = 2, 4
MLP_RATIO = 2
#: Cells per side of the head's map.
SIDE = SEARCH_SIZE // PATCH


@dataclass(frozen=True)
class HitConfig:
    """Widths, attention heads and attention layers of the three stages, and the width of a key."""

    widths: tuple[int, int, int]
    heads: tuple[int, int, int]
    depths: tuple[int, int, int]
    key: int
    neck: int = 256
    head: int = 256


#: The published configurations, on LeViT-384, LeViT-128 and LeViT-128S.
BASE = HitConfig((384, 512, 768), (6, 9, 12), (4, 4, 4), 32)
SMALL = HitConfig((128, 256, 384), (4, 8, 12), (4, 4, 4), 16)
TINY = HitConfig((128, 256, 384), (4, 6, 8), (2, 3, 4), 16)


@dataclass(frozen=True)
class Grid:
    """Cells per side of the search and the template image. Search tokens come first, both row-major."""

    search: int
    template: int

    @property
    def search_tokens(self) -> int:
        return self.search**2

    def halved(self) -> Grid:
        return Grid((self.search + 1) // 2, (self.template + 1) // 2)

    def points(self) -> list[tuple[int, int]]:
        """Returns the positions of the tokens. The template is to the right of the search image and below it."""
        after = range(self.search, self.search + self.template)
        return [*product(range(self.search), repeat=2), *product(after, repeat=2)]


@cache
def bias_numbers(grid: Grid, stride: int = 1) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Returns the number of the learned bias of each pair of query and key, row by row, and how many biases there are.

    A bias belongs to a pair's distances along both axes. The biases are numbered in the order in which the distances
    occur. With a stride of two, the queries are those of the halved grid.
    """
    numbers: dict[tuple[int, int], int] = {}
    queries, keys = (grid if stride == 1 else grid.halved()).points(), grid.points()
    rows = tuple(
        tuple(numbers.setdefault((abs(q[0] * stride - k[0]), abs(q[1] * stride - k[1])), len(numbers)) for k in keys)
        for q in queries
    )
    return rows, len(numbers)


class ConvNorm(nn.Module):
    """3x3 convolution of stride two without bias, and batch norm."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.c(x))


class LinearNorm(nn.Module):
    """Linear layer without bias, and batch norm, of tokens ``[B, n, inputs]``."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.c = nn.Linear(inputs, outputs, bias=False)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.c(x).flatten(0, 1)).reshape(*x.shape[:2], -1)


class Residual(nn.Module):
    """A layer's output added to its input."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.m = layer

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class Attention(nn.Module):
    """Multi-head self-attention with learned biases by distance."""

    def __init__(self, width: int, key: int, heads: int, grid: Grid):
        super().__init__()
        self.heads, self.key, self.value = heads, key, VALUE_RATIO * key
        self.qkv = LinearNorm(width, heads * (2 * key + self.value))
        self.proj = nn.Sequential(nn.Hardswish(), LinearNorm(heads * self.value, width))
        indices, count = bias_numbers(grid)
        self.attention_biases = nn.Parameter(torch.zeros(heads, count))
        self.register_buffer("attention_bias_idxs", torch.tensor(indices))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
        query, key, value = parts.split([self.key, self.key, self.value], dim=-1)
        return self.proj(attend(query, key, value, self.attention_biases[:, self.attention_bias_idxs]))


class ShrinkingAttention(nn.Module):
    """Attention from every second token along both axes to all tokens. The output has the next stage's width."""

    def __init__(self, inputs: int, outputs: int, key: int, heads: int, grid: Grid):
        super().__init__()
        self.heads, self.key, self.value = heads, key, SHRINKING_VALUE_RATIO * key
        self.grid = grid
        self.kv = LinearNorm(inputs, heads * (key + self.value))
        # Index 0 is a parameterless layer in the authors' code.
        self.q = nn.Sequential(nn.Identity(), LinearNorm(inputs, heads * key))
        self.proj = nn.Sequential(nn.Hardswish(), LinearNorm(heads * self.value, outputs))
        indices, count = bias_numbers(grid, stride=2)
        self.attention_biases = nn.Parameter(torch.zeros(heads, count))
        self.register_buffer("attention_bias_idxs", torch.tensor(indices))

    def forward(self, x: Tensor) -> Tensor:
        key, value = (
            self.kv(x).reshape(*x.shape[:2], self.heads, -1).transpose(1, 2).split([self.key, self.value], dim=-1)
        )
        rows = self.q(x[:, every_second(self.grid)])
        query = rows.reshape(*rows.shape[:2], self.heads, self.key).transpose(1, 2)
        return self.proj(attend(query, key, value, self.attention_biases[:, self.attention_bias_idxs]))


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention of ``[B, heads, n, width]`` to tokens ``[B, queries, heads * value]``."""
    weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5 + bias).softmax(dim=-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def every_second(grid: Grid) -> Tensor:
    """Indices of every second token along both axes of both images."""
    search, template = (torch.arange(n * n).reshape(n, n)[::2, ::2].flatten() for n in (grid.search, grid.template))
    return torch.cat([search, grid.search_tokens + template])


def mlp(width: int) -> Residual:
    """Two linear layers, with their residual."""
    hidden = MLP_RATIO * width
    return Residual(nn.Sequential(LinearNorm(width, hidden), nn.Hardswish(), LinearNorm(hidden, width)))


class LeVit(nn.Module):
    """Convolutions to tokens, then three stages of attention. Each has a quarter of the tokens of the stage before."""

    def __init__(self, config: HitConfig):
        super().__init__()
        width = config.widths[0]
        channels = [3, *(width // share for share in (8, 4, 2, 1))]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(channels[:-1], channels[1:], strict=True):
            layers += [ConvNorm(inputs, outputs), nn.Hardswish()]
        self.patch_embed = nn.Sequential(*layers[:-1])
        grid = Grid(SEARCH_SIZE // PATCH, TEMPLATE_SIZE // PATCH)
        blocks: list[nn.Module] = []
        for stage, (width, heads, depth) in enumerate(zip(config.widths, config.heads, config.depths, strict=True)):
            if stage:
                before = config.widths[stage - 1]
                blocks += [ShrinkingAttention(before, width, config.key, before // config.key, grid), mlp(width)]
                grid = grid.halved()
            for _ in range(depth):
                blocks += [Residual(Attention(width, config.key, heads, grid)), mlp(width)]
        self.blocks = nn.Sequential(*blocks)

    def tokens(self, image: Tensor) -> Tensor:
        """``[1, 3, n, n]`` to ``[1, (n / 16)^2, width]``."""
        return self.patch_embed(image).flatten(2).transpose(1, 2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Tokens of both images, search first, to those of the three stages."""
        stages = []
        for block in self.blocks:
            if isinstance(block, ShrinkingAttention):
                stages.append(x)
            x = block(x)
        return [*stages, x]


class Backbone(nn.Module):
    """Contains the transformer under the authors' name."""

    def __init__(self, config: HitConfig):
        super().__init__()
        self.body = LeVit(config)


class Bridge(nn.Module):
    """Joins the search tokens of all stages on the map of the first stage, and makes one vector of the last stage."""

    def __init__(self, config: HitConfig):
        super().__init__()
        first, second, last = config.widths
        self.layers = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 2, 2), nn.BatchNorm2d(outputs))
            for inputs, outputs in ((last, second), (second, first))
        )
        self.proj1 = nn.Linear(first, config.neck)
        self.proj2 = nn.Linear(last, config.neck)

    def forward(self, stages: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Tokens of the stages to tokens ``[1, 256, neck]`` and the vector ``[1, 1, neck]``."""
        first, second, last = (search_map(x, SIDE >> stage) for stage, x in enumerate(stages))
        x = F.relu(self.layers[0](last) + second)
        x = self.layers[1](x) + first
        return self.proj1(x.flatten(2).transpose(1, 2)), self.proj2(stages[-1].mean(dim=1, keepdim=True))


def search_map(tokens: Tensor, side: int) -> Tensor:
    """The search tokens as a map ``[1, width, side, side]``."""
    return tokens[:, : side * side].transpose(1, 2).reshape(1, -1, side, side)


class CornerHead(nn.Module):
    """Two independent convolution towers, one per corner. Each corner is a weighted mean of places."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        channels = [inputs, *(width // share for share in (1, 2, 4, 8))]
        for name in ("tl", "br"):
            for i in range(4):
                self.add_module(f"conv{i + 1}_{name}", conv_bn_relu(channels[i], channels[i + 1]))
            self.add_module(f"conv5_{name}", nn.Conv2d(channels[4], 1, 1))

    def corner(self, name: str, x: Tensor) -> Tensor:
        """``[1, 2]``: x and y as shares of the search image."""
        for i in range(1, 6):
            x = getattr(self, f"conv{i}_{name}")(x)
        side = x.shape[-1]
        weights = x.flatten(1).softmax(dim=1)
        place = torch.arange(side, dtype=x.dtype) / side
        rows, columns = torch.meshgrid(place, place, indexing="ij")
        return torch.stack([(weights * axis.flatten()).sum(dim=1) for axis in (columns, rows)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """A map ``[1, inputs, side, side]`` to centre, width and height, ``[1, 1, 4]``."""
        first, last = self.corner("tl", x), self.corner("br", x)
        return torch.cat([(first + last) / 2, last - first], dim=1)[:, None]


class Hit(nn.Module):
    """The whole tracker network.

    ``template(z)``: ``[1, 3, 128, 128]`` to its tokens ``[1, 64, width]``.
    ``track(tokens, x)``: with ``x`` of ``[1, 3, 256, 256]`` gives the box ``[1, 1, 4]``: centre, width and height as
    shares of the search image.
    """

    def __init__(self, config: HitConfig = BASE):
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.bottleneck = Bridge(config)
        self.box_head = CornerHead(config.neck, config.head)

    def template(self, image: Tensor) -> Tensor:
        return self.backbone.body.tokens(image)

    def track(self, template_tokens: Tensor, search: Tensor) -> Tensor:
        body = self.backbone.body
        x, vector = self.bottleneck(body(torch.cat([body.tokens(search), template_tokens], dim=1)))
        return self.box_head(search_map(x * (x @ vector.transpose(1, 2)), SIDE))

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        return self.track(self.template(template), search)
