"""What the workshop must know of a tracker to make a model folder of its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..export import Graph
from ..pseudo_weights import Rule

StateDict = dict[str, Tensor]


def _keep(state: StateDict) -> tuple[StateDict, list[str]]:
    return state, []


@dataclass(frozen=True)
class Tracker:
    """One tracker. Everything that differs between trackers stands in one of these.

    `build` makes the network that a checkpoint's keys ask for (most trackers have one
    configuration and ignore them). `graphs` names the ONNX files (`template`, `track`), and
    `manifest` gives the sections `input`, `template`, `search`, `outputs` and `tracking` of
    model.yaml. `clean` drops or renames the keys that a checkpoint may carry beyond the
    network's, and tells what it dropped. `golden_salt` makes the pseudo-random weights that the
    goldens of the tests were made with; where the published sizes are too large for tests, in a network of `small`.
    """

    name: str
    title: str
    family: str
    source: str
    licence: str
    build: Callable[[Mapping[str, Tensor]], nn.Module]
    graphs: Callable[[Any], dict[str, Graph]]
    manifest: Callable[[Any], dict[str, Any]]
    pseudo_rule: Rule
    golden_salt: str
    clean: Callable[[StateDict], tuple[StateDict, list[str]]] = _keep
    small: Callable[[], nn.Module] | None = None

    def golden_network(self) -> nn.Module:
        """A network as the goldens of the tests were made with, with weights of its constructor."""
        return self.build({}) if self.small is None else self.small()
