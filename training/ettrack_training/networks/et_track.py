"""E.T.Track (Blatter et al., WACV 2023): LT-Mobile backbone, pixel-wise correlation, towers of exemplar layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from .blocks import Sep
from .exemplar import ExemplarLayer
from .lt_mobile import LT_MOBILE, BackboneSpec, LTMobile
from .siamese import BoxPredictor, PixelwiseCorrelation, ScorePredictor, SiameseTracker


@dataclass(frozen=True)
class TowerSpec:
    """Channels of a tower and the names of its layers: `sep5` is a 5x5 Sep, `et3` a 3x3 exemplar layer.

    The first layer must be a `sep`, because it changes the number of channels.
    """

    channels: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class ETTrackConfig:
    """Configuration of the network. The defaults are those of the paper.

    `template_size` and `search_sizes` are sides in pixels. `correlation_cells` is the number of cells of the template
    features (8 x 8 = 64 for a template of 127 or 128 pixels at stride 16). With `neck_channels` > 0, a separate 1x1
    convolution each projects template and search features to this number of channels before they are correlated. With
    0, as in the paper, they are correlated without a projection. With `correlations` = 2, each tower has its own
    projections, correlation and adjusting layer. With 1, as in the paper, both towers share them.

    `box_context` is the kind of windows that the network expects. None, as in the paper, means square windows. A number
    c means windows of the target's own shape: a template is 1 + 2c times as wide and high as the target's box (see
    docs/model-folder.md).
    """

    backbone: BackboneSpec = LT_MOBILE
    template_size: int = 127
    search_sizes: tuple[int, ...] = (256, 288)
    correlation_cells: int = 64
    neck_channels: int = 0
    correlations: int = 1
    adjust_channels: int = 128
    cls_tower: TowerSpec = TowerSpec(256, ("sep5", "et5", "et3", "et3", "et3", "sep3"))
    reg_tower: TowerSpec = TowerSpec(192, ("sep3", "et3", "et3", "et3", "et3", "et5", "et5", "sep5"))
    exemplars: int = 4
    key_dim: int = 256
    ffn: int = 1024
    temperature: float = 2.0
    score_scale: float = 0.1
    box_scale: float = 16.0
    box_activation: str = "relu"
    box_context: float | None = None

    def to_dict(self) -> dict:
        """Returns the configuration as plain values, for checkpoints and YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> ETTrackConfig:
        """Makes a configuration from the values of `to_dict`. Raises `TypeError` for an unknown key."""
        values = dict(values)
        if "backbone" in values:
            values["backbone"] = BackboneSpec.from_dict(values["backbone"])
        for tower in ("cls_tower", "reg_tower"):
            if tower in values:
                spec = values[tower]
                values[tower] = TowerSpec(spec["channels"], tuple(spec["layers"]))
        if "search_sizes" in values:
            values["search_sizes"] = tuple(values["search_sizes"])
        return cls(**values)


