"""STARK-S and STARK-ST (Yan et al., ICCV 2021), with ResNet-50 or ResNet-101."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import CheckpointError
from ..export import Graph
from ..export import stark as export
from ..networks.stark import HEADS, SEARCH_SIZE, STRIDE, TEMPLATE_SIZE, StarkConfig, StarkS, StarkST
from ..pseudo_weights import Override, transformer_rule
from . import parts
from .anchor_free import IMAGENET_INPUT
from .base import Tracker

#: Frames from one second template to the next, by benchmark.
INTERVALS = {"default": 200, "lasot": 200, "got10k": 200, "trackingnet": 25, "vot": 10}
FEATURES = ("template_tokens", "template_positions", "template_absent")


def build(state: Mapping[str, Tensor]) -> StarkS:
    """Makes a STARK-S or STARK-ST with the sizes of the checkpoint (STARK-S50 if there is no checkpoint)."""
    try:
        queries, width = state["query_embed.weight"].shape
        config = StarkConfig(
            blocks=tuple(_count(state, f"backbone.0.body.layer{stage}.") for stage in (1, 2, 3)),
            encoder=_count(state, "transformer.encoder.layers."),
            decoder=_count(state, "transformer.decoder.layers."),
            width=width,
            hidden=len(state["transformer.encoder.layers.0.linear1.bias"]),
            head=len(state["box_head.conv1_tl.0.bias"]),
        )
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return StarkS()
    if queries != 1:
        raise CheckpointError(f"the checkpoint is of a STARK with {queries} queries, expected 1")
    if width % (2 * HEADS):
        raise CheckpointError(f"the checkpoint's tokens have {width} channels, expected a multiple of {2 * HEADS}")
    # Only STARK-ST has a head that scores the target.
    return (StarkST if any(key.startswith("cls_head.") for key in state) else StarkS)(config)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """The number of layers whose names begin with `prefix` and a number."""
    return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})


def outside(side: int, top: int = 0, left: int = 0, bottom: int = 0, right: int = 0) -> Tensor:
    """`[1, side, side]` with 1 in so many rows and columns at each side of the image, and 0 in the others."""
    cells = torch.ones(1, side, side)
    cells[:, top : side - bottom, left : side - right] = 0
    return cells


def graphs(network: StarkS) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`. They are also compared with an image of which no cell lies outside."""
    modules = {"template": export.template_graph(network), "track": export.track_graph(network)}
    # More cells of each further template lie outside.
    cells = {
        f"{image}_outside": outside(export.TEMPLATE_SIDE, left=2 + number, bottom=number)
        for number, image in enumerate(network.templates)
    }
    seen = {"search_outside": outside(export.SEARCH_SIDE, top=3, right=7)}
    sizes = TEMPLATE_SIZE, SEARCH_SIZE
    made = parts.graphs(network, modules, network.templates, sizes, FEATURES, outputs(network), cells, seen)
    first = {"template": "template_outside", "track": "search_outside"}
    return {
        name: replace(graph, variants=({**graph.inputs, key: torch.zeros_like(graph.inputs[key])},))
        for (name, graph), key in zip(made.items(), first.values(), strict=True)
    }


def outputs(network: StarkS) -> tuple[str, ...]:
    """The names of the track graph's outputs."""
    return ("box", "score") if isinstance(network, StarkST) else ("box",)


def manifest(network: StarkS) -> dict[str, Any]:
    """The sections of model.yaml. STARK-ST's intervals between two templates are the authors' for each benchmark."""
    template = {"input": "template", "outside_input": "template_outside"}
    results: dict[str, Any] = {"boxes": {"name": "box"}}
    tracking: dict[str, dict[str, float]] = {"default": {}}
    if isinstance(network, StarkST):
        template |= {
            "refreshed_input": "second_template",
            "refreshed_outside_input": "second_template_outside",
            "refreshed_from": "last",
        }
        results = {"score": {"name": "score", "activation": "sigmoid"}, **results}
        tracking = {name: {"update_interval": frames, "update_above": 0.5} for name, frames in INTERVALS.items()}
    return {
        "input": IMAGENET_INPUT,
        "template": {**template, "size": TEMPLATE_SIZE, "factor": 2.0, "outputs": list(FEATURES)},
        "search": {
            "input": "search",
            "outside_input": "search_outside",
            "sizes": [SEARCH_SIZE],
            "factor": 5.0,
            "stride": STRIDE,
        },
        "outputs": results,
        "tracking": tracking,
    }


SMALL = StarkConfig((1, 1, 1), 2, 2, 64, 128, 32)

TRACKER = Tracker(
    name="stark",
    title="STARK (Learning Spatio-Temporal Transformer for Visual Tracking, ICCV 2021)",
    family="single_box",
    source="STARKS_ep0500.pth.tar of the configuration stark_s or STARKST_ep0050.pth.tar of stark_st2, "
    "linked from the authors' repository researchmm/Stark",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=manifest,
    pseudo_rule=transformer_rule(
        (
            # In training, residual branches also begin near zero. Larger values let rounding grow with each layer.
            Override(r"\.bn3\.weight$", offset=0.3, scale=0.03),
            Override(r"^box_head\.conv5_(tl|br)\.weight$", gain=3.0),
            # Some scores of the recorded frames are above 0.5, and some below.
            Override(r"^cls_head\.layers\.2\.weight$", gain=40.0),
            Override(r"^cls_head\.layers\.2\.bias$", scale=0.0, offset=-10.6),
        ),
        {},
    ),
    golden_salt="#stark4",
    small=lambda: StarkS(SMALL),
    further={"stark_st": lambda: StarkST(SMALL)},
)
