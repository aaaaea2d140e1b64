"""LT-Mobile, the backbone that LightTrack's architecture search found (Yan et al., CVPR 2021). It is configurable."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .blocks import DepthwiseSeparable, InvertedResidual, activation, conv


@dataclass(frozen=True)
class BlockSpec:
    """One block with a k x k `kernel`, `mid` expanded and `out` output channels, and a gate of width `se`.

    `mid` = 0 makes a depthwise separable block. `se` = 0 leaves the gate out. `residual` adds the block's input, which
    needs stride 1 and equal numbers of input and output channels.
    """

    kernel: int
    mid: int
    out: int
    stride: int = 1
    se: int = 0
    residual: bool = False


@dataclass(frozen=True)
class BackboneSpec:
    """Output channels of the stem (3x3, stride 2), stages of blocks, and the name of the activation."""

    stem: int
    stages: tuple[tuple[BlockSpec, ...], ...]
    activation: str = "silu"

    @property
    def channels(self) -> int:
        """Number of output channels."""
        return self.stages[-1][-1].out

    @property
    def stride(self) -> int:
        """Input pixels per output cell."""
        stride = 2
        for stage in self.stages:
            for block in stage:
                stride *= block.stride
        return stride

    @classmethod
    def from_dict(cls, values: dict) -> BackboneSpec:
        """Makes a spec from the values of `dataclasses.asdict`. Raises `TypeError` for an unknown key."""
        stages = tuple(tuple(BlockSpec(**b) for b in stage) for stage in values["stages"])
        return cls(**{**values, "stages": stages})


# The backbone of the published E.T.Track and LightTrack-M. Values: kernel, mid, out, stride, se, residual.
LT_MOBILE = BackboneSpec(
    stem=16,
    stages=(
        (BlockSpec(3, 0, 16, 1, 8, True),),
        (BlockSpec(7, 64, 24, 2, 16), BlockSpec(7, 144, 24, 1, 40, True)),
        (
            BlockSpec(3, 96, 40, 2, 24),
            BlockSpec(5, 160, 40, 1, 40, True),
            BlockSpec(7, 240, 40, 1, 64, True),
            BlockSpec(3, 240, 40, 1, 64, True),
        ),
        (
            BlockSpec(7, 160, 80, 2, 40),
            BlockSpec(3, 320, 80, 1, 80, True),
            BlockSpec(7, 320, 80, 1, 80, True),
            BlockSpec(7, 320, 80, 1, 80, True),
        ),
        (
            BlockSpec(7, 480, 96, 1, 120),
            BlockSpec(5, 384, 96, 1, 96, True),
            BlockSpec(3, 576, 96, 1, 144, True),
        ),
    ),
)


class LTMobile(nn.Module):
    """Normalised images [B,3,S,S] to features [B,channels,S/stride,S/stride]."""

    def __init__(self, spec: BackboneSpec = LT_MOBILE):
        super().__init__()
        self.conv_stem = conv(3, spec.stem, 3, 2)
        self.bn1 = nn.BatchNorm2d(spec.stem)
        self.act1 = activation(spec.activation)
        stages = []
        channels = spec.stem
        for stage in spec.stages:
            blocks = []
            for block in stage:
                blocks.append(_block(channels, block, spec.activation))
                channels = block.out
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.act1(self.bn1(self.conv_stem(x))))


def _block(inputs: int, spec: BlockSpec, act: str) -> nn.Module:
    if spec.residual and (spec.stride != 1 or inputs != spec.out):
        raise ValueError(
            f"{spec} cannot be residual: it takes {inputs} channels, "
            "a residual block needs stride 1 and as many outputs"
        )
    if spec.mid:
        return InvertedResidual(inputs, spec.mid, spec.out, spec.kernel, spec.stride, spec.se, spec.residual, act)
    return DepthwiseSeparable(inputs, spec.out, spec.kernel, spec.stride, spec.se, spec.residual, act)
