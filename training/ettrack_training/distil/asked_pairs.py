"""Settings of the pairs that the teachers label."""

from __future__ import annotations

from dataclasses import asdict, replace

from ..data.config import CompositeConfig, CropConfig, Mixture, PairConfig


def pair_config(correct: bool = False) -> PairConfig:
    """Pairs of all kinds, including wrong templates and crops without the target, because the teacher answers for them
    too. Search windows are shifted and scaled widely, as they are after a tracker has drifted.

    `correct` is for corrected teachers. It gives more pairs without the target, most of them at the target's own place,
    more pairs with other objects of the target's category, and longer gaps between the frames.
    """
    pairs = PairConfig(
        crop=CropConfig(search_scale=0.45, search_aspect=0.12, template_scale=0.1),
        mixture=Mixture(video=0.3, still=0.05, reframed=0.3, composite=0.35),
        max_gap=100,
        wrong_template=0.15,
        absent=0.08,
    )
    if not correct:
        return pairs
    others = CompositeConfig(same_category=0.6)
    mixture = Mixture(video=0.3, still=0.03, reframed=0.22, composite=0.45)
    return replace(pairs, mixture=mixture, composite=others, max_gap=150, wrong_template=0.2, absent=0.18, hidden=0.7)


def crossing_pairs(pairs: PairConfig, share: float) -> PairConfig:
    """Returns settings in which the given ``share`` of the pairs has look-alikes at the target.

    They also have more small targets and changes of light, and no source gets more than two fifths of the pairs. A
    share of 0 changes nothing. Raises ValueError for a share outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share of crossings in 0..1, got {share}")
    if share == 0:
        return pairs
    mixture = pairs.mixture
    rest = {name: value * (1 - share) for name, value in asdict(mixture).items()}
    mixture = Mixture(**rest | {"crossing": share * sum(asdict(mixture).values())})
    augment = replace(pairs.augment, small=0.2, shadow=0.15)
    return replace(pairs, mixture=mixture, augment=augment, source_cap=0.4)


def box_pair_config(context: float | None, size: int, template_size: int, search_size: int) -> PairConfig:
    """Pairs for corrected teachers in windows of the box's shape, with larger errors of shape.

    A template window is 1 + 2 `context` times as wide and high as the box and measures `template_size` pixels. In the
    search crop of `search_size` pixels, a window of that extent measures `size` pixels.
    """
    pairs = pair_config(correct=True)
    crop = replace(pairs.crop, box_context=context, template_size=template_size, exemplar_size=size)
    return replace(pairs, crop=replace(crop, search_size=search_size, search_aspect=0.3))
