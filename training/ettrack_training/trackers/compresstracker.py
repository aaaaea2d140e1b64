"""CompressTracker (Hong et al., ICCV 2025): OSTrack-256 with two, three, four or six of its twelve blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..checkpoint import CheckpointError, without
from ..export import one_stream as export
from ..export.one_stream import TEMPLATE_OUTPUTS
from ..networks.compresstracker import DEPTHS, CompressTracker
from ..pseudo_weights import Override, transformer_rule
from . import centre_head, one_stream
from .anchor_free import IMAGENET_INPUT
from .base import StateDict, Tracker

_BLOCK = re.compile(r"backbone\.distill_blocks\.(\d+)\.")

# What the authors' training code holds beside the network: the frozen blocks that stages are
# exchanged with, and the whole teacher.
_TRAINING_ONLY = {
    "backbone.blocks.": "teacher's blocks for stage sampling",
    "ori_backbone.": "teacher's backbone",
    "ori_box_head.": "teacher's head",
}


def clean(state: StateDict) -> tuple[StateDict, list[str]]:
    """Drops what only training needs."""
    return without(state, _TRAINING_ONLY)


def build(state: Mapping[str, Tensor]) -> CompressTracker:
    """A network as deep as the checkpoint (four blocks without one)."""
    if not state:
        return CompressTracker()
    blocks = sorted({int(match[1]) for key in state if (match := _BLOCK.match(key))})
    if not blocks:
        # Not this tracker: strict loading says what the file holds.
        return CompressTracker()
    if blocks != list(range(len(blocks))) or len(blocks) not in DEPTHS:
        raise CheckpointError(
            f"the checkpoint holds the blocks {', '.join(map(str, blocks))} of a CompressTracker, "
            f"expected {', '.join(map(str, DEPTHS[:-1]))} or {DEPTHS[-1]} blocks, from 0 on"
        )
    return CompressTracker(len(blocks))


TRACKER = Tracker(
    name="compresstracker",
    title="CompressTracker (General Compression Framework for Efficient Transformer Object Tracking, ICCV 2025)",
    family="centre_head",
    source="CompressTracker_ep0500.pth.tar of a configuration compresstracker_vitb_256_*, "
    "linked from the authors' repository LingyiHongfd/CompressTracker",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=lambda network: one_stream.graphs(
        network, "compresstracker", export.track_graph("compresstracker_track", network)
    ),
    manifest=lambda _: centre_head.manifest(list(TEMPLATE_OUTPUTS), IMAGENET_INPUT),
    pseudo_rule=transformer_rule(
        one_stream.head_overrides(),
        {
            "#ct": (
                Override(r"^box_head\.conv5_size\.bias$", scale=0.0, offset=(-0.9691, -1.3582)),
                Override(r"^box_head\.conv5_ctr\.bias$", scale=0.0, offset=-0.2468),
            ),
            "#ct-heldout": (
                Override(r"^box_head\.conv5_size\.bias$", scale=0.0, offset=(-0.9475, -1.2388)),
                Override(r"^box_head\.conv5_ctr\.bias$", scale=0.0, offset=-1.5986),
            ),
        },
    ),
    golden_salt="#ct",
    clean=clean,
)
