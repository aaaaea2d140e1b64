"""Reads ImageNet VID: ``Annotations/VID/train/.../SNIPPET/000000.xml``, and ``Data/VID/...`` with the frames."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..records import Clip, Track


def read_vid(root: Path, split: str = "train") -> Iterator[Clip]:
    """Yields the snippets of a split, with one track per object id. Raises ValueError if files are missing or
    malformed."""
    annotations = root / "Annotations" / "VID" / split
    if not annotations.is_dir():
        raise ValueError(f"expected {annotations}, as ImageNet VID has it")
    for folder in sorted({path.parent for path in annotations.rglob("*.xml")}):
        relative = folder.relative_to(annotations)
        pictures = root / "Data" / "VID" / split / relative
        files = sorted(folder.glob("*.xml"))
        boxes: dict[str, np.ndarray] = {}
        names: dict[str, str] = {}
        for number, path in enumerate(files):
            for item in _objects(path):
                identity = item.findtext("trackid", "0")
                track = boxes.setdefault(identity, np.full((len(files), 4), np.nan))
                track[number] = _box(item, path)
                names[identity] = item.findtext("name", "")
        frames = [pictures / f"{path.stem}.JPEG" for path in files]
        tracks = [Track(boxes[identity], category=names[identity]) for identity in sorted(boxes)]
        yield Clip(relative.as_posix(), frames, tracks)


def _objects(path: Path) -> Iterator[ElementTree.Element]:
    try:
        return ElementTree.parse(path).getroot().iter("object")
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: expected ImageNet VID's XML: {error}") from error


def _box(item: ElementTree.Element, path: Path) -> list[float]:
    try:
        x1, y1, x2, y2 = (float(item.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError as error:
        raise ValueError(f"{path}: expected bndbox with xmin, ymin, xmax, ymax") from error
    # The file counts pixels from 0, and x2, y2 are the first pixel after the box.
    return [x1, y1, x2 - x1, y2 - y1]
