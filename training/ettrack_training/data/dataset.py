"""Opens packed sources for sampling: tracks, photographs and cut-out objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from .config import PairConfig
from .store import Entry, Store


@dataclass(frozen=True)
class Picture:
    """One packed picture, RGB or RGB with alpha."""

    store: Store
    entry: Entry

    def read(self) -> np.ndarray:
        """Returns u8 [height, width, channels]. For a raw pack it is a view of the mapped file."""
        return self.store.load(self.entry)

    @property
    def mean(self) -> tuple[int, ...]:
        """The mean of each channel, rounded down. A tracker pads with this colour."""
        return self.entry.mean

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.entry.width, self.entry.height


@dataclass(frozen=True)
class PackedTrack:
    """An object in a packed clip: the ``pictures`` that show it, and its ``boxes`` [n, 4], x1, y1, x2, y2 in packed
    pixels.

    ``order`` is the position of each picture in its video. ``views`` are cut-outs of the object. ``clip`` holds all
    pictures of the video, or the single photograph. ``others`` holds the boxes [k, 4] of the clip's other annotated
    objects, one array for each picture.
    """

    clip: list[Picture]
    pictures: list[Picture]
    boxes: np.ndarray
    order: np.ndarray
    category: str
    views: list[Picture]
    others: list[np.ndarray] = field(default_factory=list)

    @cached_property
    def crowded(self) -> np.ndarray:
        """Indices of the pictures that show another annotated object less than half a box away."""
        return np.array([i for i, near in enumerate(self.others) if _is_near(self.boxes[i], near)], int)


def _is_near(box: np.ndarray, others: np.ndarray) -> bool:
    reach = (box[2:] - box[:2]) / 2
    low, high = box[:2] - reach, box[2:] + reach
    return bool(((others[:, :2] < high) & (others[:, 2:] > low)).all(axis=1).any())


@dataclass(frozen=True)
class CutObject:
    """An object as cut-outs with alpha. There are one or several views of it."""

    views: list[Picture]
    category: str


class PackedSource:
    """One folder that the packer wrote."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._pictures = Store(folder / "pictures")
        self._cutouts = Store(folder / "cutouts")
        self.clips: list[list[Picture]] = []
        self.tracks: list[PackedTrack] = []
        self.windows: list[PackedTrack] = []
        self.objects: list[CutObject] = []
        for row in json.loads((folder / "clips.json").read_text()):
            self._add(row)

    def _add(self, row: dict) -> None:
        here = [number for number, key in enumerate(row["frames"]) if key in self._pictures]
        pictures = {number: self._picture(row["frames"][number]) for number in here}
        clip = list(pictures.values())
        if clip:
            self.clips.append(clip)
        tracks: list[PackedTrack] = []
        for track in row["tracks"]:
            views = [self._cutout(key) for key in track["cutouts"] if key in self._cutouts]
            category = f"{self.name}/{track['category'] or row['category']}"
            tracks += _packed_track(clip, dict(enumerate(track["boxes"])), pictures, category, views)
            if views:
                self.objects.append(CutObject(views, category))
        self.tracks += _beside_each_other(tracks) if len(clip) > 1 else tracks
        for window in row.get("windows", []):
            self.windows += _packed_track(clip, dict(enumerate(window["boxes"], window["first"])), pictures, "", [])
        guess = row["guess"]
        if guess and guess in self._cutouts:
            self.objects.append(CutObject([self._cutout(guess)], f"{self.name}/{row['category']}"))

    def _picture(self, key: str) -> Picture:
        return Picture(self._pictures, self._pictures.entry(key))

    def _cutout(self, key: str) -> Picture:
        return Picture(self._cutouts, self._cutouts.entry(key))


