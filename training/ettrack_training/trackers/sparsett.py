"""SparseTT (Fu et al., IJCAI 2022), Swin-T backbone and double head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..export import Graph
from ..export import sparsett as export
from ..networks.sparsett import (
    MEAN,
    SEARCH_SIZE,
    STD,
    STRIDE,
    TEMPLATE_SIZE,
    WINDOW,
    SparseTT,
    cell_centres,
    relative_position_index,
)
from ..pseudo_weights import Override, transformer_rule
from .base import StateDict, Tracker
from .noise import generator, structured_noise


def clean(state: StateDict) -> tuple[StateDict, list[str]]:
    """Completes constant tables, which some files leave out because the network computes them."""
    tables = {}
    for key in state:
        if key.endswith(".relative_position_bias_table"):
            name = key.replace("_bias_table", "_index")
            tables[name] = relative_position_index(WINDOW)
    if "head.si_conv" in state:
        tables["head.fm_ctr"] = cell_centres()
    return {**tables, **state}, []


class _Template(nn.Module):
    """Template image to the encoded template ``[64, 256]``."""

    def __init__(self, network: SparseTT):
        super().__init__()
        self.network = network

    def forward(self, template: Tensor) -> Tensor:
        return self.network.template(template)[0]


class _Track(nn.Module):
    def __init__(self, network: SparseTT):
        super().__init__()
        self.network = network

    def forward(self, encoded: Tensor, search: Tensor, *kept: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.track(encoded[None], search, kept)


def graphs(network: SparseTT) -> dict[str, Graph]:
    """`template.onnx` and `track.onnx`."""
    random = generator()
    template = structured_noise(TEMPLATE_SIZE, random)
    track = export.track_graph(network)
    return {
        "template": Graph(
            module=export.template_graph(network),
            reference=_Template(network),
            inputs={"template": template},
            outputs=("encoded_template",),
        ),
        "track": Graph(
            module=track,
            reference=_Track(network),
            inputs={
                "encoded_template": _Template(network)(template).detach(),
                "search": structured_noise(SEARCH_SIZE, random),
            },
            # Scores, and corners in search pixels.
            outputs=("score", "box"),
            # Where the 32nd and 33rd logit of a query agree to the last bits, rounding decides which is kept.
            choices=export.kept_keys(track),
        ),
    }


def manifest(_: SparseTT) -> dict[str, Any]:
    """The family's sections of model.yaml, with the authors' constants for each benchmark."""

    def constants(learning_rate: float, window_influence: float, penalty_k: float) -> dict[str, float]:
        return {"window_influence": window_influence, "penalty_k": penalty_k, "learning_rate": learning_rate}

    usual = (0.95, 0.21, 0.04)
    return {
        "input": {"channels": "rgb", "scale": 1.0, "mean": list(MEAN), "std": list(STD)},
        "template": {"input": "template", "size": TEMPLATE_SIZE, "context": 0.5, "outputs": ["encoded_template"]},
        "search": {"input": "search", "sizes": [SEARCH_SIZE], "exemplar_size": TEMPLATE_SIZE, "stride": STRIDE},
        "outputs": {"score": {"name": "score", "activation": "none"}, "boxes": {"name": "box"}},
        "tracking": {
            **{name: constants(*usual) for name in ("default", "got10k", "lasot", "trackingnet")},
            "otb100": constants(0.626, 0.2549, 0.053),
            "uav123": constants(0.7364, 0.2398, 0.0734),
        },
    }


TRACKER = Tracker(
    name="sparsett",
    title="SparseTT (Visual Tracking with Sparse Transformers, IJCAI 2022)",
    family="siamfcpp",
    source="model of the got10k or fulldata configuration (epoch-19.pkl), "
    "linked from the authors' repository fzh0917/SparseTT",
    licence="code of the authors under MIT, the weights' licence is not stated",
    build=lambda _: SparseTT(),
    graphs=graphs,
    manifest=manifest,
    pseudo_rule=transformer_rule(
        (
            Override(r"relative_position_bias_table$", scale=0.5),
            Override(r"(row|col)_embed\.weight$", scale=0.5),
            Override(r"slf_attn\.in_proj_weight$|enc_attn\.in_proj_weight$", scale=0.0625),
            Override(r"decoder_layers\.\d+\.slf_attn\.in_proj_weight$", scale=0.11),
            Override(r"head\.si_(fc|conv)$", offset=1.0),
            Override(r"head\.conv_branch\.\d+\.bn3\.weight$", offset=0.25, scale=0.03),
            Override(r"head\.(conv|fc)_branch_cls\.bn\.weight$", offset=1.0, scale=0.1),
            Override(r"head\.(conv|fc)_branch_reg\.bn\.weight$", offset=0.02, scale=0.002),
            Override(r"head\.(conv|fc)_branch_reg\.bn\.bias$", offset=0.69, scale=0.05),
            Override(r"head\.(conv|fc)_branch_cls\.bn\.bias$", offset=-1.0, scale=0.0),
        ),
        {
            "#stt": (
                Override(r"^head\.conv_branch_reg\.bn\.bias$", scale=0.0, offset=(0.7178, 0.6449, 0.7226, 0.6635)),
            ),
            "#stt-heldout": (
                Override(r"^head\.conv_branch_reg\.bn\.bias$", scale=0.0, offset=(0.7959, 0.7451, 0.8122, 0.7893)),
            ),
        },
        computed=("head.fm_ctr",),
    ),
    golden_salt="#stt",
    clean=clean,
)
