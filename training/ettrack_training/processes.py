"""A run in several processes that `torchrun` starts, one for each GPU. Each computes its part of every batch.

The functions here compute sums over a batch (losses, statistics of batch norms) over the parts of all processes. So a
run gives the same result as one process with the whole batch. A single process does not communicate.
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
    """Returns the number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Returns this process's number, from 0."""
    return dist.get_rank() if count() > 1 else 0


def is_first() -> bool:
    """Returns whether this process writes the run's files and messages."""
    return number() == 0


@contextmanager
def joined(device: str) -> Iterator[torch.device]:
    """Joins the processes if `torchrun` started several, and yields this process's device.

    `device` is `cpu`, or `cuda` for one GPU per process. With a single process it may be any device of PyTorch. May be
    nested. Raises ValueError if the device does not exist.
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
    """Returns the mean over the processes, without gradients. Every process must call it with the same shape."""
    if count() == 1:
        return values.detach()
    return _sum(values.detach().clone()) / count()


def gathered(value: int, device: torch.device) -> list[int]:
    """Returns the value of each process, in the order of the processes' numbers."""
    rows = torch.zeros(count(), dtype=torch.int64, device=device)
    rows[number()] = value
    return (_sum(rows) if count() > 1 else rows).tolist()


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Returns this process's part of the weighted mean over the batch of all processes; 0 if all weights are 0.

    The mean of the processes' parts is the mean over the whole batch. `DistributedDataParallel` averages the gradients,
    which gives the gradient of this mean.
    """
    return (values * weight).sum() / mean(weight.sum().float()).clamp_min(1 / count())


def variance(images: Tensor) -> Tensor:
    """The variance of each channel over the batch of all processes, [B,C,h,w] to [1,C,1,1], like `Tensor.var`."""
    if count() == 1:
        return images.var((0, 2, 3), keepdim=True)
    _, biased = _moments(images)
    values = _values_per_channel(images)
    return biased * (values / (values - 1))


class SharedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose statistics are those of the batch of all processes, on any device.

    PyTorch's `SyncBatchNorm` does the same, but only on GPUs, so that it could not be tested without a GPU.
    """

    def forward(self, images: Tensor) -> Tensor:
        """[B,C,h,w] to the same shape. All processes must have the same number of images."""
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
    """Makes all batch norms of a network compute over the batch of all processes."""
    for layer in network.modules():
        if type(layer) is nn.BatchNorm2d:
            # Its parameters, statistics and names do not change.
            layer.__class__ = SharedBatchNorm2d


class _SumWithGradient(torch.autograd.Function):
    """The sum over the processes. Its gradient is the sum of the gradients of all processes."""

    @staticmethod
    def forward(_, values: Tensor) -> Tensor:
        return _sum(values.clone())

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return _sum(gradient.clone())


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and variance of each channel over the batch of all processes, [1,C,1,1] each."""
    # In two passes, because the difference of two large means would have few exact digits.
    centre = _SumWithGradient.apply(images.mean((0, 2, 3), keepdim=True)) / count()
    spread = (images - centre).square().mean((0, 2, 3), keepdim=True)
    return centre, _SumWithGradient.apply(spread) / count()


def _values_per_channel(images: Tensor) -> int:
    return count() * images.numel() // images.shape[1]


def _sum(values: Tensor) -> Tensor:
    dist.all_reduce(values)
    return values
