"""Subjects of composites: cut-out objects and random shapes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .config import CompositeConfig
from .dataset import CutObject, Dataset, Picture

_SHAPE_SIZE = 96
_TRIES = 4


@dataclass(frozen=True)
class Subject:
    """One object to draw. ``views`` are cut-outs u8 [h, w, 4], either packed pictures or arrays."""

    views: list[Picture] | list[np.ndarray]
    category: str = ""

    def view(self, rng: np.random.Generator) -> np.ndarray:
        """Draws one of its views, u8 [h, w, 4]."""
        view = self.views[int(rng.integers(len(self.views)))]
        return view.read() if isinstance(view, Picture) else view

    def same_as(self, other: Subject) -> bool:
        """Returns whether both are the same object."""
        return self.views is other.views


class Supply:
    """Draws subjects from a data set."""

    def __init__(self, dataset: Dataset, config: CompositeConfig) -> None:
        self._data = dataset
        self._config = config

    def __bool__(self) -> bool:
        return len(self._data.objects) > 0

    def draw(self, rng: np.random.Generator) -> Subject:
        """Draws any object, or a random shape."""
        if rng.random() < self._config.shapes:
            return self._shape(rng)
        item: CutObject = self._data.objects(rng)
        return Subject(item.views, item.category)

    def other(self, rng: np.random.Generator, subject: Subject) -> Subject:
        """Draws an object other than ``subject``, sometimes of its category. Returns a random shape if it finds
        none."""
        relatives = self._data.by_category.get(subject.category, [])
        for _ in range(_TRIES):
            if len(relatives) > 1 and rng.random() < self._config.same_category:
                item = relatives[int(rng.integers(len(relatives)))]
                found = Subject(item.views, item.category)
            else:
                found = self.draw(rng)
            if not found.same_as(subject):
                return found
        return self._shape(rng)

    def _shape(self, rng: np.random.Generator) -> Subject:
        """Makes an object with a smooth random outline that shows a piece of a photograph."""
        clip = self._data.clips(rng)
        texture = clip[int(rng.integers(len(clip)))].read()
        span = int(min(rng.integers(_SHAPE_SIZE, 2 * _SHAPE_SIZE), *texture.shape[:2]))
        y = int(rng.integers(texture.shape[0] - span + 1))
        x = int(rng.integers(texture.shape[1] - span + 1))
        piece = texture[y : y + span, x : x + span]
        piece = cv2.resize(piece, (_SHAPE_SIZE, _SHAPE_SIZE), interpolation=cv2.INTER_AREA)
        return Subject([np.dstack([piece, _outline(rng)])])


def _outline(rng: np.random.Generator) -> np.ndarray:
    """Alpha u8 [96, 96] of a random shape. Its radius is a sum of a few harmonics of the angle."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(turn)
    for order in range(1, 5):
        radius += rng.normal(0, 0.28 / order) * np.cos(order * turn + rng.uniform(0, 2 * np.pi))
    radius = np.maximum(radius, 0.25) / radius.max() * (_SHAPE_SIZE / 2 - 2)
    points = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1) + _SHAPE_SIZE / 2
    alpha = np.zeros((_SHAPE_SIZE, _SHAPE_SIZE), np.uint8)
    # Coordinates with four fractional bits, so that the outline is exact to a sixteenth of a pixel.
    cv2.fillPoly(alpha, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return alpha
