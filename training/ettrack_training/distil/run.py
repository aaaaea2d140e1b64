"""Runs a distillation from a memory of pairs: optimiser, steps, log and checkpoints.

The content of the pairs, the losses and their weights are defined by subclasses (`distil.head`, `distil.maps`).
"""

from __future__ import annotations

import argparse
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..networks.et_track import ETTrack
from ..train.forward import freeze_norms
from ..train.log import CsvLog
from ..train.recipe import Schedule
from ..train.schedule import share
from ..train.state import CheckpointFile
from .late import Late
from .memory import Memory

_HELD_OUT_SEED = 987654


class Distillation(ABC):
    """A run that starts from its checkpoint if that exists. `add_options` defines the options.

    Raises ValueError if the checkpoint belongs to another network."""

    def __init__(self, options: argparse.Namespace, network: ETTrack):
        self.options, self.network = options, network
        #: Called after each step of the optimiser.
        self.after_step: Callable[[], None] = lambda: None
        self.late = Late(network, options.joint)
        head = [p for n, p in network.named_parameters() if not n.startswith("backbone_net.")]
        groups: list[dict[str, Any]] = [{"params": head}]
        if options.joint:
            groups.append({"params": list(self.late.late.parameters()), "share": options.backbone_rate})
        self._optimizer = torch.optim.AdamW(groups, lr=options.rate, weight_decay=1e-4)
        self._checkpoint = CheckpointFile(options.out)
        self.step = self._checkpoint.resume(network, self._optimizer, network.config.to_dict())
        # Held-out pairs are added in batches as in training, so that all teachers that take turns label some of them.
        held = self.memory(_HELD_OUT_SEED, options.validation_pairs, options.fresh)
        while held.made < options.validation_pairs:
            held.add()
        self.held = held.all()

    @abstractmethod
    def memory(self, seed: int, capacity: int, batch: int) -> Memory:
        """Returns an empty memory for `capacity` labelled pairs that adds `batch` pairs at a time."""

    @abstractmethod
    def losses(self, batch: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
        """Returns the network's losses on pairs drawn from the memory, by name."""

    @abstractmethod
    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """Returns the weighted sum of the losses, which is minimised."""

    def run(self) -> None:
        """Trains until the last step. Writes a row of the log and a checkpoint every `save_every` steps."""
        options = self.options
        pairs = self.memory(options.seed * 100_003 + self.step, options.capacity, options.fresh)
        while pairs.made < min(8 * options.batch, options.capacity):
            pairs.add()
        # The rate is constant until the decay, so that a run can be continued with more steps.
        schedule = Schedule(options.steps, warmup=100, shape="constant", decay=options.decay, final=0.0)
        log = CsvLog(options.out.with_suffix(".csv"))
        sums: defaultdict[str, list[float]] = defaultdict(list)
        started = time.monotonic()
        with tqdm(total=options.steps, initial=self.step, mininterval=1.0) as bar:
            while self.step < options.steps:
                pairs.add()
                for name, value in self._train_step(pairs.draw(options.batch), schedule).items():
                    sums[name].append(value)
                bar.update()
                if self.step % options.save_every and self.step != options.steps:
                    continue
                self._save()
                log.write(self._report(time.monotonic() - started, sums))
                sums.clear()

    def _train_step(self, batch: dict[str, Tensor], schedule: Schedule) -> dict[str, float]:
        options = self.options
        for group in self._optimizer.param_groups:
            group["lr"] = options.rate * group.get("share", 1.0) * share(schedule, self.step)
        self.network.train()
        if options.frozen_norms:
            freeze_norms(self.network)
        losses = self.losses(batch, training=True)
        self._optimizer.zero_grad()
        self.total(losses).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self._optimizer.step()
        self.after_step()
        self.step += 1
        return {name: value.item() for name, value in losses.items()}

    def _save(self) -> None:
        self._checkpoint.save(
            {
                "state_dict": self.network.state_dict(),
                "config": self.network.config.to_dict(),
                "optimizer": self._optimizer.state_dict(),
                "step": self.step,
            }
        )

    def _report(self, seconds: float, sums: dict[str, list[float]]) -> dict[str, Any]:
        """Makes a row of the log: mean losses of the steps since the last row, and the losses on held-out pairs."""
        self.network.eval()
        with torch.no_grad():
            held = self.losses(self.held, training=False)
        rate = self._optimizer.param_groups[0]["lr"]
        row: dict[str, Any] = {"step": self.step, "seconds": round(seconds, 1), "rate": f"{rate:.2e}"}
        row |= {name: f"{sum(values) / len(values):.4f}" for name, values in sums.items()}
        return row | {f"held_{name}": f"{value.item():.4f}" for name, value in held.items()}


def add_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Adds the common options of all distillations. `defaults` replaces their defaults."""
    parser.add_argument("--cache", type=Path, required=True, help="folder written by ettrack_training.data.pack")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; an existing one is resumed")
    parser.add_argument("--joint", type=int, default=0, metavar="N", help="train the last N stages of the backbone too")
    parser.add_argument(
        "--backbone-rate", type=float, default=0.3, help="the backbone's share of the rate, with --joint"
    )
    parser.add_argument("--steps", type=int, required=True, help="total number of steps")
    parser.add_argument("--decay", type=int, default=0, help="last steps, in which the rate falls to zero")
    parser.add_argument("--hard-weight", type=float, default=0.0, help="weight of the worst empty cells")
    parser.add_argument("--frozen-norms", action="store_true", help="keep the statistics of batch norms")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--fresh", type=int, default=4, help="new pairs per step")
    parser.add_argument("--capacity", type=int, default=20000, help="number of pairs kept in memory")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--validation-pairs", type=int, default=96)
    parser.set_defaults(**defaults)


def seeded(options: argparse.Namespace) -> argparse.Namespace:
    """Sets PyTorch's threads and seed from `options` and returns them."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return options
