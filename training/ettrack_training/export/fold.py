"""Merges the weights of adjacent layers into one layer, in double precision."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn


def array(parameter: Tensor) -> np.ndarray:
    """A parameter as a float64 array."""
    return parameter.detach().cpu().numpy().astype(np.float64)


def norm_affine(norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of each channel, ``[c]``, that the batch norm applies in evaluation mode."""
    scale = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
    return scale, array(norm.bias) - array(norm.running_mean) * scale


def conv_bn(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[np.ndarray, np.ndarray]:
    """Weight ``[out, in, k, k]`` and bias ``[out]`` of a convolution with the batch norm after it, if there is one."""
    weight = array(conv.weight)
    bias = array(conv.bias) if conv.bias is not None else np.zeros(len(weight))
    if norm is None:
        return weight, bias
    scale, shift = norm_affine(norm)
    return weight * scale[:, None, None, None], bias * scale + shift


def pointwise(layer: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Weight ``[out, in, 1, 1]`` and bias of a 1x1 convolution as a matrix ``[out, in]`` and the same bias."""
    weight, bias = layer
    return weight[:, :, 0, 0], bias


def chain(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Matrix ``[out, in]`` and bias ``[out]`` of the layer that applies ``first`` and then ``second``."""
    return second[0] @ first[0], second[0] @ first[1] + second[1]


def after_affine(scale: np.ndarray, shift: np.ndarray, weight: np.ndarray, bias: np.ndarray):
    """Matrix ``[out, in]`` and bias ``[out]`` of the layer that first computes ``x * scale + shift`` for each input."""
    return weight * scale, bias + weight @ shift


def padded_bias(weight: np.ndarray, shift: np.ndarray, height: int, width: int) -> np.ndarray:
    """The bias ``[out, height, width]`` that replaces adding ``shift [in]`` to the inputs of a 3x3 convolution.

    The convolution is padded with zeros. The bias differs at the border, where some taps read the padding, to which no
    shift is added.
    """
    taps = np.einsum("oikl,i->okl", weight, shift)
    bias = np.zeros((len(weight), height, width))
    for dy in range(3):
        for dx in range(3):
            rows = slice(max(0, 1 - dy), height - max(0, dy - 1))
            cols = slice(max(0, 1 - dx), width - max(0, dx - 1))
            bias[:, rows, cols] += taps[:, dy, dx, None, None]
    return bias
