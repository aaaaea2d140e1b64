"""Inference forms of the exemplar layer, for one image: [1,C,H,W] -> same shape.

The scales of both batch norms are multiplied into the exemplars, and their shifts become biases. The softmax scale is
multiplied into the keys. The gate multiplies the dynamic 1x1 kernel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.exemplar import ExemplarLayer


class _Folded(nn.Module):
    """Common part of the forms with attention. `_keep` gets `depthwise` [exemplars,C,k*k] and `pointwise`
    [exemplars,C out,C in], both multiplied by the batch norms' scales."""

    def __init__(self, layer: ExemplarLayer):
        super().__init__()
        self.channels, self.kernel = layer.channels, layer.kernel
        self.query = layer.average_pooler.fc1
        self.keys = constant((layer.K * layer.scale).t())
        self.reduce, self.expand = _linear(layer.se.conv_reduce), _linear(layer.se.conv_expand)
        exemplars = layer.K.shape[0]
        dw_scale, dw_bias = _affine(layer.dw_bn)
        pw_scale, pw_bias = _affine(layer.pw_bn)
        self.depthwise_bias = constant(dw_bias)
        self.pointwise_bias = constant(pw_bias)
        depthwise = layer.V_dw.view(exemplars, self.channels, -1) * dw_scale[:, None]
        pointwise = layer.V_pw.view(exemplars, self.channels, -1) * pw_scale[:, None]
        self._keep(depthwise, pointwise)

    def _keep(self, depthwise: Tensor, pointwise: Tensor) -> None:
        raise NotImplementedError


class FastExemplarLayer(_Folded):
    """An exemplar layer without feed-forward part. The gate multiplies the dynamic 1x1 kernel instead of the features.
    The 1x1 convolution is a matrix product with the features [C,H*W]."""

    def _keep(self, depthwise: Tensor, pointwise: Tensor) -> None:
        self.depthwise = constant(depthwise.flatten(1))
        self.pointwise = constant(pointwise.flatten(1))
        self.pointwise_bias = constant(self.pointwise_bias[:, None])

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = self.channels, x.shape[2], x.shape[3]
        attention = torch.softmax(F.relu(self.query(x.mean((2, 3)))) @ self.keys, dim=1)
        depthwise = (attention @ self.depthwise).view(channels, 1, self.kernel, self.kernel)
        pointwise = (attention @ self.pointwise).view(channels, channels)

        y = F.conv2d(x, depthwise, self.depthwise_bias, padding=self.kernel // 2, groups=channels)
        y = F.relu(y).reshape(channels, -1)
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(y.mean(1).view(1, channels)))))
        y = F.relu((pointwise * gate) @ y + self.pointwise_bias) + x.reshape(channels, -1)
        return y.reshape(1, channels, height, width)


class FixedExemplarLayer(nn.Module):
    """A layer of a single exemplar without feed-forward part: two convolutions with a gate between them. The norms are
    folded into the convolutions. ONNX Runtime's blocked layout supports all of these operators."""

    def __init__(self, layer: ExemplarLayer, gate: nn.Module):
        super().__init__()
        channels, kernel = layer.channels, layer.kernel
        self.depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        folded = ((self.depthwise, layer.V_dw, layer.dw_bn), (self.pointwise, layer.V_pw, layer.pw_bn))
        for conv, kernels, norm in folded:
            scale, bias = _affine(norm)
            conv.weight = constant(kernels.view(conv.weight.shape) * scale[:, None, None, None])
            conv.bias = constant(bias)
        self.se = gate

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.se(F.relu(self.depthwise(x))))) + x


class FastExemplarTransformer(_Folded):
    """An exemplar layer with feed-forward part.

    The dynamic product and the norms work on tokens [H*W,C] without a batch axis, which ONNX Runtime runs as Gemm. The
    feed-forward part is two 1x1 convolutions: in the blocked layout they took 0.95 of the time of Gemm.

    ONNX Runtime's blocked layout does not support a depthwise convolution with computed kernels, which is therefore
    slow. So each exemplar convolves x separately, with x multiplied by the exemplar's weight, and the results are
    added. The weights sum to one. So the first exemplar convolves x itself, and the others' kernels are their
    differences from the first.
    """

    def __init__(self, layer: ExemplarLayer):
        super().__init__(layer)
        self.norm1, self.norm2 = layer.norm1, layer.norm2
        self.widen, self.contract = _convolution(layer.linear1), _convolution(layer.linear2)

    def _keep(self, depthwise: Tensor, pointwise: Tensor) -> None:
        first, *others = depthwise.view(-1, self.channels, 1, self.kernel, self.kernel)
        self.depthwise = nn.ParameterList(map(constant, (first, *(other - first for other in others))))
        self.pointwise = constant(pointwise.transpose(1, 2).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        channels, height, width = self.channels, x.shape[2], x.shape[3]

        def image(tokens: Tensor) -> Tensor:
            return tokens.reshape(1, height, width, channels).permute(0, 3, 1, 2)

        def tokens(image: Tensor) -> Tensor:
            return image.permute(0, 2, 3, 1).reshape(-1, channels)

        x = tokens(x)
        attention = torch.softmax(F.relu(self.query(_mean(x))) @ self.keys, dim=1)
        pointwise = (attention @ self.pointwise).view(channels, channels)

        y = self._convolve(image(x), 0, self.depthwise_bias)
        for index, weight in enumerate(attention.split(1, 1)[1:], start=1):
            y = y + self._convolve(image(x * weight), index)
        y = tokens(F.relu(y))
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(_mean(y)))))
        y = F.relu(torch.addmm(self.pointwise_bias, y, pointwise * gate.view(channels, 1))) + x
        x = self.norm1(y)
        return image(self.norm2(x + tokens(self.contract(F.relu(self.widen(image(x)))))))

    def _convolve(self, x: Tensor, index: int, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(x, self.depthwise[index], bias, padding=self.kernel // 2, groups=self.channels)


def _mean(tokens: Tensor) -> Tensor:
    """Mean of the rows, [n,C] -> [1,C], as a matrix product, because ONNX Runtime's mean over the first axis is
    slow."""
    count = tokens.shape[0]
    return torch.ones(1, count) @ tokens / count


def constant(value: Tensor) -> nn.Parameter:
    """A parameter with this value that is not trained."""
    return nn.Parameter(value.contiguous(), requires_grad=False)


def _linear(conv: nn.Conv2d) -> nn.Linear:
    """A 1x1 convolution as a linear layer."""
    linear = nn.Linear(conv.in_channels, conv.out_channels)
    linear.weight, linear.bias = constant(conv.weight.flatten(1)), conv.bias
    return linear


def _convolution(linear: nn.Linear) -> nn.Conv2d:
    """A linear layer as a 1x1 convolution."""
    conv = nn.Conv2d(linear.in_features, linear.out_features, 1)
    conv.weight, conv.bias = constant(linear.weight[:, :, None, None]), linear.bias
    return conv


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift of each channel, [C], that the batch norm applies in evaluation mode."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
