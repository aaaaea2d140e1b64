"""SUTrack-T224 (Chen et al., AAAI 2025), without a text."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checkpoint import CheckpointError, without
from ..export import Graph
from ..export import sutrack as export
from ..networks.one_stream import HEAD_WIDTH, cells
from ..networks.sutrack import DEPTHS, SEARCH_SIZE, TEMPLATE_SIZE, SUTrack
from ..pseudo_weights import Override, transformer_rule
from . import centre_head, one_stream, parts
from .anchor_free import IMAGENET_INPUT
from .base import StateDict, Tracker

FEATURES = ("template_tokens",)

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
        head_width = len(state["decoder.conv1_ctr.0.bias"])
    except KeyError:
        # Not this tracker. Strict loading says which tracker the file seems to belong to.
        return SUTrack()
    found = len({match[1] for key in state if (match := _BLOCK.match(key))})
    expected = sum(DEPTHS) + 2
    if found != expected or places != cells(SEARCH_SIZE) + cells(TEMPLATE_SIZE):
        raise CheckpointError(
            f"the checkpoint is of a SUTrack with {found} blocks and {places} positions, expected SUTrack-T224 with "
            f"{expected} and {cells(SEARCH_SIZE) + cells(TEMPLATE_SIZE)} (the others also take a second template)"
        )
    if width % HEAD_WIDTH:
        raise CheckpointError(f"the checkpoint's tokens have {width} channels, expected a multiple of {HEAD_WIDTH}")
    return SUTrack(width, head_width)


def graphs(network: SUTrack) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    modules = {"template": export.template_graph(network), "track": export.track_graph(network)}
    sizes = TEMPLATE_SIZE, SEARCH_SIZE
    box = {"template_box": torch.tensor([[0.21, 0.29, 0.77, 0.7]])}
    return parts.graphs(network, modules, ["template"], sizes, FEATURES, centre_head.OUTPUTS, box)


TRACKER = Tracker(
    name="sutrack",
    title="SUTrack-T224 (Towards Simple and Unified Single Object Tracking, AAAI 2025)",
    family="centre_head",
    source="SUTRACK_ep0180.pth.tar of the configuration sutrack_t224, "
    "linked from the authors' repository chenxin-dlut/SUTrack",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=build,
    graphs=graphs,
    manifest=lambda _: centre_head.manifest(
        list(FEATURES), IMAGENET_INPUT, TEMPLATE_SIZE, SEARCH_SIZE, box_input="template_box"
    ),
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
    small=lambda: SUTrack(128, 64),
)
