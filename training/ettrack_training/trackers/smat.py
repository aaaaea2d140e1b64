"""SMAT (Gopal and Amer, WACV 2024), configuration mobilevitv2_256_128x1_ep300."""

from __future__ import annotations

from torch import Tensor, nn

from ..export import Graph
from ..export import smat as export
from ..networks.smat import SEARCH_SIZE, TEMPLATE_SIZE, Smat
from ..pseudo_weights import Override, transformer_rule
from . import centre_head
from .base import Tracker
from .noise import generator, structured_noise


class _Template(nn.Module):
    """Computes the tokens ``[4, 64, 128]`` of a template image, as the track graph takes them."""

    def __init__(self, network: Smat):
        super().__init__()
        self.network = network

    def forward(self, template: Tensor) -> Tensor:
        return self.network.template(template)[0].permute(1, 2, 0)


class _Track(nn.Module):
    def __init__(self, network: Smat):
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.network.track(tokens.permute(2, 0, 1)[None], search)


def graphs(network: Smat) -> dict[str, Graph]:
    """Returns `template.onnx` and `track.onnx`."""
    random = generator()
    template = structured_noise(TEMPLATE_SIZE, random).sigmoid()
    search = structured_noise(SEARCH_SIZE, random).sigmoid()
    tokens = _Template(network)(template).detach()
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
            inputs={"template_tokens": tokens, "search": search},
            outputs=centre_head.OUTPUTS,
        ),
    }


TRACKER = Tracker(
    name="smat",
    title="SMAT (Separable Self and Mixed Attention Transformers for Efficient Object Tracking, WACV 2024)",
    family="centre_head",
    source="MobileViTv2_Track_ep0300.pth.tar, linked from the authors' repository goutamyg/SMAT",
    licence="code of the authors under Apache-2.0, the weights' licence is not stated",
    build=lambda _: Smat(),
    graphs=graphs,
    manifest=lambda _: centre_head.manifest(
        ["template_tokens"],
        {"channels": "rgb", "scale": 255.0, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
    ),
    pseudo_rule=transformer_rule(
        (
            Override(r"^box_head\.conv4_ctr\.weight$", gain=2.0),
            Override(r"^box_head\.conv4_ctr\.bias$", offset=-2.0),
            Override(r"^box_head\.conv4_size\.weight$", gain=0.2),
            Override(r"^box_head\.conv4_size\.bias$", offset=-1.2),
            Override(r"^box_head\.conv4_offset\.weight$", gain=0.2),
            Override(r"^box_head\.conv4_offset\.bias$", offset=0.5),
        ),
        {
            "#smat": (
                Override(r"^box_head\.conv4_size\.bias$", scale=0.0, offset=(-1.5297, -1.2152)),
                Override(r"^box_head\.conv4_ctr\.bias$", scale=0.0, offset=1.6131),
            ),
            "#smat-heldout": (
                Override(r"^box_head\.conv4_size\.bias$", scale=0.0, offset=(-1.1722, -0.7228)),
                Override(r"^box_head\.conv4_ctr\.bias$", scale=0.0, offset=0.5298),
            ),
        },
    ),
    golden_salt="#smat",
)
