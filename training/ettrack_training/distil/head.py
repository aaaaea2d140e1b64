"""Distil a head: `python -m ettrack_training.distil.head --teacher DIR --cache DIR --backbone FILE --out FILE`

A head computes maps from two features, and the teacher has an answer for any two features. Its inner tensors help as
much as its maps. At first each layer of the student gets the teacher's tensor as input and learns the teacher's next
tensor (as in `distil.backbone`), so that all layers learn at the same time from correct inputs. Then the layers are
connected, take the features of the student's backbone, and learn the teacher's maps. With `--joint` the last stages of
that backbone learn too, from pictures. A loss keeps its features close to the teacher's. With `--correct` the teacher's
mistakes are corrected where the truth is known (`distil.correction`), and there are more pairs in which it errs.

Both towers must have as many layers as the teacher's. Each layer must have the same kernel size as the teacher's. All
but the last must have no residual. `ettrack-nano` fulfils this for NanoTrack v2.
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

# Tensors of NanoTrack v2, for scores and for boxes: the gated correlation, and the outputs of all layers but the last.
NANOTRACK_V2_HEAD_HINTS = tuple(
    name
    for branch, tower in (("cls", "cls"), ("reg", "bbox"))
    for name in (
        f"/corr_pw_{branch}/CA_layer/Mul_output_0",
        *(f"/{tower}_pw_tower/{tower}_pw_tower.{layer}/Clip_output_0" for layer in (3, 7, 11, 15, 19)),
    )
)


class HeadDistillation(Distillation):
    """A run with a teacher whose head has known inner tensors."""

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
        """Computes the teacher's maps and hints. They are not stored, because they need twenty times as much memory as
        the features."""
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
    parser.add_argument(
        "--features-weight", type=float, default=1.0, help="weight of the backbone's own loss with --joint"
    )
    parser.add_argument("--head", type=Path, help="checkpoint of a trained head to start from")
    parser.add_argument(
        "--hints",
        nargs="+",
        default=NANOTRACK_V2_HEAD_HINTS,
        help="the teacher's correlation and layers for each tower, scores first (default: those of NanoTrack v2)",
    )
    parser.add_argument(
        "--blockwise", type=int, default=0, help="first steps, with the teacher's tensors as inputs of layers"
    )
    parser.add_argument("--hint-weight", type=float, default=0.3, help="weight of each hint after --blockwise")
    parser.add_argument("--correct", action="store_true", help="correct the teacher's mistakes")
    add_options(parser)
    args = seeded(parser.parse_args(argv))

    with refusals():
        network = ETTrack(NANO)
        start_from(network, backbone=args.backbone, head=args.head)
        distillation = HeadDistillation(args, network)
    distillation.run()


if __name__ == "__main__":
    main()
