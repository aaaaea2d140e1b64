"""Graphs of one-stream trackers for the CPU: OSTrack, CompressTracker, and layers of others.

Differences from a plain export:

* the template's tokens and its share of the first block's queries, keys and values are computed once
  per target;
* the last block and the final norm run only on the search rows (the template rows are needed only as keys
  and values);
* cutting into patches is a reordering of pixels, and its matrix product adds bias and positions;
* residual sums and norms are one pass;
* the query's scale and the batch norms are multiplied into weights;
* the head's three towers run as one;
* the wide 3x3 convolutions have Winograd's form and read the tokens without reordering.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from torch import nn

from ..networks.one_stream import PATCH, Attention, Block, CenterHead, PatchEmbed, cells
from ..networks.smat import CLAMP
from .builder import GraphBuilder
from .fold import array, conv_bn

PARTS = ("query", "key", "value")
TOWERS = ("ctr", "size", "offset")
#: The outputs of the template graph.
TEMPLATE_OUTPUTS = ("template_tokens", *(f"template_{part}" for part in PARTS))


def embed(g: GraphBuilder, image: str, size: int, patches: PatchEmbed, position: nn.Parameter) -> str:
    """``[1, 3, size, size]`` to tokens ``[cells, width]`` with their positions."""
    side = size // PATCH
    x = g.transpose(g.reshape(image, 3, side, PATCH, side, PATCH), 1, 3, 0, 2, 4)
    proj = patches.proj
    weight = array(proj.weight).reshape(proj.out_channels, -1)
    return g.linear(g.reshape(x, side * side, weight.shape[1]), weight, array(proj.bias) + array(position)[0])


def layer_norm(g: GraphBuilder, x: str, norm: nn.LayerNorm) -> str:
    return g.layer_norm(x, array(norm.weight), array(norm.bias), norm.eps)


def add_norm(g: GraphBuilder, x: str, skip: str, norm: nn.LayerNorm) -> tuple[str, str]:
    """``(norm(x + skip), x + skip)``"""
    return g.add_layer_norm(x, skip, array(norm.weight), array(norm.bias), norm.eps)


def linear(g: GraphBuilder, x: str, layer: nn.Linear) -> str:
    return g.linear(x, array(layer.weight), array(layer.bias))


def mlp(g: GraphBuilder, x: str, layers: nn.Module) -> str:
    """Two linear layers with the exact GELU between them."""
    return linear(g, g.gelu(linear(g, x, layers.fc1)), layers.fc2)


def projections(attention: Attention) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of query (scaled), key and value."""
    weight, bias = array(attention.qkv.weight), array(attention.qkv_bias())
    width = weight.shape[1]
    result = dict(zip(PARTS, zip(np.split(weight, 3), np.split(bias, 3), strict=True), strict=True))
    scale = (width // attention.heads) ** -0.5
    result["query"] = tuple(scale * p for p in result["query"])
    return result


def template_graph(name: str, backbone: nn.Module, block: Block, size: int) -> onnx.ModelProto:
    """``template [1, 3, size, size]`` to its tokens and their first query, key and value, ``[n, width]``."""
    g = GraphBuilder(name)
    image = g.input("template", (1, 3, size, size))
    tokens = embed(g, image, size, backbone.patch_embed, backbone.pos_embed_z)
    x = layer_norm(g, tokens, block.norm1)
    shape = (cells(size), len(block.norm1.weight))
    g.output(tokens, "template_tokens", shape)
    for part, (weight, bias) in projections(block.attn).items():
        g.output(g.linear(x, weight, bias), f"template_{part}", shape)
    return g.model()


def track_graph(
    name: str,
    backbone: nn.Module,
    blocks: Sequence[Block],
    box_head: CenterHead,
    template_size: int,
    search_size: int,
    kept: Mapping[int, int] | None = None,
    judge: int = 0,
) -> onnx.ModelProto:
    """The template's outputs and ``search [1, 3, n, n]`` to ``score``, ``size`` and ``offset``.

    After the attention of block ``i`` only ``kept[i]`` search tokens are kept: those that the template's token
    ``judge`` attends to most.
    """
    g = GraphBuilder(name)
    width, first, remaining = backbone.pos_embed_x.shape[2], cells(template_size), cells(search_size)
    names = [g.input(output, (first, width)) for output in TEMPLATE_OUTPUTS]
    template = dict(zip(("tokens", *PARTS), names, strict=True))
    image = g.input("search", (1, 3, search_size, search_size))
    search = embed(g, image, search_size, backbone.patch_embed, backbone.pos_embed_x)
    stream = g.op("Concat", template["tokens"], search, axis=0)
    normed = layer_norm(g, search, blocks[0].norm1)
    places = None
    for i, block in enumerate(blocks):
        heads = block.attn.heads
        last = i + 1 == len(blocks)
        parts = []
        for part, (weight, bias) in projections(block.attn).items():
            rows = normed
            if last and i and part == "query":
                rows = g.rows(normed, first, first + remaining)
            values = g.linear(rows, weight, bias)
            if i == 0 and not (last and part == "query"):
                values = g.op("Concat", template[part], values, axis=0)
            parts.append(values)
        mixed, weights = g.attention_with_weights(*parts, 1, heads, width)
        mixed = linear(g, mixed, block.attn.proj)
        if last:
            stream = g.rows(stream, first, first + remaining)
        if kept and i in kept:
            stream = g.op("Add", mixed, stream)
            order = _most_attended(g, weights, judge, first, remaining, kept[i])
            rows = g.op("Gather", g.rows(stream, first, first + remaining), order, axis=0)
            stream = g.op("Concat", g.rows(stream, 0, first), rows, axis=0)
            places = order if places is None else g.op("Gather", places, order, axis=0)
            remaining = kept[i]
            normed = layer_norm(g, stream, block.norm2)
        else:
            normed, stream = add_norm(g, mixed, stream, block.norm2)
        following = backbone.norm if last else blocks[i + 1].norm1
        normed, stream = add_norm(g, mlp(g, normed, block.mlp), stream, following)
    if places is not None:
        # The head gets zeros in the place of a token that was left out.
        empty = g.constant(np.zeros((cells(search_size), width)))
        normed = g.op("ScatterND", empty, g.reshape(places, remaining, 1), normed)
    centre_head(g, normed, box_head, search_size // PATCH)
    return g.model()


def _most_attended(g: GraphBuilder, weights: str, judge: int, first: int, tokens: int, kept: int) -> str:
    """Indices ``[kept]`` of the keys with the largest weight for the query ``judge``, of the ``tokens`` keys after the
    first ``first`` ones. The weight is the mean over the heads of ``weights [1, heads, queries, keys]``."""
    starts, ends, axes = ([judge, first], [judge + 1, first + tokens], [2, 3])
    row = g.op("Slice", weights, *(g.constant(np.array(values, np.int64)) for values in (starts, ends, axes)))
    mean = g.op("ReduceMean", row, axes=[0, 1, 2], keepdims=0)
    _, order = g.op("TopK", mean, g.constant(np.array([kept])), outputs=2, axis=-1, sorted=1)
    return order


def choices(track: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the values in the track graph with the indices of kept search tokens, in the order of the blocks."""
    return tuple(node.output[1] for node in track.graph.node if node.op_type == "TopK")


def centre_head(g: GraphBuilder, x: str, net: CenterHead, side: int) -> None:
    """Tokens ``[side^2, width]`` to the outputs ``score``, ``size`` and ``offset``, ``[1, k, side, side]``."""
    first = [conv_bn(*getattr(net, f"conv1_{name}")[:2]) for name in TOWERS]
    merged = tuple(np.concatenate(parts) for parts in zip(*first, strict=True))
    x = g.conv3x3(x, *merged, side)
    ways = g.op("Split", x, g.constant(np.array([len(bias) for _, bias in first])), outputs=len(TOWERS), axis=1)
    maps = []
    for name, y in zip(TOWERS, ways, strict=True):
        for i in (2, 3, 4):
            y = g.conv3x3(y, *conv_bn(*getattr(net, f"conv{i}_{name}")[:2]), side)
        weight, bias = conv_bn(getattr(net, f"conv5_{name}"), None)
        y = g.linear(y, weight[:, :, 0, 0], bias)
        maps.append(g.reshape(g.transpose(y, 1, 0), 1, len(bias), side, side))
    score, size, offset = maps
    g.output(g.clamped_sigmoid(score, CLAMP), "score", (1, 1, side, side))
    g.output(g.clamped_sigmoid(size, CLAMP), "size", (1, 2, side, side))
    g.output(offset, "offset", (1, 2, side, side))
