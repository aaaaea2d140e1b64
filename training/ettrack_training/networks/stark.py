"""STARK-S and STARK-ST (Yan et al., ICCV 2021): ResNet features of all images in a transformer, and a head for the
box's corners. STARK-ST has a second template, and a head for a score.

Parameter names are those of the authors' checkpoints (``STARKS_ep0500.pth.tar``, ``STARKST_ep0050.pth.tar``). Images
are RGB, normalised with the ImageNet mean and standard deviation. The network also takes which cells of each image lie
outside the frame, ``[1, n, n]`` with 1 for these and 0 for the others. Nothing attends to them, and positions are
counted without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hit import CornerHead, search_map

TEMPLATE_SIZE = 128
SEARCH_SIZE = 320
#: Pixels per cell.
STRIDE = 16
HEADS = 8
#: Width of a bottleneck's output in units of its inner width.
EXPANSION = 4
#: Inner widths of the three stages of the ResNet.
WIDTHS = (64, 128, 256)
#: Base of the wavelengths of the positions, and what keeps their division from dividing by zero.
TEMPERATURE, EPSILON = 10000, 1e-6


@dataclass(frozen=True)
class StarkConfig:
    """Blocks of the ResNet's stages, layers of encoder and decoder, and widths."""

    blocks: tuple[int, int, int] = (3, 4, 6)
    encoder: int = 6
    decoder: int = 6
    width: int = 256
    hidden: int = 2048
    head: int = 256


class FrozenNorm(nn.Module):
    """Batch norm that no training changes: its numbers are buffers."""

    eps = 1e-5

    def __init__(self, channels: int):
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, with their residual: ``[B, in, h, w]`` to ``[B, 4 * inner, h / s, w / s]``."""

    def __init__(self, inputs: int, inner: int, stride: int):
        super().__init__()
        outputs = EXPANSION * inner
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), FrozenNorm(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), FrozenNorm(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, outputs, 1, bias=False), FrozenNorm(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), FrozenNorm(outputs))
            if stride != 1 or inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """The first three stages of a ResNet: ``[1, 3, n, n]`` to ``[1, 1024, n / 16, n / 16]``."""

    def __init__(self, blocks: tuple[int, int, int]):
        super().__init__()
        inputs = WIDTHS[0]
        self.conv1, self.bn1 = nn.Conv2d(3, inputs, 7, 2, 3, bias=False), FrozenNorm(inputs)
        for stage, (inner, count) in enumerate(zip(WIDTHS, blocks, strict=True)):
            layers = []
            for i in range(count):
                layers.append(Bottleneck(inputs, inner, 2 if stage and not i else 1))
                inputs = EXPANSION * inner
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))

    def forward(self, image: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(image))), 3, 2, 1)
        return self.layer3(self.layer2(self.layer1(x)))


class Backbone(nn.Module):
    """Contains the ResNet under the authors' name."""

    def __init__(self, blocks: tuple[int, int, int]):
        super().__init__()
        self.body = ResNet(blocks)


class Attention(nn.Module):
    """Multi-head attention of tokens ``[n, width]``, under the names of ``nn.MultiheadAttention``."""

    def __init__(self, width: int):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, outside: Tensor | None = None) -> Tensor:
        """Keys whose number in ``outside [n]`` is 1 get no weight."""
        layers = zip(self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        query, key, value = (
            F.linear(x, weight, bias).unflatten(1, (HEADS, -1)).transpose(0, 1)
            for x, (weight, bias) in zip((query, key, value), layers, strict=True)
        )
        logits = query @ key.transpose(1, 2) * query.shape[-1] ** -0.5
        if outside is not None:
            logits = logits.masked_fill(outside > 0.5, -torch.inf)
        return self.out_proj((logits.softmax(dim=-1) @ value).transpose(0, 1).flatten(1))


class EncoderLayer(nn.Module):
    """Self-attention and two linear layers, each with its residual and a norm after it."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.self_attn = Attention(width)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, positions: Tensor, outside: Tensor) -> Tensor:
        placed = x + positions
        x = self.norm1(x + self.self_attn(placed, placed, x, outside))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class DecoderLayer(nn.Module):
    """Attention of the query to itself and to the encoder's tokens, and two linear layers."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.self_attn, self.multihead_attn = Attention(width), Attention(width)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor, query: Tensor, memory: Tensor, positions: Tensor, outside: Tensor) -> Tensor:
        placed = x + query
        x = self.norm1(x + self.self_attn(placed, placed, x))
        x = self.norm2(x + self.multihead_attn(x + query, memory + positions, memory, outside))
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))


class Encoder(nn.Module):
    def __init__(self, config: StarkConfig):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config.width, config.hidden) for _ in range(config.encoder))


class Decoder(nn.Module):
    def __init__(self, config: StarkConfig):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config.width, config.hidden) for _ in range(config.decoder))
        self.norm = nn.LayerNorm(config.width)


class Transformer(nn.Module):
    def __init__(self, config: StarkConfig):
        super().__init__()
        self.encoder, self.decoder = Encoder(config), Decoder(config)


