"""Tries an adopted model on one frame: does it find the target in the frame of its template?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .graphs import AdoptError, run
from .model import REFRESHED_TEMPLATE, SEARCH, TEMPLATE, Adopted

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Answer:
    """The found box and its score. `overlap` is its overlap with the given box."""

    box: Box
    score: float | None
    overlap: float


def look(adopted: Adopted, path: Path, box: Box) -> Answer:
    """Runs the graphs on template and search region around `box` (x, y, width, height). The regions are those of the
    runtime to within a pixel. Raises `AdoptError` if the picture cannot be read or the box lies outside it."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise AdoptError(f"{path}: expected a picture")
    x, y, width, height = box
    rows, columns = picture.shape[:2]
    if not (width > 0 and height > 0 and x + width > 0 and y + height > 0 and x < columns and y < rows):
        raise AdoptError(f"the box {box} lies outside of the picture, {columns} x {rows}")
    sections = adopted.sections
    spans, size = _spans(sections, width, height), sections["search"]["sizes"][0]
    center = (x + width / 2, y + height / 2)
    images = {
        TEMPLATE: _cut(picture, center, spans[0], sections["template"]["size"], sections["input"]),
        SEARCH: _cut(picture, center, spans[1], size, sections["input"]),
    }
    if "refreshed_input" in sections["template"]:
        images[REFRESHED_TEMPLATE] = images[TEMPLATE]
    if "template" in adopted.graphs:
        features = run(path, adopted.graphs["template"], {k: v for k, v in images.items() if k != SEARCH})
        images = {SEARCH: images[SEARCH], **features}
    found, score = _decode(sections, run(path, adopted.graphs["track"], images), size)
    # Converts the box from search pixels around the region's centre to pixels of the frame.
    scale = (size / spans[1][0], size / spans[1][1])
    seen_width, seen_height = found[2] / scale[0], found[3] / scale[1]
    seen = (
        center[0] + found[0] / scale[0] - seen_width / 2,
        center[1] + found[1] / scale[1] - seen_height / 2,
        seen_width,
        seen_height,
    )
    return Answer(seen, score, _overlap(seen, box))


def _spans(sections: Mapping[str, Any], width: float, height: float) -> list[tuple[float, float]]:
    """Returns width and height of the template region and of the search region, pixels of the frame."""
    template, search = sections["template"], sections["search"]
    if "factor" in template:
        side = (width * height) ** 0.5
        return [(side * template["factor"],) * 2, (side * search["factor"],) * 2]
    context = template["context"]
    times = search["sizes"][0] / search["exemplar_size"]
    if template.get("window") == "box":
        span = ((1 + 2 * context) * width, (1 + 2 * context) * height)
    else:
        around = context * (width + height)
        span = (((width + around) * (height + around)) ** 0.5,) * 2
    return [span, (span[0] * times, span[1] * times)]


def _cut(
    picture: np.ndarray, center: tuple[float, float], span: tuple[float, float], size: int, pixels: Mapping[str, Any]
) -> np.ndarray:
    """Returns a region as an input of the network, [1, 3, size, size]."""
    scale = (size / span[0], size / span[1])
    matrix = np.array(
        [[scale[0], 0, size / 2 - center[0] * scale[0]], [0, scale[1], size / 2 - center[1] * scale[1]]], np.float64
    )
    region = cv2.warpAffine(picture, matrix, (size, size), borderValue=tuple(picture.mean((0, 1))))
    if pixels["channels"] == "rgb":
        region = region[:, :, ::-1]
    values = (region / np.float32(pixels["scale"]) - np.array(pixels["mean"])) / np.array(pixels["std"])
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def _decode(sections: Mapping[str, Any], answer: Mapping[str, np.ndarray], size: int) -> tuple[Box, float | None]:
    """Returns the box (centre relative to the region's centre, width, height) in search pixels, and the score."""
    outputs = sections["outputs"]
    score = None
    if "score" in outputs:
        scores = answer["score"][0] if answer["score"].ndim == 4 else answer["score"]
        if outputs["score"]["activation"] == "sigmoid":
            scores = 1 / (1 + np.exp(-scores))
        score = float(scores.max())
    if "size" in outputs:
        side = answer["score"].shape[-1]
        row, column = divmod(int(answer["score"].argmax()), side)
        (dx, dy), (w, h) = (answer[role][0, :, row, column] for role in ("offset", "size"))
        return (((column + dx) / side - 0.5) * size, ((row + dy) / side - 0.5) * size, w * size, h * size), score
    if answer["boxes"].ndim == 4:
        side = answer["score"].shape[-1]
        row, column = divmod(int(answer["score"].argmax()), side)
        left, top, right, bottom = answer["boxes"][0, :, row, column]
        stride = sections["search"]["stride"]
        x, y = ((place - side // 2) * stride for place in (column, row))
        return (x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom), score
    x, y, w, h = answer["boxes"].reshape(4) * size
    return (x - size / 2, y - size / 2, w, h), score


def _overlap(a: Box, b: Box) -> float:
    """Returns the intersection over union."""
    common = 1.0
    for axis in (0, 1):
        common *= max(0.0, min(a[axis] + a[axis + 2], b[axis] + b[axis + 2]) - max(a[axis], b[axis]))
    return common / (a[2] * a[3] + b[2] * b[3] - common)
