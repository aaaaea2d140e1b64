"""Graphs and manifest of the family `anchor_free`, which has a template graph and a track graph."""

from __future__ import annotations

from typing import Any

import torch

from ..export import Graph
from ..export.inference import TemplateGraph, TrackGraph, inference_form
from ..networks.siamese import SiameseTracker
from ..pixels import MEAN, SCALE, STD
from .noise import generator, structured_noise

# Normalisation of the authors' training: of RGB values divided by 255.
IMAGENET_INPUT = {
    "channels": "rgb",
    "scale": SCALE,
    "mean": list(MEAN),
    "std": list(STD),
}


def graphs(network: SiameseTracker) -> dict[str, Graph]:
    """Returns `template.onnx` and `track.onnx`; the latter takes all search sizes of the configuration."""
    config = network.config
    fast = inference_form(network)
    random = generator()
    template = structured_noise(config.template_size, random)
    with torch.no_grad():
        features = network.template_features(template)
    searches = [structured_noise(size, random) for size in config.search_sizes]
    axes = {}
    if len(searches) > 1:
        search, score = ({2: name, 3: name} for name in ("search_size", "score_size"))
        axes = {"search": search, "cls": score, "reg": score}
    return {
        "template": Graph(
            module=TemplateGraph(fast),
            reference=TemplateGraph(network),
            inputs={"template": template},
            outputs=("template_features",),
        ),
        "track": Graph(
            module=TrackGraph(fast),
            reference=TrackGraph(network),
            inputs={"template_features": features, "search": searches[0]},
            # Logits, and distances in pixels.
            outputs=("cls", "reg"),
            axes=axes,
            variants=tuple({"template_features": features, "search": s} for s in searches[1:]),
        ),
    }


def manifest(network: SiameseTracker) -> dict[str, Any]:
    """Returns the family's sections of `model.yaml`, with the constants that its authors use for all benchmarks."""
    config = network.config
    search: dict[str, Any] = {"input": "search", "sizes": list(config.search_sizes)}
    if len(config.search_sizes) > 1:
        search["small_target_area"] = 0.004
    search |= {"exemplar_size": config.template_size, "stride": config.backbone.stride}
    boxes = getattr(config, "box_context", None)
    window = {"context": 0.5} if boxes is None else {"window": "box", "context": boxes}
    return {
        "input": IMAGENET_INPUT,
        "template": {
            "input": "template",
            "size": config.template_size,
            **window,
            "outputs": ["template_features"],
        },
        "search": search,
        "outputs": {
            "score": {"name": "cls", "activation": "sigmoid"},
            "boxes": {"name": "reg"},
        },
        "tracking": {"default": {"window_influence": 0.225, "penalty_k": 0.007, "learning_rate": 0.616}},
    }
