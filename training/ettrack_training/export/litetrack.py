"""LiteTrack for the CPU.

Unlike in a plain export, the template's keys and values for the last blocks are computed once per target. Scales per
channel are multiplied into weights.
"""

from __future__ import annotations

import onnx

from ..networks.litetrack import SEARCH_SIZE, TEMPLATE_SIZE, Block, LiteTrack
from ..networks.one_stream import PATCH, cells
from .builder import GraphBuilder
from .fold import array
from .one_stream import centre_head, embed, layer_norm, linear, mlp, projections


def block_layers(g: GraphBuilder, stream: str, block: Block, memory: dict[str, str] | None = None) -> str:
    """One block on tokens ``[n, width]``. They also attend to the keys and values of ``memory``, which come first."""
    width = len(block.norm1.weight)
    normed = layer_norm(g, stream, block.norm1)
    parts = {part: g.linear(normed, *layer) for part, layer in projections(block.attn).items()}
    if memory is not None:
        parts |= {part: g.op("Concat", known, parts[part], axis=0) for part, known in memory.items()}
    mixed = g.attention(parts["query"], parts["key"], parts["value"], 1, block.attn.heads, width)
    of_attention, of_mlp = array(block.gamma_1), array(block.gamma_2)
    proj = block.attn.proj
    mixed = g.linear(mixed, of_attention[:, None] * array(proj.weight), of_attention * array(proj.bias))
    stream = g.op("Add", mixed, stream)
    hidden = g.gelu(linear(g, layer_norm(g, stream, block.norm2), block.mlp.fc1))
    fc2 = block.mlp.fc2
    return g.op("Add", g.linear(hidden, of_mlp[:, None] * array(fc2.weight), of_mlp * array(fc2.bias)), stream)


def template_graph(net: LiteTrack) -> onnx.ModelProto:
    """``template [1, 3, 128, 128]`` and ``template_box [1, 4]`` to ``template_keys`` and ``template_values``."""
    g = GraphBuilder("litetrack_template")
    backbone, first = net.backbone, net.first_interaction
    image = g.input("template", (1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE))
    token = mlp(g, g.input("template_box", (1, 4)), net.target_token_embed)
    tokens = embed(g, image, TEMPLATE_SIZE, backbone.patch_embed, backbone.pos_embed_z)
    stream = g.op("Concat", token, tokens, axis=0)
    for block in backbone.blocks:
        stream = block_layers(g, stream, block)
    seen = g.rows(stream, 1, 1 + cells(TEMPLATE_SIZE))
    parts = {"key": [], "value": []}
    for block in backbone.blocks[first:]:
        normed = layer_norm(g, seen, block.norm1)
        for part, made in parts.items():
            made.append(g.linear(normed, *projections(block.attn)[part]))
    for part, made in parts.items():
        shape = (len(made) * cells(TEMPLATE_SIZE), backbone.pos_embed_z.shape[2])
        g.output(g.op("Concat", *made, axis=0), f"template_{part}s", shape)
    return g.model()


def track_graph(net: LiteTrack) -> onnx.ModelProto:
    """The template's outputs and ``search [1, 3, 256, 256]`` to ``score``, ``size`` and ``offset``."""
    g = GraphBuilder("litetrack_track")
    backbone, first, count = net.backbone, net.first_interaction, cells(TEMPLATE_SIZE)
    shape = ((len(backbone.blocks) - first) * count, backbone.pos_embed_z.shape[2])
    known = {part: g.input(f"template_{part}s", shape) for part in ("key", "value")}
    image = g.input("search", (1, 3, SEARCH_SIZE, SEARCH_SIZE))
    stream = embed(g, image, SEARCH_SIZE, backbone.patch_embed, backbone.pos_embed_x)
    for i, block in enumerate(backbone.blocks):
        place = i - first
        rows = (place * count, (place + 1) * count)
        memory = {part: g.rows(values, *rows) for part, values in known.items()} if place >= 0 else None
        stream = block_layers(g, stream, block, memory)
    centre_head(g, stream, net.box_head, SEARCH_SIZE // PATCH)
    return g.model()
