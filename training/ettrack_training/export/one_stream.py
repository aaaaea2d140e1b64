"""Graphs of one-stream trackers for the CPU: OSTrack, CompressTracker, and layers of others.

Differences from a plain export:

* the template's tokens and its share of the first block's queries, keys and values are computed once
  per target;
* the last block and the final norm run only on the search rows (the template rows are needed only as keys
  and values);
* cutting into patches is a reordering of pixels, and its matrix product adds bias and positions;
* the query's scale and the batch norms are multiplied into weights;
* the head's three towers run as one;
* the wide 3x3 convolutions have Winograd's form and read the tokens without reordering.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from torch import nn

from ..networks.one_stream import PATCH, Attention, Block, CenterHead, OneStream, PatchEmbed, cells
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


def begin(g: GraphBuilder, net: OneStream) -> tuple[str, dict[str, str]]:
    """Declares the track graph's inputs. Returns the tokens of both images, the template's first, and the template's
    query, key and value for the first block."""
    backbone, width = net.backbone, net.backbone.pos_embed_x.shape[2]
    names = [g.input(output, (cells(net.template_size), width)) for output in TEMPLATE_OUTPUTS]
    tokens, *parts = names
    image = g.input("search", (1, 3, net.search_size, net.search_size))
    search = embed(g, image, net.search_size, backbone.patch_embed, backbone.pos_embed_x)
    return g.op("Concat", tokens, search, axis=0), dict(zip(PARTS, parts, strict=True))


@dataclass(frozen=True)
class Rows:
    """Numbers of tokens: those of the template, which come first, and of the search image."""

    template: int
    search: int

    @classmethod
    def of(cls, net: OneStream) -> Rows:
        return cls(cells(net.template_size), cells(net.search_size))

    def of_search(self, g: GraphBuilder, x: str) -> str:
        return g.rows(x, self.template, self.template + self.search)


def block_layers(
    g: GraphBuilder,
    stream: str,
    block: Block,
    rows: Rows,
    known: Mapping[str, str] | None = None,
    last: bool = False,
    select: Callable[[str, str], str] | None = None,
) -> str:
    """One block on the tokens of both images.

    ``known`` has the template's query, key and value if they are inputs. After the ``last`` block only the search
    tokens are needed, so only they are results. ``select`` takes the attention's result and its weights, and returns
    the tokens that stay.
    """
    normed = layer_norm(g, stream if known is None else rows.of_search(g, stream), block.norm1)
    parts = []
    for part, layer in projections(block.attn).items():
        of_search = last and part == "query"
        values = g.linear(rows.of_search(g, normed) if of_search and known is None else normed, *layer)
        if known is not None and not of_search:
            values = g.op("Concat", known[part], values, axis=0)
        parts.append(values)
    attn = block.attn
    mixed, weights = g.attention_with_weights(*parts, 1, attn.heads, len(attn.proj.bias), squared=attn.squared)
    stream = g.op("Add", linear(g, mixed, attn.proj), rows.of_search(g, stream) if last else stream)
    if select is not None:
        stream = select(stream, weights)
    return g.op("Add", mlp(g, layer_norm(g, stream, block.norm2), block.mlp), stream)


def track_graph(name: str, net: OneStream, kept: Mapping[int, int] | None = None, judge: int = 0) -> onnx.ModelProto:
    """The template's outputs and ``search [1, 3, n, n]`` to ``score``, ``size`` and ``offset``.

    After the attention of block ``i`` only ``kept[i]`` search tokens are kept: those that the template's token
    ``judge`` attends to most.
    """
    g = GraphBuilder(name)
    stream, known = begin(g, net)
    rows, kept, places = Rows.of(net), kept or {}, None
    for i, block in enumerate(net.blocks):
        order = None

        def select(stream: str, weights: str, rows: Rows = rows, count: int | None = kept.get(i)) -> str:
            nonlocal order
            order = _most_attended(g, weights, judge, rows.template, rows.search, count)
            chosen = g.op("Gather", rows.of_search(g, stream), order, axis=0)
            return g.op("Concat", g.rows(stream, 0, rows.template), chosen, axis=0)

        stream = block_layers(
            g,
            stream,
            block,
            rows,
            known if i == 0 else None,
            last=i + 1 == len(net.blocks),
            select=select if i in kept else None,
        )
        if order is not None:
            places = order if places is None else g.op("Gather", places, order, axis=0)
            rows = Rows(rows.template, kept[i])
    normed = layer_norm(g, stream, net.backbone.norm)
    if places is not None:
        # The head gets zeros in the place of a token that was left out.
        empty = g.constant(np.zeros((cells(net.search_size), len(net.backbone.norm.bias))))
        normed = g.op("ScatterND", empty, g.reshape(places, rows.search, 1), normed)
    centre_head(g, normed, net.box_head, net.search_size // PATCH)
    return g.model()


def _most_attended(g: GraphBuilder, weights: str, judge: int, first: int, tokens: int, kept: int) -> str:
    """Indices ``[kept]`` of the keys with the largest weight for the query ``judge``, of the ``tokens`` keys after the
    first ``first`` ones. The weight is the mean over the heads of ``weights [1, heads, queries, keys]``."""
    starts, ends, axes = ([judge, first], [judge + 1, first + tokens], [2, 3])
    row = g.op("Slice", weights, *(g.constant(np.array(values, np.int64)) for values in (starts, ends, axes)))
    mean = g.op("ReduceMean", row, axes=[0, 1, 2], keepdims=0)
    _, order = g.op("TopK", mean, g.constant(np.array([kept])), outputs=2, axis=-1, sorted=1)
    return order


#: Operators that choose, and the number of the output with the choice.
_CHOOSING = {"TopK": 1, "ArgMax": 0, "Greater": 0}


def choices(track: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the values in the track graph that say which tokens stay or which blocks run, in their order."""
    nodes = (node for node in track.graph.node if node.op_type in _CHOOSING)
    return tuple(node.output[_CHOOSING[node.op_type]] for node in nodes)


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
