"""ONNX graphs of SparseTT for the CPU.

Differences from a plain export:

* Swin's last stage, whose result the authors' code does not use, is left out. The template runs through backbone and
  encoder once per target.
* Tokens are always the rows of a matrix. Cutting into windows, shifting and padding are one gather of rows, and undoing
  them is another. Position bias and mask are one constant. Padding is removed before the output projection.
* Query scales and batch norms are multiplied into the weights. The two projections of the convolution branch's first
  block are one product.
* 3x3 convolutions have Winograd's form.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnx

from ..networks.sparsett import (
    SCORE_SIZE,
    SEARCH_SIZE,
    SHIFT,
    STRIDE,
    TEMPLATE_CELLS,
    TEMPLATE_SIZE,
    TOP_K,
    WINDOW,
    Adjuster,
    DoubleHead,
    MultiheadAttention,
    PatchMerging,
    SparseTT,
    SwinBlock,
    SwinT,
    shifted_window_mask,
)
from .builder import GraphBuilder
from .fold import array, conv_bn, pointwise
from .one_stream import add_norm, layer_norm, linear


def window_order(side: int, shifted: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the row of each token in the order of windows, ``[padded^2]`` (the row ``side^2`` means padding), the
    inverse order, ``[side^2]``, and the padded side in cells."""
    padded = -(-side // WINDOW) * WINDOW
    row, col = np.divmod(np.arange(padded * padded), padded)
    cell = np.where((row < side) & (col < side), row * side + col, side * side).reshape(padded, padded)
    if shifted:
        cell = np.roll(cell, (-SHIFT, -SHIFT), (0, 1))
    n = padded // WINDOW
    order = cell.reshape(n, WINDOW, n, WINDOW).transpose(0, 2, 1, 3).reshape(-1)
    back = np.empty(side * side + 1, np.int64)
    back[order] = np.arange(len(order))
    return order, back[:-1], padded


def swin_block(g: GraphBuilder, normed: str, stream: str, block: SwinBlock, side: int) -> tuple[str, str]:
    """From ``stream`` and ``normed = norm1(stream)``, both ``[side^2, c]``, to the two terms whose sum is the block's
    output."""
    attention = block.attn.w_msa
    order, back, padded = window_order(side, block.attn.shifted)
    weight, bias = array(attention.qkv.weight), array(attention.qkv.bias)
    width = weight.shape[1]
    windows = (padded // WINDOW) ** 2
    position = array(attention.bias())[None]
    if block.attn.shifted:
        # Ten times the authors' -100. Masked weights are then zero instead of 1e-44. That is a subnormal number, and
        # processors multiply those a hundred times slower than others.
        position = position + 10 * shifted_window_mask(padded, padded).numpy()[:, None]
    scale = np.ones(3 * width)
    scale[:width] = (width // attention.heads) ** -0.5
    x = normed
    if padded > side:
        x = g.op("Concat", x, g.constant(np.zeros((1, width))), axis=0)
    x = g.gather(x, order)
    parts = [
        g.linear(x, w, b) for w, b in zip(np.split(weight * scale[:, None], 3), np.split(bias * scale, 3), strict=True)
    ]
    mixed = g.attention(*parts, windows, attention.heads, width, bias=position)
    mixed = linear(g, g.gather(mixed, back), attention.proj)
    normed, stream = add_norm(g, mixed, stream, block.norm2)
    hidden = linear(g, g.gelu(linear(g, normed, block.ffn.layers[0][0])), block.ffn.layers[1])
    return hidden, stream


def merge_patches(g: GraphBuilder, x: str, merging: PatchMerging, side: int) -> str:
    """Merges 2x2 cells: ``[side^2, c]`` to ``[ceil(side / 2)^2, 2 c]``. Features are gathered cell by cell, and the
    weights are reordered to match."""
    half = (side + 1) // 2
    width = len(merging.norm.weight) // 4
    row, col = np.divmod(np.arange(half * half), half)
    row = 2 * row[:, None] + np.array([0, 0, 1, 1])
    col = 2 * col[:, None] + np.array([0, 1, 0, 1])
    index = np.where((row < side) & (col < side), row * side + col, side * side)
    if side % 2:
        x = g.op("Concat", x, g.constant(np.zeros((1, width))), axis=0)
    x = g.reshape(g.gather(x, index.reshape(-1)), half * half, 4 * width)
    # The authors' feature order is channel before cell.
    ours = np.arange(4 * width).reshape(width, 4).T.reshape(-1)
    x = g.layer_norm(x, array(merging.norm.weight)[ours], array(merging.norm.bias)[ours], merging.norm.eps)
    return g.linear(x, array(merging.reduction.weight)[:, ours])


def swin(g: GraphBuilder, image: str, size: int, net: SwinT) -> str:
    """An image ``[1, 3, size, size]`` to tokens ``[n^2, 384]`` at stride 16."""
    projection = net.patch_embed.projection
    weight, bias = conv_bn(projection, None)
    side = (size + 3) // 4
    pad = 4 * side - size
    x = g.op(
        "Conv", image, g.constant(weight), g.constant(bias), kernel_shape=[4, 4], strides=[4, 4], pads=[0, 0, pad, pad]
    )
    x = g.reshape(g.transpose(x, 0, 2, 3, 1), side * side, projection.out_channels)
    x = layer_norm(g, x, net.patch_embed.norm)
    stages = net.stages[:3]
    for stage in stages:
        blocks = list(stage.blocks)
        normed = layer_norm(g, x, blocks[0].norm1)
        for block, after in itertools.pairwise(blocks):
            normed, x = add_norm(g, *swin_block(g, normed, x, block, side), after.norm1)
        terms = swin_block(g, normed, x, blocks[-1], side)
        if stage is not stages[-1]:
            x = merge_patches(g, g.op("Add", *terms), stage.downsample, side)
            side = (side + 1) // 2
    return add_norm(g, *terms, net.norm2)[0]


def adjust(g: GraphBuilder, x: str, layer: Adjuster) -> str:
    """1x1 convolution and batch norm of tokens: ``[n, in]`` to ``[n, out]``."""
    return g.linear(x, *pointwise(conv_bn(layer.conv, layer.bn)))


def attend(g: GraphBuilder, x: str, memory: str, layer: MultiheadAttention, keep: int | None = None) -> str:
    """Attention of ``x [n, width]`` to ``memory [m, width]`` with its output projection: ``[n, width]``. With ``keep``,
    only the ``keep`` largest logits of each query are used."""
    weight, bias = array(layer.in_proj_weight), array(layer.in_proj_bias)
    width = weight.shape[1]
    scale = np.ones(3 * width)
    scale[:width] = (width // layer.heads) ** -0.5
    weights, biases = np.split(weight * scale[:, None], 3), np.split(bias * scale, 3)
    parts = [g.linear(t, w, b) for t, w, b in zip((x, memory, memory), weights, biases, strict=True)]
    return linear(g, g.attention(*parts, 1, layer.heads, width, keep=keep), layer.out_proj)


def feed_forward(g: GraphBuilder, x: str, layer) -> str:
    """Feed-forward network with residual and norm on tokens ``[n, width]``. The shape stays."""
    hidden = g.linear(x, array(layer.w_1.weight), array(layer.w_1.bias), relu=True)
    return add_norm(g, linear(g, hidden, layer.w_2), x, layer.layer_norm)[0]


def positioned(g: GraphBuilder, x: str, encoding) -> str:
    """Tokens ``[n, width]`` with the position encoding added."""
    return g.op("Add", x, g.constant(array(encoding())[0]))


def head(g: GraphBuilder, x: str, net: DoubleHead) -> tuple[str, str]:
    """Tokens ``[361, 512]`` to score ``[1, 361, 1]`` and box ``[1, 361, 4]`` (left, top, right, bottom in search
    pixels)."""
    dense = g.linear(x, *pointwise(conv_bn(net.fc_branch[0], None)), relu=True)
    dense = g.linear(dense, *pointwise(conv_bn(net.fc_branch[2], None)), relu=True)
    dense = g.op("Sigmoid", g.linear(dense, *pointwise(conv_bn(net.fc_branch_cls.conv, net.fc_branch_cls.bn))))

    first = net.conv_branch[0]
    y = g.conv3x3(x, *conv_bn(first.conv1.conv, first.conv1.bn), SCORE_SIZE)
    (w2, b2), (wi, bi) = (pointwise(conv_bn(c.conv, c.bn)) for c in (first.conv2, first.conv_identity))
    y = g.linear(g.op("Concat", y, x, axis=1), np.concatenate([w2, wi], axis=1), b2 + bi, relu=True)
    for block in net.conv_branch[1:]:
        z = g.linear(y, *pointwise(conv_bn(block.conv1, block.bn1)), relu=True)
        z = g.conv3x3(z, *conv_bn(block.conv2, block.bn2), SCORE_SIZE)
        z = g.linear(z, *pointwise(conv_bn(block.conv3, block.bn3)))
        y = g.op("Relu", g.op("Add", z, y))
    local = g.op("Sigmoid", g.linear(y, *pointwise(conv_bn(net.conv_branch_cls.conv, net.conv_branch_cls.bn))))
    one = g.constant(np.float32(1))
    score = g.op("Add", dense, g.op("Mul", local, g.op("Sub", one, dense)))

    # exp(si * reg + bi) * stride. si and bi are multiplied into the layer. Left and top distances are subtracted.
    weight, bias = pointwise(conv_bn(net.conv_branch_reg.conv, net.conv_branch_reg.bn))
    si, bi = net.si_conv.item(), net.bi_conv.item()
    distance = g.op("Exp", g.linear(y, weight * si, bias * si + bi))
    distance = g.op("Mul", distance, g.constant(STRIDE * np.array([-1.0, -1.0, 1.0, 1.0])))
    centre = np.tile(net.fm_ctr[0].numpy(), (1, 2))
    box = g.op("Add", distance, g.constant(centre))
    return g.reshape(score, 1, -1, 1), g.reshape(box, 1, -1, 4)


def template_graph(net: SparseTT) -> onnx.ModelProto:
    """Graph from ``template [1, 3, 127, 127]`` to ``encoded_template [64, 256]``."""
    g = GraphBuilder("sparsett_template")
    x = swin(g, g.input("template", (1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE)), TEMPLATE_SIZE, net.basemodel.net)
    encoder = net.neck.encoder
    x = positioned(g, adjust(g, x, net.feat_adjuster_z), encoder.spatial_position_encoding)
    for layer in encoder.encoder_layers:
        x, _ = add_norm(g, attend(g, x, x, layer.slf_attn), x, layer.norm)
        x = feed_forward(g, x, layer.pos_ffn)
    g.output(x, "encoded_template", (TEMPLATE_CELLS**2, 256))
    return g.model()


def kept_keys(track: onnx.ModelProto) -> tuple[str, ...]:
    """Returns the names of the values in the track graph that contain the indices of the kept keys, one for each layer,
    ``[1, heads, n, keep]``."""
    return tuple(node.output[1] for node in track.graph.node if node.op_type == "TopK")


def track_graph(net: SparseTT) -> onnx.ModelProto:
    """Graph from ``encoded_template`` and ``search [1, 3, 289, 289]`` to ``score`` and ``box``."""
    g = GraphBuilder("sparsett_track")
    encoded = g.input("encoded_template", (TEMPLATE_CELLS**2, 256))
    x = swin(g, g.input("search", (1, 3, SEARCH_SIZE, SEARCH_SIZE)), SEARCH_SIZE, net.basemodel.net)
    feature = adjust(g, x, net.feat_adjuster_x)
    decoder = net.neck.decoder
    x = positioned(g, feature, decoder.spatial_position_encoding)
    for layer in decoder.decoder_layers:
        x, _ = add_norm(g, attend(g, x, x, layer.slf_attn, keep=TOP_K), x, layer.norm1)
        x, _ = add_norm(g, attend(g, x, encoded, layer.enc_attn), x, layer.norm2)
        x = feed_forward(g, x, layer.pos_ffn)
    score, box = head(g, g.op("Concat", x, feature, axis=1), net.head)
    g.output(score, "score", (1, SCORE_SIZE**2, 1))
    g.output(box, "box", (1, SCORE_SIZE**2, 4))
    return g.model()
