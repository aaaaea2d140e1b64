"""Network definitions. Attribute names follow the authors' checkpoints, key by key."""

from .et_track import ETTrack, ETTrackConfig, TowerSpec
from .exemplar import ExemplarLayer
from .lighttrack import LightTrack, LightTrackConfig
from .lt_mobile import BackboneSpec, BlockSpec, LTMobile

__all__ = [
    "BackboneSpec",
    "BlockSpec",
    "ETTrack",
    "ETTrackConfig",
    "ExemplarLayer",
    "LTMobile",
    "LightTrack",
    "LightTrackConfig",
    "TowerSpec",
]
