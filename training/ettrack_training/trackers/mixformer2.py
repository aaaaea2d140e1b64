"""MixFormerV2 (Cui et al., NeurIPS 2023), small (S) and base (B)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from ..checkpoint import CheckpointError
from ..export import Graph
from ..export import mixformer2 as export
from ..networks.mixformer2 import MixFormer2
from ..networks.one_stream import PATCH
from ..pseudo_weights import Override, transformer_rule
from . import one_stream, parts
from .anchor_free import IMAGENET_INPUT
from .base import Tracker

#: Search region in units of the target's side, by the template's and the search image's pixels per side. For S the
#: authors change it by up to 0.1 on some benchmarks.
SEARCH_FACTORS = {(112, 224): 4.5, (128, 288): 5.0}
FEATURES = ("template_keys", "template_values")

_BLOCK = re.compile(r"backbone\.blocks\.(\d+)\.")


def build(state: Mapping[str, Tensor]) -> MixFormer2:
    """Makes a network with the sizes of the checkpoint (S if there is no checkpoint)."""
    depth = len({match[1] for key in state if (match := _BLOCK.match(key))})
    try:
        sizes = tuple(PATCH * isqrt(state[f"backbone.pos_embed_{image}"].shape[1]) for image in "ts")
        hidden, width = state["backbone.blocks.0.mlp.fc1.weight"].shape
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return MixFormer2()
    if sizes not in SEARCH_FACTORS:
        expected = " or ".join(f"{z} and {x}" for z, x in SEARCH_FACTORS)
        raise CheckpointError(
            f"the checkpoint is of a MixFormerV2 with template and search images of {sizes[0]} and {sizes[1]} pixels a "
            f"side, expected {expected}"
        )
    one_stream.check_width(width)
    return MixFormer2(*sizes, depth, width, hidden)


def graphs(network: MixFormer2) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    modules = {"template": export.template_graph(network), "track": export.track_graph(network)}
    sizes = network.template_size, network.search_size
    return parts.graphs(network, modules, ["template", "second_template"], sizes, FEATURES, ("box", "score"))


def manifest(network: MixFormer2) -> dict[str, Any]:
    """The sections of model.yaml, with the authors' intervals between two templates for each benchmark."""
    sizes = network.template_size, network.search_size

    def constants(interval: int) -> dict[str, float]:
        return {"update_interval": interval, "update_above": 0.5}

    is_small = sizes == (112, 224)
    return {
        "input": IMAGENET_INPUT,
        "template": {
            "input": "template",
            "refreshed_input": "second_template",
            "size": sizes[0],
            "factor": 2.0,
            "outputs": list(FEATURES),
        },
        "search": {"input": "search", "sizes": [sizes[1]], "factor": SEARCH_FACTORS[sizes], "stride": PATCH},
        "outputs": {"score": {"name": "score", "activation": "sigmoid"}, "boxes": {"name": "box"}},
        "tracking": {
            "default": constants(200),
            "lasot": constants(200),
            "got10k": constants(15 if is_small else 10),
            "trackingnet": constants(25),
            "vot": constants(10),
        },
    }


TRACKER = Tracker(
    name="mixformer2",
    title="MixFormerV2 (Efficient Fully Transformer Tracking, NeurIPS 2023)",
    family="single_box",
    source="mixformerv2_small.pth.tar or mixformerv2_base.pth.tar, "
    "linked from the authors' repository MCG-NJU/MixFormerV2",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=manifest,
    pseudo_rule=transformer_rule(
        (
            Override(r"^box_head\.layers\.1\.1\.weight$", offset=3.7),
            Override(r"^score_head\.layers\.1\.weight$", gain=8.0),
        ),
        {"#mf174": (Override(r"^score_head\.layers\.1\.bias$", scale=0.0, offset=10.5),)},
    ),
    golden_salt="#mf174",
    small=lambda: MixFormer2(width=128, hidden=128),
)
