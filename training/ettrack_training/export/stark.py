"""STARK-S and STARK-ST for the CPU.

Differences from a plain export:

* the templates' tokens and positions are computed once per template;
* batch norms and the query's scale are multiplied into weights;
* the decoder has one query, so its attention to itself is a linear layer, and its attention to the encoder's tokens
  projects the query back instead of all keys, and sums the tokens before it projects them to values;
* the first layers of the head's two towers run as one, in Winograd's form.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from ..networks.stark import (
    EPSILON,
    EXPANSION,
    HEADS,
    SEARCH_SIZE,
    STRIDE,
    TEMPLATE_SIZE,
    WIDTHS,
    Attention,
    Bottleneck,
    DecoderLayer,
    EncoderLayer,
    ResNet,
    ScoreHead,
    StarkS,
    StarkST,
    frequencies,
)
from .builder import GraphBuilder
from .fold import array, chain, conv_bn, pointwise
from .hit import corners
from .one_stream import add_norm, layer_norm, linear

#: Added to the logit of a key outside the frame. Its weight is exactly 0 then.
NEVER = -1e9
TEMPLATE_SIDE, SEARCH_SIDE = TEMPLATE_SIZE // STRIDE, SEARCH_SIZE // STRIDE


def resnet(g: GraphBuilder, image: str, net: ResNet) -> str:
    """``[1, 3, n, n]`` to ``[1, 1024, n / 16, n / 16]``."""
    x = g.conv(image, *conv_bn(net.conv1, net.bn1), stride=2, relu=True)
    x = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage in (net.layer1, net.layer2, net.layer3):
        for block in stage:
            x = bottleneck(g, x, block)
    return x


def bottleneck(g: GraphBuilder, x: str, block: Bottleneck) -> str:
    stride = block.conv2.stride[0]
    y = g.conv(x, *conv_bn(block.conv1, block.bn1), relu=True)
    y = g.conv(y, *conv_bn(block.conv2, block.bn2), stride=stride, relu=True)
    y = g.conv(y, *conv_bn(block.conv3, block.bn3))
    skip = x if block.downsample is None else g.conv(x, *conv_bn(*block.downsample), stride=stride)
    return g.op("Relu", g.op("Add", y, skip))


def tokens(g: GraphBuilder, image: str, net: StarkS) -> str:
    """``[1, 3, n, n]`` to tokens ``[(n / 16)^2, width]``."""
    features = g.reshape(resnet(g, image, net.backbone[0].body), EXPANSION * WIDTHS[-1], -1)
    return g.linear(g.transpose(features, 1, 0), *pointwise(conv_bn(net.bottleneck, None)))


def positions(g: GraphBuilder, outside: str, side: int, width: int) -> str:
    """``[1, side, side]`` to the positions ``[side^2, width]``."""
    inside = g.op("Sub", g.constant(np.float32(1)), g.reshape(outside, side, side))
    places = []
    for axis in (0, 1):
        count = g.op("CumSum", inside, g.constant(np.array([axis])))
        total = g.op("ReduceSum", inside, g.constant(np.array([axis])), keepdims=1)
        place = g.op("Div", count, g.op("Add", total, g.constant(np.float32(EPSILON))))
        places.append(g.reshape(place, side * side, 1))
    factor, phase = (value.numpy() for value in frequencies(width // 2))
    weight = np.kron(np.eye(2), factor[:, None])
    return g.op("Sin", g.linear(g.op("Concat", *places, axis=1), weight, np.tile(phase, 2)))


def heads(attention: Attention) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of query (scaled), key and value."""
    weights, biases = (np.split(array(p), 3) for p in (attention.in_proj_weight, attention.in_proj_bias))
    scale = (weights[0].shape[1] // HEADS) ** -0.5
    weights[0], biases[0] = scale * weights[0], scale * biases[0]
    return list(zip(weights, biases, strict=True))


def encoder_layer(g: GraphBuilder, x: str, place: str, absent: str, layer: EncoderLayer) -> str:
    """Tokens ``[n, width]`` to tokens; ``absent [1, n]`` is added to the logits of the keys."""
    placed = g.op("Add", x, place)
    query, key, value = (
        g.linear(source, *part) for source, part in zip((placed, placed, x), heads(layer.self_attn), strict=True)
    )
    mixed = g.attention(query, key, value, 1, HEADS, layer.linear1.in_features, bias=absent)
    x, _ = add_norm(g, linear(g, mixed, layer.self_attn.out_proj), x, layer.norm1)
    x, _ = add_norm(g, feed_forward(g, x, layer), x, layer.norm2)
    return x


def feed_forward(g: GraphBuilder, x: str, layer: EncoderLayer | DecoderLayer) -> str:
    return linear(g, g.op("Relu", linear(g, x, layer.linear1)), layer.linear2)


def decoder_layer(g: GraphBuilder, x: str, layer: DecoderLayer, net: StarkS, memory: dict[str, str]) -> str:
    """The query ``[1, width]`` to the next one."""
    own = layer.self_attn
    out = array(own.out_proj.weight), array(own.out_proj.bias)
    # The one weight is 1.
    x, _ = add_norm(g, g.linear(x, *chain(heads(own)[2], out)), x, layer.norm1)
    x, _ = add_norm(g, attend_once(g, x, array(net.query_embed.weight), layer.multihead_attn, memory), x, layer.norm2)
    x, _ = add_norm(g, feed_forward(g, x, layer), x, layer.norm3)
    return x


def attend_once(g: GraphBuilder, x: str, place: np.ndarray, layer: Attention, memory: dict[str, str]) -> str:
    """Attention of one query ``[1, width]`` to the tokens."""
    (query, query_bias), (key, _), (value, value_bias) = heads(layer)
    width = len(query_bias)
    # The query's own position is part of the bias. A key's bias changes all logits alike, so it is left out.
    asked = g.reshape(g.linear(x, query, query_bias + (place @ query.T)[0]), HEADS, 1, -1)
    back = g.op("MatMul", asked, g.constant(key.reshape(HEADS, -1, width)))
    logits = g.op("MatMul", g.reshape(back, HEADS, width), memory["keys"])
    weights = g.op("Softmax", g.op("Add", logits, memory["absent"]), axis=-1)
    mixed = g.reshape(g.op("MatMul", weights, memory["tokens"]), HEADS, 1, width)
    values = g.op("MatMul", mixed, g.constant(value.reshape(HEADS, -1, width).transpose(0, 2, 1)))
    # The weights of a head add up to 1, so the values' bias is added once.
    weight, bias = array(layer.out_proj.weight), array(layer.out_proj.bias)
    return g.linear(g.reshape(values, 1, width), weight, bias + weight @ value_bias)


def inputs(g: GraphBuilder, net: StarkS, image: str, size: int) -> tuple[str, str, str]:
    """Declares an image and its cells outside the frame. Returns its tokens, their positions and ``outside [n]``."""
    side = size // STRIDE
    x = tokens(g, g.input(image, (1, 3, size, size)), net)
    outside = g.input(f"{image}_outside", (1, side, side))
    return x, positions(g, outside, side, net.config.width), g.reshape(outside, side * side)


def joined(g: GraphBuilder, parts: Sequence[str]) -> str:
    return g.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]


