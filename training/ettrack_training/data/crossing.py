"""Places look-alikes at the target: beside it, touching it, over a part of it, or behind it.

Trackers confuse the target with similar objects. For example, a person passes another one, the box grows over both, and
then follows the wrong one. These scenes show such moments, with the boxes of both. The target's box is that of the
whole target, even if a part of it is covered, as in the annotations of benchmarks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .augment import Colour, draw_colour, gain_colour
from .config import CompositeConfig
from .deform import draw_pose
from .geometry import area, clip_box
from .pairs import MAX_OTHERS
from .sprite import Sprite, count_opaque, draw_sprite
from .subject import Subject, Supply

# Smallest and largest distance between centres, in sums of half sides. Below 1 the boxes overlap.
_DISTANCES = (0.45, 1.6)
# Standard deviations of the logarithms of a look-alike's size and shape, relative to the target's.
_SIZE, _SHAPE = 0.18, 0.08
# Largest share of a target's box that a look-alike may cover in a real crop, where the target's outline is not known.
_COVERED = 0.5
_SMALLEST_SIDE = 6.0


class Crossings:
    """Draws look-alikes of a target and pastes them beside, before or behind it."""

    def __init__(self, supply: Supply, options: CompositeConfig) -> None:
        self._supply = supply
        self._options = options

    def across(self, rng: np.random.Generator, canvas: np.ndarray, box: np.ndarray, subject: Subject) -> np.ndarray:
        """Pastes up to ``MAX_OTHERS`` look-alikes of ``subject`` into a real crop u8 [size, size, 3] that shows it at
        ``box`` (x1, y1, x2, y2). The first covers a part of it or stands close to it. Returns their boxes [k, 4],
        clipped to the crop."""
        first = self.lookalike(rng, canvas, box, subject)
        found = []
        if first is not None:
            for _ in range(4):
                centre = in_the_way(rng, box, first)
                if covered(box, first.box(centre)) <= _COVERED:
                    first.paste(canvas, centre)
                    found.append(first.box(centre))
                    break
        found += self.further(rng, canvas, box, subject, len(found))
        return seen(found, canvas.shape[0])

    def around(
        self, rng: np.random.Generator, canvas: np.ndarray, target: Sprite, centre: np.ndarray, subject: Subject
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pastes ``target`` at ``centre`` with a look-alike behind or in front of it, and others elsewhere. Returns the
        alpha of the target's visible part, u8 [size, size], and the others' boxes [k, 4], clipped to the canvas."""
        size, box = canvas.shape[0], target.box(centre)
        found = self.further(rng, canvas, box, subject, 0)
        first = self.lookalike(rng, canvas, box, subject)
        spot = None if first is None else in_the_way(rng, box, first)
        behind = rng.random() < 0.5
        if first is not None and behind:
            first.paste(canvas, spot)
        target.paste(canvas, centre)
        visible = target.alpha(centre, size)
        if first is None:
            return visible, seen(found, size)
        if not behind:
            left = np.where(first.alpha(spot, size) > 127, 0, visible).astype(np.uint8)
            if count_opaque(left) < self._options.min_visible * target.opaque_pixels():
                return visible, seen(found, size)
            first.paste(canvas, spot)
            visible = left
        return visible, seen([first.box(spot), *found], size)

    def further(
        self, rng: np.random.Generator, canvas: np.ndarray, box: np.ndarray, subject: Subject, already: int
    ) -> list[np.ndarray]:
        """Pastes look-alikes that do not touch ``box``. Their number is random. Together with the number ``already``
        there, they are fewer than ``MAX_OTHERS``. Returns their boxes."""
        found = []
        for _ in range(int(rng.integers(0, MAX_OTHERS - already))):
            sprite = self.lookalike(rng, canvas, box, subject)
            centre = rng.uniform(0.05, 0.95, 2) * canvas.shape[0]
            if sprite is not None and covered(box, sprite.box(centre)) == 0:
                sprite.paste(canvas, centre)
                found.append(sprite.box(centre))
        return found

    def lookalike(
        self, rng: np.random.Generator, canvas: np.ndarray, box: np.ndarray, subject: Subject
    ) -> Sprite | None:
        """Draws a look-alike about as large as the target: another view of it in other colours, or another object, if
        possible of its category. None if almost nothing of it is visible in its pose."""
        options = self._options
        if subject.views and rng.random() < options.lookalike:
            cutout = subject.view(rng)
            colour = _other_colours(rng)
        else:
            cutout = self._supply.other(rng, subject).view(rng)
            colour = draw_colour(rng, 0.15, 0.15, 0.25, 0.25)
        scale, shape = np.exp(rng.normal(0, _SIZE)), np.exp(rng.normal(0, _SHAPE))
        width, height = (box[2:] - box[:2]) * scale * (shape, 1 / shape)
        pose = replace(draw_pose(rng, options), angle=rng.normal(0, 0.1))
        return draw_sprite(
            rng, cutout, pose, colour, float(max(width, height)) * 2, canvas, options, (float(width), float(height))
        )


def in_the_way(rng: np.random.Generator, box: np.ndarray, other: Sprite) -> np.ndarray:
    """Draws a centre at which ``other`` covers a part of ``box``, touches it, or is close to it. It is mostly at the
    left or right of the box."""
    reach = (box[2:] - box[:2] + np.array(other.extent[2:])) / 2
    angle = rng.normal(0, 0.3) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
    direction = np.array([np.cos(angle) * rng.choice((-1, 1)), np.sin(angle)])
    # A point on the border of the region of centres in which the boxes touch.
    direction /= np.abs(direction).max()
    return (box[:2] + box[2:]) / 2 + direction * reach * rng.uniform(*_DISTANCES)


def covered(box: np.ndarray, other: np.ndarray) -> float:
    """Returns the share of ``box`` that ``other`` covers, 0..1."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)) / max(area(box), 1e-9))


def seen(boxes: list[np.ndarray], size: int) -> np.ndarray:
    """Returns the boxes that are visible in a crop, clipped to it, at most ``MAX_OTHERS``: float32 [k, 4]."""
    clipped = [clip_box(box, size) for box in boxes]
    kept = [box for box in clipped if (box[2:] - box[:2]).min() >= _SMALLEST_SIDE][:MAX_OTHERS]
    return np.array(kept, np.float32).reshape(-1, 4)


def closest(boxes: list[np.ndarray], box: np.ndarray, size: int) -> np.ndarray:
    """Like :func:`seen`, but returns the boxes whose centres are closest to that of ``box``."""
    centre = box[:2] + box[2:]
    return seen(sorted(boxes, key=lambda other: float(np.abs(other[:2] + other[2:] - centre).sum())), size)


def _other_colours(rng: np.random.Generator) -> Colour:
    """Draws a change of colours by which a look-alike can be distinguished from the target."""
    return draw_colour(rng, 0.3, 0.2, 0.5, 0.5).then(gain_colour(np.exp(rng.normal(0, 0.3, 3))))
