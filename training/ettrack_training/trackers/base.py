"""The description of a tracker from which the workshop makes a model folder of its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..export import Graph
from ..pseudo_weights import Rule

StateDict = dict[str, Tensor]


def _keep(state: StateDict) -> tuple[StateDict, list[str]]:
    return state, []


@dataclass(frozen=True)
class Tracker:
    """One tracker. It contains everything that differs between trackers.

    `build` makes the network that fits a checkpoint's keys. Most trackers have one configuration and ignore the keys.
    `graphs` makes the ONNX files by their names (`template`, `track`). `manifest` returns the sections `input`,
    `template`, `search`, `outputs` and `tracking` of model.yaml. `clean` drops or renames keys of a checkpoint that the
    network does not have, and returns what it dropped. `golden_salt` makes the pseudo-random weights for the recorded
    outputs of the tests. If the published sizes are too large for tests, `small` makes a smaller network for them.
    `further` makes further networks for these outputs, by the names of the outputs' files.
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
    further: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)

    def golden_network(self, name: str | None = None) -> nn.Module:
        """Returns the network of the tests' recorded outputs, with the weights of its constructor. `name` is that of
        the outputs' file, if it is not the tracker's."""
        if name in self.further:
            return self.further[name]()
        return self.build({}) if self.small is None else self.small()
