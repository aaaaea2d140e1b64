"""FEAR-XS (Borsuk et al., ECCV 2022), from the Core ML files that its authors publish."""

from __future__ import annotations

from typing import Any

import torch

from ..export import Graph
from ..export.inference import TemplateGraph, TrackGraph
from ..networks.fear import Fear, layer_order
from ..pseudo_weights import Override, transformer_rule
from .anchor_free import IMAGENET_INPUT
from .base import StateDict, Tracker
from .noise import generator, structured_noise

_TEMPLATE, _SEARCH, _STRIDE = 128, 256, 16
# The template shows 1.4 boxes, the search window 5.
_CONTEXT, _SPAN = 0.2, 5


def _clean(state: StateDict) -> tuple[StateDict, list[str]]:
    """Renames the weights. Core ML files number the layers, so a layer is recognised by its position."""
    names, order = list(dict.fromkeys(key.rpartition(".")[0] for key in state)), layer_order()
    if len(names) != len(order) or set(names) == set(order):
        return state, []
    known = dict(zip(names, order, strict=True))
    renamed = {}
    for key, value in state.items():
        name, _, leaf = key.rpartition(".")
        renamed[f"{known[name]}.{leaf}"] = value
    return renamed, []


def _graphs(network: Fear) -> dict[str, Graph]:
    random = generator()
    template, search = (structured_noise(size, random) for size in (_TEMPLATE, _SEARCH))
    with torch.no_grad():
        features = network.template_features(template)
    both, track = TemplateGraph(network), TrackGraph(network)
    return {
        "template": Graph(both, both, {"template": template}, ("template_features",)),
        "track": Graph(
            track,
            track,
            {"template_features": features, "search": search},
            # Logits, and distances in pixels.
            ("cls", "reg"),
        ),
    }


def _manifest(_network: Fear) -> dict[str, Any]:
    return {
        "input": IMAGENET_INPUT,
        "template": {
            "input": "template",
            "size": _TEMPLATE,
            "window": "box",
            "context": _CONTEXT,
            "outputs": ["template_features"],
        },
        "search": {
            "input": "search",
            "sizes": [_SEARCH],
            "exemplar_size": round(_SEARCH / _SPAN * (1 + 2 * _CONTEXT)),
            "stride": _STRIDE,
        },
        "outputs": {"score": {"name": "cls", "activation": "sigmoid"}, "boxes": {"name": "reg"}},
        "tracking": {
            "default": {"window_influence": 0.38, "penalty_k": 0.062, "learning_rate": 0.765, "kept_shape": 0.0}
        },
    }


TRACKER = Tracker(
    name="fear",
    title="FEAR-XS (Fast, Efficient, Accurate and Robust Visual Tracker, ECCV 2022)",
    family="anchor_free",
    source="evaluate/FEARDemo/FEARDemo/Tracker.mlmodel of the authors' repository PinataFarms/FEARTracker",
    licence="MIT",
    build=lambda _: Fear(),
    graphs=_graphs,
    manifest=_manifest,
    pseudo_rule=transformer_rule(
        (
            Override(r"\.project\.weight$", gain=0.4),
            Override(r"^neck\.weight$", gain=0.1),
            Override(r"^box\.predict\.1\.weight$", gain=0.2),
            Override(r"^box\.predict\.1\.bias$", offset=3.3, scale=0.05),
        ),
        {},
    ),
    golden_salt="#1",
    clean=_clean,
)
