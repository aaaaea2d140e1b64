"""ONNX graphs of SMAT for the CPU.

Differences from a plain export:

* The template runs up to layer 3's local representation once per target (in the authors' code up to layer 2).
* A context is a softmax-weighted sum of projected keys. So the tokens are summed first, and only the sum is projected.
  The affine parts of group norms are folded into the projections after them.
* Adjacent linear layers are merged: layer 1's reduction with layer 2's expansion, layer 3's projection with layer 4's
  expansion, layer 4's projections and both batch norms with the correlation, and the layer that widens the correlation
  with the head's first 3x3 convolutions.
* Tokens are the rows of a matrix, so that each projection is one matrix product. The two box towers run as one.
"""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from ..networks.smat import (
    CLAMP,
    SCORE_SIZE,
    SEARCH_SIZE,
    TEMPLATE_SIZE,
    AttentionUnit,
    ConvLayer,
    InvertedResidual,
    Smat,
)
from .builder import GraphBuilder
from .fold import after_affine, array, chain, conv_bn, norm_affine, padded_bias, pointwise

#: Shape of the template's tokens after layer 3's local representation: pixel position in a patch, patch, channel.
TEMPLATE_TOKENS = (4, 64, 128)


def folded(layer: ConvLayer) -> tuple[np.ndarray, np.ndarray]:
    """Weight ``[out, in, k, k]`` and bias ``[out]`` of a layer with its batch norm."""
    block = layer.block
    return conv_bn(block.conv, getattr(block, "norm", None))


def merge_pointwise(first: ConvLayer, second: ConvLayer) -> tuple[np.ndarray, np.ndarray]:
    """Weight ``[out, in, 1, 1]`` and bias of two 1x1 convolutions with only a batch norm between them, as one."""
    weight, bias = chain(pointwise(folded(first)), pointwise(folded(second)))
    return weight[:, :, None, None], bias


def depthwise(g: GraphBuilder, x: str, layer: ConvLayer) -> str:
    """Depthwise convolution and ReLU: ``[1, c, h, w]`` to ``[1, c, h / stride, w / stride]``."""
    weight, bias = folded(layer)
    return g.conv(x, weight, bias, stride=layer.block.conv.stride[0], groups=len(weight), relu=True)


def inverted_residual(g: GraphBuilder, x: str, layer: InvertedResidual) -> str:
    """1x1, depthwise 3x3, 1x1, with a skip if the shape stays: ``[1, in, h, w]`` to ``[1, out, h / s, w / s]``."""
    y = depthwise(g, g.conv(x, *folded(layer.block.exp_1x1), relu=True), layer.block.conv_3x3)
    y = g.conv(y, *folded(layer.block.red_1x1))
    return g.op("Add", x, y) if layer.skip else y


def local(g: GraphBuilder, image: str, net: Smat) -> str:
    """conv_1 to layer_2: ``[1, 3, s, s]`` to ``[1, 128, s / 4, s / 4]``, with layer_1's reduction merged into layer_2's
    expansion."""
    backbone = net.backbone
    first, second = backbone.layer_1[0].block, backbone.layer_2[0].block
    x = g.conv(image, *folded(backbone.conv_1), stride=2, relu=True)
    x = depthwise(g, g.conv(x, *folded(first.exp_1x1), relu=True), first.conv_3x3)
    x = g.conv(x, *merge_pointwise(first.red_1x1, second.exp_1x1), relu=True)
    x = g.conv(depthwise(g, x, second.conv_3x3), *folded(second.red_1x1))
    return inverted_residual(g, x, backbone.layer_2[1])


