"""Graphs of one-stream trackers that choose which blocks run: AVTrack and SGLATrack.

A block that is not chosen costs nothing, because it is a branch of the graph.
"""

from __future__ import annotations

import numpy as np
import onnx

from ..networks import avtrack, sglatrack
from ..networks.avtrack import AVTrack
from ..networks.one_stream import PATCH, OneStream
from ..networks.sglatrack import SGLATrack
from .builder import GraphBuilder
from .one_stream import Rows, begin, block_layers, centre_head, layer_norm, linear


def avtrack_graph(net: AVTrack) -> onnx.ModelProto:
    """The template's outputs and ``search [1, 3, 256, 256]`` to ``score``, ``size`` and ``offset``."""
    g = GraphBuilder("avtrack_track")
    stream, known = begin(g, net)
    rows = Rows.of(net)
    for i, block in enumerate(net.blocks):
        last = i + 1 == len(net.blocks)

        def run(x: str = stream, block: avtrack.DecidingBlock = block, last: bool = last) -> str:
            return block_layers(g, x, block, rows, last=last)

        def leave_out(x: str = stream, last: bool = last) -> str:
            return rows.of_search(g, x) if last else x

        if i < net.first_deciding:
            stream = block_layers(g, stream, block, rows, known if i == 0 else None, last)
            continue
        probability = g.op("Sigmoid", linear(g, _first_channel(g, stream), block.active_score_module))
        runs = g.op("Greater", g.reshape(probability), g.constant(np.float32(avtrack.PROBABILITY)))
        stream = g.when(runs, run, leave_out)
    return _maps(g, stream, net)


def sglatrack_graph(net: SGLATrack) -> onnx.ModelProto:
    """The template's outputs and ``search [1, 3, 256, 256]`` to ``score``, ``size`` and ``offset``."""
    g = GraphBuilder("sglatrack_track")
    stream, known = begin(g, net)
    rows = Rows.of(net)
    first, candidates = net.blocks[: sglatrack.FIRST], net.blocks[sglatrack.FIRST :]
    for i, block in enumerate(first):
        stream = block_layers(g, stream, block, rows, known if i == 0 else None)
    choice = net.backbone.MLP
    hidden = g.op("Relu", linear(g, _first_channel(g, stream), choice.fc1))
    probabilities = g.op("Sigmoid", linear(g, hidden, choice.fc2))
    best = g.reshape(g.op("ArgMax", probabilities, axis=1, keepdims=0))

    def run(number: int) -> str:
        """The chosen candidate among those from ``number`` on."""

        def candidate() -> str:
            return block_layers(g, stream, candidates[number], rows, last=True)

        if number + 1 == len(candidates):
            return candidate()
        is_best = g.op("Equal", best, g.constant(np.int64(number)))
        return g.when(is_best, candidate, lambda: run(number + 1))

    return _maps(g, run(0), net)


def _first_channel(g: GraphBuilder, stream: str) -> str:
    """The first channel of all tokens, ``[1, n]``."""
    return g.transpose(g.gather(stream, np.array([0]), axis=1), 1, 0)


def _maps(g: GraphBuilder, stream: str, net: OneStream) -> onnx.ModelProto:
    """The complete graph from the search tokens after the last block."""
    centre_head(g, layer_norm(g, stream, net.backbone.norm), net.box_head, net.search_size // PATCH)
    return g.model()
