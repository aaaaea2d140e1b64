"""Distil a head: `python -m ettrack_training.distil.head --teacher DIR --cache DIR --backbone FILE --out FILE`

A head is a function of two features, and a teacher answers for any pair of them; what it answers inside helps as much
as what it answers at the end. At first each layer of the student is fed with the teacher's own tensor and learns the
next one (as `distil.backbone` does it), so that all layers learn at the same time from correct inputs. Then the
layers are chained, on the features of the student's backbone, and learn the teacher's maps. With `--joint` the last
stages of that backbone learn too, from pictures; the teacher's features keep them where they are. With `--correct`
the teacher's mistakes are put right where the truth is known (`distil.correction`), and more pairs are drawn in which
it errs.

The layers of both towers must be as many as the teacher's, each of the same reach, and but for the last one without a
residual: `ettrack-nano` is laid out so for NanoTrack v2.

"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from ..data.loader import batches
from ..networks.et_track import ETTrack
from ..networks.nano import NANO
from ..refusals import refusals
from ..train.forward import frozen_backbone
from ..train.losses import feature_distance
from ..train.start import start_from
from .asked_pairs import pair_config
from .correction import corrected
from .layers import head_losses, start_at_scale, total
from .memory import PairMemory
from .run import Distillation, add_options, seeded
from .teacher import Teacher

# The gated correlation and the outputs of all layers but the last, for scores and for boxes, in NanoTrack v2.
NANOTRACK_V2_HEAD_HINTS = tuple(
    name
    for branch, tower in (("cls", "cls"), ("reg", "bbox"))
    for name in (
        f"/corr_pw_{branch}/CA_layer/Mul_output_0",
        *(f"/{tower}_pw_tower/{tower}_pw_tower.{layer}/Clip_output_0" for layer in (3, 7, 11, 15, 19)),
    )
)


class HeadDistillation(Distillation):
    """A run with a teacher whose head's inside is known."""

    def __init__(self, options: argparse.Namespace, network: ETTrack):
        self._teacher = Teacher(options.teacher, threads=options.threads, head_hints=tuple(options.hints))
        super().__init__(options, network)
        if not (options.head or self.step):
            start_at_scale(network, self._ask(self.held)[1])

    def memory(self, seed: int, capacity: int, batch: int) -> PairMemory:
        joint = bool(self.options.joint)
        pairs = batches(self.options.cache, pair_config(self.options.correct), seed=seed, batch_size=batch)
        student = None if joint else frozen_backbone(self.network, torch.device("cpu"))
        early = self.late.early if joint else None
        return PairMemory(pairs, self._teacher, capacity, joint, seed, student, both=True, early=early)

    def _ask(self, batch: dict[str, Tensor]) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
        """The teacher's maps and hints: kept, they would take twenty times the memory of the features."""
        cls, reg, hints = self._teacher.head(batch["teacher_template"].numpy(), batch["teacher_search"].numpy())
        return (torch.from_numpy(cls), torch.from_numpy(reg)), [torch.from_numpy(hint) for hint in hints]

    @property
    def _chained(self) -> bool:
        return self.step >= self.options.blockwise

    def losses(self, batch: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
        chained = self._chained or not training
        maps, hints = self._ask(batch)
        if self.options.correct:
            maps = corrected(maps, batch["box"], batch["present"])
        teacher = batch["teacher_template"], batch["teacher_search"]
        if not self.options.joint:
            inputs = (batch["template_features"], batch["search_features"]) if chained else teacher
            return head_losses(self.network, *inputs, hints, maps, chained)
        inputs = self.late(batch["template"]), self.late(batch["search"])
        variance = teacher[1].var((0, 2, 3), keepdim=True).clamp_min(1e-6)
        missed = sum(feature_distance(mine, other, variance) for mine, other in zip(inputs, teacher, strict=True))
        return head_losses(self.network, *inputs, hints, maps, chained) | {"features": missed}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        hints = self.options.hint_weight if self._chained else 1.0
        return total(losses, hints, self.options.features_weight, self.options.hard_weight)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True, help="folder of backbone.onnx, head.onnx")
    parser.add_argument("--backbone", type=Path, required=True, help="checkpoint of the distilled backbone")
    parser.add_argument("--features-weight", type=float, default=1.0, help="of the backbone's own loss, when joint")
    parser.add_argument("--head", type=Path, help="checkpoint of a trained head to start from")
    parser.add_argument(
        "--hints",
        nargs="+",
        default=NANOTRACK_V2_HEAD_HINTS,
        help="per tower the teacher's correlation and layers, scores first; NanoTrack v2's if not given",
    )
    parser.add_argument("--blockwise", type=int, default=0, help="first steps with teacher-fed layers")
    parser.add_argument("--hint-weight", type=float, default=0.3, help="of each hint once the layers are chained")
    parser.add_argument("--correct", action="store_true", help="put the teacher's mistakes right")
    add_options(parser)
    args = seeded(parser.parse_args(argv))

    with refusals():
        network = ETTrack(NANO)
        start_from(network, backbone=args.backbone, head=args.head)
        distillation = HeadDistillation(args, network)
    distillation.run()


if __name__ == "__main__":
    main()
