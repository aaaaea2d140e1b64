"""Network definitions. Attribute names are the keys of the authors' checkpoints."""

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
