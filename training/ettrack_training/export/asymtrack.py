"""AsymTrack for the CPU.

Differences from a plain export:

* what comes from the template is computed once per target: the numbers that mix kernels, keys and values;
* the three convolutions of an edge branch are one;
* scales per channel and the query's scale are multiplied into weights;
* the first layers of the head's two towers run as one, in Winograd's form.
"""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from ..networks.asymtrack import (
    HEADS,
    STRIDE,
    TAPS,
    AsymTrack,
    AttentionBlock,
    BasicBlock,
    EdgeBranch,
    PatchEmbed,
    TemplateModulation,
)
from .builder import GraphBuilder
from .fold import array
from .hit import corners
from .one_stream import layer_norm, linear, mlp

FEATURES = ("template_mixing_1", "template_mixing_2", "template_keys", "template_values")


def planes(g: GraphBuilder, x: str, side: int, width: int) -> str:
    """Cells ``[side^2, width]`` to a map ``[1, width, side, side]``."""
    return g.reshape(g.transpose(x, 1, 0), 1, width, side, side)


def cells(g: GraphBuilder, x: str, width: int) -> str:
    """A map ``[1, width, side, side]`` to cells ``[side^2, width]``."""
    return g.transpose(g.reshape(x, width, -1), 1, 0)


def convolution(g: GraphBuilder, x: str, layer: nn.Conv2d) -> str:
    """A convolution of a map, padded to keep its side divided by the stride."""
    return g.conv(x, array(layer.weight), array(layer.bias), layer.stride[0], layer.groups)


def embed(g: GraphBuilder, image: str, layer: PatchEmbed) -> str:
    """A map or an image to cells of the next stage."""
    return layer_norm(g, cells(g, convolution(g, image, layer.proj), layer.proj.out_channels), layer.norm)


def basic_block(g: GraphBuilder, x: str, block: BasicBlock, side: int) -> str:
    normed, layers = layer_norm(g, x, block.norm), block.mlp
    width, context = len(block.gamma_1), layers.context_layer
    seen = g.gelu(convolution(g, planes(g, linear(g, normed, context.f), side, width), context.context_list[0]))
    factor = linear(g, cells(g, seen, width), context.g)
    hidden = linear(g, normed, layers.fc1)
    if layers.ratio > 1:
        # Each factor multiplies a channel of every group.
        hidden = g.reshape(g.gelu(hidden), side * side, layers.ratio, width)
        factor = g.reshape(factor, side * side, 1, width)
    hidden = g.reshape(g.op("Mul", hidden, factor), side * side, layers.ratio * width)
    scale = array(block.gamma_1)
    return g.op("Add", x, g.linear(hidden, scale[:, None] * array(layers.fc2.weight), scale * array(layers.fc2.bias)))


def edge_branch(g: GraphBuilder, x: str, block: EdgeBranch, side: int) -> str:
    norm = block.ln
    width = len(norm.bias)
    edges = cells(g, g.conv(planes(g, x, side, width), array(block.kernel())), width)
    scaled = g.op("Mul", g.op("Relu", layer_norm(g, edges, norm)), g.constant(array(block.ibe_scale)))
    return g.op("Add", x, scaled)


def mixing(g: GraphBuilder, z: str, block: TemplateModulation) -> str:
    """The template's cells to the numbers that mix kernels, ``[n, 3 + n]``."""
    kernels = g.op("MatMul", g.transpose(linear(g, z, block.pre_kernels), 1, 0), z)
    return linear(g, kernels, block.conv_att.weight_linear)


