"""E.T.Track (Blatter et al., WACV 2023): LT-Mobile, pixel-wise correlation, exemplar towers."""

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
    """Width of a tower and its layers by name: `sep5` is Sep 5x5, `et3` an exemplar layer 3x3.

    The first layer takes the adjusted correlation and so must be a `sep`.
    """

    channels: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class ETTrackConfig:
    """Everything that shapes the network; the defaults are the paper's configuration.

    `correlation_cells` is the number of cells of the template feature (8 x 8 = 64 for a
    template of 127 or 128 pixels at stride 16). `neck_channels` > 0 lets the neck project template
    and search features to that many channels before they are correlated, each by a 1x1 of its own;
    0, the paper's, correlates them as they are. With 2 `correlations` each tower has projections,
    correlation and adjusting layer of its own; with 1, the paper's, they share them.

    `box_context` says which windows the network is for: None, the paper's, square ones; a number c, windows of the
    target's own shape, of which a template shows 1 + 2c of its width and height (see docs/model-folder.md).
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
        """Plain values, for checkpoints and YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> ETTrackConfig:
        """Rebuilds what `to_dict` made; raises `TypeError` on unknown keys."""
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
    """See `SiameseTracker` for the steps and shapes."""

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
        """The gated correlations [B,cells,n,n], one or one per tower, before they are adjusted."""
        count = self.config.correlations
        parts = ([zf], [xf]) if count == 1 else (zf.chunk(count, 1), xf.chunk(count, 1))
        return [correlation(z, x) for correlation, z, x in zip(self.feature_fusor["pw_corr"], *parts, strict=True)]

    def adjusted(self, zf: Tensor, xf: Tensor) -> list[Tensor]:
        """The adjusted correlations [B,adjust,n,n], one or one per tower."""
        layers = self.feature_fusor["adj_layer"]
        return [adjust(correlation) for adjust, correlation in zip(layers, self.correlate(zf, xf), strict=True)]

    def fuse(self, zf: Tensor, xf: Tensor) -> Tensor:
        parts = self.adjusted(zf, xf)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def predict(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        return self._predict(fused.chunk(self.config.correlations, 1))

    def track(self, zf: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        # What each tower takes need not be put together only to be taken apart: in a graph those are copies.
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
