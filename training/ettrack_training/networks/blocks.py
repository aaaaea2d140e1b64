"""Convolution blocks of the LT-Mobile backbone and the heads.

Every tensor is [batch, channels, height, width], float32. Convolutions pad with zeros, so stride 1 keeps the side.
"""

from __future__ import annotations

from torch import Tensor, nn

ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU, "hardswish": nn.Hardswish}
GATES = {"hard_sigmoid": nn.Hardsigmoid, "sigmoid": nn.Sigmoid}


def activation(name: str) -> nn.Module:
    """Returns a module of the activation called `name`. Raises `ValueError` with the list of known names for
    another."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name!r} is unknown, expected one of {sorted(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A `kernel` x `kernel` convolution without bias, padded with `kernel` // 2 zeros."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)


class SqueezeExcite(nn.Module):
    """Channel gate of squeeze-and-excitation (Hu et al., CVPR 2018): [B,C,H,W] -> same shape.

    Backbone blocks use the hard sigmoid, exemplar layers the sigmoid.
    """

    def __init__(self, channels: int, width: int, gate: str):
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, width, 1)
        self.act1 = nn.ReLU()
        self.conv_expand = nn.Conv2d(width, channels, 1)
        self.gate = GATES[gate]()

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.conv_expand(self.act1(self.conv_reduce(pooled))))


class DepthwiseSeparable(nn.Module):
    """Depthwise k x k, gate of width `se`, linear 1x1: [B,in,H,W] -> [B,out,H/stride,W/stride]. `se` = 0: no gate."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        se: int,
        residual: bool,
        act: str,
    ):
        super().__init__()
        self.conv_dw = conv(inputs, inputs, kernel, stride, groups=inputs)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.act1 = activation(act)
        self.se = SqueezeExcite(inputs, se, "hard_sigmoid") if se else nn.Identity()
        self.conv_pw = conv(inputs, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.se(self.act1(self.bn1(self.conv_dw(x))))
        y = self.bn2(self.conv_pw(y))
        return y + x if self.residual else y


class InvertedResidual(nn.Module):
    """Expanding 1x1, depthwise k x k, gate of width `se`, linear 1x1 (MobileNetV2/V3): [B,in,H,W] ->
    [B,out,H/stride,W/stride]. `se` = 0: no gate."""

    def __init__(
        self,
        inputs: int,
        mid: int,
        outputs: int,
        kernel: int,
        stride: int,
        se: int,
        residual: bool,
        act: str,
    ):
        super().__init__()
        self.conv_pw = conv(inputs, mid, 1)
        self.bn1 = nn.BatchNorm2d(mid)
        self.act1 = activation(act)
        self.conv_dw = conv(mid, mid, kernel, stride, groups=mid)
        self.bn2 = nn.BatchNorm2d(mid)
        self.act2 = activation(act)
        self.se = SqueezeExcite(mid, se, "hard_sigmoid") if se else nn.Identity()
        self.conv_pwl = conv(mid, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv_pw(x)))
        y = self.se(self.act2(self.bn2(self.conv_dw(y))))
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.residual else y


class Sep(nn.Module):
    """Head block: depthwise k x k, 1x1, batch norm, ReLU; [B,in,H,W] -> [B,out,H,W]."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.conv1 = conv(inputs, inputs, kernel, groups=inputs)
        self.pointwise = conv(inputs, outputs, 1)
        self.BN = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.BN(self.pointwise(self.conv1(x))))
