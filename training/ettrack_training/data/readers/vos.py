"""Reads DAVIS and YouTube-VOS (video object segmentation). Boxes and masks come from label pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..records import Clip, Track, box_of_mask
from .folder import pictures_below
from .masks import LabelPicture, read_labels
from .text import read_json, understanding

# Palette index of pixels without label.
_VOID = 255


def read_davis(root: Path, resolution: str = "480p", names: list[str] | None = None) -> Iterator[Clip]:
    """Yields DAVIS 2016 or 2017: ``JPEGImages/480p/NAME/00000.jpg``, ``Annotations/480p/NAME/00000.png``.

    ``names`` limits it to some videos, for example those of a split in ``ImageSets``. Raises ValueError if the folders
    are missing.
    """
    yield from _read(root / "JPEGImages" / resolution, root / "Annotations" / resolution, names, {})


def read_youtube_vos(root: Path) -> Iterator[Clip]:
    """Yields a YouTube-VOS split: ``JPEGImages/ID``, ``Annotations/ID``, and ``meta.json`` with the categories.

    Raises ValueError if the folders are missing or ``meta.json`` has another layout.
    """
    meta = root / "meta.json"
    expected = "YouTube-VOS' videos with their objects"
    content = read_json(meta, expected, dict) if meta.is_file() else {"videos": {}}
    with understanding(meta, expected):
        categories = {
            (name, int(label)): entry.get("category", "")
            for name, video in content["videos"].items()
            for label, entry in video["objects"].items()
        }
    yield from _read(root / "JPEGImages", root / "Annotations", None, categories)


def _read(
    pictures: Path, annotations: Path, names: list[str] | None, categories: dict[tuple[str, int], str]
) -> Iterator[Clip]:
    if not pictures.is_dir() or not annotations.is_dir():
        raise ValueError(f"expected the folders {pictures} and {annotations}")
    for name in names or sorted(path.name for path in annotations.iterdir() if path.is_dir()):
        frames = pictures_below(pictures / name)
        labelled = {path.stem: path for path in sorted((annotations / name).glob("*.png"))}
        frames = [frame for frame in frames if frame.stem in labelled]
        if frames:
            yield Clip(name, frames, _tracks(name, [labelled[frame.stem] for frame in frames], categories), name)


def _tracks(name: str, paths: list[Path], categories: dict[tuple[str, int], str]) -> list[Track]:
    boxes: dict[int, np.ndarray] = {}
    for number, path in enumerate(paths):
        labels = read_labels(path)
        found = [int(value) for value in np.unique(labels) if value != 0]
        # If 255 is the only label, it is the foreground of DAVIS 2016. Beside other labels it means "not labelled".
        values = found if found == [_VOID] else [value for value in found if value != _VOID]
        for value in values:
            boxes.setdefault(value, np.full((len(paths), 4), np.nan))[number] = box_of_mask(labels == value)
    tracks = []
    for value, track in sorted(boxes.items()):
        shown = ~np.isnan(track).any(axis=1)
        masks = [LabelPicture(path, value) if seen else None for path, seen in zip(paths, shown, strict=True)]
        tracks.append(Track(track, masks, categories.get((name, value), "")))
    return tracks
