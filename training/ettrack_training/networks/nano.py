"""Configurations of ettrack-nano and ettrack-small: E.T.Track's building blocks for a drone's computer."""

from __future__ import annotations

from dataclasses import replace

from .et_track import ETTrackConfig, TowerSpec
from .lt_mobile import BackboneSpec, BlockSpec

# Values: kernel, mid, out, stride, se, residual. The stages have 16, 24, 40 and 48 output channels, like those of the
# teacher's backbone, so that each stage can learn from the teacher's tensor after the same stage.
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

# Six 3x3 layers, as in the teacher's head, so that each layer can learn from the teacher's tensor after the same layer.
# The last one is an exemplar layer.
_TOWER = TowerSpec(96, ("sep3", "sep3", "sep3", "sep3", "sep3", "et3"))

# For square windows, like those of its first teacher.
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

# The same network for windows of the target's own shape, which are resized to squares. The search window is four and a
# half boxes wide and high. Template and search window have the same scale.
NANO_BOX = replace(NANO, box_context=0.6)

# `distil.slim` makes it from NANO_BOX. It takes seven tenths of the time. Its search windows have the same scale but
# are less than four boxes wide, and each exemplar layer has one exemplar, because the weights of its four hardly
# differed between images.
NANO_FAST = replace(NANO_BOX, search_sizes=(224,), exemplars=1)

# Takes nine tenths of the time of NANO_FAST. The first stage, where maps are largest, has one block less and no gate,
# and has to be trained again.
NANO_CUT = replace(
    NANO_FAST, backbone=replace(NANO_BACKBONE, stages=((BlockSpec(3, 0, 16, 2, 0),), *NANO_BACKBONE.stages[1:]))
)

# Made from NANO_FAST by `distil.widen`: last stage, neck and towers have more channels, and the last stage has two more
# blocks. Its maps have few cells there, so it takes about twice the time of NANO_FAST.
_SMALL_TOWER = replace(_TOWER, channels=192)
SMALL = replace(
    NANO_FAST,
    backbone=replace(
        NANO_BACKBONE,
        stages=(
            *NANO_BACKBONE.stages[:3],
            (
                BlockSpec(5, 240, 80, 1, 40),
                *(BlockSpec(5, 320, 80, 1, 80, True) for _ in range(4)),
            ),
        ),
    ),
    neck_channels=80,
    cls_tower=_SMALL_TOWER,
    reg_tower=_SMALL_TOWER,
)
