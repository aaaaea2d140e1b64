"""Batches of pairs as NHWC bytes; normalisation and labels happen on the device that trains.

:func:`batches` is a plain generator. :class:`PairStream` is the same for PyTorch's DataLoader, and
:func:`loader` sets that up with worker processes. Every pair has a number and a generator of its own, seeded with that
number: a seed gives the same batches whatever the number of workers and of training processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .config import PairConfig
from .dataset import Dataset
from .pairs import MAX_OTHERS, Pair
from .sampling import PairSampler, limit_threads


class Batch(TypedDict):
    """``template`` u8 [n, t, t, 3] and ``search`` u8 [n, s, s, 3], RGB; ``box`` and ``template_box`` float32 [n, 4],
    x1, y1, x2, y2 in search and template pixels; ``others`` float32 [n, MAX_OTHERS, 4], boxes in search pixels of
    objects that could be taken for the target, zeros where there are fewer; ``kind`` and ``origin`` u8 [n] (see
    :class:`~ettrack_training.data.pairs.Kind`)."""

    template: np.ndarray
    search: np.ndarray
    box: np.ndarray
    kind: np.ndarray
    origin: np.ndarray
    template_box: np.ndarray
    others: np.ndarray


def stack(pairs: list[Pair]) -> Batch:
    """Stacks pairs to a batch."""
    return Batch(
        template=np.stack([pair.template for pair in pairs]),
        search=np.stack([pair.search for pair in pairs]),
        box=np.stack([pair.box for pair in pairs]),
        kind=np.array([pair.kind for pair in pairs], np.uint8),
        origin=np.array([pair.origin for pair in pairs], np.uint8),
        template_box=np.stack([pair.template_box for pair in pairs]),
        others=np.stack([_filled(pair.others) for pair in pairs]),
    )


def _filled(others: np.ndarray) -> np.ndarray:
    """Boxes [k, 4] as [MAX_OTHERS, 4], the rest zeros."""
    rows = np.zeros((MAX_OTHERS, 4), np.float32)
    rows[: len(others)] = others
    return rows


def batches(
    cache: Path | str,
    config: PairConfig | None = None,
    *,
    seed: int,
    batch_size: int,
    worker: tuple[int, int] = (0, 1),
    part: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Endless batches of numpy arrays from the packs in ``cache``, made in this process.

    Of several workers ``(w, n)`` makes the batches w, w + n, ...; of several training processes ``(p, m)`` makes the
    part p of every batch of m times ``batch_size`` pairs.
    """
    config = config or PairConfig()
    limit_threads()
    sampler = PairSampler(Dataset(Path(cache), config.source_weights, config.source_cap), config)
    for number in itertools.count(*worker):
        first = (number * part[1] + part[0]) * batch_size
        numbers = range(first, first + batch_size)
        yield stack([sampler(np.random.default_rng([seed, pair])) for pair in numbers])


class PairStream(IterableDataset):
    """Whole batches as torch tensors; each worker process makes every n-th of them."""

    def __init__(
        self,
        cache: Path | str,
        config: PairConfig | None = None,
        *,
        seed: int,
        batch_size: int,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        self._arguments = (cache, config)
        self._options = {"seed": seed, "batch_size": batch_size, "part": part}

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        info = get_worker_info()
        worker = (0, 1) if info is None else (info.id, info.num_workers)
        for batch in batches(*self._arguments, **self._options, worker=worker):
            yield {name: torch.from_numpy(array) for name, array in batch.items()}


def loader(
    cache: Path | str,
    config: PairConfig | None = None,
    *,
    seed: int,
    batch_size: int,
    workers: int = 1,
    prefetch: int = 3,
    pin_memory: bool = False,
    part: tuple[int, int] = (0, 1),
) -> DataLoader:
    """Endless batches made by ``workers`` processes (0: in this one). Resuming: pass another seed."""
    return DataLoader(
        PairStream(cache, config, seed=seed, batch_size=batch_size, part=part),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        pin_memory=pin_memory,
    )
