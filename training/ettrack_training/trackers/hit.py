"""HiT (Kang et al., ICCV 2023): Base, Small and Tiny."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..checkpoint import CheckpointError
from ..export import Graph
from ..export import hit as export
from ..networks.hit import PATCH, SEARCH_SIZE, TEMPLATE_SIZE, VALUE_RATIO, Hit, HitConfig
from ..pseudo_weights import Override, transformer_rule
from .anchor_free import IMAGENET_INPUT
from .base import Tracker
from .noise import generator, structured_noise

_BLOCKS = "backbone.body.blocks."


def build(state: Mapping[str, Tensor]) -> Hit:
    """Makes a network with the sizes of the checkpoint (Base if there is no checkpoint)."""
    try:
        config = _config(state)
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return Hit()
    if len(config.widths) != 3:
        raise CheckpointError(f"the checkpoint holds {len(config.widths)} stages of a HiT, expected 3")
    return Hit(config)


def _config(state: Mapping[str, Tensor]) -> HitConfig:
    """Reads sizes from the shapes of a checkpoint. Raises `KeyError` for another tracker's."""
    first = state[f"{_BLOCKS}0.m.qkv.c.weight"]
    heads_of_first = len(state[f"{_BLOCKS}0.m.attention_biases"])
    key = first.shape[0] // (heads_of_first * (2 + VALUE_RATIO))
    numbers = {int(name.removeprefix(_BLOCKS).partition(".")[0]) for name in state if name.startswith(_BLOCKS)}
    widths, heads, depths = [first.shape[1]], [heads_of_first], [0]
    for number in sorted(numbers):
        if f"{_BLOCKS}{number}.kv.c.weight" in state:
            widths.append(state[f"{_BLOCKS}{number}.proj.1.c.weight"].shape[0])
            heads.append(0)
            depths.append(0)
        elif (biases := state.get(f"{_BLOCKS}{number}.m.attention_biases")) is not None:
            heads[-1] = len(biases)
            depths[-1] += 1
    neck, head = state["bottleneck.proj1.bias"], state["box_head.conv1_tl.0.bias"]
    return HitConfig(tuple(widths), tuple(heads), tuple(depths), key, len(neck), len(head))


class _Template(nn.Module):
    """The template image to its tokens ``[64, width]``."""

    def __init__(self, network: Hit):
        super().__init__()
        self.network = network

    def forward(self, template: Tensor) -> Tensor:
        return self.network.template(template)[0]


class _Track(nn.Module):
    def __init__(self, network: Hit):
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, search: Tensor) -> Tensor:
        return self.network.track(tokens[None], search)


def graphs(network: Hit) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    random = generator()
    template = structured_noise(TEMPLATE_SIZE, random)
    return {
        "template": Graph(
            module=export.template_graph(network),
            reference=_Template(network),
            inputs={"template": template},
            outputs=("template_tokens",),
        ),
        "track": Graph(
            module=export.track_graph(network),
            reference=_Track(network),
            inputs={
                "template_tokens": _Template(network)(template).detach(),
                "search": structured_noise(SEARCH_SIZE, random),
            },
            outputs=("box",),
        ),
    }


def manifest(_: Hit) -> dict[str, Any]:
    """Returns the sections of model.yaml. There are no constants to tune."""
    return {
        "input": IMAGENET_INPUT,
        "template": {"input": "template", "size": TEMPLATE_SIZE, "factor": 2.0, "outputs": ["template_tokens"]},
        "search": {"input": "search", "sizes": [SEARCH_SIZE], "factor": 4.0, "stride": PATCH},
        "outputs": {"boxes": {"name": "box"}},
        "tracking": {"default": {}},
    }


TRACKER = Tracker(
    name="hit",
    title="HiT (Exploring Lightweight Hierarchical Vision Transformers for Efficient Visual Tracking, ICCV 2023)",
    family="single_box",
    source="VT_ep1500.pth.tar of the configuration HiT_Base, HiT_Small or HiT_Tiny, "
    "linked from the authors' repository kangben258/HiT",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=manifest,
    pseudo_rule=transformer_rule(
        (
            # In training, residual branches also begin near zero. Larger values let rounding grow with each layer.
            Override(r"^backbone\.body\.blocks\.\d+\.m\.(proj\.1|2)\.bn\.weight$", offset=0.2, scale=0.02),
            Override(r"^box_head\.conv5_(tl|br)\.weight$", gain=3.0),
        ),
        {},
    ),
    golden_salt="#hit67",
    small=lambda: Hit(HitConfig((32, 48, 64), (2, 3, 4), (2, 1, 1), 16, 64, 32)),
)
