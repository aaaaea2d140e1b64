"""The cost of a network: its parameters and multiply-accumulates."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(network: nn.Module) -> int:
    """Number of learned values; batch-norm statistics are not counted."""
    return sum(p.numel() for p in network.parameters())


def macs(module: nn.Module, *inputs: torch.Tensor) -> int:
    """Number of multiply-accumulates of convolutions and matrix products in one forward pass.

    Normalisations, activations and pooling are not counted, as is usual in the field.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(*inputs)
    return counter.get_total_flops() // 2
