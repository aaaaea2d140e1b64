"""Rotates, stretches and bends cut-outs by one sampling map, which is interpolated from a coarse grid of points.

Object coordinates have their origin in the middle of the cut-out. Their unit is half its longest side after its aspect
was changed. The map goes from the drawn patch back to the cut-out, in this order: rotation, bend, elastic field,
aspect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .config import CompositeConfig

_GRID = 14
# Half the side of the drawn patch in object coordinates. It is above 1 because bends and rotations may move parts of an
# object beyond its old extent.
_REACH = 1.45
_KNOTS = 4
_FIELD = 4


@dataclass(frozen=True)
class Pose:
    """How a cut-out is drawn. Angles are in radians.

    ``aspect`` is the logarithm of a factor: the cut-out becomes higher by this factor and narrower by the same factor.
    ``bend`` holds angles at evenly spaced points along the direction ``axis``, by which the parts there are rotated,
    like limbs around joints. ``field`` [4, 4, 2] is a smooth displacement in object coordinates.
    """

    angle: float
    aspect: float
    flip: bool
    axis: float
    bend: np.ndarray
    field: np.ndarray


def draw_pose(rng: np.random.Generator, config: CompositeConfig, stretch: float = 1.0) -> Pose:
    """Draws the first pose of an object. It changes little, because most cut-outs show natural poses.

    ``stretch`` is a factor by which the object becomes wider and lower.
    """
    return Pose(
        angle=rng.normal(0, 0.15),
        aspect=rng.uniform(-1, 1) * config.aspect * 0.6 - np.log(stretch),
        flip=bool(rng.random() < 0.5),
        axis=rng.uniform(0, np.pi),
        bend=_bend(rng, config) * 0.5,
        field=rng.normal(0, config.elastic * 0.5, (_FIELD, _FIELD, 2)),
    )


def move_pose(rng: np.random.Generator, pose: Pose, config: CompositeConfig) -> Pose:
    """Draws a later pose of the same object."""
    angle = rng.normal(0, config.rotation * 0.5)
    if rng.random() < config.strong_rotation:
        angle = rng.uniform(-np.pi, np.pi)
    return replace(
        pose,
        angle=pose.angle + angle,
        aspect=pose.aspect + rng.uniform(-1, 1) * config.aspect,
        flip=pose.flip ^ bool(rng.random() < config.flip_between),
        bend=pose.bend + _bend(rng, config),
        field=pose.field + rng.normal(0, config.elastic * rng.random(), (_FIELD, _FIELD, 2)),
    )


def _bend(rng: np.random.Generator, config: CompositeConfig) -> np.ndarray:
    if rng.random() >= config.bend_probability:
        return np.zeros(_KNOTS)
    knots = rng.normal(0, config.bend, _KNOTS)
    # The middle stays in place, and the ends turn.
    return knots - np.interp(_KNOTS / 2 - 0.5, np.arange(_KNOTS), knots)


def posed_size(cutout: np.ndarray, pose: Pose) -> tuple[float, float]:
    """Width and height of a cut-out after its aspect was changed, in its own pixels."""
    height, width = cutout.shape[:2]
    factor = float(np.exp(pose.aspect))
    return width / factor, height * factor


def draw_patch(cutout: np.ndarray, pose: Pose, length: float) -> np.ndarray:
    """Draws a cut-out u8 [h, w, 4] so that its longest side is about ``length`` pixels. Returns u8 [n, n, 4]."""
    densest = np.exp(abs(pose.aspect)) / length
    while max(posed_size(cutout, pose)) * densest > 1.7 and min(cutout.shape[:2]) > 12:
        # Halve it first, because bilinear sampling far below the original resolution causes aliasing.
        cutout = cv2.resize(cutout, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    side = max(8, int(np.ceil(length * _REACH)))
    maps = cv2.resize(_source_points(cutout, pose), (side, side), interpolation=cv2.INTER_LINEAR)
    return cv2.remap(cutout, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _source_points(cutout: np.ndarray, pose: Pose) -> np.ndarray:
    """Coordinates in the cut-out (x, y in pixels) of the points of a coarse grid over the patch, float32 [grid, grid,
    2]."""
    u, v = _COARSE
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    x, y = cos * u + sin * v, cos * v - sin * u
    if pose.bend.any():
        along = x * np.cos(pose.axis) + y * np.sin(pose.axis)
        turn = np.interp(along, _KNOT_PLACES, pose.bend)
        cos, sin = np.cos(turn), np.sin(turn)
        x, y = cos * x - sin * y, sin * x + cos * y
    shift = cv2.resize(pose.field, (_GRID, _GRID), interpolation=cv2.INTER_CUBIC)
    stretch = np.exp(pose.aspect)
    x = (x + shift[..., 0]) * (-stretch if pose.flip else stretch)
    y = (y + shift[..., 1]) / stretch
    height, width = cutout.shape[:2]
    half = max(posed_size(cutout, pose)) / 2
    return np.dstack([x * half + width / 2 - 0.5, y * half + height / 2 - 0.5]).astype(np.float32)


def _coarse() -> tuple[np.ndarray, np.ndarray]:
    line = ((np.arange(_GRID) + 0.5) / _GRID * 2 - 1) * _REACH
    return tuple(np.meshgrid(line, line))


_COARSE = _coarse()
_KNOT_PLACES = np.linspace(-1, 1, _KNOTS)
