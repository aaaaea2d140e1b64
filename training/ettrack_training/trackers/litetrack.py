"""LiteTrack (Wei et al., ICRA 2024), with four, six, eight or nine blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..checkpoint import CheckpointError
from ..export import Graph
from ..export import litetrack as export
from ..networks.litetrack import INTERACTIONS, SEARCH_SIZE, TEMPLATE_SIZE, LiteTrack
from ..pseudo_weights import Override, transformer_rule
from . import centre_head, one_stream, parts
from .anchor_free import IMAGENET_INPUT
from .base import Tracker

FEATURES = ("template_keys", "template_values")

_BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")


def build(state: Mapping[str, Tensor]) -> LiteTrack:
    """Makes a network with the sizes of the checkpoint (eight blocks if there is no checkpoint)."""
    depth = len({match[1] for key in state if (match := _BLOCK.match(key))})
    try:
        width = len(state["backbone.blocks.0.gamma_1"])
        head_width = len(state["box_head.conv1_ctr.0.bias"])
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return LiteTrack()
    if depth not in INTERACTIONS:
        *others, last = INTERACTIONS
        raise CheckpointError(
            f"the checkpoint holds {depth} blocks of a LiteTrack, expected {', '.join(map(str, others))} or {last}"
        )
    one_stream.check_width(width)
    return LiteTrack(depth, width, head_width)


def graphs(network: LiteTrack) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    modules = {"template": export.template_graph(network), "track": export.track_graph(network)}
    sizes = TEMPLATE_SIZE, SEARCH_SIZE
    box = {"template_box": torch.tensor([[0.21, 0.29, 0.77, 0.7]])}
    return parts.graphs(network, modules, ["template"], sizes, FEATURES, centre_head.OUTPUTS, box)


TRACKER = Tracker(
    name="litetrack",
    title="LiteTrack (Layer Pruning with Asynchronous Feature Extraction for Lightweight and Efficient Visual "
    "Tracking, ICRA 2024)",
    family="centre_head",
    source="LiteTrack_ep0300.pth.tar of a configuration B*_cae_center_all_ep300, "
    "linked from the authors' repository TsingWei/LiteTrack",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=lambda _: centre_head.manifest(list(FEATURES), IMAGENET_INPUT, box_input="template_box"),
    pseudo_rule=transformer_rule(
        (
            Override(r"gamma_[12]$", offset=0.5),
            *one_stream.head_overrides(),
        ),
        {},
    ),
    golden_salt="#litetrack",
    small=lambda: LiteTrack(depth=4, width=128, head_width=64),
)