def score(g: GraphBuilder, target: str, head: ScoreHead) -> str:
    """The target's token ``[1, width]`` to the logit ``[1]``."""
    *hidden, last = head.layers
    for layer in hidden:
        target = g.op("Relu", linear(g, target, layer))
    return g.reshape(linear(g, target, last), 1)


def template_graph(net: StarkS) -> onnx.ModelProto:
    """For each template, ``template [1, 3, 128, 128]`` and ``template_outside [1, 8, 8]`` to tokens, positions and
    cells outside."""
    g = GraphBuilder("stark_template")
    images = [inputs(g, net, image, TEMPLATE_SIZE) for image in net.templates]
    x, place, outside = (joined(g, parts) for parts in zip(*images, strict=True))
    count, width = len(images) * TEMPLATE_SIDE**2, net.config.width
    g.output(x, "template_tokens", (count, width))
    g.output(place, "template_positions", (count, width))
    g.output(outside, "template_absent", (count,))
    return g.model()


def track_graph(net: StarkS) -> onnx.ModelProto:
    """The template graph's outputs, ``search [1, 3, 320, 320]`` and ``search_outside [1, 20, 20]`` to ``box [1, 1,
    4]``, and with two templates ``score [1]``, a logit."""
    g = GraphBuilder("stark_track")
    count, width = len(net.templates) * TEMPLATE_SIDE**2, net.config.width
    known = [
        g.input("template_tokens", (count, width)),
        g.input("template_positions", (count, width)),
        g.input("template_absent", (count,)),
    ]
    seen = inputs(g, net, "search", SEARCH_SIZE)
    x, place, outside = (g.op("Concat", *pair, axis=0) for pair in zip(known, seen, strict=True))
    absent = g.reshape(g.op("Mul", outside, g.constant(np.float32(NEVER))), 1, -1)
    for layer in net.transformer.encoder.layers:
        x = encoder_layer(g, x, place, absent, layer)
    memory = {"tokens": x, "keys": g.transpose(g.op("Add", x, place), 1, 0), "absent": absent}
    target = g.constant(np.zeros((1, width)))
    for layer in net.transformer.decoder.layers:
        target = decoder_layer(g, target, layer, net, memory)
    target = layer_norm(g, target, net.transformer.decoder.norm)
    side = SEARCH_SIDE
    of_search = g.rows(x, count, count + side * side)
    share = g.op("MatMul", of_search, g.transpose(target, 1, 0))
    g.output(corners(g, g.op("Mul", of_search, share), net.box_head, side), "box", (1, 1, 4))
    if isinstance(net, StarkST):
        g.output(score(g, target, net.cls_head), "score", (1,))
    return g.model()
