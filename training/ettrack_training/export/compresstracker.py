"""ONNX graphs of CompressTracker for the CPU.

Differences from a plain export:

* The template's tokens and its part of the first block's queries, keys and values are computed once per target.
* The last block and the final norm run only on the search rows. The template rows are needed only as keys and values.
* Cutting an image into patches is a reordering of pixels. Bias and positions are added by the matrix product. The
  query's scale and the batch norms are multiplied into the weights.
* The first layers of the head's three towers run as one. The 3x3 convolutions have Winograd's form and work on tokens
  without a transposition.
"""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from ..networks.compresstracker import (
    PATCH,
    SCORE_SIZE,
    SEARCH_SIZE,
    SEARCH_TOKENS,
    TEMPLATE_SIZE,
    TEMPLATE_TOKENS,
    CompressTracker,
)
from ..networks.smat import CLAMP
from .builder import GraphBuilder
from .fold import array, conv_bn

PARTS = ("query", "key", "value")
TOWERS = ("ctr", "size", "offset")


def embed(g: GraphBuilder, image: str, size: int, net: CompressTracker, position: nn.Parameter) -> str:
    """An image ``[1, 3, size, size]`` to tokens ``[cells, width]`` with the position embedding added."""
    cells = size // PATCH
    x = g.transpose(g.reshape(image, 3, cells, PATCH, cells, PATCH), 1, 3, 0, 2, 4)
    proj = net.backbone.patch_embed.proj
    weight = array(proj.weight).reshape(proj.out_channels, -1)
    return g.linear(g.reshape(x, cells * cells, weight.shape[1]), weight, array(proj.bias) + array(position)[0])


def layer_norm(g: GraphBuilder, x: str, norm: nn.LayerNorm) -> str:
    """The layer norm ``norm`` of tokens ``[n, width]``. The shape stays."""
    return g.layer_norm(x, array(norm.weight), array(norm.bias), norm.eps)


def add_norm(g: GraphBuilder, x: str, skip: str, norm: nn.LayerNorm) -> tuple[str, str]:
    """``(norm(x + skip), x + skip)`` of tokens ``[n, width]``."""
    return g.add_layer_norm(x, skip, array(norm.weight), array(norm.bias), norm.eps)


def linear(g: GraphBuilder, x: str, layer: nn.Linear) -> str:
    """The linear layer ``layer`` of tokens ``[n, in]``: ``[n, out]``."""
    return g.linear(x, array(layer.weight), array(layer.bias))


def projections(attention) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weight ``[width, width]`` and bias ``[width]`` of query, key and value. The query's contain the scale."""
    weight, bias = array(attention.qkv.weight), array(attention.qkv.bias)
    width = weight.shape[1]
    result = dict(zip(PARTS, zip(np.split(weight, 3), np.split(bias, 3), strict=True), strict=True))
    scale = (width // attention.heads) ** -0.5
    result["query"] = tuple(scale * p for p in result["query"])
    return result


def template_graph(net: CompressTracker) -> onnx.ModelProto:
    """Graph from ``template [1, 3, 128, 128]`` to its tokens and their first query, key and value, ``[64, width]``."""
    g = GraphBuilder("compresstracker_template")
    image = g.input("template", (1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE))
    tokens = embed(g, image, TEMPLATE_SIZE, net, net.backbone.pos_embed_z)
    block = net.backbone.distill_blocks[0]
    x = layer_norm(g, tokens, block.norm1)
    shape = (TEMPLATE_TOKENS, len(block.norm1.weight))
    g.output(tokens, "template_tokens", shape)
    for name, (weight, bias) in projections(block.attn).items():
        g.output(g.linear(x, weight, bias), f"template_{name}", shape)
    return g.model()


def track_graph(net: CompressTracker) -> onnx.ModelProto:
    """Graph from the template's outputs and ``search [1, 3, 256, 256]`` to ``score``, ``size`` and ``offset``."""
    g = GraphBuilder("compresstracker_track")
    blocks, width = net.backbone.distill_blocks, net.backbone.pos_embed_x.shape[2]
    shape = (TEMPLATE_TOKENS, width)
    names = [f"template_{name}" for name in ("tokens", *PARTS)]
    template = [g.input(name, shape) for name in names]
    search = embed(g, g.input("search", (1, 3, SEARCH_SIZE, SEARCH_SIZE)), SEARCH_SIZE, net, net.backbone.pos_embed_x)
    stream = g.op("Concat", template[0], search, axis=0)
    normed = layer_norm(g, search, blocks[0].norm1)
    total = TEMPLATE_TOKENS + SEARCH_TOKENS
    for i, block in enumerate(blocks):
        heads = block.attn.heads
        last = i + 1 == len(blocks)
        parts = []
        for name, (weight, bias) in projections(block.attn).items():
            rows = normed
            if last and i and name == "query":
                rows = g.rows(normed, TEMPLATE_TOKENS, total)
            part = g.linear(rows, weight, bias)
            if i == 0 and not (last and name == "query"):
                part = g.op("Concat", template[1 + PARTS.index(name)], part, axis=0)
            parts.append(part)
        mixed = linear(g, g.attention(*parts, 1, heads, width), block.attn.proj)
        if last:
            stream = g.rows(stream, TEMPLATE_TOKENS, total)
        normed, stream = add_norm(g, mixed, stream, block.norm2)
        hidden = linear(g, g.gelu(linear(g, normed, block.mlp.fc1)), block.mlp.fc2)
        if last:
            normed, _ = add_norm(g, hidden, stream, net.backbone.norm)
        else:
            normed, stream = add_norm(g, hidden, stream, blocks[i + 1].norm1)
    score, size, offset = head(g, normed, net.box_head)
    g.output(g.clamped_sigmoid(score, CLAMP), "score", (1, 1, SCORE_SIZE, SCORE_SIZE))
    g.output(g.clamped_sigmoid(size, CLAMP), "size", (1, 2, SCORE_SIZE, SCORE_SIZE))
    g.output(offset, "offset", (1, 2, SCORE_SIZE, SCORE_SIZE))
    return g.model()


def head(g: GraphBuilder, x: str, net) -> tuple[str, ...]:
    """Tokens ``[256, width]`` to maps of score, size and offset before the sigmoid, ``[1, k, 16, 16]``."""
    first = [conv_bn(*getattr(net, f"conv1_{name}")[:2]) for name in TOWERS]
    merged = tuple(np.concatenate(parts) for parts in zip(*first, strict=True))
    x = g.conv3x3(x, *merged, SCORE_SIZE)
    ways = g.op("Split", x, g.constant(np.array([len(bias) for _, bias in first])), outputs=len(TOWERS), axis=1)
    maps = []
    for name, y in zip(TOWERS, ways, strict=True):
        for i in (2, 3, 4):
            y = g.conv3x3(y, *conv_bn(*getattr(net, f"conv{i}_{name}")[:2]), SCORE_SIZE)
        weight, bias = conv_bn(getattr(net, f"conv5_{name}"), None)
        y = g.linear(y, weight[:, :, 0, 0], bias)
        maps.append(g.reshape(g.transpose(y, 1, 0), 1, len(bias), SCORE_SIZE, SCORE_SIZE))
    return tuple(maps)
