"""Sprites: cut-outs that are drawn in a pose and size and then blended into a crop."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .augment import Colour, motion_blur, offset_colour
from .config import CompositeConfig
from .deform import Pose, draw_patch, posed_size
from .geometry import context_side

OPAQUE = 127
_SMALLEST = 3


@dataclass(frozen=True)
class Sprite:
    """A drawn object: a patch u8 RGBA [h, w, 4], and the box x, y, width, height of its opaque pixels in the patch."""

    patch: np.ndarray
    extent: tuple[int, int, int, int]

    def box(self, centre: np.ndarray) -> np.ndarray:
        """The box x1, y1, x2, y2 of its opaque pixels if it is pasted at ``centre`` (x, y)."""
        half = np.array(self.extent[2:]) / 2
        return np.concatenate([centre - half, centre + half])

    def opaque_pixels(self) -> int:
        """Number of its pixels that hide the background."""
        return count_opaque(self.patch[..., 3])

    def alpha(self, centre: np.ndarray, size: int) -> np.ndarray:
        """Its alpha if it is pasted at ``centre`` onto an empty canvas, u8 [size, size]."""
        alpha = np.zeros((size, size), np.uint8)
        meeting = self._meet(centre, size)
        if meeting is not None:
            canvas_part, patch_part = meeting
            alpha[canvas_part] = self.patch[patch_part][..., 3]
        return alpha

    def paste(self, canvas: np.ndarray, centre: np.ndarray) -> None:
        """Blends it into a canvas u8 [size, size, 3], so that the middle of its opaque pixels is at ``centre``."""
        meeting = self._meet(centre, canvas.shape[0])
        if meeting is None:
            return
        canvas_part, patch_part = meeting
        patch, ground = self.patch[patch_part], canvas[canvas_part]
        difference = patch[..., :3].astype(np.int32) - ground
        # 257/65536 is about 1/255. The error is less than one grey level.
        step = (difference * patch[..., 3:].astype(np.int32) * 257 + 32768) >> 16
        canvas[canvas_part] = (ground + step).astype(np.uint8)

    def _meet(self, centre: np.ndarray, size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
        """The overlapping parts of a canvas and of the patch, as slices of each. None if they do not overlap."""
        x, y, w, h = self.extent
        left = round(float(centre[0]) - x - w / 2)
        top = round(float(centre[1]) - y - h / 2)
        height, width = self.patch.shape[:2]
        y0, y1 = max(top, 0), min(top + height, size)
        x0, x1 = max(left, 0), min(left + width, size)
        if y0 >= y1 or x0 >= x1:
            return None
        return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def draw_sprite(
    rng: np.random.Generator,
    cutout: np.ndarray,
    pose: Pose,
    colour: Colour,
    context: float,
    ground: np.ndarray,
    config: CompositeConfig,
    size: tuple[float, float] | None = None,
) -> Sprite | None:
    """Draws a cut-out u8 [h, w, 4] so that its context window (geometry.context_side) measures ``context`` pixels, or
    so that it has the width and height ``size``.

    Its mean colour is moved towards that of ``ground``, the canvas for which it is made. Returns None if almost nothing
    of it is visible in its pose.
    """
    width, height = posed_size(cutout, pose)
    length = max(width, height) * context / context_side(width, height)
    patch = draw_patch(cutout, pose, length)
    x, y, w, h = _extent(patch)
    if min(w, h) < _SMALLEST:
        return None
    ratio = np.array([context / context_side(w, h)] * 2 if size is None else [size[0] / w, size[1] / h])
    if not (0.25 < ratio.min() and ratio.max() < 4):
        return None
    patch = patch[max(y - 1, 0) : y + h + 1, max(x - 1, 0) : x + w + 1]
    if np.abs(ratio - 1).max() > 0.02:
        shape = (max(4, round(patch.shape[1] * ratio[0])), max(4, round(patch.shape[0] * ratio[1])))
        patch = cv2.resize(patch, shape, interpolation=cv2.INTER_LINEAR)
    patch = colour.then(_towards(rng, patch, ground, config.colour_match)).apply(patch)
    if rng.random() < config.object_motion_blur:
        patch = motion_blur(rng, cv2.copyMakeBorder(patch, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=0), 7)
    extent = _extent(patch)
    return Sprite(patch, extent) if min(extent[2:]) >= _SMALLEST else None


def opaque_mask(alpha: np.ndarray) -> np.ndarray:
    """255 for each pixel whose alpha hides the background, else 0: u8, same shape."""
    return cv2.compare(alpha, OPAQUE, cv2.CMP_GT)


def count_opaque(alpha: np.ndarray) -> int:
    """Number of pixels that hide the background."""
    return cv2.countNonZero(opaque_mask(alpha))


def _extent(patch: np.ndarray) -> tuple[int, int, int, int]:
    return cv2.boundingRect(opaque_mask(patch[..., 3]))


def _towards(rng: np.random.Generator, patch: np.ndarray, ground: np.ndarray, most: float) -> Colour:
    """Draws a change that moves the object's mean colour towards the background's, as common light would."""
    there = ground[::16, ::16].reshape(-1, 3).mean(axis=0)
    here = patch[::4, ::4, :3].reshape(-1, 3).mean(axis=0)
    return offset_colour((there - here) * rng.uniform(0, most))
