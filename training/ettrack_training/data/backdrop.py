"""Backgrounds of composites: windows of photographs and videos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .config import CompositeConfig
from .dataset import Dataset, Picture
from .geometry import crop, picture_in_crop, window_map


@dataclass
class Backdrop:
    """A canvas u8 [size, size, 3] to paste on.

    ``inside`` is the part of it that the picture fills (x1, y1, x2, y2, whole pixels) where the window is to reach
    over the picture's edge; the rest shows its mirror image until :meth:`close` covers it.
    """

    canvas: np.ndarray
    mean: tuple[int, ...]
    inside: np.ndarray | None = None

    def close(self) -> np.ndarray:
        """Covers what lies outside the picture with its mean colour, as a tracker does; returns the canvas."""
        if self.inside is not None:
            x1, y1, x2, y2 = self.inside
            self.canvas[:y1] = self.canvas[y2:] = self.mean
            self.canvas[:, :x1] = self.canvas[:, x2:] = self.mean
        return self.canvas


@dataclass(frozen=True)
class Place:
    """Where a composite happens: two frames of a clip (the same one of a photograph), a point, a zoom.

    ``zoom`` is in source pixels per crop pixel.
    """

    first: Picture
    second: Picture
    point: np.ndarray
    zoom: float


def draw_place(rng: np.random.Generator, dataset: Dataset, size: int) -> Place:
    """Any place in any clip where a window of ``size`` crop pixels fits the picture."""
    clip = dataset.clips(rng)
    first, second = (clip[int(number)] for number in rng.integers(len(clip), size=2))
    zoom = float(np.exp(rng.uniform(np.log(0.4), np.log(1.2))))
    # A window larger than the picture would show its mirror image.
    zoom = min(zoom, 1.05 * min(first.size) / size)
    return Place(first, second, rng.uniform(0.25, 0.75, 2) * first.size, zoom)


def draw_backdrop(
    rng: np.random.Generator, frame: Picture, point: np.ndarray, zoom: float, size: int, config: CompositeConfig
) -> Backdrop:
    """A window of ``frame`` near ``point``, slightly zoomed, sometimes turned, sometimes over the picture's edge."""
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
