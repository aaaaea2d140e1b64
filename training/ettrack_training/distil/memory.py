"""Keeps pairs with the teacher's labels in memory and draws them repeatedly.

Making a pair and running the teacher costs as much as a training step. So each step makes a few new pairs and draws
most of its batch from earlier pairs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..data.pairs import Kind
from .teacher import Teacher

Features = Callable[[np.ndarray], np.ndarray]


class Memory(ABC):
    """Keeps the last `capacity` pairs."""

    def __init__(self, capacity: int, seed: int):
        self._capacity = capacity
        self._rows: dict[str, np.ndarray] = {}
        self._made = 0
        self._rng = np.random.default_rng([seed, 77])

    @property
    def made(self) -> int:
        """Number of pairs that were added so far."""
        return self._made

    @abstractmethod
    def add(self) -> None:
        """Makes one batch of new pairs and adds it."""

    def put(self, rows: dict[str, np.ndarray]) -> None:
        """Adds pairs, an array [B, ...] for each name. They replace the oldest pairs if the memory is full."""
        if not self._rows:
            self._rows = {name: np.empty((self._capacity, *row.shape[1:]), row.dtype) for name, row in rows.items()}
        count = len(next(iter(rows.values())))
        places = (self._made + np.arange(count)) % self._capacity
        for name, row in rows.items():
            self._rows[name][places] = row
        self._made += count

    def draw(self, count: int) -> dict[str, Tensor]:
        """Draws `count` pairs, a tensor [count, ...] for each name. A quarter are the newest, the rest any pairs."""
        held = min(self._made, self._capacity)
        newest = (self._made - 1 - np.arange(count // 4)) % self._capacity
        older = self._rng.integers(held, size=count - len(newest))
        return self._at(np.concatenate([newest, older]))

    def all(self) -> dict[str, Tensor]:
        """Returns every kept pair once."""
        return self._at(np.arange(min(self._made, self._capacity)))

    def _at(self, places: np.ndarray) -> dict[str, Tensor]:
        drawn = {name: torch.from_numpy(row[places]) for name, row in self._rows.items()}
        return {n: t.float() if t.dtype == torch.float16 else t for n, t in drawn.items()}


class PairMemory(Memory):
    """Keeps pairs with the teacher's features and maps.

    `pictures` keeps the crops, too (250 KB per pair). `student` is a function from pictures u8 [B,S,S,3] to features
    [B,C,h,w]. If it is given, its features are kept instead of the teacher's, and `both` keeps both. The maps are
    always the teacher's. `early` is such a function, too. If it is given, its output is kept instead of the crops.
    """

    def __init__(
        self,
        pairs: Iterator[dict],
        teacher: Teacher,
        capacity: int,
        pictures: bool,
        seed: int,
        student: Features | None = None,
        both: bool = False,
        early: Features | None = None,
    ):
        super().__init__(capacity, seed)
        self._student, self._both, self._early = student, both, early
        self._pairs, self._teacher, self._pictures = pairs, teacher, pictures

    def add(self) -> None:
        """Makes one batch of new pairs and labels them by the teacher."""
        batch = next(self._pairs)
        template = self._teacher.features(batch["template"])[-1]
        search = self._teacher.features(batch["search"])[-1]
        cls, reg = self._teacher.maps(template, search)
        teacher = template, search
        if self._student:
            template, search = self._student(batch["template"]), self._student(batch["search"])
        rows = {
            "template_features": template.astype(np.float16),
            "search_features": search.astype(np.float16),
            "cls": cls.astype(np.float16),
            "reg": np.minimum(reg, 1000).astype(np.float16),
            "box": np.asarray(batch["box"], np.float32),
            "present": np.asarray(batch["kind"]) == Kind.POSITIVE,
        }
        if self._both:
            rows["teacher_template"], rows["teacher_search"] = (part.astype(np.float16) for part in teacher)
        if self._pictures:
            crops = batch["template"], batch["search"]
            rows["template"], rows["search"] = map(self._early, crops) if self._early else crops
        self.put(rows)
