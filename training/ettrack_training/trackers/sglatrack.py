"""SGLATrack (Xue et al., CVPR 2025), with DeiT-Tiny."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..checkpoint import CheckpointError, without
from ..export import Graph
from ..export.one_stream import TEMPLATE_OUTPUTS
from ..export.optional_blocks import sglatrack_graph
from ..networks.sglatrack import CANDIDATES, SGLATrack
from ..pseudo_weights import Override, transformer_rule
from . import centre_head, one_stream
from .anchor_free import IMAGENET_INPUT
from .base import StateDict, Tracker


def clean(state: StateDict) -> tuple[StateDict, list[str]]:
    """Drops what is left of the pre-training."""
    return without(state, {"backbone.head.": "classifier of the pre-training"})


def build(state: Mapping[str, Tensor]) -> SGLATrack:
    """Makes a network with the widths of the checkpoint (the published ones if there is no checkpoint)."""
    try:
        width, head_width = (len(state[key]) for key in ("backbone.norm.bias", "box_head.conv1_ctr.0.bias"))
        candidates = len(state["backbone.MLP.fc2.bias"])
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return SGLATrack()
    if candidates != CANDIDATES:
        raise CheckpointError(
            f"the checkpoint is of an SGLATrack that chooses one of {candidates} blocks, expected {CANDIDATES}"
        )
    one_stream.check_width(width)
    return SGLATrack(width, head_width)


def graphs(network: SGLATrack) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    ways = [[torch.tensor([number])] for number in range(CANDIDATES)]
    return one_stream.graphs(network, "sglatrack", sglatrack_graph(network), ways)


TRACKER = Tracker(
    name="sglatrack",
    title="SGLATrack (Similarity-Guided Layer-Adaptive Vision Transformer for UAV Tracking, CVPR 2025)",
    family="centre_head",
    source="the checkpoint of the configuration deit_distilled, "
    "linked from the authors' repository GXNU-ZhongLab/SGLATrack",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=lambda _: centre_head.manifest(list(TEMPLATE_OUTPUTS), IMAGENET_INPUT),
    pseudo_rule=transformer_rule(
        (*one_stream.head_overrides(), Override(r"^backbone\.MLP\.fc2\.weight$", gain=2.0)),
        {},
    ),
    golden_salt="#sglatrack",
    clean=clean,
    small=lambda: SGLATrack(width=128, head_width=64),
)
