"""The Exemplar Transformer layer (Blatter et al., WACV 2023)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import SqueezeExcite


class AveragePooler(nn.Module):
    """Computes the query: global average, linear, ReLU. [B,C,H,W] -> [B,key_dim]."""

    def __init__(self, channels: int, key_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, key_dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fc1(x.mean((2, 3))))


class ExemplarLayer(nn.Module):
    """Attention over a few learned kernels instead of over pixels: [B,C,H,W] -> same shape.

    Each image has one query (its pooled features), which is compared with `exemplars` keys. The softmax weights mix
    `exemplars` depthwise k x k kernels and `exemplars` pointwise kernels into one of each. These two kernels convolve
    the image. So each image of a batch has its own kernels. `ffn` = 0 leaves out the feed-forward part and its two
    layer norms. A layer with a single exemplar and without feed-forward part needs no attention: it is `fixed` and has
    no keys and no query.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        exemplars: int = 4,
        key_dim: int = 256,
        ffn: int = 1024,
        temperature: float = 2.0,
    ):
        super().__init__()
        self.channels, self.kernel = channels, kernel
        self.scale = 1.0 / (math.sqrt(key_dim) * temperature)
        self.fixed = exemplars == 1 and not ffn
        if not self.fixed:
            self.K = nn.Parameter(torch.randn(exemplars, key_dim))
            self.average_pooler = AveragePooler(channels, key_dim)
        self.V_dw = nn.Parameter(_exemplar_kernels(exemplars, channels, 1, kernel))
        self.V_pw = nn.Parameter(_exemplar_kernels(exemplars, channels, channels, 1))
        self.dw_bn = nn.BatchNorm2d(channels)
        self.pw_bn = nn.BatchNorm2d(channels)
        self.se = SqueezeExcite(channels, channels // 2, "sigmoid")
        self.ffn = ffn
        if ffn:
            self.linear1 = nn.Linear(channels, ffn)
            self.linear2 = nn.Linear(ffn, channels)
            self.norm1 = nn.LayerNorm(channels)
            self.norm2 = nn.LayerNorm(channels)

    def mixing_weights(self, x: Tensor) -> Tensor:
        """Softmax weights over the exemplars, [B,exemplars]."""
        if self.fixed:
            return x.new_ones(len(x), 1)
        return torch.softmax(self.average_pooler(x) @ self.K.t() * self.scale, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        attention = self.mixing_weights(x)
        depthwise = (attention @ self.V_dw).view(batch * channels, 1, self.kernel, self.kernel)
        pointwise = (attention @ self.V_pw).view(batch, channels, channels)

        y = F.conv2d(
            x.reshape(1, batch * channels, height, width),
            depthwise,
            padding=self.kernel // 2,
            groups=batch * channels,
        ).view(batch, channels, height, width)
        y = self.se(F.relu(self.dw_bn(y)))
        y = (pointwise @ y.flatten(2)).view(batch, channels, height, width)
        y = F.relu(self.pw_bn(y)) + x
        if not self.ffn:
            return y

        tokens = self.norm1(y.flatten(2).transpose(1, 2))
        tokens = self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens))))
        return tokens.transpose(1, 2).reshape(batch, channels, height, width)


def _exemplar_kernels(exemplars: int, outputs: int, inputs: int, kernel: int) -> Tensor:
    """One convolution kernel per exemplar, flattened: [exemplars, outputs*inputs*kernel*kernel].

    Each kernel has the random start values that PyTorch gives a convolution.
    """
    kernels = torch.empty(exemplars, outputs, inputs, kernel, kernel)
    for one in kernels:
        nn.init.kaiming_uniform_(one, a=math.sqrt(5))
    return kernels.flatten(1)
