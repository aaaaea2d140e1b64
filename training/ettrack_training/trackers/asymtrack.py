"""AsymTrack (Zhu et al., AAAI 2025): tiny, small and base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..checkpoint import CheckpointError, without
from ..export import Graph
from ..export import asymtrack as export
from ..export.asymtrack import FEATURES
from ..networks.asymtrack import (
    BASE_SIZES,
    CHANNELS_PER_KERNEL,
    SIZES,
    SMALL,
    STRIDE,
    TINY,
    AsymConfig,
    AsymTrack,
)
from ..pseudo_weights import Override, transformer_rule
from . import parts
from .anchor_free import IMAGENET_INPUT
from .base import StateDict, Tracker

_PATCHES = "backbone.patch_embed.proj.bias"
_NORMS = re.compile(r"backbone\.layers\.(\d+)\.blocks\.\d+\.gamma_1")
_MODULATION = re.compile(r"(backbone\.layers\.\d+\.blocks\.\d+\.)post_kernels\.weight")


def clean(state: StateDict) -> tuple[StateDict, list[str]]:
    """Drops layers that the authors' network has and does not run."""
    blocks = [match[1] for key in state if (match := _MODULATION.match(key))]
    unused = {f"{block}{layer}.": "not run" for block in blocks for layer in ("post_kernels", "downsample")}
    return without(state, unused)


def build(state: Mapping[str, Tensor], sizes: tuple[int, int] = SIZES) -> AsymTrack:
    """Makes a network with the sizes of the checkpoint (small if there is no checkpoint)."""
    stages = [int(match[1]) for key in state if (match := _NORMS.match(key))]
    depths = tuple(stages.count(stage) for stage in range(3))
    try:
        widths = (
            len(state[_PATCHES]),
            *(len(state[f"backbone.layers.{stage}.downsample.proj.bias"]) for stage in range(3)),
        )
        config = AsymConfig(depths, widths, len(state["bottleneck.bias"]), len(state["box_head.conv1_tl.0.bias"]))
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return AsymTrack(SMALL, sizes)
    if depths not in (TINY.depths, SMALL.depths):
        raise CheckpointError(
            f"the checkpoint holds {', '.join(map(str, depths))} blocks in the stages of an AsymTrack, "
            "expected 2, 2, 1 (tiny) or 2, 2, 3 (small and base)"
        )
    if any(width % CHANNELS_PER_KERNEL for width in widths[1:3]):
        raise CheckpointError(
            f"the checkpoint's stages have {widths[1]} and {widths[2]} channels, "
            f"expected multiples of {CHANNELS_PER_KERNEL}"
        )
    return AsymTrack(config, sizes)


def graphs(network: AsymTrack) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    modules = {"template": export.template_graph(network), "track": export.track_graph(network)}
    sizes = network.template_size, network.search_size
    return parts.graphs(network, modules, ["template"], sizes, FEATURES, ("box",))


def manifest(network: AsymTrack) -> dict[str, Any]:
    """Returns the sections of model.yaml. There are no constants to tune."""
    return {
        "input": IMAGENET_INPUT,
        "template": {"input": "template", "size": network.template_size, "factor": 2.0, "outputs": list(FEATURES)},
        "search": {"input": "search", "sizes": [network.search_size], "factor": 4.0, "stride": STRIDE},
        "outputs": {"boxes": {"name": "box"}},
        "tracking": {"default": {}},
    }


TRACKER = Tracker(
    name="asymtrack",
    title="AsymTrack (Two-stream Beats One-stream: Asymmetric Siamese Network for Efficient Visual Tracking, "
    "AAAI 2025)",
    family="single_box",
    source="the checkpoint of the configuration tiny or small, "
    "linked from the authors' repository jiawen-zhu/AsymTrack",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=manifest,
    pseudo_rule=transformer_rule(
        (
            Override(r"\.(gamma_1|ibe_scale)$", offset=0.3),
            Override(r"^box_head\.conv5_(tl|br)\.weight$", gain=3.0),
        ),
        {},
    ),
    golden_salt="#asymtrack",
    clean=clean,
    small=lambda: AsymTrack(AsymConfig((2, 2, 1), (16, 32, 64, 64), 64, 32)),
)

#: Its files have the same tensors as those of the small configuration. Only the name of the file shows which it is.
BASE = replace(
    TRACKER,
    name="asymtrack_base",
    title="AsymTrack-B (Two-stream Beats One-stream: Asymmetric Siamese Network for Efficient Visual Tracking, "
    "AAAI 2025)",
    source="the checkpoint of the configuration base, linked from the authors' repository jiawen-zhu/AsymTrack",
    build=lambda state: build(state, BASE_SIZES),
    small=lambda: AsymTrack(AsymConfig((2, 2, 3), (16, 32, 64, 64), 64, 32), BASE_SIZES),
)
