"""A run in several processes, one for each GPU, as `torchrun` starts them. Each computes its part of every batch.

With the functions here, sums over a batch (losses, statistics of batch norms) are sums over the parts of all processes,
so that a run gives what one process with the whole batch would. In a single process nothing is communicated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

# The first process evaluates the network while the others wait for it.
_PATIENCE = timedelta(days=2)


def count() -> int:
    """How many processes the run has."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if count() > 1 else 0


def is_first() -> bool:
    """Whether this process writes the run's files and messages."""
    return number() == 0


@contextmanager
def joined(device: str) -> Iterator[torch.device]:
    """Joins the processes that `torchrun` started, if it did, and gives this one's device.

    `device` is `cpu`, or `cuda` for a GPU of each process's own, or anything PyTorch knows where there is one process.
    May be nested. Raises ValueError for a device that is not there.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device {device}: PyTorch sees no CUDA device here; expected cpu")
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield torch.device(device)
        return
    if device not in ("cpu", "cuda"):
        raise ValueError(f"--device: expected cpu or cuda where torchrun starts several processes, got {device}")
    own = torch.device(device)
    if device == "cuda":
        place, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= there:
            raise ValueError(f"--nproc-per-node: expected at most {there}, as many as PyTorch sees CUDA devices here")
        own = torch.device("cuda", place)
        torch.cuda.set_device(own)
    if dist.is_initialized():
        yield own
        return
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield own
    finally:
        dist.destroy_process_group()


def mean(values: Tensor) -> Tensor:
    """The mean over the processes, without gradients. Every process must call it with the same shape."""
    if count() == 1:
        return values.detach()
    return _sum(values.detach().clone()) / count()


def gathered(value: int, device: torch.device) -> list[int]:
    """The value that each process has, in the order of their numbers."""
    rows = torch.zeros(count(), dtype=torch.int64, device=device)
    rows[number()] = value
    return (_sum(rows) if count() > 1 else rows).tolist()


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """This process's part of the weighted mean over the batch of all; 0 where all weights are 0.

    The mean of the processes' parts is the mean over the whole batch, and so are the gradients that
    `DistributedDataParallel` averages.
    """
    return (values * weight).sum() / mean(weight.sum().float()).clamp_min(1 / count())


def variance(images: Tensor) -> Tensor:
    """Variance of each channel over the batch of all processes, [B,C,h,w] to [1,C,1,1], as `Tensor.var` computes it."""
    if count() == 1:
        return images.var((0, 2, 3), keepdim=True)
    _, biased = _moments(images)
    values = _values_per_channel(images)
    return biased * (values / (values - 1))


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose statistics are those of the batch of all processes, on any device.

    PyTorch's `SyncBatchNorm` does the same on GPUs alone, where no test without one would see it.
    """

    def forward(self, images: Tensor) -> Tensor:
        """[B,C,h,w] to the same; every process must have as many images."""
        if not self.training or count() == 1:
            return super().forward(images)
        wide = images.to(torch.promote_types(images.dtype, torch.float32))
        centre, biased = _moments(wide)
        values = _values_per_channel(images)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(centre.flatten(), self.momentum)
            self.running_var.lerp_((biased * (values / (values - 1))).flatten(), self.momentum)
        scale = self.weight.view(1, -1, 1, 1) * (biased + self.eps).rsqrt()
        return ((wide - centre) * scale + self.bias.view(1, -1, 1, 1)).to(images.dtype)


def share_norms(network: nn.Module) -> None:
    """Lets all batch norms of a network be computed over the batch of all processes."""
    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d:
            # Its parameters, statistics and names stay what they are.
            layer.__class__ = SharedBatchNorm2d


class _SumWithGradient(torch.autograd.Function):
    """The sum over the processes; so the gradient is the sum of the gradients that all have for it."""

    @staticmethod
    def forward(_, values: Tensor) -> Tensor:
        return _sum(values.clone())

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return _sum(gradient.clone())


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over the batch of all processes, two of [1,C,1,1]."""
    # In two passes, because the difference of two large means would have few digits.
    centre = _SumWithGradient.apply(images.mean((0, 2, 3), keepdim=True)) / count()
    spread = (images - centre).square().mean((0, 2, 3), keepdim=True)
    return centre, _SumWithGradient.apply(spread) / count()


def _values_per_channel(images: Tensor) -> int:
    return count() * images.numel() // images.shape[1]


def _sum(values: Tensor) -> Tensor:
    dist.all_reduce(values)
    return values
