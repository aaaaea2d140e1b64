"""Makes batches of pairs as u8 [n, height, width, 3]. Normalisation and labels are computed on the training device.

:func:`batches` is a plain generator. :class:`PairStream` is the same for PyTorch's DataLoader, and :func:`loader` makes
one with worker processes. Each pair has a number and its own random generator, which is seeded with that number. So a
seed gives the same batches for any number of workers and of training processes.
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
    """A batch of n pairs.

    ``template`` is u8 [n, t, t, 3] and ``search`` u8 [n, s, s, 3], both RGB. ``box`` and ``template_box`` are float32
    [n, 4], x1, y1, x2, y2 in search and in template pixels. ``others`` is float32 [n, MAX_OTHERS, 4]: boxes in search
    pixels of objects that could be confused with the target, filled up with zeros. ``kind`` and ``origin`` are u8 [n]
    (see :class:`~ettrack_training.data.pairs.Kind` and :class:`~ettrack_training.data.pairs.Origin`).
    """

    template: np.ndarray
    search: np.ndarray
    box: np.ndarray
    kind: np.ndarray
    origin: np.ndarray
    template_box: np.ndarray
    others: np.ndarray


def stack(pairs: list[Pair]) -> Batch:
    """Makes a batch of pairs."""
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
    """Boxes [k, 4], filled up with zeros to [MAX_OTHERS, 4]."""
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
    """Yields batches of NumPy arrays without end, from the packs in ``cache``. They are made in this process.

    Worker ``(w, n)`` is number w of n and makes the batches w, w + n, ... Training process ``(p, m)`` is number p of m
    and makes part p of each batch of m times ``batch_size`` pairs.

    Raises ValueError if the cache holds no pack, or none for the configured mixture.
    """
    config = config or PairConfig()
    limit_threads()
    sampler = PairSampler(Dataset(Path(cache), config.source_weights, config.source_cap), config)
    for number in itertools.count(*worker):
        first = (number * part[1] + part[0]) * batch_size
        numbers = range(first, first + batch_size)
        yield stack([sampler(np.random.default_rng([seed, pair])) for pair in numbers])


class PairStream(IterableDataset):
    """Whole batches as PyTorch tensors without end. Each of n worker processes makes every n-th batch."""

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
    """Returns a loader of batches without end, made by ``workers`` processes (0: by this one).

    To resume a training with new pairs, pass another seed.
    """
    return DataLoader(
        PairStream(cache, config, seed=seed, batch_size=batch_size, part=part),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        pin_memory=pin_memory,
    )
