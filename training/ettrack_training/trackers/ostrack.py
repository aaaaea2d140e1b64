"""OSTrack (Ye et al., ECCV 2022), of 256 and of 384 search pixels, with and without candidate elimination."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from torch import Tensor

from ..checkpoint import CheckpointError
from ..export import Graph
from ..export import one_stream as export
from ..export.one_stream import TEMPLATE_OUTPUTS
from ..networks.one_stream import PATCH
from ..networks.ostrack import ELIMINATION_BLOCKS, OSTrack, judge_of
from ..pseudo_weights import transformer_rule
from . import centre_head, one_stream
from .anchor_free import IMAGENET_INPUT
from .base import Tracker

#: Search region in units of the target's side, by the template's and the search image's pixels per side.
SEARCH_FACTORS = {(128, 256): 4.0, (192, 384): 5.0}

_BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")


def build(state: Mapping[str, Tensor], eliminates: bool = True) -> OSTrack:
    """Makes a network with the sizes of the checkpoint (OSTrack-256 if there is no checkpoint)."""
    numbers = {int(match[1]) for key in state if (match := _BLOCK.match(key))}
    try:
        template, search = (state[f"backbone.pos_embed_{image}"].shape for image in "zx")
        head_width = len(state["box_head.conv1_ctr.0.bias"])
        # LiteTrack's checkpoint has none.
        _ = state["backbone.blocks.0.attn.qkv.bias"]
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return OSTrack(eliminates=eliminates)
    sizes = tuple(PATCH * isqrt(shape[1]) for shape in (template, search))
    if sizes not in SEARCH_FACTORS:
        expected = " or ".join(f"{z} and {x}" for z, x in SEARCH_FACTORS)
        raise CheckpointError(
            f"the checkpoint is of an OSTrack with template and search images of {sizes[0]} and {sizes[1]} pixels "
            f"a side, expected {expected}"
        )
    depth, width = len(numbers), template[2]
    if numbers != set(range(depth)) or depth <= max(ELIMINATION_BLOCKS) + 1:
        raise CheckpointError(
            f"the checkpoint holds {depth} blocks of an OSTrack, expected {max(ELIMINATION_BLOCKS) + 2} or more"
        )
    one_stream.check_width(width)
    return OSTrack(*sizes, depth, width, head_width, eliminates)


def graphs(network: OSTrack) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    track = export.track_graph("ostrack_track", network, network.counts, judge_of(network.template_size))
    return one_stream.graphs(network, "ostrack", track)


def manifest(network: OSTrack | None) -> dict[str, Any]:
    """Returns the sections of model.yaml, without a network those of OSTrack-256."""
    sizes = (128, 256) if network is None else (network.template_size, network.search_size)
    return centre_head.manifest(list(TEMPLATE_OUTPUTS), IMAGENET_INPUT, *sizes, SEARCH_FACTORS[sizes])


TRACKER = Tracker(
    name="ostrack",
    title="OSTrack (Joint Feature Learning and Relation Modeling for Tracking: A One-Stream Framework, ECCV 2022)",
    family="centre_head",
    source="OSTrack_ep0300.pth.tar of the configuration vitb_256_mae_ce_32x4_ep300 or vitb_384_mae_ce_32x4_ep300, "
    "linked from the authors' repository botaoye/OSTrack",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=manifest,
    pseudo_rule=transformer_rule(one_stream.head_overrides(), {}),
    golden_salt="#ostrack",
    small=lambda: OSTrack(width=128, head_width=64),
)

#: Its files have the same tensors as those above. Only the name of the file shows which tracker it is.
WITHOUT_ELIMINATION = replace(
    TRACKER,
    name="ostrack_all_tokens",
    title="OSTrack without candidate elimination",
    source="OSTrack_ep0300.pth.tar of the configuration vitb_256_mae_32x4_ep300 or vitb_384_mae_32x4_ep300, "
    "linked from the authors' repository botaoye/OSTrack",
    build=lambda state: build(state, eliminates=False),
    small=lambda: OSTrack(width=128, head_width=64, eliminates=False),
)
