"""Draws training pairs from packed sources. All randomness comes from one generator, so a seed repeats its pairs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from . import augment
from .composite import Compositor
from .config import PairConfig
from .crossing import closest
from .dataset import Dataset, PackedTrack, Picture
from .geometry import clip_box, crop, invert, map_box, picture_in_crop, window_map
from .hide import hide
from .pairs import NO_BOX, Kind, Origin, Pair
from .subject import Subject

MIN_VISIBLE_SIDE = 6.0


class PairSampler:
    """Draws pairs. :class:`~ettrack_training.data.config.PairConfig` describes its settings. Raises ValueError if the
    data set holds nothing for the mixture."""

    def __init__(self, dataset: Dataset, config: PairConfig | None = None) -> None:
        self.config = config or PairConfig()
        self._data = dataset
        self._compositor = Compositor(dataset, self.config)
        origins = self._available()
        self._origins = [origin for origin, _, _ in origins]
        self._makers = {origin: maker for origin, maker, _ in origins}
        shares = np.array([share for _, _, share in origins])
        self._cumulative = np.cumsum(shares / shares.sum())

    def _available(self) -> list[tuple[Origin, Callable[[np.random.Generator, Kind], Pair], float]]:
        data, mix = self._data, self.config.mixture
        candidates = [
            (Origin.VIDEO, self._video, mix.video, len(data.videos)),
            (Origin.STILL, self._still, mix.still, len(data.stills)),
            (Origin.REFRAMED, self._reframed, mix.reframed, len(data.clips)),
            (Origin.COMPOSITE, self._compositor.pair, mix.composite, len(data.objects)),
            (Origin.CROSSING, self._crossing, mix.crossing, len(data.objects)),
        ]
        found = [(origin, maker, share) for origin, maker, share, count in candidates if share > 0 and count > 0]
        if not found:
            raise ValueError(f"the packed sources hold nothing for the mixture {mix}")
        return found

    def __call__(self, rng: np.random.Generator) -> Pair:
        """Draws one pair with all augmentation."""
        config = self.config
        place = int(np.searchsorted(self._cumulative, rng.random(), side="right"))
        origin = self._origins[min(place, len(self._origins) - 1)]
        draw = rng.random()
        kind = Kind.POSITIVE
        if draw < config.wrong_template:
            kind = Kind.WRONG_TEMPLATE
        elif draw < config.wrong_template + config.absent:
            kind = Kind.ABSENT
        pair = self._makers[origin](rng, kind)
        shared = augment.draw_pair_colour(rng, config.augment)
        box = None if pair.kind == Kind.ABSENT else pair.box
        search = augment.erase(rng, pair.search, box, config.augment.cutout)
        if config.augment.small and rng.random() < config.augment.small:
            search, pair.template = augment.coarse(
                rng, search, pair.template, pair.template_box, config.crop.exemplar_size
            )
        if config.augment.shadow and rng.random() < config.augment.shadow:
            search = augment.shadow(rng, search)
        pair.search = augment.degrade(rng, search, shared, config.augment)
        pair.template = augment.degrade(rng, pair.template, shared, config.augment)
        return pair

    # Pairs from annotated pictures -------------------------------------------------------------------

    def _video(self, rng: np.random.Generator, kind: Kind) -> Pair:
        return self._from_track(rng, kind, self._data.videos(rng), Origin.VIDEO)

    def _from_track(self, rng: np.random.Generator, kind: Kind, track: PackedTrack, origin: Origin) -> Pair:
        first = int(rng.integers(len(track.pictures)))
        near = np.flatnonzero(np.abs(track.order - track.order[first]) <= self.config.max_gap)
        second = int(near[rng.integers(len(near))])
        return self._annotated(rng, kind, track, first, second, origin)

    def _still(self, rng: np.random.Generator, kind: Kind) -> Pair:
        return self._annotated(rng, kind, self._data.stills(rng), 0, 0, Origin.STILL)

    def _annotated(
        self, rng: np.random.Generator, kind: Kind, track: PackedTrack, first: int, second: int, origin: Origin
    ) -> Pair:
        flip = rng.random() < self.config.augment.flip
        stretch = self.config.crop.draw_stretch(rng)
        search_picture, search_box = track.pictures[second], track.boxes[second]
        template_picture, template_box, shown = track.pictures[first], track.boxes[first], track
        if kind == Kind.WRONG_TEMPLATE:
            template_picture, template_box, shown = self._other_object(rng, track, origin)
        subject = Subject([], "") if shown is None else Subject(shown.views, shown.category)
        template, around = self._template(rng, template_picture, template_box, flip, stretch)
        if kind == Kind.ABSENT:
            search, hidden = self._absent_search(rng, track.clip, search_picture, search_box, flip, stretch)
            if not hidden or rng.random() < self.config.paste:
                self._compositor.paste_distractors(rng, search, None, subject)
            return Pair(template, search, NO_BOX, kind, origin, around)
        angle = rng.normal(0.0, self.config.turn_angle) if rng.random() < self.config.turn else 0.0
        near = track.others[second] if track.others else np.zeros((0, 4))
        search, box, others = self._search(rng, search_picture, search_box, flip, stretch, angle, near)
        if origin == Origin.CROSSING and not len(others):
            others = self._compositor.cross(rng, search, box, subject)
        elif not len(others) and rng.random() < self.config.paste:
            # If the template shows the target and the target has masks, other views of it are among the distractors.
            self._compositor.paste_distractors(rng, search, box, subject, lookalikes=kind == Kind.POSITIVE)
        return Pair(template, search, box, kind, origin, around, others)

    def _other_object(
        self, rng: np.random.Generator, track: PackedTrack, origin: Origin
    ) -> tuple[Picture, np.ndarray, PackedTrack | None]:
        """Draws a picture and box of an object of another clip, and its track. Without such an object it draws any
        window of another clip, and the track is None."""
        data = self._data
        draw = {Origin.STILL: data.stills, Origin.REFRAMED: data.windows}.get(origin, data.videos)
        for _ in range(8):
            other: PackedTrack = draw(rng)
            # Another object of the same clip may be in the search crop. It would then be a correct answer.
            if other.clip is not track.clip:
                place = int(rng.integers(len(other.pictures)))
                return other.pictures[place], other.boxes[place], other
        picture = self._other_picture(rng, track.clip)
        return picture, self._window(rng, picture), None

    def _other_picture(self, rng: np.random.Generator, clip: list[Picture]) -> Picture:
        """Draws a picture of another clip. Raises ValueError if there is none."""
        for _ in range(64):
            other = self._data.clips(rng)
            if other is not clip:
                return other[int(rng.integers(len(other)))]
        raise ValueError("expected at least two clips to draw negative pairs from, found one")

    def _crossing(self, rng: np.random.Generator, kind: Kind) -> Pair:
        """Draws a pair with look-alikes at the target, real or composite. For kinds without the target it draws a plain
        pair."""
        data, config = self._data, self.config
        if not len(data.videos) or rng.random() >= config.crossing_real:
            return self._compositor.crossing(rng, kind)
        if kind != Kind.POSITIVE:
            return self._video(rng, kind)
        if len(data.crowded) and rng.random() < config.crowded:
            track = data.crowded(rng)
            second = int(track.crowded[rng.integers(len(track.crowded))])
            near = np.flatnonzero(np.abs(track.order - track.order[second]) <= config.max_gap)
            return self._annotated(rng, kind, track, int(near[rng.integers(len(near))]), second, Origin.CROSSING)
        # Most look-alikes are other views of the target. Only tracks with masks have views, so they are preferred.
        drawn = [data.videos(rng) for _ in range(3)]
        track = next((one for one in drawn if one.views), drawn[0])
        return self._from_track(rng, kind, track, Origin.CROSSING)

    # Pairs from any photograph -----------------------------------------------------------------------

    def _reframed(self, rng: np.random.Generator, kind: Kind) -> Pair:
        """Draws a pair whose object is any window of a photograph. Both crops come from the same photograph.

        Nothing in such a picture is pasted or stands out, so only the template defines the target.
        """
        if len(self._data.windows) and rng.random() < self.config.followed:
            # Many windows show ground without structure, so the best of three is taken.
            drawn = [self._data.windows(rng) for _ in range(3)]
            track = max(drawn, key=lambda item: _structure(item.pictures[0].read(), item.boxes[0]))
            return self._from_track(rng, kind, track, Origin.REFRAMED)
        clip = self._data.clips(rng)
        picture = clip[int(rng.integers(len(clip)))]
        box = self._window(rng, picture)
        flip = rng.random() < self.config.augment.flip
        source, window = picture, box
        if kind == Kind.WRONG_TEMPLATE:
            source = self._other_picture(rng, clip)
            window = self._window(rng, source)
        stretch = self.config.crop.draw_stretch(rng)
        template, around = self._template(rng, source, window, flip, stretch)
        if kind == Kind.ABSENT:
            search, _ = self._absent_search(rng, clip, picture, box, flip, stretch)
            return Pair(template, search, NO_BOX, kind, Origin.REFRAMED, around)
        angle = rng.normal(0.0, 0.2)
        search, box, _ = self._search(rng, picture, box, flip, stretch, angle)
        return Pair(template, search, box, kind, Origin.REFRAMED, around)

    def _window(self, rng: np.random.Generator, picture: Picture) -> np.ndarray:
        """Draws five random boxes in a picture and returns the one with most structure, x1, y1, x2, y2 in pixels."""
        pixels = picture.read()
        height, width = pixels.shape[:2]
        best, best_score = None, -1.0
        for _ in range(5):
            # A larger box would have a search window that is mostly outside the picture.
            size = np.exp(rng.uniform(np.log(16), np.log(max(0.32 * min(width, height), 20))))
            stretch = np.exp(rng.uniform(-0.5, 0.5))
            w, h = size * stretch, size / stretch
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            box = np.array([x, y, x + w, y + h])
            score = _structure(pixels, box)
            if score > best_score:
                best, best_score = box, score
        return best

    # Crops -------------------------------------------------------------------------------------------

    def _template(
        self, rng: np.random.Generator, picture: Picture, box: np.ndarray, flip: bool, stretch: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the template crop u8 [size, size, 3] and the box in it, x1, y1, x2, y2 in template pixels."""
        config = self.config.crop
        size = config.template_size
        span = config.template_span(box, stretch)
        shift = rng.uniform(-1, 1, 2) * config.template_shift * span / size
        scale = 1 + rng.uniform(-1, 1) * config.template_scale
        matrix = window_map(_centre(box) + shift, tuple(span * scale), size, flip=flip)
        around = map_box(invert(matrix), box).astype(np.float32)
        return crop(picture.read(), matrix, size, picture.mean), around

    def _search_window(
        self, rng: np.random.Generator, box: np.ndarray, flip: bool, stretch: float, angle: float = 0.0
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Draws the scale of a search window. Returns a function from a centre in the source to the window's map."""
        config = self.config.crop
        span = config.template_span(box, stretch) * config.search_size / config.exemplar_size
        scale, aspect = config.draw_search_scale(rng)
        span = tuple(span * scale * (aspect, 1 / aspect))
        return lambda centre: window_map(centre, span, config.search_size, angle, flip)

    def _search(
        self,
        rng: np.random.Generator,
        picture: Picture,
        box: np.ndarray,
        flip: bool,
        stretch: float,
        angle: float = 0.0,
        near: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the search crop u8 [size, size, 3], the box in it, and the visible ones of the boxes ``near`` [k, 4],
        in search pixels."""
        size = self.config.crop.search_size
        window = self._search_window(rng, box, flip, stretch, angle)
        for shift in (rng.uniform(-1, 1, 2) * self.config.crop.search_shift, np.zeros(2)):
            matrix = window(np.zeros(2))
            matrix = window(_centre(box) + matrix[:, :2] @ shift)
            visible = clip_box(map_box(invert(matrix), box), size)
            if (visible[2:] - visible[:2]).min() >= MIN_VISIBLE_SIDE:
                break
        others = [map_box(invert(matrix), other) for other in ([] if near is None else near)]
        return self._search_crop(rng, picture, matrix), visible.astype(np.float32), closest(others, visible, size)

    def _absent_search(
        self,
        rng: np.random.Generator,
        clip: list[Picture],
        picture: Picture,
        box: np.ndarray,
        flip: bool,
        stretch: float,
    ) -> tuple[np.ndarray, bool]:
        """Returns a search crop without the object, and whether it shows the object's own place with the object
        covered."""
        if not self.config.hidden or rng.random() >= self.config.hidden:
            return self._empty_search(rng, clip, picture, box, flip, stretch), False
        search, seen, _ = self._search(rng, picture, box, flip, stretch)
        other = self._other_picture(rng, clip)
        x1, y1, x2, y2 = self._window(rng, other).astype(int)
        hide(rng, search, seen, other.read()[y1:y2, x1:x2])
        return search, True

    def _empty_search(
        self,
        rng: np.random.Generator,
        clip: list[Picture],
        picture: Picture,
        box: np.ndarray,
        flip: bool,
        stretch: float,
    ) -> np.ndarray:
        """Returns a search crop without the object. It shows another part of the picture, or another clip if every part
        that was tried shows the object."""
        size = self.config.crop.search_size
        window = self._search_window(rng, box, flip, stretch)
        for _ in range(6):
            matrix = window(rng.uniform((0, 0), picture.size))
            seen = clip_box(map_box(invert(matrix), box), size)
            if (seen[2:] - seen[:2]).min() <= 0:
                return self._search_crop(rng, picture, matrix)
        other = self._other_picture(rng, clip)
        box = self._window(rng, other)
        return self._search_crop(rng, other, self._search_window(rng, box, flip, stretch)(_centre(box)))

    def _search_crop(self, rng: np.random.Generator, picture: Picture, matrix: np.ndarray) -> np.ndarray:
        config = self.config
        size = config.crop.search_size
        pixels = crop(picture.read(), matrix, size, picture.mean)
        if matrix[0, 1] == 0 and rng.random() < config.surround:
            self._compositor.surround(rng, pixels, picture_in_crop(matrix, picture.size, size))
        return pixels


def _structure(pixels: np.ndarray, box: np.ndarray) -> float:
    """How much a picture varies within a box: the standard deviation of every third pixel of its green channel."""
    x1, y1, x2, y2 = np.maximum(box, 0).astype(int)
    sample = pixels[y1:y2:3, x1:x2:3, 1]
    return float(sample.std()) if sample.size else 0.0


def _centre(box: np.ndarray) -> np.ndarray:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def limit_threads() -> None:
    """Limits OpenCV to one thread in this process, because several processes make pairs at the same time."""
    cv2.setNumThreads(1)
