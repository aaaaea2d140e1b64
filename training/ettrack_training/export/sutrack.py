"""SUTrack for the CPU.

Differences from a plain export:

* the templates' tokens are computed once per template, and the text's and the class token are constants;
* the two halves of the first convolution, which get the same image, are one;
* all maps before the transformer are tokens, so that their 1x1 convolutions and merges are matrix products;
* of the last block only the search rows are computed;
* scales are multiplied into weights, and the head is that of the other one-stream trackers.
"""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from ..networks.one_stream import HEAD_WIDTH, PATCH, cells
from ..networks.sutrack import (
    FIRST_PATCH,
    FURTHER,
    Attention,
    Block,
    Body,
    ConvBlock,
    Merge,
    SUTrack,
)
from .builder import GraphBuilder
from .fold import array, conv_bn, pointwise
from .one_stream import centre_head, layer_norm, linear

#: The names of the template images.
TEMPLATES = ("template", "second_template")


def tokens(g: GraphBuilder, image: str, size: int, net: Body, added: np.ndarray) -> str:
    """``[1, 3, size, size]`` to tokens ``[cells, width]`` plus ``added [cells, width]``."""
    side = size // FIRST_PATCH
    x = g.transpose(g.reshape(image, 3, side, FIRST_PATCH, side, FIRST_PATCH), 1, 3, 0, 2, 4)
    proj = net.patch_embed.proj
    weight = array(proj.weight)
    weight = (weight[:, :3] + weight[:, 3:]).reshape(len(weight), -1)
    x = g.linear(g.reshape(x, side * side, weight.shape[1]), weight, array(proj.bias))
    for block in net.map_blocks:
        if isinstance(block, Merge):
            x, side = merge(g, x, side, block), side // 2
        else:
            x = map_block(g, x, block)
    return g.op("Add", x, g.constant(added))


def map_block(g: GraphBuilder, x: str, block: ConvBlock) -> str:
    fc1, fc2 = (pointwise(conv_bn(layer, None)) for layer in (block.mlp.fc1, block.mlp.fc2))
    hidden = g.gelu(g.linear(layer_norm(g, x, block.norm2), *fc1))
    return g.op("Add", x, g.linear(layer_norm(g, hidden, block.mlp.ffn_ln), *fc2))


def merge(g: GraphBuilder, x: str, side: int, layer: Merge) -> str:
    """Tokens ``[side^2, width]`` to ``[side^2 / 4, 2 * width]``."""
    width, half = len(layer.norm.bias), side // 2
    x = g.reshape(layer_norm(g, x, layer.norm), half, 2, half, 2, width)
    x = g.reshape(g.transpose(x, 0, 2, 1, 3, 4), half * half, 4 * width)
    weight = array(layer.reduction.weight).transpose(0, 2, 3, 1)
    return g.linear(x, weight.reshape(len(weight), -1), array(layer.reduction.bias))


def projections(attention: Attention) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Weight and bias of query (scaled), key and value."""
    scale = HEAD_WIDTH**-0.5
    query = scale * array(attention.q_proj.weight), scale * array(attention.q_bias)
    value = array(attention.v_proj.weight), array(attention.v_bias)
    return [query, (array(attention.k_proj.weight), None), value]


def scaled(g: GraphBuilder, x: str, layer: nn.Linear, scale: nn.Parameter) -> str:
    """A linear layer whose outputs are multiplied with ``scale``."""
    return g.linear(x, array(scale)[:, None] * array(layer.weight), array(scale) * array(layer.bias))


def token_block(g: GraphBuilder, stream: str, block: Block, kept: int | None = None) -> str:
    """One block on tokens ``[n, width]``, or on the first ``kept`` of them, which attend to all."""
    normed = layer_norm(g, stream, block.norm1)
    (query, key, value) = projections(block.attn)
    known = [g.linear(normed, *layer) for layer in (key, value)]
    if kept is not None:
        normed, stream = (g.rows(x, 0, kept) for x in (normed, stream))
    mixed = g.attention(g.linear(normed, *query), *known, 1, block.attn.heads, block.attn.proj.in_features)
    stream = g.op("Add", scaled(g, mixed, block.attn.proj, block.gamma_1), stream)
    normed = layer_norm(g, stream, block.norm2)
    gate, hidden = (linear(g, normed, layer) for layer in (block.mlp.w1, block.mlp.w2))
    gated = g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), hidden)
    return g.op("Add", scaled(g, layer_norm(g, gated, block.mlp.ffn_ln), block.mlp.w3, block.gamma_2), stream)


def foreground(g: GraphBuilder, box: str, size: int) -> str:
    """``[1, 4]`` to the share of each template cell's pixels that lie in the box, ``[cells, 1]``."""
    side = size // PATCH
    ends = g.reshape(g.op("Mul", box, g.constant(np.float32(size * size / (size - 1)))), 2, 2, 1)
    first, last = (g.gather(ends, np.array(i)) for i in (0, 1))
    pixel = g.constant(np.arange(size)[None] / 1.0)
    inside = g.op("And", g.op("GreaterOrEqual", pixel, first), g.op("Less", pixel, last))
    share = g.reshape(g.op("Cast", inside, to=onnx.TensorProto.FLOAT), 2, side, PATCH)
    share = g.op("ReduceMean", share, axes=[2], keepdims=0)
    along_x, along_y = (g.gather(share, np.array(i)) for i in (0, 1))
    return g.reshape(g.op("Mul", g.reshape(along_y, side, 1), g.reshape(along_x, 1, side)), side * side, 1)


def template_graph(net: SUTrack) -> onnx.ModelProto:
    """For each template, ``template [1, 3, n, n]`` and ``template_box [1, 4]`` to ``template_tokens``, the tokens of
    all templates, the text and the class token."""
    g = GraphBuilder("sutrack_template")
    body, size = net.encoder.body, net.config.template_size
    background = array(body.template_background_token)
    added = array(body.pos_embed)[0, cells(net.config.search_size) :] + background
    difference = g.constant((array(body.template_foreground_token) - background)[None])
    parts = []
    for name in TEMPLATES[: net.config.templates]:
        image = g.input(name, (1, 3, size, size))
        share = foreground(g, g.input(f"{name}_box", (1, 4)), size)
        parts.append(g.op("Add", tokens(g, image, size, body, added), g.op("Mul", share, difference)))
    further = np.concatenate([array(net.text_token), array(body.cls_token)[0]])
    x = g.op("Concat", *parts, g.constant(further), axis=0)
    g.output(x, "template_tokens", (len(parts) * cells(size) + FURTHER, len(background)))
    return g.model()


def track_graph(net: SUTrack) -> onnx.ModelProto:
    """``template_tokens`` and ``search [1, 3, n, n]`` to ``score``, ``size`` and ``offset``."""
    g = GraphBuilder("sutrack_track")
    body, config = net.encoder.body, net.config
    size, count = config.search_size, cells(config.search_size)
    known = g.input("template_tokens", (config.templates * cells(config.template_size) + FURTHER, config.width))
    added = array(body.pos_embed)[0, :count] + array(body.search_token)
    search = tokens(g, g.input("search", (1, 3, size, size)), size, body, added)
    stream = g.op("Concat", search, known, axis=0)
    *blocks, last = body.token_blocks
    for block in blocks:
        stream = token_block(g, stream, block)
    stream = token_block(g, stream, last, count)
    centre_head(g, layer_norm(g, stream, body.fc_norm), net.decoder, size // PATCH)
    return g.model()
