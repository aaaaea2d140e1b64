"""E.T.Track (Blatter et al., WACV 2023), and all networks made of its building blocks."""

from ..networks import ETTrack
from ..pseudo_weights import siamese_rule
from . import anchor_free
from .base import Tracker

TRACKER = Tracker(
    name="et_track",
    title="E.T.Track (Efficient Visual Tracking with Exemplar Transformers, WACV 2023)",
    family="anchor_free",
    source="checkpoints/et_tracker/checkpoint_e35.pth of the authors' repository pblatter/ettrack",
    licence="weights of the authors, without a licence that allows redistribution",
    build=lambda _: ETTrack(),
    graphs=anchor_free.graphs,
    manifest=anchor_free.manifest,
    pseudo_rule=siamese_rule,
    golden_salt="#9",
)
