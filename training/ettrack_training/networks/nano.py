"""ettrack-nano: E.T.Track's building blocks at a size that a drone's computer runs in milliseconds."""

from __future__ import annotations

from dataclasses import replace

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

# Six layers of 3x3, as many as the teacher's head has, so that each can learn from the teacher's tensor there; the
# last one mixes its kernels by exemplar attention.
_TOWER = TowerSpec(96, ("sep3", "sep3", "sep3", "sep3", "sep3", "et3"))

# For square windows, as those of the teacher from which it learns first.
NANO = ETTrackConfig(
    backbone=NANO_BACKBONE,
    search_sizes=(256,),
    neck_channels=48,
    correlations=2,
    adjust_channels=64,
    cls_tower=_TOWER,
    reg_tower=_TOWER,
    key_dim=64,
    ffn=0,
    score_scale=1.0,
    box_activation="exp",
)

# The same network for windows of the target's own shape, in which every target is square, and which are four and a
# half boxes wide and high where it searches. The template shows as much per pixel as the search window.
NANO_BOX = replace(NANO, box_context=0.6)

# The shipped one, which `distil.slim` makes of it, in seven tenths of its time: windows of the same scale but less than
# four boxes wide, and one exemplar a layer, since the attention over four hardly moved.
NANO_FAST = replace(NANO_BOX, search_sizes=(224,), exemplars=1)

# In nine tenths of that: without a residual block and a gate where maps are largest, for which the first stage has to
# learn to make up.
NANO_CUT = replace(
    NANO_FAST, backbone=replace(NANO_BACKBONE, stages=((BlockSpec(3, 0, 16, 2, 0),), *NANO_BACKBONE.stages[1:]))
)
