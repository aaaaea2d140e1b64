"""What teachers that see windows of the box's own shape say of pairs, on a student's grid.

A student that sees such windows too takes their maps as they are. For one that sees square windows they are carried
over: the teachers look at the same pictures through a window of their own, and cells and boxes of one window are those
of the other after a shift and a scaling of each axis. Their window reaches less far along the target's shorter side;
there, and in part everywhere, a teacher of square windows speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle

import cv2
import numpy as np

from ..data.config import PairConfig
from ..data.labels import STRIDE, grid_points
from ..data.loader import Batch
from ..data.pairs import Kind
from .asked_pairs import box_pair_config, pair_config
from .folder_teacher import SPAN, SPAN_TOLERANCE, FolderTeacher, mean_maps
from .teacher import Teacher

# Largest error of the believed logarithm of a side, and the range of the believed side, search pixels.
_WRONG_SIZE = 0.2
_SIDES = (12.0, 150.0)
# A mixed score stays this far from 0 and 1, where logits end.
_SURE = 3e-4
# A target with a smaller side, pixels, cannot be judged.
_VISIBLE_SIDE = 4.0
# The wider crop around the student's search window that teachers' windows are cut from reaches this much further.
_EDGE = 64


@dataclass
class Labelled:
    """Pairs as the student sees them, with the teachers' maps: pictures u8 [B,S,S,3], logits [B,1,n,n], distances
    [B,4,n,n], boxes [B,4] in search pixels, whether the target is there [B], boxes of what could be taken for it
    [B,k,4], zeros where there are fewer."""

    template: np.ndarray
    search: np.ndarray
    cls: np.ndarray
    reg: np.ndarray
    box: np.ndarray
    present: np.ndarray
    others: np.ndarray


class BoxLabels:
    """For a student of windows of the box's shape, whose template shows 1 + 2 `context` of its sides in `size`
    pixels, and whose search window has `search_size` pixels of that scale: the teachers' `SPAN` boxes, or fewer;
    ValueError for more, and for teachers whose template shows more than the student's.

    Of several teachers one is asked about a batch, each in turn: in the long run the student learns their mean, at
    the cost of one. Asking costs more than all else about a pair."""

    def __init__(self, teachers: list[FolderTeacher], context: float, size: int, search_size: int):
        self._teachers, self._context, self._size, self._search_size = teachers, context, size, search_size
        self._turns = cycle(teachers)
        spanned = search_size * (1 + 2 * context) / size
        if not 0 < spanned < SPAN * (1 + SPAN_TOLERANCE):
            raise ValueError(f"expected a student whose search window is {SPAN:g} boxes or less, got {spanned:.2f}")
        if wider := [one.template_context for one in teachers if one.share_of(context) > 1]:
            raise ValueError(
                f"expected teachers with a template.context of at most the student's {context}, got {wider}"
            )
        # Of the teachers' window beyond each side of the student's, search pixels.
        self._edge = 0 if spanned > SPAN * (1 - SPAN_TOLERANCE) else round((SPAN / spanned - 1) * search_size / 2)

    def pairs(self) -> PairConfig:
        """The pairs that it labels: with more wrong shapes, and as many template pixels as the first teacher sees."""
        size = round(self._teachers[0].template_size / self._teachers[0].share_of(self._context))
        return box_pair_config(self._context, self._size, size, self._search_size + 2 * self._edge)

    def __call__(self, batch: Batch) -> Labelled:
        template, search, box, others = batch["template"], batch["search"], batch["box"], batch["others"]
        present = batch["kind"] == Kind.POSITIVE
        teacher = next(self._turns)
        cls, reg = teacher.maps(self._inner(template, teacher), resized(search, teacher.search_size))
        if self._edge or teacher.search_size != self._search_size:
            span = np.full(2, search.shape[1])
            maps = [within(*maps, span, self._search_size) for maps in zip(cls[:, 0], reg, strict=True)]
            cls, reg = (np.stack(column) for column in zip(*maps, strict=True))
            inner = slice(self._edge, self._edge + self._search_size)
            search = np.ascontiguousarray(search[:, inner, inner])
            box, present = moved_inwards(box, present, self._edge, self._search_size)
            others = others_moved_inwards(others, self._edge, self._search_size)
        return Labelled(resized(template, self._size), search, cls, reg, box, present, others)

    def _inner(self, template: np.ndarray, teacher: FolderTeacher) -> np.ndarray:
        """The teacher's part of template crops, at its size."""
        size = template.shape[1]
        inner = round(size * teacher.share_of(self._context))
        start = (size - inner) // 2
        return resized(template[:, start : start + inner, start : start + inner], teacher.template_size)


