"""CompressTracker (Hong et al., ICCV 2025): OSTrack-256 with two, three, four or six of its twelve blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from ..checkpoint import CheckpointError
from ..export import Graph
from ..export import compresstracker as export
from ..networks.compresstracker import DEPTHS, SEARCH_SIZE, TEMPLATE_SIZE, CompressTracker
from ..pseudo_weights import Override, transformer_rule
from . import centre_head
from .anchor_free import IMAGENET_INPUT
from .base import StateDict, Tracker
from .noise import generator, structured_noise

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
    dropped = []
    for prefix, what in _TRAINING_ONLY.items():
        keys = [key for key in state if key.startswith(prefix)]
        if keys:
            dropped.append(f"{len(keys)} tensors {prefix}* ({what})")
            state = {key: value for key, value in state.items() if not key.startswith(prefix)}
    return state, dropped


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


class _Template(nn.Module):
    """Template image to what the track graph takes."""

    def __init__(self, network: CompressTracker):
        super().__init__()
        self.network = network

    def forward(self, template: Tensor) -> tuple[Tensor, ...]:
        block = self.network.backbone.distill_blocks[0]
        tokens = self.network.template(template)
        query, key, value = block.attn.qkv(block.norm1(tokens))[0].chunk(3, dim=-1)
        scale = (query.shape[-1] // block.attn.heads) ** -0.5
        return tokens[0], query * scale, key, value


class _Track(nn.Module):
    """The plain network from the template's tokens on; what follows from these is not used."""

    def __init__(self, network: CompressTracker):
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, _query: Tensor, _key: Tensor, _value: Tensor, search: Tensor):
        return self.network.track(tokens[None], search)


def graphs(network: CompressTracker) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    random = generator()
    template = structured_noise(TEMPLATE_SIZE, random)
    names = ["template_tokens", *(f"template_{part}" for part in export.PARTS)]
    features = {name: f.detach() for name, f in zip(names, _Template(network)(template), strict=True)}
    return {
        "template": Graph(
            module=export.template_graph(network),
            reference=_Template(network),
            inputs={"template": template},
            outputs=names,
        ),
        "track": Graph(
            module=export.track_graph(network),
            reference=_Track(network),
            inputs={**features, "search": structured_noise(SEARCH_SIZE, random)},
            outputs=centre_head.OUTPUTS,
        ),
    }


TRACKER = Tracker(
    name="compresstracker",
    title="CompressTracker (General Compression Framework for Efficient Transformer Object Tracking, ICCV 2025)",
    family="centre_head",
    source="CompressTracker_ep0500.pth.tar of a configuration compresstracker_vitb_256_*, "
    "linked from the authors' repository LingyiHongfd/CompressTracker",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=lambda _: centre_head.manifest(
        ["template_tokens", *(f"template_{part}" for part in export.PARTS)], IMAGENET_INPUT
    ),
    pseudo_rule=transformer_rule(
        (
            Override(r"^box_head\.conv5_ctr\.weight$", gain=2.0),
            Override(r"^box_head\.conv5_ctr\.bias$", offset=-2.0),
            Override(r"^box_head\.conv5_size\.weight$", gain=0.2),
            Override(r"^box_head\.conv5_size\.bias$", offset=-1.1),
            Override(r"^box_head\.conv5_offset\.weight$", gain=0.2),
            Override(r"^box_head\.conv5_offset\.bias$", offset=0.5),
        ),
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
