"""Reads COCO instances: a JSON file of images and annotations, and a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..records import Clip, Mask, Track
from .masks import Polygons, RunLengths
from .text import read_json, understanding

MIN_AREA = 32.0 * 32.0
_EXPECTED = "COCO instances"


def read_coco(annotations: Path, pictures: Path) -> Iterator[Clip]:
    """Yields one clip per photograph that has annotated objects, one track per object.

    Crowds and objects whose box is smaller than :data:`MIN_AREA` square pixels are left out. Raises ValueError if the
    JSON file has another layout.
    """
    content = read_json(annotations, _EXPECTED, dict)
    missing = {"images", "annotations"} - content.keys()
    if missing:
        raise ValueError(f"{annotations}: expected {_EXPECTED}, {', '.join(sorted(missing))} is missing")
    with understanding(annotations, _EXPECTED):
        yield from _clips(content, pictures)


def _clips(content: dict, pictures: Path) -> Iterator[Clip]:
    names = {entry["id"]: entry["name"] for entry in content.get("categories", [])}
    objects: dict[int, list[dict]] = {}
    for annotation in content["annotations"]:
        if not annotation.get("iscrowd") and annotation["bbox"][2] * annotation["bbox"][3] >= MIN_AREA:
            objects.setdefault(annotation["image_id"], []).append(annotation)
    for image in content["images"]:
        found = objects.get(image["id"])
        if not found:
            continue
        tracks = [_track(annotation, image, names) for annotation in found]
        yield Clip(image["file_name"], [pictures / image["file_name"]], tracks)


def _track(annotation: dict, image: dict, names: dict[int, str]) -> Track:
    mask = _mask(annotation.get("segmentation"), image["height"], image["width"])
    category = names.get(annotation.get("category_id"), "")
    return Track(np.array([annotation["bbox"]]), None if mask is None else [mask], category)


def _mask(segmentation: object, height: int, width: int) -> Mask | None:
    if isinstance(segmentation, list) and segmentation:
        return Polygons(segmentation, height, width)
    if isinstance(segmentation, dict):
        return RunLengths(segmentation["counts"], *segmentation["size"])
    return None
