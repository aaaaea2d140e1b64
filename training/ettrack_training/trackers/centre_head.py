"""Manifest of the family `centre_head`: score, size and offset of a 16x16 map (SMAT, CompressTracker)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OUTPUTS = ("score", "size", "offset")


def manifest(template_outputs: list[str], pixels: Mapping[str, Any]) -> dict[str, Any]:
    """The family's sections of model.yaml. No tracker of it has constants to tune."""
    return {
        "input": dict(pixels),
        "template": {"input": "template", "size": 128, "factor": 2.0, "outputs": template_outputs},
        "search": {"input": "search", "sizes": [256], "factor": 4.0, "stride": 16},
        "outputs": {
            "score": {"name": "score", "activation": "none"},
            "size": {"name": "size"},
            "offset": {"name": "offset"},
        },
        "tracking": {"default": {}},
    }
