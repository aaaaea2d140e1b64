"""The types that every reader of a training set yields: clips of pictures with tracks of boxes and masks.

A photograph is a clip of one frame. Nothing is decoded here: a clip holds paths, and a mask is read on demand. The
packer (:mod:`ettrack_training.data.pack`) reads each of them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np


class Mask(Protocol):
    """The pixels of one object in one picture. They are decoded on demand."""

    def read(self) -> np.ndarray:
        """Returns a bool array [height, width] in the pixels of the original picture."""
        ...


@dataclass(frozen=True)
class Track:
    """One object in the frames of a clip.

    ``boxes`` is float64 [frames, 4]: x, y, width, height in pixels of the original picture. (0, 0) is the upper-left
    corner of the upper-left pixel. A row of NaN means that the object is absent or not annotated in that frame.
    ``masks``, if given, has one entry per frame. Raises ValueError if the shapes do not fit.
    """

    boxes: np.ndarray
    masks: Sequence[Mask | None] | None = None
    category: str = ""

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes, dtype=np.float64)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"expected boxes of shape [frames, 4], got {boxes.shape}")
        boxes = np.where((boxes[:, 2:] > 0).all(axis=1, keepdims=True), boxes, np.nan)
        object.__setattr__(self, "boxes", boxes)
        if self.masks is not None and len(self.masks) != len(boxes):
            raise ValueError(f"expected {len(boxes)} masks, one per box, got {len(self.masks)}")


@dataclass(frozen=True)
class Clip:
    """A video, or a photograph as a video of one frame. ``name`` is unique within its source. Raises ValueError if a
    track does not have one box per frame."""

    name: str
    frames: Sequence[Path]
    tracks: Sequence[Track] = field(default_factory=tuple)
    category: str = ""

    def __post_init__(self) -> None:
        for track in self.tracks:
            if len(track.boxes) != len(self.frames):
                raise ValueError(
                    f"clip {self.name}: expected {len(self.frames)} boxes per track, got {len(track.boxes)}"
                )


def box_of_mask(mask: np.ndarray) -> np.ndarray:
    """The smallest box x, y, width, height that contains all pixels of a mask bool [height, width]. NaN if it is
    empty."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    if len(columns) == 0:
        return np.full(4, np.nan)
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], dtype=np.float64)
