"""Distil from maps alone: `python -m ettrack_training.distil.maps --teacher DIR --cache DIR --start FILE --out FILE`

A teacher is any model folder whose graphs give a score and four distances for the student's grid of cells; nothing of
its inside is looked at. Both see windows of the box's own shape: one in which every target is square. Template windows
may differ, so both are cut from one crop of the template. The teacher's mistakes are put right where the
truth is known (`distil.correction`).
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import torch
import yaml
from torch import Tensor, nn
from tqdm import tqdm

from ..data.config import PairConfig
from ..data.loader import batches
from ..data.pairs import Kind
from ..networks.et_track import ETTrack
from ..networks.nano import NANO_BOX
from ..train.forward import freeze_norms
from ..train.log import CsvLog
from ..train.recipe import Schedule
from ..train.schedule import share
from ..train.start import start_from
from ..train.state import CheckpointFile
from .correction import corrected
from .head import Late, pair_config
from .layers import map_losses, total
from .memory import Ring

_HELD_OUT_SEED = 987654
_SMALLEST_DISTANCE, _LARGEST_DISTANCE = 0.1, 1000.0


class FolderTeacher:
    """A tracker as a model folder: `template.onnx`, `track.onnx` and the manifest that says how to feed them."""

    def __init__(self, folder: Path, threads: int = 1):
        manifest = yaml.safe_load((folder / "model.yaml").read_text())
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._graphs = {
            name: ort.InferenceSession(str(folder / file["path"]), options, providers=["CPUExecutionProvider"])
            for name, file in manifest["files"].items()
        }
        given = manifest["input"]
        if given["channels"] != "rgb":
            raise ValueError(f"{folder}: expected a teacher of RGB pictures, got {given['channels']}")
        self._mean, self._std = (np.asarray(given[name], np.float32).reshape(3, 1, 1) for name in ("mean", "std"))
        self._scale = np.float32(given["scale"])
        template = manifest["template"]
        #: Side of the template crop, pixels, and how much more than the box it shows on each side.
        self.template_size, self.template_context = template["size"], template["context"]
        self._template, self._features = template["input"], template["outputs"]
        self._search = manifest["search"]["input"]
        self._outputs = [manifest["outputs"][name]["name"] for name in ("score", "boxes")]

    def share_of(self, context: float) -> float:
        """Of the side of a template window with `context`, the share that this teacher sees."""
        return (1 + 2 * self.template_context) / (1 + 2 * context)

    def maps(self, template: np.ndarray, search: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pictures u8 RGB [B,t,t,3], [B,s,s,3] -> logits [B,1,n,n] and distances [B,4,n,n] in search pixels."""
        rows = []
        for z, x in zip(template, search, strict=True):
            kept = self._graphs["template"].run(self._features, {self._template: self._ready(z)})
            feed = dict(zip(self._features, kept, strict=True)) | {self._search: self._ready(x)}
            rows.append(self._graphs["track"].run(self._outputs, feed))
        cls, reg = (np.concatenate(column) for column in zip(*rows, strict=True))
        return cls, reg

    def _ready(self, picture: np.ndarray) -> np.ndarray:
        planes = picture.transpose(2, 0, 1).astype(np.float32) / self._scale
        return ((planes - self._mean) / self._std)[None]


class MapMemory(Ring):
    """A ring of pairs with the teacher's maps, and what `late`'s early layers make of the pictures."""

    def __init__(
        self, pairs: Iterator[dict], teachers: list[FolderTeacher], late: Late, capacity: int, seed: int, context: float
    ):
        super().__init__(capacity, seed)
        self._pairs, self._teachers, self._late, self._context = pairs, teachers, late, context

    def add(self) -> None:
        """Makes one batch of new pairs and asks the teachers about them."""
        batch = next(self._pairs)
        template, search = batch["template"], batch["search"]
        cls, reg = mean_maps([teacher.maps(self._inner(template, teacher), search) for teacher in self._teachers])
        self.put(
            {
                "template": self._late.early(_resized(template, NANO_BOX.template_size)),
                "search": self._late.early(search),
                "cls": cls.astype(np.float16),
                "reg": np.minimum(reg, _LARGEST_DISTANCE).astype(np.float16),
                "box": np.asarray(batch["box"], np.float32),
                "present": np.asarray(batch["kind"]) == Kind.POSITIVE,
            }
        )

    def _inner(self, template: np.ndarray, teacher: FolderTeacher) -> np.ndarray:
        """The teacher's part of template crops, at its size."""
        size = template.shape[1]
        inner = round(size * teacher.share_of(self._context))
        start = (size - inner) // 2
        return _resized(template[:, start : start + inner, start : start + inner], teacher.template_size)


def mean_maps(answers: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """What several teachers say: means of their logits, geometric means of their distances."""
    cls, reg = zip(*answers, strict=True)
    logarithms = [np.log(np.maximum(distances, _SMALLEST_DISTANCE)) for distances in reg]
    return np.mean(cls, axis=0), np.exp(np.mean(logarithms, axis=0))


def _resized(pictures: np.ndarray, size: int) -> np.ndarray:
    if pictures.shape[1] == size:
        return np.ascontiguousarray(pictures)
    way = cv2.INTER_AREA if size < pictures.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(picture, (size, size), interpolation=way) for picture in pictures])


def box_pairs(context: float, template_size: int) -> PairConfig:
    """Pairs of windows of the box's own shape: those of `distil.head --correct` otherwise, with more wrong shapes."""
    pairs = pair_config(correct=True)
    crop = replace(pairs.crop, box_context=context, template_size=template_size, search_aspect=0.3)
    return replace(pairs, crop=crop)


class MapDistillation:
    """A run: its network, optimiser and step, from a checkpoint where there is one. See `main` for the options."""

    def __init__(self, options: argparse.Namespace, network: ETTrack):
        self._options, self._network = options, network
        self._late = Late(network, options.joint)
        self._context = network.config.box_context
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
        self._teachers = [FolderTeacher(folder, options.threads) for folder in options.teacher]
        held = self._memory(_HELD_OUT_SEED, options.validation_pairs, options.validation_pairs)
        held.add()
        self._held = held.draw(options.validation_pairs)

    def _memory(self, seed: int, capacity: int, batch: int) -> MapMemory:
        # As many pixels of the template as the first teacher sees, around which the student sees more.
        size = round(self._teachers[0].template_size / self._teachers[0].share_of(self._context))
        pairs = batches(self._options.cache, box_pairs(self._context, size), seed=seed, batch_size=batch)
        return MapMemory(pairs, self._teachers, self._late, capacity, seed, self._context)

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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, nargs="+", required=True, help="model folders; of several, the mean")
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

    network = ETTrack(NANO_BOX)
    start_from(network, whole=args.start)
    MapDistillation(args, network).run()


if __name__ == "__main__":
    main()
