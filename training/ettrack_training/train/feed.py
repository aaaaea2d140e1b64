"""Makes the batches of a run: tensors in main memory, with pictures as u8.

Every batch has `box` [B,4] (corners in search pixels) and `present` [B] (whether the search crop shows the template's
object). It also has `template` and `search` u8 [B,S,S,3], or the teacher's features and maps, or all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import processes
from ..data.device import DeviceAugment, wide_config
from ..data.loader import batches, loader
from ..data.pairs import Kind
from ..distil.memory import PairMemory
from ..distil.teacher import Teacher
from .recipe import Recipe

_HELD_OUT_SEED = 987654
# Additional pixels on each side of wide search crops, from which the device cuts.
_MARGIN = 48


Student = Callable[[np.ndarray], np.ndarray]


def training_batches(
    recipe: Recipe,
    cache: Path,
    teacher: Teacher | None,
    *,
    seed: int,
    step: int,
    student: Student | None = None,
    pin_memory: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Yields batches without end. A run that is resumed at another `step` does not repeat its first pairs.

    Each of several processes makes its part of a batch; `recipe` is that of one process (`Recipe.for_processes`).
    `student` computes the features if the recipe's inputs are `backbone_features`. See `forward.frozen_backbone`.
    """
    pairs_seed = seed * 100_003 + step
    if teacher is None:
        return _pairs(recipe, cache, pairs_seed, pin_memory)
    fresh = _fresh(recipe, cache, pairs_seed)
    # Each process has a memory of its own.
    draws = seed + step + 1_000_003 * processes.number()
    memory = PairMemory(fresh, teacher, recipe.data.memory, recipe.inputs == "pictures", draws, student)
    return _remembered(memory, recipe)


def held_out(recipe: Recipe, cache: Path, teacher: Teacher | None, student: Student | None = None) -> dict[str, Tensor]:
    """Returns the pairs of the validation as one batch. They are the same in every run on a cache.

    They are drawn separately from those of the training, but from the same pictures. So they show how well a network
    fits these pictures, not how well it generalises.
    """
    count = recipe.run.validation_pairs
    pairs = batches(cache, recipe.pairs, seed=_HELD_OUT_SEED, batch_size=count)
    if teacher is None:
        return _present({name: torch.from_numpy(array) for name, array in next(pairs).items()})
    memory = PairMemory(pairs, teacher, count, recipe.inputs == "pictures", 0, student)
    memory.add()
    return memory.all()


def device_augment(recipe: Recipe) -> DeviceAugment | None:
    """Returns the augmentation on the training device, or None if the recipe does not use it."""
    if not recipe.data.device_augment:
        return None
    return DeviceAugment.of(recipe.pairs, _MARGIN)


def _pairs(recipe: Recipe, cache: Path, seed: int, pin_memory: bool) -> Iterator[dict[str, Tensor]]:
    data = recipe.data
    config = wide_config(recipe.pairs, _MARGIN) if data.device_augment else recipe.pairs
    stream = loader(
        cache,
        config,
        seed=seed,
        batch_size=data.batch,
        workers=data.workers,
        prefetch=3,
        pin_memory=pin_memory,
        part=_part(),
    )
    for batch in stream:
        for _ in range(data.repeats if data.device_augment else 1):
            yield _present(batch)


def _fresh(recipe: Recipe, cache: Path, seed: int) -> Iterator[Mapping[str, np.ndarray]]:
    """Yields small batches of new pairs without end."""
    data = recipe.data
    if not data.workers:
        yield from batches(cache, recipe.pairs, seed=seed, batch_size=data.fresh, part=_part())
    for batch in loader(cache, recipe.pairs, seed=seed, batch_size=data.fresh, workers=data.workers, part=_part()):
        yield {name: value.numpy() for name, value in batch.items()}


def _part() -> tuple[int, int]:
    return processes.number(), processes.count()


def _remembered(memory: PairMemory, recipe: Recipe) -> Iterator[dict[str, Tensor]]:
    """Yields batches of a few new pairs and many earlier ones without end."""
    data = recipe.data
    while memory.made < min(8 * data.batch, data.memory):
        memory.add()
    while True:
        memory.add()
        yield memory.draw(data.batch)


def _present(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**batch, "present": batch["kind"] == Kind.POSITIVE}
