"""Template graph and track graph of a network with the methods `template` and `track`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import torch
from torch import Tensor, nn

from ..export import Graph
from .noise import generator, structured_noise


class Part(nn.Module):
    """One method of a network as a module."""

    def __init__(self, network: nn.Module, method: str):
        super().__init__()
        self.network, self.method = network, method

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return getattr(self.network, self.method)(*inputs)


def graphs(
    network: nn.Module,
    modules: Mapping[str, onnx.ModelProto],
    images: Sequence[str],
    sizes: tuple[int, int],
    features: Sequence[str],
    outputs: Sequence[str],
    further: Mapping[str, Tensor] | None = None,
    further_search: Mapping[str, Tensor] | None = None,
) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`, with the graphs `modules`.

    `images` are the names of the template images, and `sizes` the pixels per side of template and search image.
    `features` are the template graph's outputs, which the track graph takes before the search image. `further` are
    inputs of the template graph after the images, and `further_search` those of the track graph after the search image.
    """
    random = generator()
    target = {name: structured_noise(sizes[0], random) for name in images} | dict(further or {})
    template, track = Part(network, "template"), Part(network, "track")
    with torch.no_grad():
        made = template(*target.values())
    known = dict(zip(features, (made,) if isinstance(made, Tensor) else made, strict=True))
    search = {"search": structured_noise(sizes[1], random)} | dict(further_search or {})
    return {
        "template": Graph(modules["template"], template, target, features),
        "track": Graph(modules["track"], track, {**known, **search}, outputs),
    }