def modulation(g: GraphBuilder, x: str, numbers: str, block: TemplateModulation) -> str:
    net = block.conv_att
    count, width = len(block.pre_kernels_x.bias), len(block.ln.bias)
    of_cells = linear(g, x, block.pre_kernels_x)
    kernels = g.op("MatMul", g.transpose(of_cells, 1, 0), x)
    columns = g.constant(np.array([*[1] * TAPS, count]))
    *taps, shares = g.op("Split", numbers, columns, outputs=TAPS + 1, axis=1)
    # The convolution along the channels is a sum of shifted kernels.
    border = g.constant(np.zeros((count, TAPS // 2)))
    padded = g.op("Concat", border, kernels, border, axis=1)
    terms = [
        g.op("Mul", g.gather(padded, np.arange(shift, shift + width), axis=1), tap) for shift, tap in enumerate(taps)
    ]
    mixed = layer_norm(g, g.op("MatMul", shares, g.op("Relu", g.op("Sum", *terms))), net.norm)
    gate = g.op("Sigmoid", g.op("MatMul", g.transpose(linear(g, mixed, block.proj_Cto1), 1, 0), mixed))
    found = g.op("Mul", g.op("MatMul", of_cells, mixed), gate)
    return g.op("Add", x, g.op("Relu", layer_norm(g, found, block.ln)))


def projections(block: AttentionBlock) -> list[np.ndarray]:
    """Weights of query (scaled), key and value."""
    query, key, value = np.split(array(block.attn.qkv.weight), 3)
    return [block.attn.head**-0.5 * query, key, value]


def attention_block(g: GraphBuilder, x: str, block: AttentionBlock, keys: str, values: str) -> str:
    normed = layer_norm(g, x, block.norm1)
    query, key, value = (g.linear(normed, weight) for weight in projections(block))
    parts = [query, g.op("Concat", key, keys, axis=0), g.op("Concat", value, values, axis=0)]
    mixed = g.attention(*parts, 1, HEADS, HEADS * block.attn.head)
    x = g.op("Add", linear(g, mixed, block.attn.proj), x)
    return g.op("Add", mlp(g, layer_norm(g, x, block.norm2), block.mlp), x)


def shapes(net: AsymTrack) -> list[tuple[int, int]]:
    """Shapes of the template graph's outputs."""
    kernels = [len(block.pre_kernels.bias) for block in net.modules() if isinstance(block, TemplateModulation)]
    block = net.backbone.layers[2].blocks[-1]
    tokens = ((net.template_size // 16) ** 2, HEADS * block.attn.head)
    return [*((n, TAPS + n) for n in kernels), tokens, tokens]


def template_graph(net: AsymTrack) -> onnx.ModelProto:
    """``template [1, 3, n, n]`` to the numbers that mix kernels, and keys and values."""
    g = GraphBuilder("asymtrack_template")
    image = g.input("template", (1, 3, net.template_size, net.template_size))
    z, side, made = embed(g, image, net.backbone.patch_embed), net.template_size // 4, []
    for stage in net.backbone.layers:
        for block in stage.blocks:
            if isinstance(block, BasicBlock):
                z = basic_block(g, z, block, side)
            elif isinstance(block, EdgeBranch):
                z = edge_branch(g, z, block, side)
            elif isinstance(block, TemplateModulation):
                made.append(mixing(g, z, block))
            else:
                normed = layer_norm(g, z, block.norm1)
                made += [g.linear(normed, weight) for weight in projections(block)[1:]]
        if len(made) < len(FEATURES):
            z, side = embed(g, planes(g, z, side, stage.downsample.proj.in_channels), stage.downsample), side // 2
    for value, name, shape in zip(made, FEATURES, shapes(net), strict=True):
        g.output(value, name, shape)
    return g.model()


def track_graph(net: AsymTrack) -> onnx.ModelProto:
    """The template's outputs and ``search [1, 3, n, n]`` to ``box [1, 1, 4]``."""
    g = GraphBuilder("asymtrack_track")
    first, second, keys, values = (g.input(*known) for known in zip(FEATURES, shapes(net), strict=True))
    image = g.input("search", (1, 3, net.search_size, net.search_size))
    x, side, mixings = embed(g, image, net.backbone.patch_embed), net.search_size // 4, iter((first, second))
    for stage in net.backbone.layers:
        for block in stage.blocks:
            if isinstance(block, BasicBlock):
                x = basic_block(g, x, block, side)
            elif isinstance(block, EdgeBranch):
                x = edge_branch(g, x, block, side)
            elif isinstance(block, TemplateModulation):
                x = modulation(g, x, next(mixings), block)
            else:
                x = attention_block(g, x, block, keys, values)
        x, side = embed(g, planes(g, x, side, stage.downsample.proj.in_channels), stage.downsample), side // 2
    box = corners(g, linear(g, x, net.bottleneck), net.box_head, net.search_size // STRIDE)
    g.output(box, "box", (1, 1, 4))
    return g.model()
