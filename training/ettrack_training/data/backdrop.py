"""Backgrounds of composites. A background is a window of a photograph or of a video's frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .config import CompositeConfig
from .dataset import Dataset, Picture
from .geometry import crop, picture_in_crop, window_map


@dataclass
class Backdrop:
    """A canvas u8 [size, size, 3] onto which objects are pasted. ``mean`` is the picture's mean colour.

    ``inside`` is set if the window is to extend beyond the picture's edge. It is the part of the canvas that the
    picture fills (x1, y1, x2, y2, whole pixels). The rest is mirrored until :meth:`close` covers it.
    """

    canvas: np.ndarray
    mean: tuple[int, ...]
    inside: np.ndarray | None = None

    def close(self) -> np.ndarray:
        """Covers the part outside the picture with the mean colour, as a tracker does, and returns the canvas."""
        if self.inside is not None:
            x1, y1, x2, y2 = self.inside
            self.canvas[:y1] = self.canvas[y2:] = self.mean
            self.canvas[:, :x1] = self.canvas[:, x2:] = self.mean
        return self.canvas


@dataclass(frozen=True)
class Place:
    """The source of a composite's backgrounds: two frames of a clip, which are the same for a photograph, a point
    (x, y in source pixels) and a zoom (source pixels per crop pixel)."""

    first: Picture
    second: Picture
    point: np.ndarray
    zoom: float


def draw_place(rng: np.random.Generator, dataset: Dataset, size: int) -> Place:
    """Draws a place in any clip. A window of ``size`` crop pixels fits into the picture there."""
    clip = dataset.clips(rng)
    first, second = (clip[int(number)] for number in rng.integers(len(clip), size=2))
    zoom = float(np.exp(rng.uniform(np.log(0.4), np.log(1.2))))
    # A window larger than the picture would show its mirror image.
    zoom = min(zoom, 1.05 * min(first.size) / size)
    return Place(first, second, rng.uniform(0.25, 0.75, 2) * first.size, zoom)


def draw_backdrop(
    rng: np.random.Generator, frame: Picture, point: np.ndarray, zoom: float, size: int, config: CompositeConfig
) -> Backdrop:
    """Draws a window of ``frame`` near ``point`` (source pixels), ``size`` crop pixels wide and high.

    It is slightly zoomed, sometimes rotated, and sometimes extends beyond the picture's edge.
    """
    at_edge = rng.random() < config.frame_border
    turned = not at_edge and rng.random() < config.background_rotation
    angle = rng.normal(0, 0.12) if turned else 0.0
    span = size * zoom * np.exp(rng.normal(0, 0.1))
    if not at_edge:
        margin = np.minimum(span, frame.size) / 2
        point = np.clip(point, margin, frame.size - margin)
    matrix = window_map(point, (span, span), size, angle)
    canvas = crop(frame.read(), matrix, size, None)
    return Backdrop(canvas, frame.mean, picture_in_crop(matrix, frame.size, size) if at_edge else None)
