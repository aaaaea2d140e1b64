"""MixFormerV2 for the CPU.

Unlike in a plain export, the templates' keys and values of all blocks are computed once per template. (The authors say
that a fast version of their test could do this.) Of the last block only the four rows that give the box are computed.
"""

from __future__ import annotations

import numpy as np
import onnx

from ..networks.mixformer2 import BOX_TOKENS, PLACES, MixFormer2
from ..networks.one_stream import cells
from .builder import GraphBuilder
from .fold import array
from .one_stream import add_norm, embed, layer_norm, linear, mlp, projections


def template_graph(net: MixFormer2) -> onnx.ModelProto:
    """``template`` and ``second_template [1, 3, n, n]`` to ``template_keys`` and ``template_values``."""
    g = GraphBuilder("mixformer2_template")
    backbone, size = net.backbone, net.template_size
    width, count = backbone.pos_embed_t.shape[2], 2 * cells(size)
    images = [g.input(name, (1, 3, size, size)) for name in ("template", "second_template")]
    tokens = [embed(g, image, size, backbone.patch_embed, backbone.pos_embed_t) for image in images]
    stream = g.op("Concat", *tokens, axis=0)
    normed = layer_norm(g, stream, backbone.blocks[0].norm1)
    keys, values = [], []
    for i, block in enumerate(backbone.blocks):
        weights = projections(block.attn)
        key, value = (g.linear(normed, *weights[part]) for part in ("key", "value"))
        keys.append(key)
        values.append(value)
        if i + 1 == len(backbone.blocks):
            break
        query = g.linear(normed, *weights["query"])
        mixed = linear(g, g.attention(query, key, value, 1, block.attn.heads, width), block.attn.proj)
        normed, stream = add_norm(g, mixed, stream, block.norm2)
        normed, stream = add_norm(g, mlp(g, normed, block.mlp), stream, backbone.blocks[i + 1].norm1)
    shape = (len(keys) * count, width)
    g.output(g.op("Concat", *keys, axis=0), "template_keys", shape)
    g.output(g.op("Concat", *values, axis=0), "template_values", shape)
    return g.model()


def track_graph(net: MixFormer2) -> onnx.ModelProto:
    """The templates' keys and values and ``search [1, 3, n, n]`` to ``box [1, 1, 4]`` and ``score [1]``, a logit."""
    g = GraphBuilder("mixformer2_track")
    backbone, blocks, size = net.backbone, net.backbone.blocks, net.search_size
    width, count = backbone.pos_embed_s.shape[2], 2 * cells(net.template_size)
    memory = {part: g.input(f"template_{part}s", (len(blocks) * count, width)) for part in ("key", "value")}
    search = embed(g, g.input("search", (1, 3, size, size)), size, backbone.patch_embed, backbone.pos_embed_s)
    box_tokens = g.constant(array(backbone.reg_tokens + backbone.pos_embed_reg)[0])
    stream = g.op("Concat", search, box_tokens, axis=0)
    total = cells(size) + BOX_TOKENS
    normed = layer_norm(g, stream, blocks[0].norm1)
    for i, block in enumerate(blocks):
        weights, parts = projections(block.attn), {}
        for part in ("key", "value"):
            known = g.rows(memory[part], i * count, (i + 1) * count)
            parts[part] = g.op("Concat", known, g.linear(normed, *weights[part]), axis=0)
        last = i + 1 == len(blocks)
        if last:
            normed, stream = (g.rows(x, total - BOX_TOKENS, total) for x in (normed, stream))
        query = g.linear(normed, *weights["query"])
        mixed = linear(g, g.attention(query, parts["key"], parts["value"], 1, block.attn.heads, width), block.attn.proj)
        normed, stream = add_norm(g, mixed, stream, block.norm2)
        hidden = mlp(g, normed, block.mlp)
        if last:
            stream = g.op("Add", hidden, stream)
        else:
            normed, stream = add_norm(g, hidden, stream, blocks[i + 1].norm1)
    g.output(box(g, stream, net), "box", (1, 1, 4))
    first, second = net.score_head.layers[0][0], net.score_head.layers[1]
    logits = linear(g, g.op("Relu", linear(g, stream, first)), second)
    g.output(g.reshape(g.op("ReduceMean", logits, axes=[0, 1], keepdims=0), 1), "score", (1,))
    return g.model()


def box(g: GraphBuilder, tokens: str, net: MixFormer2) -> str:
    """The four tokens ``[4, width]`` to centre, width and height, ``[1, 1, 4]``."""
    (first, norm, _), (second, last_norm) = net.box_head.layers
    x = g.op("Relu", layer_norm(g, linear(g, tokens, first), norm))
    share = g.op("Softmax", layer_norm(g, linear(g, x, second), last_norm), axis=-1)
    sides = g.op("MatMul", share, g.constant(np.arange(PLACES)[:, None] / PLACES))
    # From left, right, top and bottom.
    centre_and_size = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [-1, 1, 0, 0], [0, 0, -1, 1]])
    return g.reshape(g.op("MatMul", g.constant(centre_and_size), sides), 1, 1, 4)
