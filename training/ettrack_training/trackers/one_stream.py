"""What trackers of attention blocks share: a check of the width, graphs, and weights for tests."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from torch import Tensor, nn

from ..checkpoint import CheckpointError
from ..export import Graph
from ..export import one_stream as export
from ..export.one_stream import TEMPLATE_OUTPUTS
from ..networks.one_stream import HEAD_WIDTH, Block, OneStream
from ..pseudo_weights import Override
from . import centre_head
from .noise import generator, structured_noise


def check_width(width: int) -> None:
    """Raises `CheckpointError` if a checkpoint's tokens cannot be divided among attention heads."""
    if width % HEAD_WIDTH:
        raise CheckpointError(f"the checkpoint's tokens have {width} channels, expected a multiple of {HEAD_WIDTH}")


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

    def __init__(self, network: OneStream, **options: bool):
        super().__init__()
        self.network, self.options = network, options

    def forward(self, tokens: Tensor, _query: Tensor, _key: Tensor, _value: Tensor, search: Tensor, *chosen: Tensor):
        return self.network.track(tokens[None], search, *chosen, **self.options)


def graphs(
    network: OneStream, name: str, track: onnx.ModelProto, ways: Sequence[Sequence[Tensor]] = ()
) -> dict[str, Graph]:
    """`template.onnx`, and `track.onnx` with the graph `track`. `ways`: see `Graph`."""
    template_graph = export.template_graph(
        f"{name}_template", network.backbone, network.blocks[0], network.template_size
    )
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
            module=track,
            reference=_Track(network),
            inputs={**features, "search": structured_noise(network.search_size, random)},
            outputs=centre_head.OUTPUTS,
            # If two numbers are almost equal, rounding decides which token or block is chosen.
            choices=export.choices(track),
            ways=tuple(tuple(way) for way in ways),
            obedient=_Track(network, checked=False) if ways else None,
        ),
    }


def head_overrides(head: str = "box_head") -> tuple[Override, ...]:
    """Pseudo-random weights of the module `head` with varied scores and boxes of a usual size."""
    return (
        Override(rf"^{head}\.conv5_ctr\.weight$", gain=2.0),
        Override(rf"^{head}\.conv5_ctr\.bias$", offset=-2.0),
        Override(rf"^{head}\.conv5_size\.weight$", gain=0.2),
        Override(rf"^{head}\.conv5_size\.bias$", offset=-1.1),
        Override(rf"^{head}\.conv5_offset\.weight$", gain=0.2),
        Override(rf"^{head}\.conv5_offset\.bias$", offset=0.5),
    )
