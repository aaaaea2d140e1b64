"""SUTrack (Chen et al., AAAI 2025), without a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checkpoint import CheckpointError, without
from ..export import Graph
from ..export import sutrack as export
from ..networks.one_stream import cells
from ..networks.sutrack import B224, B384, L224, L384, T224, SUTrack
from ..pseudo_weights import Override, transformer_rule
from . import centre_head, one_stream, parts
from .anchor_free import IMAGENET_INPUT
from .base import StateDict, Tracker

FEATURES = ("template_tokens",)
#: The published configurations by the number of blocks, with the merges, and of positions.
_PUBLISHED = {
    (sum(config.depths) + 2, cells(config.search_size) + cells(config.template_size)): config
    for config in (T224, B224, B384, L224, L384)
}

_BLOCK = re.compile(r"encoder\.body\.blocks\.(\d+)\.")
_TEXT = "text_encoder."
_CLIP = _TEXT + "clip."
_TEXT_BLOCK = re.compile(re.escape(_CLIP) + r"transformer\.resblocks\.(\d+)\.")


def clean(state: StateDict) -> tuple[StateDict, list[str]]:
    """Replaces the text encoder by its token of no text, and drops what only other tasks need."""
    if not any(key.startswith(_CLIP) for key in state):
        return state, []
    try:
        token = text_token(state)
    except KeyError as error:
        raise CheckpointError(f"the checkpoint's text encoder has no {error.args[0]}") from error
    kept, dropped = without(
        state,
        {_TEXT: "text encoder, replaced by its token of no text", "task_decoder.": "names the task in training"},
    )
    return {**kept, "text_token": token}, dropped


def text_token(state: Mapping[str, Tensor]) -> Tensor:
    """The token that the authors' loop gives the network without a text, `[1, width]`.

    It is CLIP's text feature of 77 tokens with the number 0, at the first of them. Earlier tokens do not attend to
    later ones, so the first one attends only to itself, and its attention is a linear layer.
    """

    def get(name: str) -> Tensor:
        return state[name].double()

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, get(f"{name}.weight"), get(f"{name}.bias"))

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], get(f"{name}.weight"), get(f"{name}.bias"))

    x = get(f"{_CLIP}token_embedding.weight")[:1] + get(f"{_CLIP}positional_embedding")[:1]
    for number in range(len({match[1] for key in state if (match := _TEXT_BLOCK.match(key))})):
        block = f"{_CLIP}transformer.resblocks.{number}."
        weight, bias = (get(f"{block}attn.in_proj_{name}").chunk(3)[2] for name in ("weight", "bias"))
        x = x + linear(F.linear(norm(x, f"{block}ln_1"), weight, bias), f"{block}attn.out_proj")
        hidden = linear(norm(x, f"{block}ln_2"), f"{block}mlp.c_fc")
        # CLIP's approximation of GELU.
        x = x + linear(hidden * (1.702 * hidden).sigmoid(), f"{block}mlp.c_proj")
    feature = norm(x, f"{_CLIP}ln_final") @ get(f"{_CLIP}text_projection")
    return linear(feature, f"{_TEXT}text_proj").float()


def build(state: Mapping[str, Tensor]) -> SUTrack:
    """Makes a network with the widths of the checkpoint (SUTrack-T224 if there is no checkpoint)."""
    try:
        _, places, width = state["encoder.body.pos_embed"].shape
        head = len(state["decoder.conv1_ctr.0.bias"])
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return SUTrack()
    found = len({match[1] for key in state if (match := _BLOCK.match(key))}), places
    config = _PUBLISHED.get(found)
    if config is None:
        expected = ", ".join(f"{blocks} and {places}" for blocks, places in _PUBLISHED)
        raise CheckpointError(
            f"the checkpoint is of a SUTrack with {found[0]} blocks and {places} positions, expected one of {expected}"
        )
    one_stream.check_width(width)
    return SUTrack(replace(config, width=width, head=head))


def graphs(network: SUTrack) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    modules = {"template": export.template_graph(network), "track": export.track_graph(network)}
    sizes = network.config.template_size, network.config.search_size
    images = export.TEMPLATES[: network.config.templates]
    places = ([[0.21, 0.29, 0.77, 0.7]], [[0.33, 0.1, 0.66, 0.9]])
    boxes = {f"{image}_box": torch.tensor(place) for image, place in zip(images, places, strict=False)}
    return parts.graphs(network, modules, images, sizes, FEATURES, centre_head.OUTPUTS, boxes)


def manifest(network: SUTrack) -> dict[str, Any]:
    """The sections of model.yaml. The constants of the second template are the authors' for all benchmarks."""
    sizes = network.config.template_size, network.config.search_size
    sections = centre_head.manifest(list(FEATURES), IMAGENET_INPUT, *sizes, box_input="template_box")
    if network.config.templates > 1:
        sections["template"] |= {
            "refreshed_input": "second_template",
            "refreshed_box_input": "second_template_box",
            "refreshed_from": "last",
        }
        sections["tracking"] = {"default": {"update_interval": 25, "update_above": 0.7}}
    return sections


TRACKER = Tracker(
    name="sutrack",
    title="SUTrack (Towards Simple and Unified Single Object Tracking, AAAI 2025)",
    family="centre_head",
    source="SUTRACK_ep0180.pth.tar, linked from the authors' repository chenxin-dlut/SUTrack",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=manifest,
    pseudo_rule=transformer_rule(
        (
            Override(r"gamma_[12]$", offset=0.5),
            # The places where the target is and is not must differ.
            Override(r"_token$", scale=0.5),
            *one_stream.head_overrides("decoder"),
        ),
        {},
    ),
    golden_salt="#sutrack2",
    clean=clean,
    small=lambda: SUTrack(replace(T224, width=128, head=64)),
    further={"sutrack_b": lambda: SUTrack(replace(B224, width=128, head=64))},
)
