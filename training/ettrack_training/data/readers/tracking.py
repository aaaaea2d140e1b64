"""Reads sequences of frames with a text file of boxes: LaSOT, GOT-10k, TrackingNet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..records import Clip, Track
from .folder import pictures_below
from .lasot_split import evaluated_names
from .text import hide, read_flags, read_rows


def read_lasot(root: Path, test: bool = False) -> Iterator[Clip]:
    """Yields LaSOT's sequences in ``root`` without the test split, on which trackers are evaluated. ``test`` includes
    it.

    Frames in which the target is fully occluded or out of view have no box. Raises ValueError if files are missing or
    malformed.
    """
    truths = sorted(root.rglob("groundtruth.txt"))
    if not truths:
        raise ValueError(f"expected folders with a groundtruth.txt below {root}, as LaSOT has them")
    left_out = set() if test else evaluated_names(root)
    kept = [truth for truth in truths if truth.parent.name not in left_out]
    if not kept:
        raise ValueError(
            f"expected sequences of LaSOT's training split below {root}, all {len(truths)} found are of the test split"
        )
    for truth in kept:
        folder = truth.parent
        frames = pictures_below(folder / "img")
        boxes = read_rows(truth, 4)
        # The file counts pixels from 1.
        boxes[:, :2] -= 1
        absent = read_flags(folder / "full_occlusion.txt"), read_flags(folder / "out_of_view.txt")
        for flags in absent:
            boxes = hide(boxes, flags, folder)
        count = min(len(frames), len(boxes))
        category = folder.name.rsplit("-", 1)[0]
        yield Clip(folder.name, frames[:count], [Track(boxes[:count], category=category)], category)


def read_got10k(root: Path) -> Iterator[Clip]:
    """Yields the sequences of a GOT-10k split: ``NAME/{00000001.jpg, groundtruth.txt, absence.label}``.

    Raises ValueError if files are missing or malformed.
    """
    listing = root / "list.txt"
    names = listing.read_text().split() if listing.is_file() else sorted(p.name for p in root.iterdir() if p.is_dir())
    if not names:
        raise ValueError(f"expected GOT-10k sequences in {root}, found none")
    for name in names:
        folder = root / name
        truth = folder / "groundtruth.txt"
        if not truth.is_file():
            raise ValueError(f"expected {truth}, as every sequence of a GOT-10k split has one")
        frames = pictures_below(folder)
        # No offset is subtracted: GOT-10k's toolkit and `ettrack eval` do not subtract one either.
        boxes = read_rows(truth, 4)
        count = min(len(frames), len(boxes))
        boxes = hide(boxes, read_flags(folder / "absence.label"), folder)
        category = _category(folder / "meta_info.ini")
        yield Clip(name, frames[:count], [Track(boxes[:count], category=category)], category)


def _category(meta: Path) -> str:
    if not meta.is_file():
        return ""
    for line in meta.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "object_class":
            return value.strip()
    return ""


def read_trackingnet(root: Path) -> Iterator[Clip]:
    """Yields the sequences of a TrackingNet chunk, ``frames/NAME/0.jpg`` ... and ``anno/NAME.txt``. If ``root`` is not
    a chunk, yields those of the chunks ``TRAIN_0`` ... ``TRAIN_11`` in it. Raises ValueError if files are missing or
    malformed."""
    chunks = [] if (root / "anno").is_dir() else sorted(path for path in root.glob("TRAIN_*") if path.is_dir())
    listed = {chunk: sorted((chunk / "anno").glob("*.txt")) for chunk in chunks or [root]}
    for chunk, truths in listed.items():
        if not truths:
            raise ValueError(f"expected anno/*.txt in {chunk}, as TrackingNet's chunks have them")
    for chunk, truths in listed.items():
        for path in truths:
            boxes = read_rows(path, 4)
            frames = sorted(pictures_below(chunk / "frames" / path.stem), key=_number)
            count = min(len(frames), len(boxes))
            if count:
                name = f"{chunk.name}/{path.stem}" if chunks else path.stem
                yield Clip(name, frames[:count], [Track(np.asarray(boxes[:count]))])


def _number(frame: Path) -> int:
    """The number in a frame's name, for sorting, because names have no leading zeros."""
    try:
        return int(frame.stem)
    except ValueError as error:
        raise ValueError(f"{frame}: expected a number as name, as TrackingNet's frames have it") from error
