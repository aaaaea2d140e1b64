"""Distil from maps alone: `python -m ettrack_training.distil.maps --teacher DIR --cache DIR --start FILE --out FILE`

A teacher is any model folder whose graphs give a score and four distances for the student's grid of cells; nothing of
its inside is looked at. The teachers see windows of the box's own shape. So does the student, unless `--square`
names a teacher of square windows: then the student sees those, and what the others say is carried to its cells
(`distil.map_labels`). The teachers' mistakes are put right where the truth is known (`distil.correction`).
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..data.loader import Batch, batches
from ..networks.et_track import ETTrack
from ..networks.nano import NANO, NANO_BOX
from ..train.forward import freeze_norms
from ..train.log import CsvLog
from ..train.recipe import Schedule
from ..train.schedule import share
from ..train.start import start_from
from ..train.state import CheckpointFile
from .correction import corrected
from .folder_teacher import FolderTeacher
from .head import Late
from .layers import map_losses, total
from .map_labels import BoxLabels, CarriedLabels, Labelled
from .memory import Ring
from .teacher import Teacher

_HELD_OUT_SEED = 987654
_LARGEST_DISTANCE = 1000.0


class MapMemory(Ring):
    """A ring of labelled pairs; of the pictures, what `late`'s early layers make of them."""

    def __init__(
        self, pairs: Iterator[Batch], label: Callable[[Batch], Labelled], late: Late, capacity: int, seed: int
    ):
        super().__init__(capacity, seed)
        self._pairs, self._label, self._late = pairs, label, late

    def add(self) -> None:
        """Makes one batch of new pairs and asks the teachers about them."""
        pairs = self._label(next(self._pairs))
        self.put(
            {
                "template": self._late.early(pairs.template),
                "search": self._late.early(pairs.search),
                "cls": pairs.cls.astype(np.float16),
                "reg": np.minimum(pairs.reg, _LARGEST_DISTANCE).astype(np.float16),
                "box": pairs.box,
                "present": pairs.present,
            }
        )


