"""Weights of adjacent layers merged into one, in double precision."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn


def array(parameter: Tensor) -> np.ndarray:
    """A parameter as a float64 array."""
    return parameter.detach().cpu().numpy().astype(np.float64)


def norm_affine(norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift per channel that batch norm is at test time."""
    scale = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
    return scale, array(norm.bias) - array(norm.running_mean) * scale


def conv_bn(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[np.ndarray, np.ndarray]:
    """Weight ``[out, in, k, k]`` and bias ``[out]`` of a convolution and the batch norm behind it."""
    weight = array(conv.weight)
    bias = array(conv.bias) if conv.bias is not None else np.zeros(len(weight))
    if norm is None:
        return weight, bias
    scale, shift = norm_affine(norm)
    return weight * scale[:, None, None, None], bias * scale + shift


def pointwise(layer: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A 1x1 convolution as a matrix."""
    weight, bias = layer
    return weight[:, :, 0, 0], bias


def chain(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The one matrix and bias of ``second`` after ``first``."""
    return second[0] @ first[0], second[0] @ first[1] + second[1]


def after_affine(scale: np.ndarray, shift: np.ndarray, weight: np.ndarray, bias: np.ndarray):
    """A matrix layer behind ``x * scale + shift``."""
    return weight * scale, bias + weight @ shift


def padded_bias(weight: np.ndarray, shift: np.ndarray, height: int, width: int) -> np.ndarray:
    """What ``shift`` (one number per input channel) adds to each output of a 3x3 convolution padded with
    zeros: a map ``[out, height, width]``, because at the border some taps see the padding."""
    taps = np.einsum("oikl,i->okl", weight, shift)
    bias = np.zeros((len(weight), height, width))
    for dy in range(3):
        for dx in range(3):
            rows = slice(max(0, 1 - dy), height - max(0, dy - 1))
            cols = slice(max(0, 1 - dx), width - max(0, dx - 1))
            bias[:, rows, cols] += taps[:, dy, dx, None, None]
    return bias
