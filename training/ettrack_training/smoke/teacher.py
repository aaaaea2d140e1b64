"""Replaces NanoTrack v2 in smoke runs: two ONNX files with its inputs, outputs and hints, and random weights."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from ..distil.backbone import NANOTRACK_V2_HINTS
from ..distil.head import NANOTRACK_V2_HEAD_HINTS

CHANNELS = (16, 24, 40, 48)


class Backbone(nn.Module):
    """Computes features of stride 4, 8, 16 and 16 of an image [1,3,S,S], BGR, 0..255."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        inputs = (8, *CHANNELS[:-1])
        strides = (2, 2, 2, 1)
        self.stages = nn.ModuleList(nn.Conv2d(i, o, 3, s, 1) for i, o, s in zip(inputs, CHANNELS, strides, strict=True))

        # Features of a size that a student can be compared with.
        for layer in (self.stem, *self.stages):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        x = self.stem(picture / 128 - 1).relu()
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
            x = x.relu()
        return tuple(outputs)


class Tower(nn.Module):
    """Computes the outputs of its layers, each [1,96,16,16], and a prediction, from the correlation [1,64,16,16]."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(inputs, 96, 3, padding=1) for inputs in (64, 96, 96, 96, 96, 96))
        self.prediction = nn.Conv2d(96, outputs, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer in self.layers:
            x = layer(x).relu()
            outputs.append(x)
        return [*outputs[:-1], self.prediction(x)]


class Head(nn.Module):
    """Computes the towers' inner outputs, two class logits and four distances from features of both images.

    The features are [1,48,8,8] of the template and [1,48,16,16] of the search image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cls, self.reg = Tower(2), Tower(4)

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, ...]:
        scores = template.flatten(2).transpose(1, 2) @ search.flatten(2)
        cls, reg = scores.view(1, 64, 16, 16), scores.view(1, 64, 16, 16).relu()
        *cls_layers, logits = self.cls(cls)
        *reg_layers, boxes = self.reg(reg)
        return cls, *cls_layers, reg, *reg_layers, logits, 40 * boxes.tanh().exp()


def write_teacher(folder: Path) -> None:
    """Writes backbone.onnx and head.onnx."""
    folder.mkdir(parents=True)
    names = [*NANOTRACK_V2_HINTS, "output"]
    path = folder / "backbone.onnx"
    _export(Backbone(), (torch.zeros(1, 3, 255, 255),), path, ["input"], names)
    _hide_hints(path, 1)
    inputs = (torch.zeros(1, 48, 8, 8), torch.zeros(1, 48, 16, 16))
    path = folder / "head.onnx"
    _export(Head(), inputs, path, ["input1", "input2"], [*NANOTRACK_V2_HEAD_HINTS, "output1", "output2"])
    _hide_hints(path, 2)


def _hide_hints(path: Path, outputs: int) -> None:
    """Turns all outputs but the last into inner tensors, as they are in the real teacher."""
    model = onnx.load(path)
    del model.graph.output[:-outputs]
    onnx.save(model, path)


def _export(module: nn.Module, inputs: tuple[Tensor, ...], path: Path, names: list[str], outputs: list[str]) -> None:
    torch.onnx.export(module.eval(), inputs, path, input_names=names, output_names=outputs, dynamo=False)
