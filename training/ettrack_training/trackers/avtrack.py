"""AVTrack (Li et al., ICML 2024) and AVTrack-MD (Wu et al., 2025), with DeiT-Tiny or ViT-Tiny."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..checkpoint import CheckpointError, without
from ..export import Graph
from ..export.one_stream import TEMPLATE_OUTPUTS
from ..export.optional_blocks import avtrack_graph
from ..networks.avtrack import DECIDING_DEPTH, DISTILLED_DEPTH, AVTrack
from ..pseudo_weights import Override, transformer_rule
from . import centre_head, one_stream
from .anchor_free import IMAGENET_INPUT
from .base import StateDict, Tracker

_BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")


def clean(state: StateDict) -> tuple[StateDict, list[str]]:
    """Drops what only training needs."""
    return without(state, {"global_stat_x.": "network that estimates mutual information in training"})


def build(state: Mapping[str, Tensor]) -> AVTrack:
    """Makes a network with the sizes of the checkpoint (AVTrack if there is no checkpoint)."""
    depth = len({match[1] for key in state if (match := _BLOCK.match(key))})
    try:
        width, head_width = (len(state[key]) for key in ("backbone.norm.bias", "box_head.conv1_ctr.0.bias"))
        # OSTrack's checkpoint has none.
        _ = state["backbone.blocks.0.active_score_module.bias"]
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return AVTrack()
    if "backbone.blocks.0.mlp.fc1_g.weight" in state:
        raise CheckpointError("the checkpoint is of an AVTrack with EVA-02, expected one with DeiT-Tiny or ViT-Tiny")
    if depth not in (DECIDING_DEPTH, DISTILLED_DEPTH):
        raise CheckpointError(
            f"the checkpoint holds {depth} blocks of an AVTrack, "
            f"expected {DECIDING_DEPTH} (AVTrack) or {DISTILLED_DEPTH} (AVTrack-MD)"
        )
    one_stream.check_width(width)
    return AVTrack(depth, width, head_width)


def graphs(network: AVTrack) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    deciding = len(network.blocks) - network.first_deciding
    # All blocks run, or only those that always run.
    ways = [[torch.tensor(runs)] * deciding for runs in (True, False)] if deciding else []
    return one_stream.graphs(network, "avtrack", avtrack_graph(network), ways)


TRACKER = Tracker(
    name="avtrack",
    title="AVTrack (Learning Adaptive and View-Invariant Vision Transformer for Real-Time UAV Tracking, ICML 2024)",
    family="centre_head",
    source="AVTrack_ep0300.pth.tar of a configuration deit_tiny_patch16_224 or vit_tiny_patch16_224, or the same with "
    "_distilled_, linked from the authors' repository wuyou3474/AVTrack",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=lambda _: centre_head.manifest(list(TEMPLATE_OUTPUTS), IMAGENET_INPUT),
    pseudo_rule=transformer_rule(
        (*one_stream.head_overrides(), Override(r"active_score_module\.weight$", gain=4.0)),
        {},
    ),
    golden_salt="#avtrack",
    clean=clean,
    small=lambda: AVTrack(width=128, head_width=64),
)