class Dataset:
    """All packed sources in a cache folder."""

    def __init__(self, cache: Path, weights: Mapping[str, float] | None = None, cap: float = 1.0) -> None:
        """Opens ``cache/*/clips.json``. Sources with the weight 0 are left out. No source gets more than the share
        ``cap`` of draws. Raises ValueError if no source is left, or if a weight names a source that does not exist."""
        weights = weights or {}
        folders = [path.parent for path in sorted(Path(cache).glob("*/clips.json"))]
        # Sources with a default weight may be missing.
        missing = weights.keys() - {folder.name for folder in folders} - PairConfig().source_weights.keys()
        if missing:
            names = ", ".join(folder.name for folder in folders)
            raise ValueError(f"source_weights: expected sources of {cache} ({names}), got {', '.join(sorted(missing))}")
        self.sources = [PackedSource(folder) for folder in folders if weights.get(folder.name, 1.0) > 0]
        if not self.sources:
            raise ValueError(f"expected packed sources with a clips.json in the folders of {cache}, found none")
        self._cap = cap
        self.weights = np.array([weights.get(source.name, 1.0) for source in self.sources])

    @cached_property
    def videos(self) -> Draw:
        """Tracks of at least two frames."""
        return Draw(
            [[t for t in s.tracks if len(t.pictures) > 1] for s in self.sources], self.weights, _track_size, self._cap
        )

    @cached_property
    def crowded(self) -> Draw:
        """Tracks that are near another annotated object in some picture."""
        return Draw(
            [[t for t in s.tracks if len(t.crowded) > 0] for s in self.sources],
            self.weights,
            lambda track: len(track.crowded),
            self._cap,
        )

    @cached_property
    def windows(self) -> Draw:
        """Windows of videos that were followed by optical flow."""
        return Draw([s.windows for s in self.sources], self.weights, cap=self._cap)

    @cached_property
    def stills(self) -> Draw:
        """Boxes in photographs."""
        return Draw([[t for t in s.tracks if len(t.pictures) == 1] for s in self.sources], self.weights, cap=self._cap)

    @cached_property
    def clips(self) -> Draw:
        """Photographs and videos as lists of pictures, annotated or not."""
        return Draw([s.clips for s in self.sources], self.weights, cap=self._cap)

    @cached_property
    def objects(self) -> Draw:
        """Cut-out objects."""
        return Draw([s.objects for s in self.sources], self.weights, lambda item: len(item.views), self._cap)

    @cached_property
    def by_category(self) -> dict[str, list[CutObject]]:
        """Cut-out objects by category."""
        groups: dict[str, list[CutObject]] = {}
        for source in self.sources:
            for item in source.objects:
                groups.setdefault(item.category, []).append(item)
        return groups


class Draw:
    """Draws a source, then one of its items uniformly.

    A source's share is proportional to its weight times the square root of its size, so that large sources leave room
    for small ones. No source gets more than the share ``cap``, unless there are too few sources for that.
    """

    def __init__(self, groups: list[list], weights: np.ndarray, size=lambda item: 1, cap: float = 1.0) -> None:
        self._groups = [group for group in groups if group]
        counts = [sum(size(item) for item in group) for group in self._groups]
        kept = [weight for weight, group in zip(weights, groups, strict=True) if group]
        self._cumulative = np.cumsum(_capped(np.sqrt(counts) * kept, cap)) if counts else np.zeros(0)

    def __len__(self) -> int:
        return sum(len(group) for group in self._groups)

    def __call__(self, rng: np.random.Generator):
        """Draws one item. Raises ValueError if there is none."""
        if not self._groups:
            raise ValueError("expected at least one item to draw from, the packed sources hold none")
        place = int(np.searchsorted(self._cumulative, rng.random() * self._cumulative[-1], side="right"))
        group = self._groups[min(place, len(self._groups) - 1)]
        return group[int(rng.integers(len(group)))]


def _capped(weights: np.ndarray, cap: float) -> np.ndarray:
    """Weights as shares with the sum one, none above ``cap``. The excess is distributed to the others by their
    weights."""
    shares = weights / weights.sum()
    if cap * len(shares) <= 1:
        return np.full(len(shares), 1 / len(shares))
    over = shares > cap
    while (shares > cap + 1e-9).any():
        over |= shares > cap
        shares = np.where(over, cap, weights * (1 - cap * over.sum()) / weights[~over].sum())
    return shares


def _track_size(track: PackedTrack) -> int:
    return len(track.pictures)


def _packed_track(
    clip: list[Picture],
    boxes: dict[int, list[float] | None],
    pictures: dict[int, Picture],
    category: str,
    views: list[Picture],
) -> list[PackedTrack]:
    """The track over the packed pictures that show the object, as a list of one. Empty if there are none."""
    shown = [number for number in pictures if boxes.get(number) is not None]
    if not shown:
        return []
    packed = np.array([_packed_box(boxes[number], pictures[number].entry) for number in shown])
    usable = _usable(packed, [pictures[number].size for number in shown])
    order = np.array(shown)[usable]
    if len(order) == 0:
        return []
    return [PackedTrack(clip, [pictures[number] for number in order], packed[usable], order, category, views)]


def _beside_each_other(tracks: list[PackedTrack]) -> list[PackedTrack]:
    """The tracks of a clip, each with the boxes of the other tracks in its pictures."""
    shown = [dict(zip(track.order.tolist(), track.boxes, strict=True)) for track in tracks]
    found = []
    for number, track in enumerate(tracks):
        rows = [
            [boxes[place] for other, boxes in enumerate(shown) if other != number and place in boxes]
            for place in track.order.tolist()
        ]
        found.append(replace(track, others=[np.array(row).reshape(-1, 4) for row in rows]))
    return found


def _packed_box(box: list[float], entry: Entry) -> list[float]:
    x, y, width, height = box
    sx, sy = entry.scale
    return [x * sx, y * sy, (x + width) * sx, (y + height) * sy]


def _usable(boxes: np.ndarray, sizes: list[tuple[int, int]]) -> np.ndarray:
    """Which boxes have sides of at least 4 pixels and a centre inside their picture: bool [n]."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centre > 0) & (centre < np.array(sizes))).all(axis=1)
    return inside & ((boxes[:, 2:] - boxes[:, :2]) >= 4).all(axis=1)