class CarriedLabels:
    """For a student of square windows, of `size` and `search_size` pixels. `share` is the teachers' part in a score
    where their window reaches, `square` has the rest."""

    def __init__(
        self, teachers: list[FolderTeacher], square: Teacher, share: float, size: int, search_size: int, seed: int
    ):
        self._teachers, self._square, self._share = teachers, square, share
        self._size, self._search_size = size, search_size
        self._rng = np.random.default_rng([seed, 78])

    def pairs(self) -> PairConfig:
        """The pairs that it labels: wider search crops, with distractors for their size, and sharper templates."""
        pairs = pair_config(correct=True)
        crop = replace(pairs.crop, template_size=2 * self._size, search_size=self._search_size + 2 * _EDGE)
        crop = replace(crop, template_shift=2 * pairs.crop.template_shift)
        return replace(pairs, crop=crop, composite=replace(pairs.composite, max_distractors=6))

    def __call__(self, batch: Batch) -> Labelled:
        template = resized(batch["template"], self._size)
        search = np.ascontiguousarray(batch["search"][:, _EDGE:-_EDGE, _EDGE:-_EDGE])
        cls, reg = self._square.maps(self._square.features(template)[-1], self._square.features(search)[-1])
        for i in range(len(cls)):
            theirs = self._carried(
                batch["template"][i], batch["template_box"][i], batch["search"][i], self._sides(batch, i)
            )
            cls[i], reg[i] = mixed((cls[i], reg[i]), theirs, self._share)
        present = batch["kind"] == Kind.POSITIVE
        box, present = moved_inwards(batch["box"], present, _EDGE, self._search_size)
        others = others_moved_inwards(batch["others"], _EDGE, self._search_size)
        return Labelled(template, search, cls, reg, box, present, others)

    def _sides(self, batch: Batch, i: int) -> np.ndarray:
        """The size in search pixels at which the target is believed to be: about what it is, where it is there."""
        if batch["kind"][i] == Kind.POSITIVE:
            x1, y1, x2, y2 = batch["box"][i]
        else:
            x1, y1, x2, y2 = batch["template_box"][i] * self._size / batch["template"].shape[1]
        return np.clip(np.array([x2 - x1, y2 - y1]) * np.exp(self._rng.uniform(-1, 1, 2) * _WRONG_SIZE), *_SIDES)

    def _carried(
        self, template: np.ndarray, around: np.ndarray, search: np.ndarray, sides: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The teachers' scores [n,n], corners [4,n,n] and reach, bool [n,n], at the student's cells."""
        outside = search.reshape(-1, 3).mean(axis=0)
        span = SPAN * sides
        answers = []
        for teacher in self._teachers:
            x = warped(search, (search.shape[1] - span) / 2, span, teacher.search_size, outside)
            wide = (around[2:] - around[:2]) * (1 + 2 * teacher.template_context)
            z = warped(template, (around[:2] + around[2:] - wide) / 2, wide, teacher.template_size, outside)
            answers.append(teacher.maps(z[None], x[None]))
        cls, reg = mean_maps(answers)
        return carried(cls[0, 0], reg[0], span, self._search_size)


def moved_inwards(box: np.ndarray, present: np.ndarray, edge: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [B,4] and who is there, bool [B], in the inner `size` pixels of windows with `edge` more on each side."""
    box = np.clip(box - edge, 0, size)
    present = present & ((box[:, 2:] - box[:, :2]).min(axis=1) >= _VISIBLE_SIDE)
    return np.where(present[:, None], box, 0).astype(np.float32), present


def others_moved_inwards(others: np.ndarray, edge: int, size: int) -> np.ndarray:
    """Boxes [B,k,4], zeros where there is none, in the inner `size` pixels of windows with `edge` more on each side."""
    flat = others.reshape(-1, 4)
    there = (flat[:, 2:] > flat[:, :2]).all(axis=1)
    return moved_inwards(flat, there, edge, size)[0].reshape(others.shape)


def within(cls: np.ndarray, reg: np.ndarray, span: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [1,n,n] and distances [4,n,n] of a wider window at the cells of one inside; see `carried`."""
    score, corners, _ = carried(cls, reg, span, size)
    return _maps(np.clip(score, _SURE, 1 - _SURE), corners, size)


def carried(cls: np.ndarray, reg: np.ndarray, span: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps of a window onto the cells of another around the same centre.

    `cls` [m,m] logits and `reg` [4,m,m] distances are those of a window of 16 m pixels that covers `span` (x, y) pixels
    of the other, which has `size` = 16 n. Returns scores [n,n], corners [4,n,n] in pixels of the other, and where
    the window reaches, bool [n,n].
    """
    x, y = _cells(size)
    theirs = cls.shape[-1] * STRIDE
    centre, their_centre = size / 2, theirs / 2
    scale = theirs / span
    columns, rows = (((cells - centre) * k + their_centre) / STRIDE for cells, k in zip((x, y), scale, strict=True))

    def take(values: np.ndarray) -> np.ndarray:
        places = columns.astype(np.float32), rows.astype(np.float32)
        return cv2.remap(values.astype(np.float32), *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    corners = [take(values) for values in _corners(reg, theirs)]
    back = [(values - their_centre) / scale[axis % 2] + centre for axis, values in enumerate(corners)]
    last = cls.shape[-1] - 1
    reach = (columns >= 0) & (columns <= last) & (rows >= 0) & (rows <= last)
    return take(1 / (1 + np.exp(-cls.astype(np.float64)))), np.stack(back), reach


def mixed(
    mine: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray, np.ndarray], share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [1,n,n] and distances [4,n,n], of which `theirs` (scores, corners, reach) has a share where it reaches;
    boxes weigh as their scores do."""
    size = mine[0].shape[-1] * STRIDE
    score, corners, reach = theirs
    own = 1 / (1 + np.exp(-mine[0][0].astype(np.float64)))
    share = np.where(reach, share, 0.0)
    total = np.clip((1 - share) * own + share * score, _SURE, 1 - _SURE)
    weight = np.minimum(share * score / total, 1.0)
    return _maps(total, _corners(mine[1], size) * (1 - weight) + corners * weight, size)


def _maps(score: np.ndarray, corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [1,n,n] and distances [4,n,n] of scores [n,n] and corners [4,n,n]."""
    left, top, right, bottom = corners
    x, y = _cells(size)
    return np.log(score / (1 - score))[None], np.stack([x - left, y - top, right - x, bottom - y]).clip(0.1)


def _cells(size: int) -> tuple[np.ndarray, np.ndarray]:
    points = grid_points(size, STRIDE, "cpu").numpy().astype(np.float64)
    return np.meshgrid(points, points)


def _corners(distances: np.ndarray, size: int) -> np.ndarray:
    x, y = _cells(size)
    left, top, right, bottom = distances.astype(np.float64)
    return np.stack([x - left, y - top, x + right, y + bottom])


def warped(picture: np.ndarray, first: np.ndarray, span: np.ndarray, size: int, outside: np.ndarray) -> np.ndarray:
    """The window of a picture that begins at `first` and covers `span` (x, y), `size` pixels a side."""
    kx, ky = size / span
    matrix = np.array([[kx, 0, (0.5 - first[0]) * kx - 0.5], [0, ky, (0.5 - first[1]) * ky - 0.5]])
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": outside.tolist()}
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, **border)


def resized(pictures: np.ndarray, size: int) -> np.ndarray:
    """Pictures [B,S,S,3] at another size."""
    if pictures.shape[1] == size:
        return np.ascontiguousarray(pictures)
    way = cv2.INTER_AREA if size < pictures.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(picture, (size, size), interpolation=way) for picture in pictures])
