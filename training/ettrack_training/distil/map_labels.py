"""Labels pairs with the maps of teachers whose windows have the box's own shape, on the student's grid of cells.

A student with such windows uses their maps directly. For a student with square windows the maps are resampled: the
teachers get another window of the same picture, and cells and boxes of one window become those of the other by a shift
and a scale of each axis. The teachers' window is shorter along the target's shorter side. There the label comes from a
teacher with square windows, and everywhere else it is a mixture of both.
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

# Largest error of the logarithm of the side that a teacher is told, and the range of that side, search pixels.
_WRONG_SIZE = 0.2
_SIDES = (12.0, 150.0)
# Smallest distance of a mixed score from 0 and 1, at which logits would be infinite.
_SURE = 3e-4
# A target with a smaller side, pixels, counts as absent.
_VISIBLE_SIDE = 4.0
# Additional pixels on each side of the student's search window, in the wider crop from which teachers' windows are cut.
_EDGE = 64


@dataclass
class Labelled:
    """Pairs in the student's windows with the teachers' maps.

    Pictures are u8 [B,S,S,3]. `cls` are logits [B,1,n,n] and `reg` distances [B,4,n,n] in search pixels. `box` [B,4]
    are corners in search pixels. `present` [B] tells whether the search crop shows the target. `others` [B,k,4] are
    boxes of objects that could be confused with it, filled up with zeros.
    """

    template: np.ndarray
    search: np.ndarray
    cls: np.ndarray
    reg: np.ndarray
    box: np.ndarray
    present: np.ndarray
    others: np.ndarray


class BoxLabels:
    """Labels for a student whose windows have the box's shape.

    Its template window is 1 + 2 `context` times as wide and high as the box and measures `size` pixels. Its search
    window measures `search_size` pixels in the same scale. Raises ValueError if the search window is larger than the
    teachers' `SPAN` boxes, or if a teacher's template window is larger than the student's.

    Several teachers take turns, one for each batch. So the student learns their mean at the cost of one. Running a
    teacher costs more than everything else about a pair.
    """

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
        # Search pixels by which the teachers' window is larger on each side than the student's.
        self._edge = 0 if spanned > SPAN * (1 - SPAN_TOLERANCE) else round((SPAN / spanned - 1) * search_size / 2)

    def pairs(self) -> PairConfig:
        """Settings of the pairs to label. The template has as many pixels as the first teacher needs."""
        size = round(self._teachers[0].template_size / self._teachers[0].share_of(self._context))
        return box_pair_config(self._context, self._size, size, self._search_size + 2 * self._edge)

    def __call__(self, batch: Batch) -> Labelled:
        """Labels a batch of such pairs by the next teacher."""
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
        """The part of template crops [B,S,S,3] that the teacher sees, in the teacher's size."""
        size = template.shape[1]
        inner = round(size * teacher.share_of(self._context))
        start = (size - inner) // 2
        return resized(template[:, start : start + inner, start : start + inner], teacher.template_size)


class CarriedLabels:
    """Labels for a student with square windows of `size` and `search_size` pixels. Inside the teachers' window their
    share of a score is `share`. The rest comes from `square`, a teacher with square windows."""

    def __init__(
        self, teachers: list[FolderTeacher], square: Teacher, share: float, size: int, search_size: int, seed: int
    ):
        self._teachers, self._square, self._share = teachers, square, share
        self._size, self._search_size = size, search_size
        self._rng = np.random.default_rng([seed, 78])

    def pairs(self) -> PairConfig:
        """Settings of the pairs to label. Search crops are wider and have more distractors. Templates have twice the
        resolution."""
        pairs = pair_config(correct=True)
        crop = replace(pairs.crop, template_size=2 * self._size, search_size=self._search_size + 2 * _EDGE)
        crop = replace(crop, template_shift=2 * pairs.crop.template_shift)
        return replace(pairs, crop=crop, composite=replace(pairs.composite, max_distractors=6))

    def __call__(self, batch: Batch) -> Labelled:
        """Labels a batch of such pairs by all teachers."""
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
        """The target's width and height, search pixels, that the teachers are told. It is close to the true size if the
        target is present."""
        if batch["kind"][i] == Kind.POSITIVE:
            x1, y1, x2, y2 = batch["box"][i]
        else:
            x1, y1, x2, y2 = batch["template_box"][i] * self._size / batch["template"].shape[1]
        return np.clip(np.array([x2 - x1, y2 - y1]) * np.exp(self._rng.uniform(-1, 1, 2) * _WRONG_SIZE), *_SIDES)

    def _carried(
        self, template: np.ndarray, around: np.ndarray, search: np.ndarray, sides: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The teachers' scores [n,n] and corners [4,n,n] at the student's cells, and which cells their window contains,
        bool [n,n]."""
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
    """Boxes [B,4] and presence, bool [B], in the inner `size` pixels of windows with `edge` more pixels on each
    side."""
    box = np.clip(box - edge, 0, size)
    present = present & ((box[:, 2:] - box[:, :2]).min(axis=1) >= _VISIBLE_SIDE)
    return np.where(present[:, None], box, 0).astype(np.float32), present


def others_moved_inwards(others: np.ndarray, edge: int, size: int) -> np.ndarray:
    """Boxes [B,k,4] (zeros: no box) in the inner `size` pixels of windows with `edge` more pixels on each side."""
    flat = others.reshape(-1, 4)
    there = (flat[:, 2:] > flat[:, :2]).all(axis=1)
    return moved_inwards(flat, there, edge, size)[0].reshape(others.shape)


def within(cls: np.ndarray, reg: np.ndarray, span: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [1,n,n] and distances [4,n,n] of a wider window at the cells of a window inside it. See `carried`."""
    score, corners, _ = carried(cls, reg, span, size)
    return _maps(np.clip(score, _SURE, 1 - _SURE), corners, size)


def carried(cls: np.ndarray, reg: np.ndarray, span: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Resamples the maps of one window at the cells of another window with the same centre.

    The first window has 16 m pixels, logits `cls` [m,m] and distances `reg` [4,m,m]. It covers `span` (x, y) pixels of
    the other window, which has `size` = 16 n pixels. Returns scores [n,n] and corners [4,n,n] in pixels of the other
    window, and which of its cells are inside the first window, bool [n,n].
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
    """Mixes maps `mine` (logits, distances) with `theirs` (scores, corners, and the cells where they are known).

    `share` is the weight of their scores in those cells. Boxes are weighted by both scores. Returns logits [1,n,n] and
    distances [4,n,n].
    """
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
    """Returns the window of a picture u8 [h,w,3] that begins at `first` (x, y) and covers `span` (x, y) pixels, resized
    to `size` pixels on each side. Outside the picture it has the colour `outside`."""
    kx, ky = size / span
    matrix = np.array([[kx, 0, (0.5 - first[0]) * kx - 0.5], [0, ky, (0.5 - first[1]) * ky - 0.5]])
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": outside.tolist()}
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, **border)


def resized(pictures: np.ndarray, size: int) -> np.ndarray:
    """Resizes pictures [B,S,S,3] to [B,size,size,3]."""
    if pictures.shape[1] == size:
        return np.ascontiguousarray(pictures)
    way = cv2.INTER_AREA if size < pictures.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(picture, (size, size), interpolation=way) for picture in pictures])
