"""The compositor pastes cut-out objects onto photographs. The box of the visible part is known exactly.

A pair shows one object twice, in two poses, over two windows of one background. Distractors lie around the object and
cover parts of it: other views or recoloured copies of it, objects of its category, or any other objects. Negative pairs
contain the distractors without the object.
"""

from __future__ import annotations

import cv2
import numpy as np

from .augment import UNCHANGED, Colour, draw_colour, gain_colour
from .backdrop import Backdrop, draw_backdrop, draw_place
from .config import PairConfig
from .crossing import Crossings
from .dataset import Dataset
from .deform import Pose, draw_pose, move_pose
from .geometry import clip_box, iou
from .pairs import NO_BOX, Kind, Origin, Pair
from .sprite import Sprite, count_opaque, draw_sprite, opaque_mask
from .subject import Subject, Supply

# A target counts as hidden if less than this share of its opaque pixels is visible, or a side is below this many
# pixels.
_HIDDEN_SHARE = 0.2
_HIDDEN_SIDE = 4
_NO_OTHERS = np.zeros((0, 4), np.float32)


class Compositor:
    """Draws composite pairs and pastes distractors into real crops."""

    def __init__(self, dataset: Dataset, config: PairConfig) -> None:
        self._data = dataset
        self._crops = config.crop
        self._options = config.composite
        self._supply = Supply(dataset, config.composite)
        self._crossings = Crossings(self._supply, config.composite)

    def crossing(self, rng: np.random.Generator, kind: Kind) -> Pair:
        """Draws a composite pair with look-alikes at the target. For kinds without the target it draws a plain pair."""
        return self.pair(rng, kind, crossing=kind == Kind.POSITIVE)

    def pair(self, rng: np.random.Generator, kind: Kind, *, crossing: bool = False) -> Pair:
        """Draws one composite pair. If almost nothing of the target is visible, it becomes a pair without target.
        ``crossing`` puts look-alikes beside, before or behind the target."""
        options, size = self._options, self._crops.search_size
        subject = self._supply.draw(rng)
        # Rotation and bending make it about a third smaller.
        stretch = self._crops.draw_stretch(rng) ** 1.5
        pose = draw_pose(rng, options, stretch)
        colour = _appearance(rng)
        place = draw_place(rng, self._data, size)
        shown = subject
        template_backdrop = draw_backdrop(rng, place.first, place.point, place.zoom, self._crops.template_size, options)
        if kind == Kind.WRONG_TEMPLATE:
            shown = self._supply.other(rng, subject)
            other_pose = draw_pose(rng, options, stretch)
            template, around = self._template(rng, shown, other_pose, _appearance(rng), template_backdrop)
        else:
            template, around = self._template(rng, subject, pose, colour, template_backdrop)
        drift = rng.normal(0, 40, 2) * rng.random()
        backdrop = draw_backdrop(rng, place.second, place.point + drift, place.zoom, size, options)
        box, others = None, _NO_OTHERS
        if kind != Kind.ABSENT:
            later = move_pose(rng, pose, options)
            now = draw_colour(rng, 0.08, 0.08, 0.08, 0.03).then(colour)
            box, others = self._stage(rng, backdrop, subject, shown, later, now, crossing)
        if box is None:
            if kind == Kind.ABSENT:
                self.paste_distractors(rng, backdrop.canvas, None, shown)
            return Pair(template, backdrop.close(), NO_BOX, Kind.ABSENT, Origin.COMPOSITE, around)
        origin = Origin.CROSSING if crossing else Origin.COMPOSITE
        return Pair(template, backdrop.close(), box, kind, origin, around, others)

    def paste_distractors(
        self,
        rng: np.random.Generator,
        canvas: np.ndarray,
        box: np.ndarray | None,
        subject: Subject,
        *,
        lookalikes: bool = False,
    ) -> None:
        """Pastes 1 to ``max_distractors`` distractors into a crop u8 [size, size, 3], outside of ``box`` if it is
        given.

        ``box`` is x1, y1, x2, y2 in crop pixels. ``subject`` is the object that the template shows. It is never pasted
        itself. ``lookalikes`` allows views of it in other colours. They are meant for crops that show the subject, so
        that a tracker can distinguish it from them.
        """
        most = self._options.max_distractors if self._supply else 0
        for _ in range(int(rng.integers(min(1, most), most + 1))):
            sprite = self._distractor(rng, canvas, subject, lookalikes=lookalikes)
            if sprite is None:
                continue
            centre = _free_place(rng, sprite, box, canvas.shape[0])
            if centre is not None:
                sprite.paste(canvas, centre)

    def cross(self, rng: np.random.Generator, canvas: np.ndarray, box: np.ndarray, subject: Subject) -> np.ndarray:
        """Pastes look-alikes at or near the target at ``box`` (x1, y1, x2, y2) into a real crop. Returns their boxes
        [k, 4] in crop pixels."""
        return self._crossings.across(rng, canvas, box, subject) if self._supply else _NO_OTHERS

    def surround(self, rng: np.random.Generator, canvas: np.ndarray, seen: np.ndarray) -> None:
        """Fills a crop outside ``seen`` (x1, y1, x2, y2, whole pixels) with another photograph."""
        size = canvas.shape[0]
        x1, y1, x2, y2 = seen
        if (x2 - x1) * (y2 - y1) > 0.9 * size * size:
            return
        place = draw_place(rng, self._data, size)
        around = draw_backdrop(rng, place.first, place.point, place.zoom, size, self._options).canvas
        around[y1:y2, x1:x2] = canvas[y1:y2, x1:x2]
        canvas[:] = around

    def _shape(self, context: float, aspect: float = 1.0) -> tuple[float, float] | None:
        """Width and height in crop pixels of a target whose window has its own shape, changed by ``aspect``. None for
        square windows."""
        side = self._crops.object_size(context)
        return None if side is None else (side * aspect, side / aspect)

    def _template(
        self, rng: np.random.Generator, subject: Subject, pose: Pose, colour: Colour, backdrop: Backdrop
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the template crop and the subject's box in it. The subject is in the middle, sometimes with another
        object beside it. If nothing of it is visible in this pose, the box is the middle half of the crop."""
        size, canvas = self._crops.template_size, backdrop.canvas
        context = size / (1 + rng.uniform(-1, 1) * self._crops.template_scale)
        shape = self._shape(context)
        sprite = draw_sprite(rng, subject.view(rng), pose, colour, context, canvas, self._options, shape)
        if sprite is None:
            return canvas, np.array([size / 4, size / 4, 3 * size / 4, 3 * size / 4], np.float32)
        centre = size / 2 + rng.uniform(-1, 1, 2) * self._crops.template_shift
        if rng.random() < self._options.template_distractor:
            other = self._distractor(rng, canvas, subject, lookalikes=False)
            spot = None if other is None else _free_place(rng, other, sprite.box(centre), size)
            if spot is not None:
                other.paste(canvas, spot)
        sprite.paste(canvas, centre)
        return canvas, np.asarray(sprite.box(centre), np.float32)

    def _stage(
        self,
        rng: np.random.Generator,
        backdrop: Backdrop,
        target: Subject,
        shown: Subject,
        pose: Pose,
        colour: Colour,
        crossing: bool,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Pastes distractors, the target and an object that covers a part of it. Returns the target's box and the boxes
        of look-alikes [k, 4].

        The box is that of the visible part, and in a ``crossing`` that of the whole target. It is None if the target is
        hidden. ``shown`` is the object in the template: the target, or another object, which must not appear here.
        """
        options, canvas = self._options, backdrop.canvas
        size = canvas.shape[0]
        scale, aspect = self._crops.draw_search_scale(rng)
        context = self._crops.exemplar_size / scale
        shape = self._shape(context, aspect)
        sprite = draw_sprite(rng, target.view(rng), pose, colour, context, canvas, options, shape)
        if sprite is None:
            return None, _NO_OTHERS
        centre = size / 2 + rng.uniform(-1, 1, 2) * self._crops.search_shift
        if crossing:
            backdrop.inside = None
            visible, others = self._crossings.around(rng, canvas, sprite, centre, target)
            box = clip_box(sprite.box(centre), size).astype(np.float32)
            return (box if _is_seen(visible, sprite.opaque_pixels()) else None), others
        for _ in range(int(rng.integers(0, options.max_distractors + 1))):
            other = self._distractor(rng, canvas, shown, lookalikes=shown is target)
            spot = rng.uniform(0.05, 0.95, 2) * size
            if other is not None and iou(other.box(spot), sprite.box(centre)) < 0.25:
                other.paste(canvas, spot)
        sprite.paste(canvas, centre)
        visible = sprite.alpha(centre, size)
        whole = sprite.opaque_pixels()
        if rng.random() < options.occlusion:
            visible = self._occlude(rng, canvas, visible, sprite.box(centre), whole, shown)
        if backdrop.inside is not None:
            x1, y1, x2, y2 = backdrop.inside
            cut = np.zeros_like(visible)
            cut[y1:y2, x1:x2] = visible[y1:y2, x1:x2]
            if count_opaque(cut) >= options.min_visible * whole:
                visible = cut
            else:
                # The picture's edge would cut off too much of the target, so the mirrored part stays.
                backdrop.inside = None
        if not _is_seen(visible, whole):
            return None, _NO_OTHERS
        x, y, width, height = cv2.boundingRect(opaque_mask(visible))
        return np.array([x, y, x + width, y + height], np.float32), _NO_OTHERS

    def _occlude(
        self,
        rng: np.random.Generator,
        canvas: np.ndarray,
        visible: np.ndarray,
        target: np.ndarray,
        whole: int,
        shown: Subject,
    ) -> np.ndarray:
        """Covers a part of the target so that at least the share ``min_visible`` stays visible. Returns its alpha after
        that, u8 [size, size]."""
        options = self._options
        context = self._crops.exemplar_size * np.exp(rng.normal(-0.1, 0.35))
        cover = self._supply.other(rng, shown)
        sprite = draw_sprite(rng, cover.view(rng), draw_pose(rng, options), UNCHANGED, context, canvas, options)
        if sprite is None:
            return visible
        spot = rng.uniform(target[:2], target[2:])
        left = cv2.multiply(visible, 255 - sprite.alpha(spot, canvas.shape[0]), scale=1 / 255)
        if count_opaque(left) < options.min_visible * whole:
            return visible
        sprite.paste(canvas, spot)
        return left

    def _distractor(
        self, rng: np.random.Generator, canvas: np.ndarray, subject: Subject, *, lookalikes: bool
    ) -> Sprite | None:
        """Draws an object other than the subject, or, if ``lookalikes`` is set, sometimes the subject in other
        colours."""
        options = self._options
        if lookalikes and subject.views and rng.random() < options.lookalike:
            cutout = subject.view(rng)
            colour = draw_colour(rng, 0.3, 0.2, 0.5, 0.5).then(gain_colour(np.exp(rng.normal(0, 0.35, 3))))
        else:
            cutout = self._supply.other(rng, subject).view(rng)
            colour = _appearance(rng)
        pose = move_pose(rng, draw_pose(rng, options), options)
        context = self._crops.exemplar_size * np.exp(rng.normal(0, 0.3))
        return draw_sprite(rng, cutout, pose, colour, context, canvas, options)


def _is_seen(visible: np.ndarray, whole: int) -> bool:
    """Returns whether enough of a target with ``whole`` opaque pixels is visible in its alpha u8 [size, size]."""
    width, height = cv2.boundingRect(opaque_mask(visible))[2:]
    return count_opaque(visible) >= _HIDDEN_SHARE * whole and min(width, height) >= _HIDDEN_SIDE


def _appearance(rng: np.random.Generator) -> Colour:
    """Draws the change of an object's colours that both crops of a pair have."""
    return draw_colour(rng, 0.15, 0.15, 0.25, 0.25)


def _free_place(rng: np.random.Generator, sprite: Sprite, box: np.ndarray | None, size: int) -> np.ndarray | None:
    """Draws a centre at which the sprite overlaps the box by less than 0.01 (IoU). None if five draws find none."""
    for _ in range(5):
        centre = rng.uniform(0.08, 0.92, 2) * size
        if box is None or iou(sprite.box(centre), box) < 0.01:
            return centre
    return None