class ETTrack(SiameseTracker):
    """The network of E.T.Track. `SiameseTracker` describes the steps and shapes."""

    def __init__(self, config: ETTrackConfig | None = None):
        super().__init__()
        self.config = config = config or ETTrackConfig()
        if config.correlations not in (1, 2) or (config.correlations == 2 and not config.neck_channels):
            raise ValueError(
                f"expected 1 correlation, or 2 of projected features (neck_channels above 0), "
                f"got {config.correlations} with neck_channels {config.neck_channels}"
            )
        channels = config.backbone.channels
        self.backbone_net = LTMobile(config.backbone)
        self.neck = nn.ModuleDict(
            {
                "BN_z": nn.ModuleList([nn.BatchNorm2d(channels)]),
                "BN_x": nn.ModuleList([nn.BatchNorm2d(channels)]),
            }
        )
        if config.neck_channels:
            for side in ("z", "x"):
                self.neck[f"project_{side}"] = nn.Conv2d(channels, config.correlations * config.neck_channels, 1)
        cells = config.correlation_cells
        self.feature_fusor = nn.ModuleDict(
            {
                "pw_corr": nn.ModuleList(PixelwiseCorrelation(cells) for _ in range(config.correlations)),
                "adj_layer": nn.ModuleList(
                    nn.Conv2d(cells, config.adjust_channels, 1) for _ in range(config.correlations)
                ),
            }
        )
        self._cls = self._add_tower("cls_branch", config.cls_tower)
        self.cls_pred_head = ScorePredictor(config.cls_tower.channels, config.score_scale)
        self._reg = self._add_tower("bbreg_branch", config.reg_tower)
        self.reg_pred_head = BoxPredictor(config.reg_tower.channels, config.box_scale, config.box_activation)

    def _add_tower(self, prefix: str, tower: TowerSpec) -> list[str]:
        names = []
        for number, layer in enumerate(tower.layers, start=1):
            name = f"{prefix}_{number}"
            inputs = self.config.adjust_channels if number == 1 else tower.channels
            self.add_module(name, _tower_layer(layer, inputs, tower.channels, self.config))
            names.append(name)
        return names

    @property
    def cls_layers(self) -> list[nn.Module]:
        """Layers of the classification tower, first to last."""
        return [getattr(self, name) for name in self._cls]

    @property
    def reg_layers(self) -> list[nn.Module]:
        """Layers of the regression tower, first to last."""
        return [getattr(self, name) for name in self._reg]

    def backbone(self, image: Tensor) -> Tensor:
        return self.backbone_net(image)

    def template_neck(self, raw: Tensor) -> Tensor:
        return self._neck(raw, "z")

    def search_neck(self, raw: Tensor) -> Tensor:
        return self._neck(raw, "x")

    def _neck(self, raw: Tensor, side: str) -> Tensor:
        y = self.neck[f"BN_{side}"][0](raw)
        return self.neck[f"project_{side}"](y) if self.config.neck_channels else y

    def correlate(self, zf: Tensor, xf: Tensor) -> list[Tensor]:
        """The gated correlations [B,cells,n,n] before the adjusting layer: one for both towers, or one for each."""
        count = self.config.correlations
        parts = ([zf], [xf]) if count == 1 else (zf.chunk(count, 1), xf.chunk(count, 1))
        return [correlation(z, x) for correlation, z, x in zip(self.feature_fusor["pw_corr"], *parts, strict=True)]

    def adjusted(self, zf: Tensor, xf: Tensor) -> list[Tensor]:
        """The adjusted correlations [B,adjust,n,n]: one for both towers, or one for each."""
        layers = self.feature_fusor["adj_layer"]
        return [adjust(correlation) for adjust, correlation in zip(layers, self.correlate(zf, xf), strict=True)]

    def fuse(self, zf: Tensor, xf: Tensor) -> Tensor:
        parts = self.adjusted(zf, xf)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def predict(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        return self._predict(fused.chunk(self.config.correlations, 1))

    def track(self, zf: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        # `fuse` would concatenate the towers' inputs and `predict` split them again. In a graph both are copies.
        return self._predict(self.adjusted(zf, self.search_features(search)))

    def _predict(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        cls, reg = parts[0], parts[-1]
        for layer in self.cls_layers:
            cls = layer(cls)
        for layer in self.reg_layers:
            reg = layer(reg)
        return self.cls_pred_head(cls), self.reg_pred_head(reg)


def _tower_layer(name: str, inputs: int, channels: int, config: ETTrackConfig) -> nn.Module:
    match = re.fullmatch(r"(sep|et)(\d*[13579])", name)
    if not match:
        raise ValueError(f"tower layer {name!r} is unknown, expected sep or et and an odd kernel")
    kernel = int(match[2])
    if match[1] == "sep":
        return Sep(inputs, channels, kernel)
    if inputs != channels:
        raise ValueError(
            f"tower layer {name!r} keeps its channels but takes {inputs} and should give "
            f"{channels}: start the tower with a sep layer"
        )
    return ExemplarLayer(channels, kernel, config.exemplars, config.key_dim, config.ffn, config.temperature)
