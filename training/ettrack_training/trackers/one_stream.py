"""Graphs and manifest of one-stream trackers: OSTrack and CompressTracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from ..export import Graph
from ..export import one_stream as export
from ..export.one_stream import TEMPLATE_OUTPUTS
from ..networks.one_stream import Block, CenterHead
from . import centre_head
from .noise import generator, structured_noise


class OneStream(Protocol):
    """A network in which all blocks mix tokens of template and search image."""

    backbone: nn.Module
    box_head: CenterHead
    blocks: nn.ModuleList
    template_size: int
    search_size: int

    def template(self, image: Tensor) -> Tensor: ...

    def track(self, template_tokens: Tensor, search: Tensor, *kept: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...


class _Template(nn.Module):
    """From the template image to the inputs of the track graph."""

    def __init__(self, network: OneStream):
        super().__init__()
        self.network = network

    def forward(self, template: Tensor) -> tuple[Tensor, ...]:
        block: Block = self.network.blocks[0]
        tokens = self.network.template(template)
        query, key, value = block.attn.qkv(block.norm1(tokens))[0].chunk(3, dim=-1)
        scale = (query.shape[-1] // block.attn.heads) ** -0.5
        return tokens[0], query * scale, key, value


class _Track(nn.Module):
    """The plain network from the template's tokens on. The template's other outputs are not used."""

    def __init__(self, network: OneStream):
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, _query: Tensor, _key: Tensor, _value: Tensor, search: Tensor, *kept: Tensor):
        return self.network.track(tokens[None], search, *kept)


def graphs(network: OneStream, name: str, kept: Mapping[int, int] | None = None, judge: int = 0) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`; `kept` and `judge` say which search tokens are left out, see `track_graph`."""
    backbone, blocks, sizes = network.backbone, network.blocks, (network.template_size, network.search_size)
    template_graph = export.template_graph(f"{name}_template", backbone, blocks[0], network.template_size)
    track_graph = export.track_graph(f"{name}_track", backbone, blocks, network.box_head, *sizes, kept, judge)
    random = generator()
    template = structured_noise(network.template_size, random)
    features = {
        name: value.detach() for name, value in zip(TEMPLATE_OUTPUTS, _Template(network)(template), strict=True)
    }
    return {
        "template": Graph(
            module=template_graph,
            reference=_Template(network),
            inputs={"template": template},
            outputs=TEMPLATE_OUTPUTS,
        ),
        "track": Graph(
            module=track_graph,
            reference=_Track(network),
            inputs={**features, "search": structured_noise(network.search_size, random)},
            outputs=centre_head.OUTPUTS,
            # If two search tokens get almost the same attention, rounding decides which one is kept.
            choices=export.choices(track_graph),
        ),
    }
