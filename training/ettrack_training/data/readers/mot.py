"""Reads MOTChallenge: videos with boxes of many objects, which pass and cover each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..records import Clip, Track
from .folder import pictures_below
from .text import read_numbers

# Classes of MOT16 and later that are used as targets. Earlier sets have -1 for all objects.
_CLASSES = {-1: "person", 1: "person", 2: "person", 3: "car", 4: "bicycle", 5: "motorbike", 7: "person"}
_LEAST_VISIBLE = 0.25


def read_mot(root: Path) -> Iterator[Clip]:
    """Yields the sequences in ``root`` and its subfolders, ``NAME/{img1/000001.jpg, gt/gt.txt}``. A clip's name is the
    path below ``root``, because several sets have sequences of the same NAME. An identity is a track.

    A line of ``gt.txt`` is: frame (from 1), identity, x, y, width, height, whether it counts, class, visibility. An
    object of which less than a quarter is visible has no box in that frame. Raises ValueError if files are missing or
    malformed.
    """
    truths = sorted(root.rglob("gt/gt.txt"))
    if not truths:
        raise ValueError(f"expected folders with gt/gt.txt below {root}, as MOTChallenge has them")
    for truth in truths:
        folder = truth.parent.parent
        frames = pictures_below(folder / "img1")
        if not frames:
            raise ValueError(f"expected pictures in {folder / 'img1'}, found none")
        # The root itself may be a sequence.
        name = folder.resolve().name if folder == root else folder.relative_to(root).as_posix()
        yield Clip(name, frames, list(_tracks(truth, len(frames))))


def _tracks(truth: Path, count: int) -> Iterator[Track]:
    rows = read_numbers(truth, 7)
    for identity in np.unique(rows[:, 1]):
        mine = rows[rows[:, 1] == identity]
        mine = mine[(mine[:, 0] >= 1) & (mine[:, 0] <= count) & (mine[:, 6] != 0)]
        category = _CLASSES.get(int(mine[0, 7]) if len(mine) and mine.shape[1] > 7 else -1)
        if mine.shape[1] > 8:
            # -1 means that the visibility was not annotated.
            mine = mine[(mine[:, 8] < 0) | (mine[:, 8] >= _LEAST_VISIBLE)]
        if category is None or len(mine) < 2:
            continue
        boxes = np.full((count, 4), np.nan)
        # The file counts pixels from 1.
        boxes[mine[:, 0].astype(int) - 1] = mine[:, 2:6] - (1, 1, 0, 0)
        yield Track(boxes, category=category)
