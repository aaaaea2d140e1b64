"""Exponential moving average of weights (Polyak averaging)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Moving average of a network's floating-point state. Counters are copied.

    The decay grows up to `decay` in the first steps, so that the random first weights have little influence.
    """

    def __init__(self, network: nn.Module, decay: float):
        self._decay = decay
        self._updates = 0
        self._state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Adds the weights after a step to the average."""
        self._updates += 1
        keep = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self._state[name].lerp_(value, 1 - keep)
            else:
                self._state[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the averages under the names of the network's state."""
        return self._state

    def to_checkpoint(self) -> dict:
        """Returns the state of the average, for `load`."""
        return {"updates": self._updates, "state_dict": self._state}

    def load(self, saved: dict) -> None:
        """Continues the average whose state `to_checkpoint` returned."""
        self._updates = saved["updates"]
        for name, value in self._state.items():
            value.copy_(saved["state_dict"][name])
