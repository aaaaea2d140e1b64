"""Removes a target from a crop: the target is replaced by its surroundings, or covered by another object.

A crop from another place teaches little. When a target disappears, the tracker still searches the target's own place,
which may contain edges like those of an object of the target's size.
"""

from __future__ import annotations

import cv2
import numpy as np

from .geometry import clip_box

# Width of the soft edge of the replaced part, as a share of the covered box's shorter side.
_SEAM = 0.12


def hide(rng: np.random.Generator, canvas: np.ndarray, box: np.ndarray, texture: np.ndarray) -> None:
    """Covers ``box`` (x1, y1, x2, y2 in crop pixels) in a crop u8 [h, w, 3]. Covers 10 to 45 % more of each side.

    The cover is one of: pixels of the crop from beside the box, with a soft edge; a rectangle of one shaded colour; a
    rectangle with ``texture``, a piece of another picture u8 [h, w, 3].
    """
    size = canvas.shape[0]
    centre, span = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * rng.uniform(1.1, 1.45, 2)
    x1, y1, x2, y2 = np.rint(clip_box(np.concatenate([centre - span / 2, centre + span / 2]), size)).astype(int)
    width, height = x2 - x1, y2 - y1
    if min(width, height) < 1:
        return
    draw = rng.random()
    if draw < 0.4:
        _paint(rng, canvas, (x1, y1, x2, y2))
    elif draw < 0.75:
        canvas[y1:y2, x1:x2] = _board(rng, width, height)
    else:
        canvas[y1:y2, x1:x2] = cv2.resize(texture, (int(width), int(height)), interpolation=cv2.INTER_LINEAR)


def _board(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A rectangle of one colour, often grey, that is slightly brighter towards one corner."""
    colour = np.full(3, rng.uniform(30, 225)) + rng.normal(0, rng.choice([3.0, 40.0]), 3)
    slope = rng.normal(0, 10, 2)
    shade = np.linspace(-1, 1, height)[:, None] * slope[0] + np.linspace(-1, 1, width)[None, :] * slope[1]
    return np.clip(colour + shade[:, :, None], 0, 255).astype(np.uint8)


def _paint(rng: np.random.Generator, canvas: np.ndarray, box: tuple[int, int, int, int]) -> None:
    """Fills the box with mirrored pixels from one of its four sides."""
    x1, y1, x2, y2 = box
    width, height, size = x2 - x1, y2 - y1, canvas.shape[0]
    # If the strip at a side is narrower than the box, the strip itself is mirrored again.
    sides = {
        "left": canvas[y1:y2, max(0, x1 - width) : x1][:, ::-1],
        "right": canvas[y1:y2, x2 : min(size, x2 + width)][:, ::-1],
        "above": canvas[max(0, y1 - height) : y1, x1:x2][::-1],
        "below": canvas[y2 : min(size, y2 + height), x1:x2][::-1],
    }
    roomy = [piece for piece in sides.values() if piece.shape[0] * 4 >= height and piece.shape[1] * 4 >= width]
    if not roomy:
        canvas[y1:y2, x1:x2] = canvas.reshape(-1, 3).mean(axis=0)
        return
    piece = roomy[int(rng.integers(len(roomy)))]
    missing = (height - piece.shape[0], width - piece.shape[1])
    piece = np.pad(piece, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric").astype(np.float32)
    seam = max(1.0, _SEAM * min(width, height))
    down = np.minimum(np.arange(height), np.arange(height)[::-1]) + 0.5
    across = np.minimum(np.arange(width), np.arange(width)[::-1]) + 0.5
    alpha = np.minimum(np.minimum(down[:, None], across[None, :]) / seam, 1.0)[:, :, None]
    under = canvas[y1:y2, x1:x2]
    canvas[y1:y2, x1:x2] = np.rint(piece * alpha + under * (1 - alpha)).astype(np.uint8)
