"""Distil from maps alone: `python -m ettrack_training.distil.maps --teacher DIR --cache DIR --start FILE --out FILE`

A teacher is a model folder whose graphs return a score and four distances for each cell. Its inner tensors are not
used. Its windows have the box's own shape, and its search window is five boxes wide and high (`distil.folder_teacher`).
The student sees the same windows or their inner part. With `--square`, which names a teacher with square windows, the
student sees square windows, and the other teachers' maps are resampled at its cells (`distil.map_labels`). The
teachers' mistakes are corrected where the truth is known (`distil.correction`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from ..data.loader import Batch, batches
from ..networks.et_track import ETTrack, ETTrackConfig
from ..networks.nano import NANO_BOX
from ..refusals import refusals
from ..train.start import opened, start_from
from ..train.state import CheckpointFile, config_of
from .asked_pairs import crossing_pairs
from .correction import corrected, other_cells
from .folder_teacher import FolderTeacher
from .late import Late
from .layers import map_losses, other_loss, total
from .map_labels import BoxLabels, CarriedLabels, Labelled
from .memory import Memory
from .run import Distillation, add_options, seeded
from .teacher import Teacher
from .widen import Kept

_LARGEST_DISTANCE = 1000.0


class MapMemory(Memory):
    """Keeps labelled pairs. Instead of pictures it keeps the output of `late`'s first stages."""

    def __init__(
        self, pairs: Iterator[Batch], label: Callable[[Batch], Labelled], late: Late, capacity: int, seed: int
    ):
        super().__init__(capacity, seed)
        self._pairs, self._label, self._late = pairs, label, late

    def add(self) -> None:
        """Makes one batch of new pairs and labels them by the teachers."""
        pairs = self._label(next(self._pairs))
        self.put(
            {
                "template": self._late.early(pairs.template),
                "search": self._late.early(pairs.search),
                "cls": pairs.cls.astype(np.float16),
                "reg": np.minimum(pairs.reg, _LARGEST_DISTANCE).astype(np.float16),
                "box": pairs.box,
                "present": pairs.present,
                "others": pairs.others,
            }
        )


class MapDistillation(Distillation):
    """A run that uses only the maps of its teachers."""

    def __init__(self, options: argparse.Namespace, network: ETTrack):
        super().__init__(options, network)
        if options.keep:
            # After the base class, which moves the backbone's weights to another memory format.
            self.after_step = Kept(network, opened(options.keep)).restore

    def memory(self, seed: int, capacity: int, batch: int) -> MapMemory:
        label = labels(self.options, self.network, seed)
        asked = crossing_pairs(label.pairs(), self.options.crossings)
        pairs = batches(self.options.cache, asked, seed=seed, batch_size=batch)
        return MapMemory(pairs, label, self.late, capacity, seed)

    def losses(self, batch: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
        others = other_cells(batch["box"], batch["others"], batch["cls"].shape[-1])
        maps = corrected((batch["cls"], batch["reg"]), batch["box"], batch["present"], self.options.true_boxes, others)
        network = self.network
        zf = network.template_neck(self.late(batch["template"]))
        xf = network.search_neck(self.late(batch["search"]))
        cls, reg = network.predict(network.fuse(zf, xf))
        return map_losses(cls, reg, *maps) | {"other": other_loss(cls, others)}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        others = self.options.other_weight * losses["other"]
        return total({**losses, "other": others}, 1.0, 0.0, self.options.hard_weight)


def labels(options: argparse.Namespace, network: ETTrack, seed: int) -> BoxLabels | CarriedLabels:
    """Makes the labelling of a run from its teachers. Raises ValueError if a teacher does not fit the student."""
    teachers = [FolderTeacher(folder, options.threads) for folder in options.teacher]
    config = network.config
    if not options.square:
        return BoxLabels(teachers, config.box_context, config.template_size, config.search_sizes[0])
    square = Teacher(options.square, threads=options.threads)
    return CarriedLabels(teachers, square, options.share, config.template_size, config.search_sizes[0], seed)


def student(start: Path, context: float | None, square: bool) -> ETTrackConfig:
    """Returns the configuration of a checkpoint's network, for windows with `context` or for square windows.

    The kind of windows may differ from the checkpoint's, because the same weights fit both.
    """
    config = ETTrackConfig.from_dict(config_of(start, CheckpointFile(start).load()))
    if square:
        return replace(config, box_context=None)
    if context is None:
        context = NANO_BOX.box_context if config.box_context is None else config.box_context
    return replace(config, box_context=context)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--teacher",
        type=Path,
        nargs="+",
        required=True,
        help="model folders; several take turns, with --square their mean is used",
    )
    parser.add_argument("--square", type=Path, help="folder of backbone.onnx, head.onnx of a teacher of square windows")
    parser.add_argument("--share", type=float, default=0.6, help="share of --teacher in a score, with --square")
    parser.add_argument(
        "--context",
        type=float,
        help=f"part of the template beside the box, in sides of the box (default: --start's or {NANO_BOX.box_context})",
    )
    parser.add_argument("--start", type=Path, required=True, help="checkpoint of the network to start from")
    parser.add_argument("--keep", type=Path, help="checkpoint that `distil.widen` widened: only what it added learns")
    parser.add_argument("--true-boxes", action="store_true", help="use the true boxes, not the mean with the teacher's")
    parser.add_argument("--crossings", type=float, default=0.0, help="share of pairs with look-alikes at the target")
    parser.add_argument("--other-weight", type=float, default=0.0, help="weight of the scores of look-alikes")
    add_options(parser, joint=3, backbone_rate=0.5, hard_weight=0.2, capacity=8000, rate=1e-3, save_every=100)
    args = seeded(parser.parse_args(argv))

    if args.square and args.context is not None:
        parser.error("--context is for windows of the box's shape; --square uses square windows; expected one of them")
    with refusals():
        network = ETTrack(student(args.start, args.context, bool(args.square)))
        start_from(network, whole=args.start)
        distillation = MapDistillation(args, network)
    distillation.run()


if __name__ == "__main__":
    main()
