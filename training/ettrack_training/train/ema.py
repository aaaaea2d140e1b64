"""Averaged weights (Polyak averaging with an exponential window)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Running average of a network's floating-point state; counters are copied.

    The window grows with the run, so that the random first weights have little influence.
    """

    def __init__(self, network: nn.Module, decay: float):
        self._decay = decay
        self._updates = 0
        self._state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Takes in the weights after a step."""
        self._updates += 1
        keep = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self._state[name].lerp_(value, 1 - keep)
            else:
                self._state[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages under the network's names."""
        return self._state

    def to_checkpoint(self) -> dict:
        """What `load` takes back."""
        return {"updates": self._updates, "state_dict": self._state}

    def load(self, saved: dict) -> None:
        """Continues an average of an earlier process."""
        self._updates = saved["updates"]
        for name, value in self._state.items():
            value.copy_(saved["state_dict"][name])