def frequencies(width: int) -> tuple[Tensor, Tensor]:
    """Factor and phase of the sine of each of ``width`` numbers of a position along one axis, float64. A place is
    given as its share of the axis."""
    number = torch.arange(width, dtype=torch.float64)
    factor = 2 * pi * TEMPERATURE ** (-2 * (number // 2) / width)
    return factor, number % 2 * (pi / 2)


def places(outside: Tensor) -> tuple[Tensor, Tensor]:
    """``[1, n, n]`` to the place of each cell along y and x, ``[n, n]``: how many of the cells inside the frame in its
    column (row) come up to it, divided by how many there are."""
    inside = 1 - outside[0]
    along_y, along_x = inside.cumsum(0), inside.cumsum(1)
    return along_y / (along_y[-1:] + EPSILON), along_x / (along_x[:, -1:] + EPSILON)


def positions(outside: Tensor, width: int) -> Tensor:
    """``[1, n, n]`` to the positions of the cells, ``[n^2, width]``: first along y, then along x."""
    factor, phase = (value.to(outside) for value in frequencies(width // 2))
    return torch.cat([(place.reshape(-1, 1) * factor + phase).sin() for place in places(outside)], dim=1)


class StarkS(nn.Module):
    """The whole tracker network with one template.

    ``template(z, outside)``: ``[1, 3, 128, 128]`` and ``[1, 8, 8]`` to tokens ``[64, width]``, their positions ``[64,
    width]`` and which of them lie outside, ``[64]``.
    ``track(tokens, positions, outside, x, search_outside)``: with ``x`` of ``[1, 3, 320, 320]`` and ``search_outside``
    of ``[1, 20, 20]`` gives the box ``[1, 1, 4]``: centre, width and height as shares of the search image.
    """

    #: The names of the template images.
    templates: tuple[str, ...] = ("template",)

    def __init__(self, config: StarkConfig | None = None):
        super().__init__()
        self.config = config = config or StarkConfig()
        self.backbone = nn.Sequential(Backbone(config.blocks))
        self.transformer = Transformer(config)
        self.query_embed = nn.Embedding(1, config.width)
        self.bottleneck = nn.Conv2d(EXPANSION * WIDTHS[-1], config.width, 1)
        self.box_head = CornerHead(config.width, config.head)

    def features(self, image: Tensor, outside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens of an image, their positions and which of them lie outside."""
        features = self.bottleneck(self.backbone[0].body(image))
        return features[0].flatten(1).T, positions(outside, self.config.width), outside.flatten()

    def template(self, image: Tensor, outside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.features(image, outside)

    def decode(
        self, tokens: Tensor, token_positions: Tensor, outside: Tensor, search: Tensor, search_outside: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The decoder's token of the target, ``[1, width]``, and the box."""
        known, seen = (tokens, token_positions, outside), self.features(search, search_outside)
        memory, place, absent = (torch.cat(pair) for pair in zip(known, seen, strict=True))
        for layer in self.transformer.encoder.layers:
            memory = layer(memory, place, absent)
        query = self.query_embed.weight
        target = torch.zeros_like(query)
        for layer in self.transformer.decoder.layers:
            target = layer(target, query, memory, place, absent)
        target = self.transformer.decoder.norm(target)
        of_search = memory[len(tokens) :]
        box = self.box_head(search_map((of_search * (of_search @ target.T))[None], SEARCH_SIZE // STRIDE))
        return target, box

    def track(
        self, tokens: Tensor, token_positions: Tensor, outside: Tensor, search: Tensor, search_outside: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        return self.decode(tokens, token_positions, outside, search, search_outside)[1]

    def forward(self, *images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The inputs of ``template``, then those of ``track`` that are not from ``template``."""
        count = 2 * len(self.templates)
        return self.track(*self.template(*images[:count]), *images[count:])


class ScoreHead(nn.Module):
    """Three linear layers from the target's token ``[1, width]`` to the logit of its score, ``[1]``."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, outputs) for outputs in (width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x)[0]


class StarkST(StarkS):
    """The whole tracker network with two templates.

    ``template(z, second, outside, second_outside)``: both images and their cells outside, to tokens ``[128, width]``,
    their positions ``[128, width]`` and which of them lie outside, ``[128]``.
    ``track``: as that of ``StarkS``, but gives the box and the logit of its score, ``[1]``.
    """

    templates = ("template", "second_template")

    def __init__(self, config: StarkConfig | None = None):
        super().__init__(config)
        self.cls_head = ScoreHead(self.config.width)

    def template(
        self, image: Tensor, second: Tensor, outside: Tensor, second_outside: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        pairs = zip(self.features(image, outside), self.features(second, second_outside), strict=True)
        tokens, places, absent = (torch.cat(pair) for pair in pairs)
        return tokens, places, absent

    def track(
        self, tokens: Tensor, token_positions: Tensor, outside: Tensor, search: Tensor, search_outside: Tensor
    ) -> tuple[Tensor, Tensor]:
        target, box = self.decode(tokens, token_positions, outside, search, search_outside)
        return box, self.cls_head(target)
