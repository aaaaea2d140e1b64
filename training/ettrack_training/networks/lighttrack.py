"""LightTrack-M (Yan et al., CVPR 2021). It is like E.T.Track, but its towers consist of separable convolutions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .blocks import Sep
from .lt_mobile import LT_MOBILE, BackboneSpec, LTMobile
from .siamese import BoxPredictor, PixelwiseCorrelation, ScorePredictor, SiameseTracker


@dataclass(frozen=True)
class LightTrackConfig:
    """Configuration of the network. The defaults are those of LightTrack-M. Sizes are sides in pixels."""

    backbone: BackboneSpec = LT_MOBILE
    template_size: int = 127
    search_sizes: tuple[int, ...] = (256, 288)
    correlation_cells: int = 64
    adjust_channels: int = 128
    cls_channels: int = 256
    cls_kernels: tuple[int, ...] = (5, 5, 3, 3, 3, 3)
    reg_channels: int = 192
    reg_kernels: tuple[int, ...] = (3, 3, 3, 3, 3, 5, 5, 5)
    score_scale: float = 0.1
    box_scale: float = 16.0


class _Fusor(nn.Module):
    def __init__(self, cells: int, adjusted: int):
        super().__init__()
        self.pw_corr = PixelwiseCorrelation(cells)
        self.adj_layer = nn.Conv2d(cells, adjusted, 1)

    def forward(self, zf: Tensor, xf: Tensor) -> Tensor:
        return self.adj_layer(self.pw_corr(zf, xf))


class _Head(nn.Module):
    def __init__(self, config: LightTrackConfig):
        super().__init__()
        adjusted = config.adjust_channels
        self.cls_tower = _tower(adjusted, config.cls_channels, config.cls_kernels)
        self.reg_tower = _tower(adjusted, config.reg_channels, config.reg_kernels)
        # The authors' checkpoints spell it "perd".
        self.cls_perd = ScorePredictor(config.cls_channels, config.score_scale)
        self.reg_pred = BoxPredictor(config.reg_channels, config.box_scale)

    def forward(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_perd(self.cls_tower(fused)), self.reg_pred(self.reg_tower(fused))


class LightTrack(SiameseTracker):
    """The network of LightTrack. `SiameseTracker` describes the steps and shapes."""

    def __init__(self, config: LightTrackConfig | None = None):
        super().__init__()
        self.config = config = config or LightTrackConfig()
        channels = config.backbone.channels
        self.features = LTMobile(config.backbone)
        self.neck = nn.ModuleDict({"BN_z": nn.BatchNorm2d(channels), "BN_x": nn.BatchNorm2d(channels)})
        self.feature_fusor = _Fusor(config.correlation_cells, config.adjust_channels)
        self.head = _Head(config)

    def backbone(self, image: Tensor) -> Tensor:
        return self.features(image)

    def template_neck(self, raw: Tensor) -> Tensor:
        return self.neck["BN_z"](raw)

    def search_neck(self, raw: Tensor) -> Tensor:
        return self.neck["BN_x"](raw)

    def fuse(self, zf: Tensor, xf: Tensor) -> Tensor:
        return self.feature_fusor(zf, xf)

    def predict(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(fused)


def _tower(inputs: int, channels: int, kernels: tuple[int, ...]) -> nn.Sequential:
    layers = [Sep(inputs if index == 0 else channels, channels, kernel) for index, kernel in enumerate(kernels)]
    return nn.Sequential(*layers)
