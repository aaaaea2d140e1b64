"""All settings of the pair sampler. The defaults are the recipe. Each part can be switched off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .geometry import SEARCH_SIZE, TEMPLATE_SIZE, context_side


@dataclass(frozen=True)
class CropConfig:
    """Sizes in pixels of the crops; shifts in crop pixels; scales as fractions (0.25: between 1/1.25 and 1.25).

    ``stretch`` is the deviation, ``stretch_bias`` the mean, of the logarithm by which both crops of a pair are
    widened (and made lower by the same factor). Objects of photographs are about as wide as high; people, the
    most frequent targets, are three to five times as high, and without such pairs boxes come out too square.

    ``box_context`` None cuts square windows, as E.T.Track does. A number c cuts windows of the box's own shape, 1 + 2c
    of its sides, so that every target comes out square in the crops: then nothing is stretched, and the differences
    of shape that a loop meets are those of ``search_aspect``.

    The scale of the search crop is one for both axes, and ``search_aspect`` changes its shape by as much more. Without
    a ``search_aspect`` (None) width and height are scaled apart, each between 1 - ``search_scale`` and 1 +
    ``search_scale``, as E.T.Track's authors do it.

    ``exemplar_size`` is the side that the template's window has in search pixels, whatever size the template is cut at.
    """

    template_size: int = TEMPLATE_SIZE
    search_size: int = SEARCH_SIZE
    exemplar_size: int = TEMPLATE_SIZE
    template_shift: float = 4.0
    template_scale: float = 0.05
    search_shift: float = 64.0
    search_scale: float = 0.25
    search_aspect: float | None = 0.06
    stretch: float = 0.3
    stretch_bias: float = -0.1
    box_context: float | None = None

    def template_span(self, box: np.ndarray, stretch: float) -> np.ndarray:
        """Width and height in the source of the template window of a box, shown ``stretch`` times wider."""
        size = box[2:] - box[:2]
        if self.box_context is not None:
            return size * (1 + 2 * self.box_context)
        return context_side(size[0] * stretch, size[1] / stretch) * np.array([1 / stretch, stretch])

    def object_size(self, context: float) -> float | None:
        """Side in crop pixels at which a target stands in a template window that measures ``context`` pixels there;
        None where that depends on its shape."""
        return None if self.box_context is None else context / (1 + 2 * self.box_context)

    def draw_search_scale(self, rng: np.random.Generator) -> tuple[float, float]:
        """Scale and aspect of a search crop: factors of its width, scale * aspect, and its height, scale / aspect."""
        if self.search_aspect is None:
            width, height = 1 + rng.uniform(-1, 1, 2) * self.search_scale
            return float(np.sqrt(width * height)), float(np.sqrt(width / height))
        scale = np.exp(rng.uniform(-1, 1) * np.log1p(self.search_scale))
        return float(scale), float(np.exp(rng.uniform(-1, 1) * np.log1p(self.search_aspect)))

    def draw_stretch(self, rng: np.random.Generator) -> float:
        """The factor for one pair."""
        return float(np.exp(np.clip(rng.normal(self.stretch_bias, self.stretch), -0.9, 0.7)))


@dataclass(frozen=True)
class AugmentConfig:
    """Photometric changes. ``shared_*`` hold for both crops of a pair, the others for each crop of its own.
    ``small`` shows both crops of a pair as coarsely as if the target measured 10 to 30 pixels; ``shadow`` darkens or
    lightens a part of the search crop, or all of it, and takes colour away there.

    Probabilities of 0 switch a change off. Amplitudes: ``hue`` in radians, the others as fractions.
    """

    flip: float = 0.5
    gray: float = 0.08
    shared_brightness: float = 0.25
    shared_contrast: float = 0.25
    shared_saturation: float = 0.4
    shared_hue: float = 0.3
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.08
    gamma: float = 0.25
    lighting: float = 0.15
    blur: float = 0.15
    motion_blur: float = 0.12
    low_resolution: float = 0.15
    noise: float = 0.2
    jpeg: float = 0.2
    cutout: float = 0.08
    small: float = 0.0
    shadow: float = 0.0


@dataclass(frozen=True)
class CompositeConfig:
    """The compositor. Angles in radians; amplitudes of warps as fractions of half the object's longest side."""

    shapes: float = 0.12
    max_distractors: int = 4
    lookalike: float = 0.5
    same_category: float = 0.25
    template_distractor: float = 0.35
    rotation: float = 0.6
    strong_rotation: float = 0.12
    aspect: float = 0.25
    bend: float = 0.55
    bend_probability: float = 0.5
    elastic: float = 0.13
    flip_between: float = 0.1
    occlusion: float = 0.25
    min_visible: float = 0.45
    object_motion_blur: float = 0.12
    frame_border: float = 0.2
    background_rotation: float = 0.3
    colour_match: float = 0.4


@dataclass(frozen=True)
class Mixture:
    """Shares of the origins of pairs; they need not add up to one. ``crossing`` are pairs in which look-alikes come
    in the target's way; of those, ``PairConfig.crossing_real`` are real video."""

    video: float = 0.36
    still: float = 0.03
    reframed: float = 0.14
    composite: float = 0.47
    crossing: float = 0.0


def _default_source_weights() -> dict[str, float]:
    # FOD-A, single objects on an airport's bare pavement: many frames with little variety.
    return {"foda": 0.1}


@dataclass(frozen=True)
class PairConfig:
    """The pair sampler. ``source_weights`` multiply the weight of a packed source by its name; 0 leaves it out.
    Other sources have the weight 1. Unless they are given, a source named ``foda`` counts a tenth. No source is drawn
    more often than the share ``source_cap``.

    ``max_gap`` is the largest distance between the frames of a pair, in frames as packed. ``followed`` is the share
    of re-framed pairs that take their window from a video, where optical flow followed it, instead of a single
    picture. ``wrong_template`` and ``absent`` are shares of negative pairs. ``paste`` is the share of real video
    pairs whose search crop receives pasted distractors; ``turn`` the share whose search crop is turned by about
    ``turn_angle`` radians; ``surround`` the share of real crops whose margin outside the picture shows another
    photograph instead of one colour. ``hidden`` is the share of those pairs without the target, composites apart,
    that show the target's own place with the target painted over or covered. Of crossings, ``crossing_real`` are
    real video, the others composites; of the real ones ``crowded`` show the target near another annotated object,
    where there are such clips, the others have look-alikes pasted in the target's way.
    """

    crop: CropConfig = field(default_factory=CropConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    composite: CompositeConfig = field(default_factory=CompositeConfig)
    mixture: Mixture = field(default_factory=Mixture)
    source_weights: Mapping[str, float] = field(default_factory=_default_source_weights)
    source_cap: float = 1.0
    max_gap: int = 60
    followed: float = 0.4
    wrong_template: float = 0.1
    absent: float = 0.08
    hidden: float = 0.0
    crossing_real: float = 0.6
    crowded: float = 0.4
    paste: float = 0.35
    turn: float = 0.15
    turn_angle: float = 0.4
    surround: float = 0.4
