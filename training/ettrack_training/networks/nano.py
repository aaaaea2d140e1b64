"""ettrack-nano: E.T.Track's building blocks at a size that a drone's computer runs in milliseconds."""

from __future__ import annotations

from .et_track import ETTrackConfig, TowerSpec
from .lt_mobile import BackboneSpec, BlockSpec

# kernel, mid, out, stride, se, residual. Stages end at 16, 24, 40 and 48 channels, as the stages
# of the teacher's backbone do, so that each stage can learn from the teacher's tensor there.
NANO_BACKBONE = BackboneSpec(
    stem=16,
    stages=(
        (BlockSpec(3, 0, 16, 2, 8), BlockSpec(3, 48, 16, 1, 0, True)),
        (BlockSpec(5, 72, 24, 2, 0), BlockSpec(3, 96, 24, 1, 0, True)),
        (
            BlockSpec(5, 96, 40, 2, 24),
            BlockSpec(5, 240, 40, 1, 64, True),
            BlockSpec(5, 240, 40, 1, 64, True),
        ),
        (
            BlockSpec(5, 144, 48, 1, 40),
            BlockSpec(5, 192, 48, 1, 48, True),
            BlockSpec(5, 192, 48, 1, 48, True),
        ),
    ),
    activation="hardswish",
)

NANO = ETTrackConfig(
    backbone=NANO_BACKBONE,
    search_sizes=(256,),
    neck_channels=64,
    adjust_channels=64,
    cls_tower=TowerSpec(96, ("sep5", "et5", "et3", "et3")),
    reg_tower=TowerSpec(96, ("sep5", "et5", "et3", "et3")),
    key_dim=64,
    ffn=0,
    score_scale=1.0,
    box_activation="exp",
)