class MapDistillation:
    """A run: its network, optimiser and step, from a checkpoint where there is one. See `main` for the options."""

    def __init__(self, options: argparse.Namespace, network: ETTrack):
        self._options, self._network = options, network
        self._late = Late(network, options.joint)
        head = [p for n, p in network.named_parameters() if not n.startswith("backbone_net.")]
        late = {"params": list(self._late.late.parameters()), "share": options.backbone_rate}
        self._optimizer = torch.optim.AdamW([{"params": head}, late], lr=options.rate, weight_decay=1e-4)
        self._checkpoint = CheckpointFile(options.out)
        self._step = 0
        if self._checkpoint.exists():
            state = self._checkpoint.load()
            network.load_state_dict(state["state_dict"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._step = state["step"]
        held = self._memory(_HELD_OUT_SEED, options.validation_pairs, options.validation_pairs)
        held.add()
        self._held = held.draw(options.validation_pairs)

    def _memory(self, seed: int, capacity: int, batch: int) -> MapMemory:
        label = labels(self._options, self._network, seed)
        pairs = batches(self._options.cache, label.pairs(), seed=seed, batch_size=batch)
        return MapMemory(pairs, label, self._late, capacity, seed)

    def _losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        maps = corrected((batch["cls"], batch["reg"]), batch["box"], batch["present"])
        network = self._network
        zf = network.template_neck(self._late(batch["template"]))
        xf = network.search_neck(self._late(batch["search"]))
        return map_losses(*network.predict(network.fuse(zf, xf)), *maps)

    def _train_step(self, batch: dict[str, Tensor], schedule: Schedule) -> dict[str, float]:
        options = self._options
        for group in self._optimizer.param_groups:
            group["lr"] = options.rate * group.get("share", 1.0) * share(schedule, self._step)
        self._network.train()
        if options.frozen_norms:
            freeze_norms(self._network)
        losses = self._losses(batch)
        self._optimizer.zero_grad()
        total(losses, 0.0, 0.0, options.hard_weight).backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 10.0)
        self._optimizer.step()
        self._step += 1
        return {name: value.item() for name, value in losses.items()}

    def run(self) -> None:
        """Trains until the last step; a row of the log and a checkpoint every `save_every` steps."""
        options = self._options
        pairs = self._memory(options.seed * 100_003 + self._step, options.capacity, options.fresh)
        while pairs.made < min(8 * options.batch, options.capacity):
            pairs.add()
        schedule = Schedule(options.steps, warmup=100, shape="constant", decay=options.decay, final=0.0)
        log = CsvLog(options.out.with_suffix(".csv"))
        sums: defaultdict[str, list[float]] = defaultdict(list)
        started = time.monotonic()
        with tqdm(total=options.steps, initial=self._step, mininterval=1.0) as bar:
            while self._step < options.steps:
                pairs.add()
                for name, value in self._train_step(pairs.draw(options.batch), schedule).items():
                    sums[name].append(value)
                bar.update()
                if self._step % options.save_every and self._step != options.steps:
                    continue
                log.write(self._report(time.monotonic() - started, sums))
                sums.clear()

    def _report(self, seconds: float, sums: dict[str, list[float]]) -> dict[str, Any]:
        self._checkpoint.save(
            {
                "state_dict": self._network.state_dict(),
                "config": self._network.config.to_dict(),
                "optimizer": self._optimizer.state_dict(),
                "step": self._step,
            }
        )
        self._network.eval()
        with torch.no_grad():
            held = self._losses(self._held)
        rate = self._optimizer.param_groups[0]["lr"]
        row: dict[str, Any] = {"step": self._step, "seconds": round(seconds, 1), "rate": f"{rate:.2e}"}
        row |= {name: f"{sum(values) / len(values):.4f}" for name, values in sums.items()}
        return row | {f"held_{name}": f"{value.item():.4f}" for name, value in held.items()}


def labels(options: argparse.Namespace, network: ETTrack, seed: int) -> BoxLabels | CarriedLabels:
    """What the teachers of a run say to its student."""
    teachers = [FolderTeacher(folder, options.threads) for folder in options.teacher]
    config = network.config
    if not options.square:
        return BoxLabels(teachers, config.box_context, config.template_size)
    square = Teacher(options.square, threads=options.threads)
    return CarriedLabels(teachers, square, options.share, config.template_size, config.search_sizes[0], seed)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, nargs="+", required=True, help="model folders; of several, the mean")
    parser.add_argument("--square", type=Path, help="folder of backbone.onnx, head.onnx of a teacher of square windows")
    parser.add_argument("--share", type=float, default=0.6, help="of the other teachers in a score, beside --square")
    parser.add_argument("--cache", type=Path, required=True, help="packed pictures")
    parser.add_argument("--start", type=Path, required=True, help="checkpoint of a network to start from")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, resumed when it exists")
    parser.add_argument("--joint", type=int, default=3, metavar="N", help="train the last N stages of the backbone too")
    parser.add_argument("--backbone-rate", type=float, default=0.5, help="of the rate")
    parser.add_argument("--steps", type=int, required=True, help="steps in all")
    parser.add_argument("--decay", type=int, default=0, help="last steps, cosine to zero")
    parser.add_argument("--hard-weight", type=float, default=0.2, help="of the worst cells where nothing is to be seen")
    parser.add_argument("--frozen-norms", action="store_true", help="leave the statistics of batch norms as they are")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--fresh", type=int, default=4, help="new pairs per step")
    parser.add_argument("--capacity", type=int, default=8000, help="pairs held in memory")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=100)
    parser.add_argument("--validation-pairs", type=int, default=96)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    network = ETTrack(NANO if args.square else NANO_BOX)
    start_from(network, whole=args.start)
    MapDistillation(args, network).run()


if __name__ == "__main__":
    main()
