"""Reads prepared folders with an ``index.json``.

The index is a list of items. An item has ``frames`` (paths relative to the folder), and may have ``boxes`` (x, y,
width, height in pixels for each frame, null if the object is absent) and ``masks`` (a PNG for each frame, null if the
object is absent). A photograph with several boxes has one item for each box.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..records import Clip, Track
from .masks import LabelPicture
from .text import read_json, understanding

_EXPECTED = "a list of items with frames"


def read_index(root: Path) -> Iterator[Clip]:
    """Yields the items of ``root/index.json``. Items with the same frames become one clip with several tracks.

    A clip's name consists of its first and last frame. If other frames of the same index have the same first and last
    one, a digest of all frames is added.

    Raises ValueError if the file is missing or has another layout.
    """
    path = root / "index.json"
    if not path.is_file():
        raise ValueError(f"expected {path}, {_EXPECTED}")
    items = read_json(path, _EXPECTED, list)
    with understanding(path, _EXPECTED):
        yield from _clips(root, items)


def _clips(root: Path, listed: list[dict]) -> Iterator[Clip]:
    joined: dict[tuple[str, ...], list[dict]] = {}
    for item in listed:
        joined.setdefault(tuple(item["frames"]), []).append(item)
    ends = Counter(_ends(frames) for frames in joined)
    for frames, items in joined.items():
        tracks = [track for item in items if (track := _track(root, item)) is not None]
        category = items[0].get("source", "")
        name = _ends(frames) if ends[_ends(frames)] == 1 else f"{_ends(frames)}|{_digest(frames)}"
        yield Clip(name, [root / f for f in frames], tracks, category)


def _ends(frames: Sequence[str]) -> str:
    return f"{frames[0]}|{frames[-1]}"


def _digest(frames: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(frames).encode()).hexdigest()[:16]


def _track(root: Path, item: dict) -> Track | None:
    if "boxes" not in item:
        return None
    boxes = np.array([box or [np.nan] * 4 for box in item["boxes"]], np.float64)
    masks = item.get("masks")
    sources = None if masks is None else [LabelPicture(root / m) if m else None for m in masks]
    return Track(boxes, sources, item.get("source", ""))
