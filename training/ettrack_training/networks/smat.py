"""SMAT: separable self and mixed attention on a MobileViTv2 backbone (WACV 2024).

Parameter names are those of the authors' checkpoint (``mobilevitv2_256_128x1_ep300``), so that its ``state_dict`` can
be loaded strictly. Images are RGB in 0..1 without further normalisation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .siamese import PixelwiseCorrelation

TEMPLATE_SIZE = 128
SEARCH_SIZE = 256
SCORE_SIZE = 16
#: Scores and sizes are clamped to [CLAMP, 1 - CLAMP] after the sigmoid.
CLAMP = 1e-4


class ConvLayer(nn.Module):
    """Convolution (``block.conv``), optional batch norm (``block.norm``), optional ReLU. ``[b, in, h, w]`` to
    ``[b, out, h / stride, w / stride]``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        act: bool = True,
        bias: bool | None = None,
    ):
        super().__init__()
        self.block = nn.Sequential()
        self.block.add_module(
            "conv",
            nn.Conv2d(
                inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=not norm if bias is None else bias
            ),
        )
        if norm:
            self.block.add_module("norm", nn.BatchNorm2d(outputs))
        if act:
            self.block.add_module("act", nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class InvertedResidual(nn.Module):
    """1x1 to twice the channels, depthwise 3x3, 1x1. Adds its input if the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        hidden = 2 * inputs
        self.block = nn.Sequential()
        self.block.add_module("exp_1x1", ConvLayer(inputs, hidden))
        self.block.add_module("conv_3x3", ConvLayer(hidden, hidden, 3, stride, groups=hidden))
        self.block.add_module("red_1x1", ConvLayer(hidden, outputs, act=False))
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.skip else self.block(x)


class SeparableAttention(nn.Module):
    """Attention of linear cost: one context vector for each pixel position, a sum weighted by scalar query scores.

    Input and output ``[1, d, P, N]`` (P pixel positions in a patch, N patches).
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.qkv_proj = ConvLayer(width, 1 + 2 * width, norm=False, act=False)
        self.out_proj = ConvLayer(width, width, norm=False, act=False)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv_proj(x).split([1, self.width, self.width], dim=1)
        context = (key * query.softmax(dim=-1)).sum(dim=-1, keepdim=True)
        return self.out_proj(F.relu(value) * context)


class AttentionUnit(nn.Module):
    """Pre-norm separable attention and feed-forward network, each with a residual. ``[1, d, P, N]`` to the same
    shape."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.pre_norm_attn = nn.Sequential(nn.GroupNorm(1, width), SeparableAttention(width))
        # Index 2 is a layer without parameters (dropout in training). It keeps the authors' parameter names.
        self.pre_norm_ffn = nn.Sequential(
            nn.GroupNorm(1, width),
            ConvLayer(width, hidden, norm=False),
            nn.Identity(),
            ConvLayer(hidden, width, norm=False, act=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pre_norm_attn(x)
        return x + self.pre_norm_ffn(x)


def attention_stack(width: int, units: int, hidden: int) -> nn.Sequential:
    """``units`` attention units and a final group norm. ``[1, width, P, N]`` to the same shape."""
    return nn.Sequential(*(AttentionUnit(width, hidden) for _ in range(units)), nn.GroupNorm(1, width))


def unfold(x: Tensor, patch: int = 2) -> Tensor:
    """``[B, d, H, W]`` to ``[B, d, patch * patch, H * W / patch^2]``, patches in row-major order."""
    b, d, h, w = x.shape
    x = x.reshape(b, d, h // patch, patch, w // patch, patch).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(b, d, patch * patch, (h // patch) * (w // patch))


def fold(x: Tensor, height: int, width: int, patch: int = 2) -> Tensor:
    """Inverse of :func:`unfold`."""
    b, d = x.shape[:2]
    x = x.reshape(b, d, patch, patch, height // patch, width // patch).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(b, d, height, width)


class MixedAttentionBlock(nn.Module):
    """Local convolutions per image, then attention over search and template tokens together."""

    def __init__(self, channels: int, width: int, units: int):
        super().__init__()
        self.local_rep = nn.Sequential(
            ConvLayer(channels, channels, 3, groups=channels),
            ConvLayer(channels, width, norm=False, act=False, bias=False),
        )
        self.global_rep = attention_stack(width, units, 2 * width)
        self.conv_proj = ConvLayer(width, channels, act=False)

    def tokens(self, x: Tensor) -> Tensor:
        """``[1, channels, H, W]`` of one image to ``[1, width, 4, H * W / 4]``."""
        return unfold(self.local_rep(x))

    def forward(self, search: Tensor, template: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of both images, ``[1, width, 4, n]``, to their maps, ``[1, channels, H, W]``."""
        count = search.shape[3]
        mixed = self.global_rep(torch.cat([search, template], dim=3))
        return self.to_map(mixed[..., :count]), self.to_map(mixed[..., count:])

    def to_map(self, tokens: Tensor) -> Tensor:
        """Tokens of one image, ``[1, width, 4, n]``, to its map ``[1, channels, 2 sqrt(n), 2 sqrt(n)]``."""
        side = 2 * math.isqrt(tokens.shape[3])
        return self.conv_proj(fold(tokens, side, side))


class Backbone(nn.Module):
    """MobileViTv2-1.0 up to stride 16. Up to layer 3's tokens, template and search image are processed separately."""

    def __init__(self):
        super().__init__()
        self.conv_1 = ConvLayer(3, 32, 3, 2)
        self.layer_1 = nn.Sequential(InvertedResidual(32, 64, 1))
        self.layer_2 = nn.Sequential(InvertedResidual(64, 128, 2), InvertedResidual(128, 128, 1))
        self.layer_3 = nn.Sequential(InvertedResidual(128, 256, 2), MixedAttentionBlock(256, 128, 2))
        self.layer_4 = nn.Sequential(InvertedResidual(256, 384, 2), MixedAttentionBlock(384, 192, 4))

    def tokens(self, image: Tensor) -> Tensor:
        """Layer 3's tokens ``[1, 128, 4, n]`` of one image before attention."""
        x = self.layer_2(self.layer_1(self.conv_1(image)))
        return self.layer_3[1].tokens(self.layer_3[0](x))

    def forward(self, template_tokens: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        x, z = self.layer_3[1](self.tokens(search), template_tokens)
        reduce, block = self.layer_4
        return block(block.tokens(reduce(x)), block.tokens(reduce(z)))


class Neck(nn.Module):
    """One batch norm each for search and template features."""

    def __init__(self, channels: int):
        super().__init__()
        self.BN_x = nn.BatchNorm2d(channels)
        self.BN_z = nn.BatchNorm2d(channels)


class FeatureFusor(nn.Module):
    """Correlation with the template's ``cells``, widened to the head's channels: ``[1, outputs, 16, 16]``."""

    def __init__(self, cells: int, outputs: int):
        super().__init__()
        self.pw_corr = PixelwiseCorrelation(cells)
        self.adj_layer = nn.Conv2d(cells, outputs, 1)

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        return self.adj_layer(self.pw_corr(template, search))


def conv_bn_relu(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution with bias, batch norm, ReLU: ``[b, in, h, w]`` to ``[b, out, h, w]``."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


def clamped_sigmoid(x: Tensor) -> Tensor:
    """Sigmoid, limited to :data:`CLAMP` to 1 - :data:`CLAMP`."""
    return x.sigmoid().clamp(CLAMP, 1 - CLAMP)


class BoxHead(nn.Module):
    """Separable attention for score and box, then a small tower for each map: ``[1, 128, 16, 16]`` to score, size and
    offset."""

    def __init__(self, width: int = 128, cls_units: int = 2, reg_units: int = 4):
        super().__init__()
        self.pre_ssat_cls = ConvLayer(width, width, 3)
        self.pre_ssat_reg = ConvLayer(width, width, 3)
        self.global_rep_cls = attention_stack(width, cls_units, 2 * width)
        self.global_rep_reg = attention_stack(width, reg_units, 2 * width)
        for name, outputs in (("ctr", 1), ("offset", 2), ("size", 2)):
            channels = [width, width, width // 2, width // 4]
            for i in range(3):
                self.add_module(f"conv{i + 1}_{name}", conv_bn_relu(channels[i], channels[i + 1]))
            self.add_module(f"conv4_{name}", nn.Conv2d(channels[3], outputs, 1))

    def tower(self, name: str, x: Tensor) -> Tensor:
        for i in range(1, 5):
            x = getattr(self, f"conv{i}_{name}")(x)
        return x

    def attend(self, pre: nn.Module, stack: nn.Module, x: Tensor) -> Tensor:
        """Convolution ``pre`` and attention ``stack`` over all cells: ``[1, 128, 16, 16]`` to the same shape."""
        x = pre(x)
        return fold(stack(unfold(x, 1)), *x.shape[2:], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score = self.attend(self.pre_ssat_cls, self.global_rep_cls, x)
        box = self.attend(self.pre_ssat_reg, self.global_rep_reg, x)
        return (
            clamped_sigmoid(self.tower("ctr", score)),
            clamped_sigmoid(self.tower("size", box)),
            self.tower("offset", box),
        )


class Smat(nn.Module):
    """The complete network.

    ``template(z)``: ``[1, 3, 128, 128]`` to the template's tokens ``[1, 128, 4, 64]``, once per target.
    ``track(tokens, x)``: with ``x`` of ``[1, 3, 256, 256]`` gives score ``[1, 1, 16, 16]`` in (0, 1),
    size ``[1, 2, 16, 16]`` as fractions of the search region and offset ``[1, 2, 16, 16]`` in cells.
    """

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.neck = Neck(384)
        self.feature_fusor = FeatureFusor((TEMPLATE_SIZE // 16) ** 2, 128)
        self.box_head = BoxHead()

    def template(self, image: Tensor) -> Tensor:
        return self.backbone.tokens(image)

    def track(self, template_tokens: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, z = self.backbone(template_tokens, search)
        return self.box_head(self.feature_fusor(self.neck.BN_z(z), self.neck.BN_x(x)))

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.track(self.template(template), search)
