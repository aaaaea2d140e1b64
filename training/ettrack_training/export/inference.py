"""Inference forms of the networks' blocks. They compute the same values, arranged for ONNX Runtime.

Batch norms are folded into the convolution before them. Pooling is GlobalAveragePool, because ONNX Runtime's blocked
convolution layout supports it and does not support a mean over axes.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..networks.blocks import DepthwiseSeparable, InvertedResidual, Sep, SqueezeExcite
from ..networks.exemplar import ExemplarLayer
from ..networks.siamese import BoxPredictor, ChannelAttention, ScorePredictor, SiameseTracker
from .exemplar import FastExemplarLayer, FastExemplarTransformer, FixedExemplarLayer, constant

# Convolution and batch norm pairs of each block.
FOLDS = {
    DepthwiseSeparable: (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    InvertedResidual: (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    Sep: (("pointwise", "BN"),),
}

# Smallest number of input channels for which a prediction in two steps (TapConvolution) is faster.
WIDE = 96


def fold_batch_norm(block: nn.Module, conv: str, norm: str) -> None:
    """Folds the batch norm named `norm` of `block` into the convolution named `conv` before it. Changes `block`."""
    fused = fuse_conv_bn_eval(getattr(block, conv), getattr(block, norm))
    setattr(block, conv, fused)
    setattr(block, norm, nn.Identity())


def inference_form(network: nn.Module) -> nn.Module:
    """Returns a copy of `network` in evaluation mode, in which every known block has its inference form."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(network.modules()):
        for conv, norm in FOLDS.get(type(module), ()):
            fold_batch_norm(module, conv, norm)
        if hasattr(module, "conv_stem"):
            fold_batch_norm(module, "conv_stem", "bn1")
    return _replace(network)


def _replace(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, SqueezeExcite):
            setattr(module, name, FastGate(child.conv_reduce, child.conv_expand, child.gate))
        elif isinstance(child, ChannelAttention):
            setattr(module, name, FastGate(child.fc1, child.fc2, nn.Sigmoid()))
        elif isinstance(child, ExemplarLayer):
            setattr(module, name, _exemplar_form(child))
        elif isinstance(module, ScorePredictor | BoxPredictor) and child.in_channels >= WIDE:
            setattr(module, name, TapConvolution(child))
        else:
            _replace(child)
    return module


def _exemplar_form(layer: ExemplarLayer) -> nn.Module:
    if layer.fixed:
        return FixedExemplarLayer(layer, FastGate(layer.se.conv_reduce, layer.se.conv_expand, nn.Sigmoid()))
    return FastExemplarTransformer(layer) if layer.ffn else FastExemplarLayer(layer)


class FastGate(nn.Module):
    """Squeeze-and-excitation, [B,C,H,W] -> same shape. Pooling is GlobalAveragePool. The gate is enlarged to the
    image's size before the product, because ONNX Runtime's blocked layout supports only products of equal shapes."""

    def __init__(self, reduce: nn.Conv2d, expand: nn.Conv2d, gate: nn.Module):
        super().__init__()
        self.reduce, self.expand, self.gate = reduce, expand, gate

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        gate = self.gate(self.expand(F.relu(self.reduce(pooled))))
        return x * F.interpolate(gate, size=x.shape[2:], mode="nearest")


class TapConvolution(nn.Module):
    """A 3x3 convolution to few channels, [B,in,H,W] -> [B,out,H,W]. It is a 1x1 convolution to nine times as many
    channels, whose maps are then shifted and added. ONNX Runtime's blocked layout always computes a multiple of sixteen
    output channels, so a single one would cost sixteen times its multiplications."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        outputs = conv.out_channels
        # [9 * out, in, 1, 1], one map per output and tap.
        self.taps = constant(conv.weight.permute(0, 2, 3, 1).reshape(9 * outputs, -1, 1, 1))
        # [out, 9 * out, 3, 3]: each output adds its nine maps, each shifted to its tap's position.
        taps = torch.eye(9).reshape(9, 3, 3)
        self.shifts = constant(torch.block_diag(*[taps.reshape(1, -1)] * outputs).reshape(outputs, -1, 3, 3))
        self.bias = conv.bias

    def kernel(self) -> Tensor:
        """Returns the weight of the equal 3x3 convolution, [out, in, 3, 3]."""
        outputs = len(self.shifts)
        return self.taps.reshape(outputs, 3, 3, -1).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, self.taps), self.shifts, self.bias, padding=1)


class TemplateGraph(nn.Module):
    """Module from the template image [1,3,S,S] to its features [1,C,h,w], which are kept."""

    def __init__(self, network: SiameseTracker):
        super().__init__()
        self.network = network

    def forward(self, template: Tensor) -> Tensor:
        return self.network.template_features(template)


class TrackGraph(nn.Module):
    """Module from kept template features and the search image to logits [1,1,n,n] and distances [1,4,n,n] (pixels)."""

    def __init__(self, network: SiameseTracker):
        super().__init__()
        self.network = network

    def forward(self, zf: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.track(zf, search)
