"""A stand-in for NanoTrack v2: two ONNX files of the same inputs, outputs and hints, with random weights."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from ..distil.backbone import NANOTRACK_V2_HINTS

CHANNELS = (16, 24, 40, 48)


class Backbone(nn.Module):
    """BGR 0..255 [1,3,S,S] -> features of stride 4, 8, 16 and 16."""

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


class Head(nn.Module):
    """Features [1,48,8,8] and [1,48,16,16] -> two class logits and four positive distances."""

    def __init__(self) -> None:
        super().__init__()
        self.cls = nn.Conv2d(64, 2, 3, padding=1)
        self.reg = nn.Conv2d(64, 4, 3, padding=1)

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        scores = template.flatten(2).transpose(1, 2) @ search.flatten(2)
        maps = scores.view(1, 64, 16, 16)
        return self.cls(maps), 40 * self.reg(maps).tanh().exp()


def write_teacher(folder: Path) -> None:
    """Writes backbone.onnx and head.onnx."""
    folder.mkdir(parents=True)
    names = [*NANOTRACK_V2_HINTS, "output"]
    path = folder / "backbone.onnx"
    _export(Backbone(), (torch.zeros(1, 3, 255, 255),), path, ["input"], names)
    model = onnx.load(path)
    # The hints become inner tensors, as they are in the real teacher.
    del model.graph.output[:-1]
    onnx.save(model, path)
    inputs = (torch.zeros(1, 48, 8, 8), torch.zeros(1, 48, 16, 16))
    _export(Head(), inputs, folder / "head.onnx", ["input1", "input2"], ["output1", "output2"])


def _export(module: nn.Module, inputs: tuple[Tensor, ...], path: Path, names: list[str], outputs: list[str]) -> None:
    torch.onnx.export(module.eval(), inputs, path, input_names=names, output_names=outputs, dynamo=False)
