"""The compositor: cut-out objects moved over photographs, with the exact box of what stays visible.

A pair shows one object twice, over two windows of one background, in two poses; around and partly over it
lie distractors: other views or recoloured copies of it, objects of its category, anything else. Negative
pairs keep the distractors and leave the object out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .augment import UNCHANGED, Colour, draw_colour, gain_colour, motion_blur, offset_colour
from .config import PairConfig
from .dataset import CutObject, Dataset, Picture
from .deform import Pose, draw_patch, draw_pose, move_pose
from .geometry import context_side, crop, iou, picture_in_crop, window_map
from .pairs import NO_BOX, Kind, Origin, Pair

# The target's context window measures 127 pixels in both crops, see geometry.context_side.
NOMINAL_CONTEXT = 127.0
_OPAQUE = 127


@dataclass(frozen=True)
class Sprite:
    """A drawn object: u8 RGBA patch and the box x, y, width, height of its opaque pixels within."""

    patch: np.ndarray
    extent: tuple[int, int, int, int]


class Compositor:
    """Draws composite pairs and pastes distractors into real crops."""

    def __init__(self, dataset: Dataset, config: PairConfig) -> None:
        self._data = dataset
        self._config = config
        self._options = config.composite

    def pair(self, rng: np.random.Generator, kind: Kind) -> Pair:
        """One composite pair. A target that the draw left all but invisible makes the pair one without target."""
        options, crops = self._options, self._config.crop
        views, category = self._object(rng)
        stretch = crops.draw_stretch(rng)
        views = [cv2.resize(view, None, fx=stretch, fy=1 / stretch) for view in views]
        first = views[int(rng.integers(len(views)))]
        second = views[int(rng.integers(len(views)))]
        pose = draw_pose(rng, options)
        colour = draw_colour(rng, 0.15, 0.15, 0.25, 0.25)
        background = self._data.clips(rng)
        frames = [background[int(place)] for place in rng.integers(len(background), size=2)]
        place = rng.uniform(0.25, 0.75, 2) * frames[0].size
        zoom = np.exp(rng.uniform(np.log(0.4), np.log(1.2)))
        # A window larger than the picture would show its mirror image.
        zoom = min(zoom, 1.05 * min(frames[0].size) / crops.search_size)
        if kind == Kind.WRONG_TEMPLATE:
            template = self._template(
                rng, *self._another(rng, category), draw_pose(rng, options), UNCHANGED, frames[0], place, zoom
            )
        else:
            template = self._template(rng, first, category, pose, colour, frames[0], place, zoom)
        drift = rng.normal(0, 40, 2) * rng.random()
        canvas, border = self._background(rng, frames[1], place + drift, zoom, crops.search_size)
        if kind == Kind.ABSENT:
            self.paste_distractors(rng, canvas, None, views, category)
            return Pair(template, _with_border(canvas, border), NO_BOX, kind, Origin.COMPOSITE)
        later = move_pose(rng, pose, options)
        own = draw_colour(rng, 0.08, 0.08, 0.08, 0.03).then(colour)
        scale = np.exp(rng.uniform(-1, 1) * np.log1p(crops.search_scale))
        sprite = self._sprite(rng, second, later, own, NOMINAL_CONTEXT / scale, canvas)
        if sprite is None:
            return Pair(template, _with_border(canvas, border), NO_BOX, Kind.ABSENT, Origin.COMPOSITE)
        centre = crops.search_size / 2 + rng.uniform(-1, 1, 2) * crops.search_shift
        box = self._compose(rng, canvas, border, sprite, centre, views, category)
        if box is None:
            return Pair(template, _with_border(canvas, border), NO_BOX, Kind.ABSENT, Origin.COMPOSITE)
        if box[1] is not None:
            canvas = _with_border(canvas, border)
        return Pair(template, canvas, box[0], kind, Origin.COMPOSITE)

    def surround(self, rng: np.random.Generator, canvas: np.ndarray, seen: np.ndarray) -> None:
        """Fills a crop outside ``seen`` (x1, y1, x2, y2, whole pixels) with another photograph."""
        size = canvas.shape[0]
        x1, y1, x2, y2 = seen
        if (x2 - x1) * (y2 - y1) > 0.9 * size * size:
            return
        clip = self._data.clips(rng)
        frame = clip[int(rng.integers(len(clip)))]
        around, _ = self._background(rng, frame, np.array(frame.size) / 2, 0.7, size)
        around[y1:y2, x1:x2] = canvas[y1:y2, x1:x2]
        canvas[:] = around

    def paste_distractors(
        self,
        rng: np.random.Generator,
        canvas: np.ndarray,
        box: np.ndarray | None,
        views: list[np.ndarray] | list[Picture],
        category: str,
    ) -> None:
        """Pastes distractors into a crop, beside the box where there is one: one to ``max_distractors``.

        Look-alikes are drawn from ``views``: but only recoloured or strongly changed, and only where the target
        is there to be told from them.
        """
        most = self._options.max_distractors if len(self._data.objects) else 0
        for _ in range(int(rng.integers(min(1, most), most + 1))):
            sprite = self._distractor(rng, canvas, views if box is not None else [], category)
            if sprite is None:
                continue
            centre = self._free_place(rng, sprite, box, canvas.shape[0])
            if centre is not None:
                _draw(canvas, sprite, centre)

    def _object(self, rng: np.random.Generator) -> tuple[list[np.ndarray], str]:
        """Cut-outs of one object, two at most."""
        if rng.random() < self._options.shapes:
            return [self._shape(rng)], ""
        item: CutObject = self._data.objects(rng)
        picks = rng.integers(len(item.views), size=2)
        return [item.views[int(pick)].read() for pick in set(picks.tolist())], item.category

    def _another(self, rng: np.random.Generator, category: str) -> tuple[np.ndarray, str]:
        """A cut-out of another object, sometimes of the same category."""
        views, other = self._relative(rng, category)
        return views[0], other

    def _relative(self, rng: np.random.Generator, category: str) -> tuple[list[np.ndarray], str]:
        relatives = self._data.by_category.get(category, [])
        if len(relatives) > 1 and rng.random() < self._options.same_category:
            item = relatives[int(rng.integers(len(relatives)))]
            return [item.views[int(rng.integers(len(item.views)))].read()], category
        return self._object(rng)

    def _shape(self, rng: np.random.Generator) -> np.ndarray:
        """A smooth random outline filled with a piece of a photograph."""
        size = 96
        clip = self._data.clips(rng)
        texture = clip[int(rng.integers(len(clip)))].read()
        span = int(min(rng.integers(size, 2 * size), *texture.shape[:2]))
        y = int(rng.integers(texture.shape[0] - span + 1))
        x = int(rng.integers(texture.shape[1] - span + 1))
        piece = cv2.resize(texture[y : y + span, x : x + span], (size, size), interpolation=cv2.INTER_AREA)
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        radius = np.ones_like(turn)
        for order in range(1, 5):
            radius += rng.normal(0, 0.28 / order) * np.cos(order * turn + rng.uniform(0, 2 * np.pi))
        radius = np.maximum(radius, 0.25) / radius.max() * (size / 2 - 2)
        points = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1) + size / 2
        alpha = np.zeros((size, size), np.uint8)
        cv2.fillPoly(alpha, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return np.dstack([piece, alpha])

    def _template(
        self,
        rng: np.random.Generator,
        cutout: np.ndarray,
        category: str,
        pose: Pose,
        colour: Colour,
        frame: Picture,
        place: np.ndarray,
        zoom: float,
    ) -> np.ndarray:
        config = self._config.crop
        size = config.template_size
        canvas, _ = self._background(rng, frame, place, zoom, size)
        scale = 1 + rng.uniform(-1, 1) * config.template_scale
        sprite = self._sprite(rng, cutout, pose, colour, size / scale, canvas)
        if sprite is None:
            return canvas
        centre = size / 2 + rng.uniform(-1, 1, 2) * config.template_shift
        if rng.random() < self._options.template_distractor:
            other = self._distractor(rng, canvas, [], category)
            if other is not None:
                target = _box_at(sprite, centre)
                spot = self._free_place(rng, other, target, size)
                if spot is not None:
                    _draw(canvas, other, spot)
        _draw(canvas, sprite, centre)
        return canvas

    def _background(
        self, rng: np.random.Generator, frame: Picture, place: np.ndarray, zoom: float, size: int
    ) -> tuple[np.ndarray, tuple[np.ndarray, tuple[int, ...]] | None]:
        """A crop of ``size``, mirrored at the picture's edge, and the edge as a runtime would see it, if drawn."""
        at_border = rng.random() < self._options.frame_border
        turned = not at_border and rng.random() < self._options.background_rotation
        angle = rng.normal(0, 0.12) if turned else 0.0
        span = size * zoom * np.exp(rng.normal(0, 0.1))
        if not at_border:
            margin = np.minimum(span, frame.size) / 2
            place = np.clip(place, margin, frame.size - margin)
        matrix = window_map(place, (span, span), size, angle)
        canvas = crop(frame.read(), matrix, size, None)
        if not at_border:
            return canvas, None
        edge = picture_in_crop(matrix, frame.size, size)
        return canvas, (edge, frame.mean)

    def _sprite(
        self,
        rng: np.random.Generator,
        cutout: np.ndarray,
        pose: Pose,
        colour: Colour,
        context: float,
        canvas: np.ndarray,
    ) -> Sprite | None:
        """Draws a cut-out so that its context window measures ``context`` pixels; None where nothing is left of it."""
        height, width = cutout.shape[:2]
        length = max(width, height) * context / context_side(width, height)
        patch = draw_patch(cutout, pose, length)
        extent = cv2.boundingRect(cv2.compare(patch[..., 3], _OPAQUE, cv2.CMP_GT))
        if min(extent[2:]) < 3:
            return None
        ratio = context / context_side(extent[2], extent[3])
        if not 0.25 < ratio < 4:
            return None
        x, y, w, h = extent
        patch = patch[max(y - 1, 0) : y + h + 1, max(x - 1, 0) : x + w + 1]
        if abs(ratio - 1) > 0.02:
            shape = (max(4, round(patch.shape[1] * ratio)), max(4, round(patch.shape[0] * ratio)))
            patch = cv2.resize(patch, shape, interpolation=cv2.INTER_LINEAR)
        patch = self._match(rng, colour, patch, canvas).apply(patch)
        if rng.random() < self._options.object_motion_blur:
            patch = motion_blur(rng, cv2.copyMakeBorder(patch, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=0), 7)
        extent = cv2.boundingRect(cv2.compare(patch[..., 3], _OPAQUE, cv2.CMP_GT))
        return Sprite(patch, extent) if min(extent[2:]) >= 3 else None

    def _match(self, rng: np.random.Generator, colour: Colour, patch: np.ndarray, canvas: np.ndarray) -> Colour:
        """Moves the object's mean colour some way towards the background's, as common light would."""
        amount = rng.uniform(0, self._options.colour_match)
        ground = canvas[::16, ::16].reshape(-1, 3).mean(axis=0)
        mean = patch[::4, ::4, :3].reshape(-1, 3).mean(axis=0)
        offset = (ground - mean) * amount
        return colour.then(offset_colour(offset))

    def _distractor(self, rng: np.random.Generator, canvas: np.ndarray, views: list, category: str) -> Sprite | None:
        options = self._options
        context = NOMINAL_CONTEXT * np.exp(rng.normal(0, 0.3))
        if views and rng.random() < options.lookalike:
            view = views[int(rng.integers(len(views)))]
            cutout = view.read() if isinstance(view, Picture) else view
            # Recoloured enough to be told from the target by its colours.
            colour = draw_colour(rng, 0.3, 0.2, 0.5, 0.5).then(_tint(rng))
        else:
            cutout, _ = self._another(rng, category)
            colour = draw_colour(rng, 0.15, 0.15, 0.25, 0.25)
        return self._sprite(rng, cutout, move_pose(rng, draw_pose(rng, options), options), colour, context, canvas)

    def _free_place(
        self, rng: np.random.Generator, sprite: Sprite, box: np.ndarray | None, size: int
    ) -> np.ndarray | None:
        """A centre at which the sprite touches the box hardly or not at all."""
        for _ in range(5):
            centre = rng.uniform(0.08, 0.92, 2) * size
            if box is None or iou(_box_at(sprite, centre), box) < 0.01:
                return centre
        return None

    def _compose(self, rng, canvas, border, sprite, centre, views, category):
        """Draws distractors behind, the target, occluders before it; its visible box, or None where it is hidden."""
        options = self._options
        size = canvas.shape[0]
        target = _box_at(sprite, centre)
        behind = int(rng.integers(0, options.max_distractors + 1))
        for _ in range(behind):
            other = self._distractor(rng, canvas, views, category)
            if other is not None:
                spot = rng.uniform(0.05, 0.95, 2) * size
                if iou(_box_at(other, spot), target) < 0.25:
                    _draw(canvas, other, spot)
        visible = _draw(canvas, sprite, centre)
        full = int(np.count_nonzero(sprite.patch[..., 3] > _OPAQUE))
        if rng.random() < options.occlusion:
            self._occlude(rng, canvas, visible, target, full)
        inside = border
        if border is not None:
            seen = np.zeros_like(visible)
            x0, y0, x1, y1 = border[0]
            seen[y0:y1, x0:x1] = visible[y0:y1, x0:x1]
            if np.count_nonzero(seen > _OPAQUE) >= options.min_visible * full:
                visible = seen
            else:
                inside = None
        mask = cv2.compare(visible, _OPAQUE, cv2.CMP_GT)
        x, y, w, h = cv2.boundingRect(mask)
        if np.count_nonzero(mask) < 0.2 * full or min(w, h) < 4:
            return None
        return np.array([x, y, x + w, y + h], np.float32), inside

    def _occlude(self, rng, canvas, visible, target, full) -> None:
        """Covers a part of the target, at most so much that ``min_visible`` of it stays."""
        views, _ = self._object(rng)
        sprite = self._sprite(
            rng,
            views[0],
            draw_pose(rng, self._options),
            UNCHANGED,
            NOMINAL_CONTEXT * np.exp(rng.normal(-0.1, 0.35)),
            canvas,
        )
        if sprite is None:
            return
        spot = rng.uniform(target[:2], target[2:])
        alpha = np.zeros_like(visible)
        window = _overlap(sprite, spot, visible.shape[0])
        if window is None:
            return
        (y0, y1, x0, x1), (sy, sx) = window
        alpha[y0:y1, x0:x1] = sprite.patch[sy : sy + y1 - y0, sx : sx + x1 - x0, 3]
        left = cv2.multiply(visible, 255 - alpha, scale=1 / 255)
        if np.count_nonzero(left > _OPAQUE) >= self._options.min_visible * full:
            _draw(canvas, sprite, spot)
            visible[:] = left


