"""Manifest of the family `centre_head`: score, size and offset of a map, as SMAT and OSTrack have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OUTPUTS = ("score", "size", "offset")


def manifest(
    template_outputs: list[str],
    pixels: Mapping[str, Any],
    template_size: int = 128,
    search_size: int = 256,
    search_factor: float = 4.0,
    box_input: str | None = None,
) -> dict[str, Any]:
    """Returns the family's sections of model.yaml. None of its trackers has constants to tune."""
    box = {} if box_input is None else {"box_input": box_input}
    return {
        "input": dict(pixels),
        "template": {"input": "template", **box, "size": template_size, "factor": 2.0, "outputs": template_outputs},
        "search": {"input": "search", "sizes": [search_size], "factor": search_factor, "stride": 16},
        "outputs": {
            "score": {"name": "score", "activation": "none"},
            "size": {"name": "size"},
            "offset": {"name": "offset"},
        },
        "tracking": {"default": {}},
    }
