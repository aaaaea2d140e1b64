"""All settings of the pair sampler. Recipes change the defaults only where they say so. Each part can be switched
off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .geometry import SEARCH_SIZE, TEMPLATE_SIZE, context_side


@dataclass(frozen=True)
class CropConfig:
    """How crops are cut. Sizes and shifts are in crop pixels. Scales are fractions (0.25: between 1/1.25 and 1.25).

    Both crops of a pair are stretched: made wider by a random factor and lower by the same factor. ``stretch`` is the
    standard deviation and ``stretch_bias`` the mean of its logarithm. Objects in photographs are about as wide as high.
    People, the most frequent targets, are three to five times as high as wide. Without stretched pairs, predicted boxes
    are too square.

    ``box_context`` None cuts square windows, as E.T.Track does. A number c cuts windows of the box's own shape, whose
    sides are 1 + 2c times those of the box. Then every target is square in the crops, ``stretch`` has no effect, and
    ``search_aspect`` is the only change of shape.

    The search crop has one random scale for both axes. ``search_aspect`` then changes its shape by a further factor. If
    ``search_aspect`` is None, width and height are scaled separately, each between 1 - ``search_scale`` and 1 +
    ``search_scale``, as E.T.Track's authors do.

    ``exemplar_size`` is the side of the template's window in search pixels. It does not depend on ``template_size``.
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
        """Width and height, in source pixels, of the template window of a box (x1, y1, x2, y2) that is shown
        ``stretch`` times wider."""
        size = box[2:] - box[:2]
        if self.box_context is not None:
            return size * (1 + 2 * self.box_context)
        return context_side(size[0] * stretch, size[1] / stretch) * np.array([1 / stretch, stretch])

    def object_size(self, context: float) -> float | None:
        """Side in crop pixels of a target whose template window measures ``context`` crop pixels. None for square
        windows, where it depends on the target's shape."""
        return None if self.box_context is None else context / (1 + 2 * self.box_context)

    def draw_search_scale(self, rng: np.random.Generator) -> tuple[float, float]:
        """Draws scale and aspect of a search crop. Its window is scale * aspect times as wide and scale / aspect times
        as high."""
        if self.search_aspect is None:
            width, height = 1 + rng.uniform(-1, 1, 2) * self.search_scale
            return float(np.sqrt(width * height)), float(np.sqrt(width / height))
        scale = np.exp(rng.uniform(-1, 1) * np.log1p(self.search_scale))
        return float(scale), float(np.exp(rng.uniform(-1, 1) * np.log1p(self.search_aspect)))

    def draw_stretch(self, rng: np.random.Generator) -> float:
        """Draws the factor by which a pair is stretched."""
        return float(np.exp(np.clip(rng.normal(self.stretch_bias, self.stretch), -0.9, 0.7)))


@dataclass(frozen=True)
class AugmentConfig:
    """Photometric changes. A probability or amplitude of 0 switches a change off.

    Brightness, contrast, saturation and hue are amplitudes: radians for hue, fractions for the others. The others are
    probabilities. ``shared_*`` and ``gray`` change both crops of a pair equally, the others each crop separately.
    ``small`` reduces the resolution of both crops as if the target measured 10 to 30 pixels. ``shadow`` changes the
    light of a part of the search crop, or of all of it, and reduces its colours.
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
    """Settings of the compositor. Angles are in radians. Amplitudes of deformations are fractions of half the object's
    longest side."""

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
    """Shares of the origins of pairs. Their sum need not be one. In ``crossing`` pairs look-alikes are beside, before
    or behind the target. The share ``PairConfig.crossing_real`` of them is real video."""

    video: float = 0.36
    still: float = 0.03
    reframed: float = 0.14
    composite: float = 0.47
    crossing: float = 0.0


def _default_source_weights() -> dict[str, float]:
    # FOD-A shows single objects on an airport's empty pavement. It has many frames with little variety.
    return {"foda": 0.1}


@dataclass(frozen=True)
class PairConfig:
    """Settings of the pair sampler.

    ``source_weights`` maps names of packed sources to factors of their weight. 0 leaves a source out. Sources that are
    not named have the factor 1. By default a source named ``foda`` has the factor 0.1. ``source_cap`` is the largest
    share of pairs that one source gets.

    ``max_gap`` is the largest distance between the frames of a pair, in packed frames. All others are shares:

    * ``followed``: re-framed pairs whose window comes from a video, through which optical flow followed it, instead of
      a single picture.
    * ``wrong_template``, ``absent``: the two kinds of negative pairs.
    * ``hidden``: pairs without the target, except composites, that show the target's own place with the target covered.
    * ``crossing_real``: crossings that are real video. The others are composites.
    * ``crowded``: real crossings that show the target near another annotated object, if there are such clips. The
      others have pasted look-alikes.
    * ``paste``: real video pairs whose search crop gets pasted distractors.
    * ``turn``: real video pairs whose search crop is rotated, by an angle of the standard deviation ``turn_angle``
      (radians).
    * ``surround``: real crops whose part outside the picture shows another photograph instead of one colour.
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
