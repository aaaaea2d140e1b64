"""Reads masks in the encodings of training sets: label pictures, polygons, run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


@dataclass(frozen=True)
class LabelPicture:
    """The pixels of a PNG with the value ``label`` (palette index or grey value). If it is None, all pixels except
    0."""

    path: Path
    label: int | None = None

    def read(self) -> np.ndarray:
        """Returns a bool array [height, width]. Raises ValueError if the file is not a label picture."""
        labels = read_labels(self.path)
        return labels != 0 if self.label is None else labels == self.label


@dataclass(frozen=True)
class Polygons:
    """The union of polygons, each x0, y0, x1, y1, ... in pixels (COCO)."""

    polygons: Sequence[Sequence[float]]
    height: int
    width: int

    def read(self) -> np.ndarray:
        """Returns a bool array [height, width]."""
        mask = np.zeros((self.height, self.width), np.uint8)
        # COCO's pixel i covers i to i+1. OpenCV's integer coordinates are pixel centres.
        shapes = [np.rint(np.asarray(p, np.float64).reshape(-1, 2) - 0.5).astype(np.int32) for p in self.polygons]
        # One call with all polygons would leave the pixels empty that an even number of them covers.
        for shape in shapes:
            cv2.fillPoly(mask, [shape], 1)
        return mask.astype(bool)


@dataclass(frozen=True)
class RunLengths:
    """COCO's run lengths along the columns, as a list of counts or as a compressed string."""

    counts: Sequence[int] | str
    height: int
    width: int

    def read(self) -> np.ndarray:
        """Returns a bool array [height, width]. Raises ValueError if the runs do not fill the picture exactly."""
        counts = decompress_counts(self.counts) if isinstance(self.counts, str) else list(self.counts)
        if sum(counts) != self.height * self.width:
            raise ValueError(f"expected run lengths of {self.height} x {self.width} pixels in total, got {sum(counts)}")
        values = np.arange(len(counts)) % 2 == 1
        return np.repeat(values, counts).reshape(self.width, self.height).T


def decompress_counts(text: str) -> list[int]:
    """Decodes COCO's string form of run lengths. Raises ValueError if it ends within a number.

    A character holds 5 bits and a continuation bit. From the fourth on, a number is the difference to the count two
    places before.
    """
    counts: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(text):
                raise ValueError(f"run lengths end within a number: {text[-8:]!r}")
            code = ord(text[position]) - 48
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            position += 1
            shift += 5
            if not more and code & 0x10:
                value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


def read_labels(path: Path) -> np.ndarray:
    """Label values [height, width] of a PNG: palette indices if it has a palette, else grey values.

    Raises ValueError if the file cannot be read.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture if picture.mode in ("P", "L") else picture.convert("L"))
    # Pillow raises SyntaxError for a damaged PNG.
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: expected a label picture: {error}") from error
