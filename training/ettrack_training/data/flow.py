"""Follows windows of unannotated video by optical flow. This gives pairs with real motion and without annotation.

Uses the median-flow tracker (Kalal et al., Forward-Backward Error, 2010). Corners of a window are followed to the next
frame and back. The window moves by their median and is scaled by the median ratio of their distances. A window ends as
soon as its points disagree, so that each window shows one rigid motion.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .records import Track

WINDOW = "window"
_START_EVERY = 12
_WINDOWS_PER_START = 6
_LONGEST = 48
_SHORTEST = 6
_MIN_POINTS = 10
_MAX_ROUND_TRIP = 1.0
_MAX_SPREAD = 1.5


def window_tracks(frames: Sequence[np.ndarray], rng: np.random.Generator) -> list[Track]:
    """Follows random windows through grey frames u8 [h, w]. Boxes are x, y, width, height in pixels, and NaN in frames
    in which the window was not followed."""
    tracks = []
    for start in range(0, len(frames) - _SHORTEST, _START_EVERY):
        for box in _windows(frames[start], rng):
            followed = _follow(frames[start : start + _LONGEST], box)
            if len(followed) >= _SHORTEST:
                boxes = np.full((len(frames), 4), np.nan)
                boxes[start : start + len(followed)] = followed
                tracks.append(Track(boxes, category=WINDOW))
    return tracks


def _windows(frame: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    height, width = frame.shape
    found = []
    for _ in range(_WINDOWS_PER_START):
        size = np.exp(rng.uniform(np.log(24), np.log(max(0.35 * min(height, width), 25))))
        stretch = np.exp(rng.uniform(-0.5, 0.5))
        w, h = size * stretch, size / stretch
        if w < width and h < height:
            found.append(np.array([rng.uniform(0, width - w), rng.uniform(0, height - h), w, h]))
    return found


def _follow(frames: Sequence[np.ndarray], box: np.ndarray) -> list[np.ndarray]:
    boxes = [box]
    for before, after in zip(frames[:-1], frames[1:], strict=True):
        moved = _step(before, after, boxes[-1])
        if moved is None:
            break
        boxes.append(moved)
    return boxes


def _step(before: np.ndarray, after: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """The window one frame later. None if it has too few points, or if its points do not return or do not move
    together."""
    height, width = before.shape
    x, y, w, h = box
    inside = np.zeros_like(before)
    inside[max(int(y), 0) : int(y + h), max(int(x), 0) : int(x + w)] = 255
    points = cv2.goodFeaturesToTrack(before, 40, 0.02, 3, mask=inside)
    if points is None or len(points) < _MIN_POINTS:
        return None
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, None, winSize=(15, 15), maxLevel=3)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, winSize=(15, 15), maxLevel=3)
    round_trip = np.linalg.norm((back - points)[:, 0], axis=1)
    good = (found[:, 0] == 1) & (returned[:, 0] == 1) & (round_trip < _MAX_ROUND_TRIP)
    if good.sum() < max(_MIN_POINTS, 0.6 * len(points)):
        return None
    old, new = points[good, 0], there[good, 0]
    shift = np.median(new - old, axis=0)
    pairs = np.triu_indices(len(old), 1)
    apart = np.linalg.norm((old[:, None] - old[None, :])[pairs], axis=1)
    apart_later = np.linalg.norm((new[:, None] - new[None, :])[pairs], axis=1)
    scale = float(np.median(apart_later[apart > 2] / apart[apart > 2])) if (apart > 2).any() else 1.0
    middle = np.array([x + w / 2, y + h / 2])
    expected = middle + shift + (old - middle) * scale
    if np.median(np.linalg.norm(new - expected, axis=1)) > _MAX_SPREAD:
        return None
    centre = middle + shift
    if not ((centre > 0) & (centre < (width, height))).all():
        return None
    return np.array([*(centre - np.array([w, h]) * scale / 2), w * scale, h * scale])