def _tint(rng: np.random.Generator) -> Colour:
    """Different gains per channel: clothes of another colour."""
    return gain_colour(np.exp(rng.normal(0, 0.35, 3)))


def _box_at(sprite: Sprite, centre: np.ndarray) -> np.ndarray:
    half = np.array(sprite.extent[2:]) / 2
    return np.concatenate([centre - half, centre + half])


def _overlap(sprite: Sprite, centre: np.ndarray, size: int):
    """Where the patch meets a square canvas if its opaque part is centred: canvas slices and patch offset."""
    x, y, w, h = sprite.extent
    left = round(float(centre[0]) - x - w / 2)
    top = round(float(centre[1]) - y - h / 2)
    height, width = sprite.patch.shape[:2]
    y0, y1 = max(top, 0), min(top + height, size)
    x0, x1 = max(left, 0), min(left + width, size)
    if y0 >= y1 or x0 >= x1:
        return None
    return (y0, y1, x0, x1), (y0 - top, x0 - left)


def _draw(canvas: np.ndarray, sprite: Sprite, centre: np.ndarray) -> np.ndarray:
    """Blends a sprite into the canvas; returns its alpha on the canvas, u8 [size, size]."""
    visible = np.zeros(canvas.shape[:2], np.uint8)
    window = _overlap(sprite, centre, canvas.shape[0])
    if window is None:
        return visible
    (y0, y1, x0, x1), (sy, sx) = window
    patch = sprite.patch[sy : sy + y1 - y0, sx : sx + x1 - x0]
    alpha = patch[..., 3]
    ground = canvas[y0:y1, x0:x1]
    weight = alpha[..., None].astype(np.int16)
    difference = patch[..., :3].astype(np.int16) - ground
    # 257/65536 is 1/255 to within a rounding error of a grey level.
    ground += ((difference.astype(np.int32) * weight * 257 + 32768) >> 16).astype(np.uint8)
    visible[y0:y1, x0:x1] = alpha
    return visible


def _with_border(canvas: np.ndarray, border) -> np.ndarray:
    """Fills what lies outside the picture with its mean colour."""
    if border is None:
        return canvas
    (x0, y0, x1, y1), mean = border
    canvas[:y0], canvas[y1:] = mean, mean
    canvas[:, :x0], canvas[:, x1:] = mean, mean
    return canvas