def patch_order(side: int) -> np.ndarray:
    """Row-major index of the cell of each token, ``[side^2]``. Tokens are ordered by the position in their 2x2 patch,
    then by the patch."""
    cells = np.arange(side * side).reshape(side // 2, 2, side // 2, 2)
    return cells.transpose(1, 3, 0, 2).reshape(-1)


def to_tokens(g: GraphBuilder, x: str, channels: int, side: int) -> str:
    """``[1, d, side, side]`` to tokens ``[4, side^2 / 4, d]``.

    A plain transposition and a gather of whole rows are several times as fast as one transposition of five axes.
    """
    x = g.reshape(g.transpose(x, 0, 2, 3, 1), side * side, channels)
    return g.reshape(g.gather(x, patch_order(side)), 4, side * side // 4, channels)


def to_map(g: GraphBuilder, x: str, channels: int, side: int) -> str:
    """Inverse of :func:`to_tokens`."""
    x = g.gather(g.reshape(x, side * side, channels), np.argsort(patch_order(side)))
    return g.transpose(g.reshape(x, 1, side, side, channels), 0, 3, 1, 2)


def local_representation(g: GraphBuilder, x: str, block, side: int) -> str:
    """Tokens of one image before attention: ``[1, c, side, side]`` to ``[4, side^2 / 4, d]``."""
    x = g.conv(depthwise(g, x, block.local_rep[0]), *folded(block.local_rep[1]))
    return to_tokens(g, x, block.local_rep[1].block.conv.out_channels, side)


def normalize(g: GraphBuilder, x: str, shape: tuple[int, int, int], eps: float) -> str:
    """Scales and shifts ``x`` of shape ``shape`` to zero mean and unit variance over all tokens and channels
    together."""
    one, zero = g.constant(np.ones(1)), g.constant(np.zeros(1))
    y = g.op("InstanceNormalization", g.reshape(x, 1, 1, -1), one, zero, epsilon=eps)
    return g.reshape(y, *shape)


def attention_unit(g: GraphBuilder, x: str, unit: AttentionUnit, shape: tuple[int, int, int]) -> str:
    """One attention unit on tokens of shape ``shape``: ``[p, n, d]`` (position in the patch, patch, channel)."""
    positions, count, d = shape
    norm, attention = unit.pre_norm_attn
    weight, bias = after_affine(array(norm.weight), array(norm.bias), *pointwise(folded(attention.qkv_proj)))
    t = normalize(g, x, shape, norm.eps)
    flat = g.reshape(t, -1, d)
    # The query's bias is the same for all tokens, so the softmax does not depend on it.
    query = g.reshape(g.op("MatMul", t, g.constant(weight[:1].T)), positions, 1, count)
    summed = g.reshape(g.op("MatMul", g.op("Softmax", query, axis=-1), t), positions, d)
    context = g.reshape(g.linear(summed, weight[1 : 1 + d], bias[1 : 1 + d]), positions, 1, d)
    value = g.reshape(g.linear(flat, weight[1 + d :], bias[1 + d :], relu=True), *shape)
    mixed = g.reshape(g.op("Mul", value, context), -1, d)
    x = g.op("Add", x, g.reshape(g.linear(mixed, *pointwise(folded(attention.out_proj))), *shape))

    norm, expand, _, reduce = unit.pre_norm_ffn
    t = g.reshape(normalize(g, x, shape, norm.eps), -1, d)
    hidden = g.linear(t, *after_affine(array(norm.weight), array(norm.bias), *pointwise(folded(expand))), relu=True)
    return g.op("Add", x, g.reshape(g.linear(hidden, *pointwise(folded(reduce))), *shape))


def attention_stack(g: GraphBuilder, x: str, stack: nn.Sequential, shape: tuple[int, int, int]) -> str:
    """All units of ``stack`` and its last normalisation, on tokens of shape ``shape``. The affine part of the last
    normalisation is left out; the next layer must contain it."""
    for unit in stack[:-1]:
        x = attention_unit(g, x, unit, shape)
    return normalize(g, x, shape, stack[-1].eps)


def affine(norm: nn.GroupNorm) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of each channel, ``[c]``."""
    return array(norm.weight), array(norm.bias)


def correlation(g: GraphBuilder, x: str, z: str, net: Smat) -> str:
    """Layer 4's normalised tokens of the search image, ``x [256, 192]``, and of the template, ``z [64, 192]``, to the
    gated correlation ``[256, 64]``. Search cells and template cells keep the tokens' order."""
    block, neck = net.backbone.layer_4[1], net.neck
    scale, shift = affine(block.global_rep[-1])

    def projection(norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
        matrix = after_affine(scale, shift, *pointwise(folded(block.conv_proj)))
        return chain(matrix, (np.diag(norm_affine(norm)[0]), norm_affine(norm)[1]))

    z = g.linear(z, *projection(neck.BN_z))
    weight, bias = projection(neck.BN_x)
    # (W x + b) . z' = x . (W^T z') + b . z'. So 64 template cells are projected instead of 256 search cells.
    keys = g.linear(z, weight.T)
    offset = g.reshape(g.op("MatMul", z, g.constant(bias[:, None])), 1, -1)
    corr = g.op("Gemm", x, keys, offset, transB=1)
    gate = net.feature_fusor.pw_corr.CA_layer
    order = patch_order(TEMPLATE_SIZE // 16)
    fc1, fc2 = pointwise(conv_bn(gate.fc1, None)), pointwise(conv_bn(gate.fc2, None))
    mean = g.op("ReduceMean", corr, axes=[0], keepdims=1)
    weight = g.linear(g.linear(mean, fc1[0][:, order], fc1[1], relu=True), fc2[0][order], fc2[1][order])
    return g.op("Mul", corr, g.op("Sigmoid", weight))


def conv_with_map(g: GraphBuilder, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
    """3x3 convolution and ReLU, ``[1, in, h, w]`` to ``[1, out, h, w]``, with a bias ``[out, h, w]``."""
    return g.op("Relu", g.op("Add", g.conv(x, weight), g.constant(bias[None])))


def entry_conv(layer: ConvLayer, net: Smat) -> tuple[np.ndarray, np.ndarray]:
    """Weight ``[out, 64, 3, 3]`` and bias ``[out, 16, 16]`` of the head's first 3x3 convolution with the layer before
    it, which widens the correlation."""
    weight, bias = folded(layer)
    adjust, shift = pointwise(conv_bn(net.feature_fusor.adj_layer, None))
    merged = np.einsum("omkl,mi->oikl", weight, adjust)[:, patch_order(TEMPLATE_SIZE // 16)]
    return merged, padded_bias(weight, shift, SCORE_SIZE, SCORE_SIZE) + bias[:, None, None]


def block_diagonal(*layers: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of separate convolutions as those of one grouped convolution."""
    return np.concatenate([w for w, _ in layers]), np.concatenate([b for _, b in layers])


def towers(g: GraphBuilder, x: str, head, names: list[str], closing: nn.GroupNorm) -> str:
    """Towers over the same input, computed together: normalised tokens ``[1, 256, 128]`` to maps ``[1, k, 16, 16]``.
    ``closing`` is the norm whose affine part the tokens do not contain yet."""
    scale, shift = affine(closing)
    x = g.reshape(g.transpose(x, 0, 2, 1), 1, len(scale), SCORE_SIZE, SCORE_SIZE)
    weight, bias = block_diagonal(*(conv_bn(*getattr(head, f"conv1_{name}")[:2]) for name in names))
    border = padded_bias(weight, shift, SCORE_SIZE, SCORE_SIZE)
    x = conv_with_map(g, x, weight * scale[None, :, None, None], border + bias[:, None, None])
    for i in (2, 3):
        layers = [conv_bn(*getattr(head, f"conv{i}_{name}")[:2]) for name in names]
        x = g.conv(x, *block_diagonal(*layers), groups=len(names), relu=True)
    last = [conv_bn(getattr(head, f"conv4_{name}"), None) for name in names]
    return g.conv(x, *block_diagonal(*last), groups=len(names))


def template_graph(net: Smat) -> onnx.ModelProto:
    """Graph from ``template [1, 3, 128, 128]`` to ``template_tokens [4, 64, 128]``."""
    g = GraphBuilder("smat_template")
    z = local(g, g.input("template", (1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE)), net)
    z = inverted_residual(g, z, net.backbone.layer_3[0])
    z = local_representation(g, z, net.backbone.layer_3[1], TEMPLATE_SIZE // 8)
    g.output(z, "template_tokens", TEMPLATE_TOKENS)
    return g.model()


def track_graph(net: Smat) -> onnx.ModelProto:
    """Graph from ``template_tokens`` and ``search [1, 3, 256, 256]`` to ``score``, ``size`` and ``offset``."""
    g = GraphBuilder("smat_track")
    z = g.input("template_tokens", TEMPLATE_TOKENS)
    x = local(g, g.input("search", (1, 3, SEARCH_SIZE, SEARCH_SIZE)), net)
    backbone = net.backbone

    block = backbone.layer_3[1]
    side_x, side_z = SEARCH_SIZE // 8, TEMPLATE_SIZE // 8
    x = local_representation(g, inverted_residual(g, x, backbone.layer_3[0]), block, side_x)
    d, count_x, count_z = 128, side_x**2 // 4, side_z**2 // 4
    t = attention_stack(g, g.op("Concat", x, z, axis=1), block.global_rep, (4, count_x + count_z, d))
    parts = g.op("Split", t, g.constant(np.array([count_x, count_z])), outputs=2, axis=1)

    entry = backbone.layer_4[0].block
    matrix = chain(
        after_affine(*affine(block.global_rep[-1]), *pointwise(folded(block.conv_proj))),
        pointwise(folded(entry.exp_1x1)),
    )
    expand = (matrix[0][:, :, None, None], matrix[1])
    last = backbone.layer_4[1]
    tokens = []
    for part, side in zip(parts, (side_x, side_z), strict=True):
        y = g.conv(to_map(g, part, d, side), *expand, relu=True)
        y = g.conv(depthwise(g, y, entry.conv_3x3), *folded(entry.red_1x1))
        tokens.append(local_representation(g, y, last, side // 2))
    d, count_x, count_z = 192, count_x // 4, count_z // 4
    t = attention_stack(g, g.op("Concat", *tokens, axis=1), last.global_rep, (4, count_x + count_z, d))
    x, z = g.op("Split", t, g.constant(np.array([count_x, count_z])), outputs=2, axis=1)

    corr = correlation(g, g.reshape(x, -1, d), g.reshape(z, -1, d), net)
    corr = to_map(g, g.reshape(corr, 4, count_x, -1), (TEMPLATE_SIZE // 16) ** 2, SCORE_SIZE)
    head = net.box_head
    features = {}
    for name, pre, stack in (
        ("cls", head.pre_ssat_cls, head.global_rep_cls),
        ("reg", head.pre_ssat_reg, head.global_rep_reg),
    ):
        y = conv_with_map(g, corr, *entry_conv(pre, net))
        y = g.transpose(g.reshape(y, 1, 128, SCORE_SIZE**2), 0, 2, 1)
        features[name] = attention_stack(g, y, stack, (1, SCORE_SIZE**2, 128))
    score = towers(g, features["cls"], head, ["ctr"], head.global_rep_cls[-1])
    boxes = towers(g, features["reg"], head, ["size", "offset"], head.global_rep_reg[-1])
    size, offset = g.op("Split", boxes, g.constant(np.array([2, 2])), outputs=2, axis=1)
    g.output(g.clamped_sigmoid(score, CLAMP), "score", (1, 1, SCORE_SIZE, SCORE_SIZE))
    g.output(g.clamped_sigmoid(size, CLAMP), "size", (1, 2, SCORE_SIZE, SCORE_SIZE))
    g.output(offset, "offset", (1, 2, SCORE_SIZE, SCORE_SIZE))
    return g.model()
