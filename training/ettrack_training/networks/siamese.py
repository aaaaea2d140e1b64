"""Common parts of E.T.Track and LightTrack: the steps of tracking, the correlation, and the predictors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Gate over the correlation's channels: average pool, 1x1, ReLU, 1x1, sigmoid, multiply. [B,C,H,W] -> same
    shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels, 1)
        self.fc2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.fc2(F.relu(self.fc1(pooled))).sigmoid()


class PixelwiseCorrelation(nn.Module):
    """Uses each template cell (row-major) as a 1x1 kernel over the search features.

    [B,C,h,w], [B,C,H,W] -> [B,h*w,H,W], gated by channel attention. `cells` = h*w.
    """

    def __init__(self, cells: int):
        super().__init__()
        self.CA_layer = ChannelAttention(cells)

    def forward(self, zf: Tensor, xf: Tensor) -> Tensor:
        return self.CA_layer(self.correlate(zf, xf))

    @staticmethod
    def correlate(zf: Tensor, xf: Tensor) -> Tensor:
        """The correlation before channel attention: [B,C,h,w], [B,C,H,W] -> [B,h*w,H,W]."""
        scores = zf.flatten(2).transpose(1, 2) @ xf.flatten(2)
        return scores.view(xf.shape[0], -1, xf.shape[2], xf.shape[3])


class SiameseTracker(nn.Module):
    """A tracker in separate steps, so that training and export can use each step alone.

    Images are [B,3,S,S], normalised. `n` = search side / stride.
    Subclasses implement `backbone`, `template_neck`, `search_neck`, `fuse` and `predict`.
    """

    def backbone(self, image: Tensor) -> Tensor:
        """Raw features [B,C,S/stride,S/stride] of a template or search image."""
        raise NotImplementedError

    def template_neck(self, raw: Tensor) -> Tensor:
        """Batch norm of raw template features (BN_z), [B,C,h,w] -> [B,C,h,w]. With projections, C may change."""
        raise NotImplementedError

    def search_neck(self, raw: Tensor) -> Tensor:
        """Batch norm of raw search features (BN_x), [B,C,n,n] -> [B,C,n,n]. With projections, C may change."""
        raise NotImplementedError

    def fuse(self, zf: Tensor, xf: Tensor) -> Tensor:
        """Correlation, channel attention and adjusting 1x1: [B,C,h,w], [B,C,n,n] -> [B,adjust,n,n]."""
        raise NotImplementedError

    def predict(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B,1,n,n], and distances from each cell's centre to the box's left, top, right and bottom side
        [B,4,n,n], in search pixels."""
        raise NotImplementedError

    def template_features(self, template: Tensor) -> Tensor:
        """Features of the template, which are kept for tracking: backbone and BN_z, [B,3,S,S] -> [B,C,h,w]."""
        return self.template_neck(self.backbone(template))

    def search_features(self, search: Tensor) -> Tensor:
        """Features of the search image: backbone and BN_x, [B,3,S,S] -> [B,C,n,n]."""
        return self.search_neck(self.backbone(search))

    def track(self, zf: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B,1,n,n] and distances [B,4,n,n] from kept template features and a search image [B,3,S,S]."""
        return self.predict(self.fuse(zf, self.search_features(search)))

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        return self.track(self.template_features(template), search)


class ScorePredictor(nn.Module):
    """3x3 convolution to one logit per cell, times `scale` (0.1 in the authors' networks): [B,C,n,n] -> [B,1,n,n]."""

    def __init__(self, channels: int, scale: float):
        super().__init__()
        self.cls_pred = nn.Conv2d(channels, 1, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.cls_pred(x) * self.scale


class BoxPredictor(nn.Module):
    """3x3 convolution to four distances per cell, in search pixels: [B,C,n,n] -> [B,4,n,n].

    The result of `activation` is multiplied by `scale`. "relu", as in the authors' networks, sets negative values to
    zero. "exp" is always positive and has a gradient everywhere, which helps training from random weights.
    """

    def __init__(self, channels: int, scale: float, activation: str = "relu"):
        super().__init__()
        if activation not in ("relu", "exp"):
            raise ValueError(f"box activation {activation!r} is unknown, expected relu or exp")
        self.bbox_pred = nn.Conv2d(channels, 4, 3, padding=1)
        self.scale = scale
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        raw = self.bbox_pred(x)
        return (F.relu(raw) if self.activation == "relu" else raw.exp()) * self.scale
