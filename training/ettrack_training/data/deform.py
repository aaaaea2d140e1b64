"""Turns, stretches and bends cut-outs: one sampling map from a coarse grid of displaced points.

A cut-out lives in object coordinates: the origin in its middle, 1 being half its longest side once its aspect
is changed. The map goes from the drawn patch back to the cut-out, in this order: rotation, bend, elastic field,
aspect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .config import CompositeConfig

_GRID = 14
# Bends and rotations may push parts of an object beyond its old extent.
_REACH = 1.45
_KNOTS = 4
_FIELD = 4


@dataclass(frozen=True)
class Pose:
    """How a cut-out is drawn.

    ``aspect`` is the logarithm of the factor by which it becomes higher and, by the same, narrower. ``axis`` is the
    direction along which ``bend`` (radians at evenly spaced knots) turns it, like limbs around joints; ``field``
    [4, 4, 2] displaces it smoothly.
    """

    angle: float
    aspect: float
    flip: bool
    axis: float
    bend: np.ndarray
    field: np.ndarray


def draw_pose(rng: np.random.Generator, config: CompositeConfig, stretch: float = 1.0) -> Pose:
    """A pose to start from: mild, since cut-outs show objects mostly as cameras see them.

    ``stretch`` widens the object by that factor and lowers it by the same.
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
    """The pose of the same object some time later."""
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
    """Width and height of a cut-out whose aspect is changed, in its own pixels."""
    height, width = cutout.shape[:2]
    factor = float(np.exp(pose.aspect))
    return width / factor, height * factor


def draw_patch(cutout: np.ndarray, pose: Pose, length: float) -> np.ndarray:
    """Draws a cut-out u8 [h, w, 4] with its longest side about ``length`` pixels; returns u8 [n, n, 4]."""
    densest = np.exp(abs(pose.aspect)) / length
    while max(posed_size(cutout, pose)) * densest > 1.7 and min(cutout.shape[:2]) > 12:
        # Bilinear sampling far below the original resolution would alias.
        cutout = cv2.resize(cutout, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    side = max(8, int(np.ceil(length * _REACH)))
    maps = cv2.resize(_source_points(cutout, pose), (side, side), interpolation=cv2.INTER_LINEAR)
    return cv2.remap(cutout, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def _source_points(cutout: np.ndarray, pose: Pose) -> np.ndarray:
    """Coordinates in the cut-out, float32 [grid, grid, 2], of a coarse grid over the patch."""
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
