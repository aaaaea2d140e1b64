"""Inference forms of the networks' blocks: the same mathematics, arranged for ONNX Runtime.

Batch norms disappear into the convolution before them; pooling is GlobalAveragePool, which
keeps ONNX Runtime's blocked convolution layout where a mean over axes would leave it.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..networks.blocks import DepthwiseSeparable, InvertedResidual, Sep, SqueezeExcite
from ..networks.exemplar import ExemplarLayer
from ..networks.siamese import ChannelAttention, SiameseTracker

# Convolution and batch norm pairs of each block.
FOLDS = {
    DepthwiseSeparable: (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    InvertedResidual: (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    Sep: (("pointwise", "BN"),),
}


def fold_batch_norm(block: nn.Module, conv: str, norm: str) -> None:
    """Multiplies the batch norm named `norm` into the convolution named `conv` before it."""
    fused = fuse_conv_bn_eval(getattr(block, conv), getattr(block, norm))
    setattr(block, conv, fused)
    setattr(block, norm, nn.Identity())


def inference_form(network: nn.Module) -> nn.Module:
    """A copy of `network`, in evaluation mode, with every known block in its inference form."""
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
            setattr(module, name, FastExemplarLayer(child))
        else:
            _replace(child)
    return module


class FastGate(nn.Module):
    """Squeeze-and-excitation with pooling as GlobalAveragePool."""

    def __init__(self, reduce: nn.Conv2d, expand: nn.Conv2d, gate: nn.Module):
        super().__init__()
        self.reduce, self.expand, self.gate = reduce, expand, gate

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        return x * self.gate(self.expand(F.relu(self.reduce(pooled))))


class FastExemplarLayer(nn.Module):
    """An exemplar layer for one image, [1,C,H,W] -> same shape.

    Both batch norms are folded into the exemplars (their scales) and biases, the softmax scale
    into the keys. The gate multiplies the dynamic 1x1 kernel instead of the features, and that
    1x1 is a matrix product with the features as they lie, [C,H*W]; only the feed-forward part
    works on tokens [H*W,C], without a batch axis, which ONNX Runtime runs as Gemm.
    """

    def __init__(self, layer: ExemplarLayer):
        super().__init__()
        self.channels, self.kernel = layer.channels, layer.kernel
        self.query = layer.average_pooler.fc1
        self.keys = _constant((layer.K * layer.scale).t())
        exemplars = layer.K.shape[0]
        dw_scale, dw_bias = _affine(layer.dw_bn)
        pw_scale, pw_bias = _affine(layer.pw_bn)
        depthwise = layer.V_dw.view(exemplars, self.channels, -1) * dw_scale[:, None]
        pointwise = layer.V_pw.view(exemplars, self.channels, -1) * pw_scale[:, None]
        self.depthwise = _constant(depthwise.flatten(1))
        self.depthwise_bias = _constant(dw_bias)
        self.pointwise = _constant(pointwise.flatten(1))
        self.pointwise_bias = _constant(pw_bias[:, None])
        self.reduce, self.expand = _linear(layer.se.conv_reduce), _linear(layer.se.conv_expand)
        self.ffn = layer.ffn
        if self.ffn:
            self.norm1, self.norm2 = layer.norm1, layer.norm2
            self.linear1, self.linear2 = layer.linear1, layer.linear2

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = self.channels, x.shape[2], x.shape[3]
        attention = torch.softmax(F.relu(self.query(x.mean((2, 3)))) @ self.keys, dim=1)
        depthwise = (attention @ self.depthwise).view(channels, 1, self.kernel, self.kernel)
        pointwise = (attention @ self.pointwise).view(channels, channels)

        y = F.conv2d(x, depthwise, self.depthwise_bias, padding=self.kernel // 2, groups=channels)
        y = F.relu(y).reshape(channels, -1)
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(y.mean(1).view(1, channels)))))
        y = F.relu((pointwise * gate) @ y + self.pointwise_bias) + x.reshape(channels, -1)
        if self.ffn:
            tokens = self.norm1(y.t())
            y = self.norm2(tokens + self.linear2(F.relu(self.linear1(tokens)))).t()
        return y.reshape(1, channels, height, width)


def _constant(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.contiguous(), requires_grad=False)


def _linear(conv: nn.Conv2d) -> nn.Linear:
    """A 1x1 convolution as a linear layer."""
    linear = nn.Linear(conv.in_channels, conv.out_channels)
    linear.weight, linear.bias = _constant(conv.weight.flatten(1)), conv.bias
    return linear


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


class TemplateGraph(nn.Module):
    """Template image to kept features."""

    def __init__(self, network: SiameseTracker):
        super().__init__()
        self.network = network

    def forward(self, template: Tensor) -> Tensor:
        return self.network.template_features(template)


class TrackGraph(nn.Module):
    """Kept template features and search image to logits and distances."""

    def __init__(self, network: SiameseTracker):
        super().__init__()
        self.network = network

    def forward(self, zf: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.track(zf, search)
