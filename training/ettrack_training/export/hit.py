"""HiT for the CPU.

Differences from a plain export:

* the template's tokens are computed once per target;
* batch norms and the query's scale are multiplied into weights;
* the bridge's transposed convolutions are matrix products;
* the first layers of the head's two towers run as one, in Winograd's form.
"""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from ..networks.hit import (
    PATCH,
    SEARCH_SIZE,
    SIDE,
    TEMPLATE_SIZE,
    Attention,
    CornerHead,
    Hit,
    LinearNorm,
    ShrinkingAttention,
    every_second,
)
from .builder import GraphBuilder
from .fold import array, conv_bn, norm_affine

TEMPLATE_TOKENS = (TEMPLATE_SIZE // PATCH) ** 2


def linear_norm(layer: LinearNorm) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a linear layer and its batch norm."""
    scale, shift = norm_affine(layer.bn)
    return array(layer.c.weight) * scale[:, None], shift


def tokens(g: GraphBuilder, image: str, layers: nn.Sequential) -> str:
    """``[1, 3, n, n]`` to tokens ``[(n / 16)^2, width]``."""
    x = image
    for i, layer in enumerate(layers):
        x = g.op("HardSwish", x) if i % 2 else g.conv(x, *conv_bn(layer.c, layer.bn), stride=2)
    width = layers[-1].c.out_channels
    return g.transpose(g.reshape(x, width, -1), 1, 0)


def attend(g: GraphBuilder, parts: list[str], heads: int, bias: np.ndarray) -> str:
    """Attention of a scaled query, key and value ``[n, heads * width]`` to tokens ``[queries, heads * value]``."""
    query, key, value = (
        g.transpose(g.reshape(x, 0, heads, -1), *axes)
        for x, axes in zip(parts, ((1, 0, 2), (1, 2, 0), (1, 0, 2)), strict=True)
    )
    weights = g.op("Softmax", g.op("Add", g.op("MatMul", query, key), g.constant(bias)), axis=-1)
    return g.reshape(g.transpose(g.op("MatMul", weights, value), 1, 0, 2), bias.shape[1], -1)


def split_heads(layer: tuple[np.ndarray, np.ndarray], heads: int, widths: list[int]) -> list[tuple]:
    """Divides a layer whose outputs are query, key and value head by head into one layer for each of the three."""
    weight, bias = layer
    weights = np.split(weight.reshape(heads, -1, weight.shape[1]), np.cumsum(widths)[:-1], axis=1)
    biases = np.split(bias.reshape(heads, -1), np.cumsum(widths)[:-1], axis=1)
    return [(w.reshape(-1, weight.shape[1]), b.reshape(-1)) for w, b in zip(weights, biases, strict=True)]


def biases(layer: Attention | ShrinkingAttention) -> np.ndarray:
    """``[heads, queries, keys]``"""
    return array(layer.attention_biases)[:, layer.attention_bias_idxs.numpy()]


def attention(g: GraphBuilder, x: str, layer: Attention) -> str:
    widths = [layer.key, layer.key, layer.value]
    query, key, value = split_heads(linear_norm(layer.qkv), layer.heads, widths)
    query = tuple(layer.key**-0.5 * part for part in query)
    parts = [g.linear(x, *part) for part in (query, key, value)]
    mixed = g.op("HardSwish", attend(g, parts, layer.heads, biases(layer)))
    return g.linear(mixed, *linear_norm(layer.proj[1]))


def shrinking_attention(g: GraphBuilder, x: str, layer: ShrinkingAttention) -> str:
    key, value = split_heads(linear_norm(layer.kv), layer.heads, [layer.key, layer.value])
    query = tuple(layer.key**-0.5 * part for part in linear_norm(layer.q[1]))
    rows = g.gather(x, every_second(layer.grid).numpy())
    parts = [g.linear(rows, *query), g.linear(x, *key), g.linear(x, *value)]
    mixed = g.op("HardSwish", attend(g, parts, layer.heads, biases(layer)))
    return g.linear(mixed, *linear_norm(layer.proj[1]))


def mlp(g: GraphBuilder, x: str, layers: nn.Sequential) -> str:
    return g.linear(g.op("HardSwish", g.linear(x, *linear_norm(layers[0]))), *linear_norm(layers[2]))


def template_graph(net: Hit) -> onnx.ModelProto:
    """``template [1, 3, 128, 128]`` to ``template_tokens [64, width]``."""
    g = GraphBuilder("hit_template")
    image = g.input("template", (1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE))
    shape = (TEMPLATE_TOKENS, net.config.widths[0])
    g.output(tokens(g, image, net.backbone.body.patch_embed), "template_tokens", shape)
    return g.model()


def track_graph(net: Hit) -> onnx.ModelProto:
    """``template_tokens`` and ``search [1, 3, 256, 256]`` to ``box [1, 1, 4]``."""
    g = GraphBuilder("hit_track")
    body = net.backbone.body
    template = g.input("template_tokens", (TEMPLATE_TOKENS, net.config.widths[0]))
    search = tokens(g, g.input("search", (1, 3, SEARCH_SIZE, SEARCH_SIZE)), body.patch_embed)
    x = g.op("Concat", search, template, axis=0)
    stages = []
    for block in body.blocks:
        if isinstance(block, ShrinkingAttention):
            stages.append(x)
            x = shrinking_attention(g, x, block)
        else:
            layer = attention if isinstance(block.m, Attention) else mlp
            x = g.op("Add", layer(g, x, block.m), x)
    joined, vector = bridge(g, [*stages, x], net.bottleneck)
    share = g.op("MatMul", joined, g.transpose(vector, 1, 0))
    g.output(corners(g, g.op("Mul", joined, share), net.box_head, SIDE), "box", (1, 1, 4))
    return g.model()


def upsample(g: GraphBuilder, x: str, layers: nn.Sequential, side: int) -> str:
    """A transposed convolution without overlaps, and its batch norm: ``[side^2, in]`` to ``[4 side^2, out]``."""
    convolution, norm = layers
    scale, shift = norm_affine(norm)
    weight = array(convolution.weight) * scale[:, None, None]
    inputs, outputs = weight.shape[:2]
    bias = np.repeat(array(convolution.bias) * scale + shift, 4)
    x = g.reshape(g.linear(x, weight.reshape(inputs, -1).T, bias), side, side, outputs, 2, 2)
    return g.reshape(g.transpose(x, 0, 3, 1, 4, 2), 4 * side * side, outputs)


def bridge(g: GraphBuilder, stages: list[str], net: nn.Module) -> tuple[str, str]:
    """Tokens of the stages to tokens ``[256, neck]`` and the vector ``[1, neck]``."""
    sides = [SIDE >> stage for stage in range(len(stages))]
    first, second, last = (g.rows(x, 0, side * side) for x, side in zip(stages, sides, strict=True))
    x = g.op("Relu", g.op("Add", upsample(g, last, net.layers[0], sides[2]), second))
    x = g.op("Add", upsample(g, x, net.layers[1], sides[1]), first)
    vector = g.op("ReduceMean", stages[-1], axes=[0], keepdims=1)
    joined, vector = (
        g.linear(value, array(layer.weight), array(layer.bias))
        for value, layer in ((x, net.proj1), (vector, net.proj2))
    )
    return joined, vector


def corners(g: GraphBuilder, x: str, net: CornerHead, side: int) -> str:
    """Tokens ``[side^2, neck]`` to centre, width and height, ``[1, 1, 4]``."""
    names = ("tl", "br")
    first = [conv_bn(*getattr(net, f"conv1_{name}")[:2]) for name in names]
    merged = tuple(np.concatenate(parts) for parts in zip(*first, strict=True))
    ways = g.op(
        "Split",
        g.conv3x3(x, *merged, side),
        g.constant(np.array([len(bias) for _, bias in first])),
        outputs=len(names),
        axis=1,
    )
    logits = []
    for name, y in zip(names, ways, strict=True):
        for i in (2, 3, 4):
            y = g.conv3x3(y, *conv_bn(*getattr(net, f"conv{i}_{name}")[:2]), side)
        weight, bias = conv_bn(getattr(net, f"conv5_{name}"), None)
        logits.append(g.reshape(g.linear(y, weight[:, :, 0, 0], bias), 1, side * side))
    share = g.op("Softmax", g.op("Concat", *logits, axis=0), axis=-1)
    row, column = np.divmod(np.arange(side * side), side)
    places = g.op("MatMul", share, g.constant(np.stack([column, row], axis=1) / side))
    centre, size = (g.op("MatMul", g.constant(np.array([factors])), places) for factors in ((0.5, 0.5), (-1.0, 1.0)))
    return g.reshape(g.op("Concat", centre, size, axis=1), 1, 1, 4)
