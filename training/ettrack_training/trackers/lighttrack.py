"""LightTrack-M (Yan et al., CVPR 2021)."""

from ..networks import LightTrack
from ..pseudo_weights import siamese_rule
from . import anchor_free
from .base import StateDict, Tracker

_PREFIX = "feature_extractor."


def _clean(state: StateDict) -> tuple[StateDict, list[str]]:
    """The authors' loader strips this prefix, too."""
    return {key.removeprefix(_PREFIX): value for key, value in state.items()}, []


TRACKER = Tracker(
    name="lighttrack",
    title="LightTrack-M (Finding Lightweight Neural Networks for Object Tracking, CVPR 2021)",
    family="anchor_free",
    source="snapshot/LightTrackM/LightTrackM.pth of the authors' repository researchmm/LightTrack",
    licence="weights of the authors, see their repository",
    build=lambda _: LightTrack(),
    graphs=anchor_free.graphs,
    manifest=anchor_free.manifest,
    pseudo_rule=siamese_rule,
    golden_salt="#9",
    clean=_clean,
)
