"""Distil a head: `python -m ettrack_training.distil.head --teacher DIR --cache DIR --backbone FILE --out FILE`

A head is a function of two features, and a teacher answers for any pair of them; what it answers inside helps as
much as what it answers at the end. At first each layer of the student is fed with the teacher's own tensor and learns
the next one (as `distil.backbone` does it), so that all layers learn at once from right inputs. Then the layers are
chained, on the features of the student's backbone, and learn the teacher's maps. With `--joint` the last stages of that
backbone learn too, from pictures; the teacher's features keep them where they are. With `--correct` the teacher's
mistakes are put right where the truth is known (`distil.correction`), and more pairs are drawn in which it errs.

The layers of both towers must be as many as the teacher's, each of the same reach, and but for the last one without a
residual: `ettrack-nano` is laid out so for NanoTrack v2.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..data.config import CompositeConfig, CropConfig, Mixture, PairConfig
from ..data.loader import batches
from ..networks.et_track import ETTrack
from ..networks.nano import NANO
from ..pixels import normalise
from ..train.forward import freeze_norms, frozen_backbone
from ..train.log import CsvLog
from ..train.losses import feature_distance
from ..train.recipe import Schedule
from ..train.schedule import share
from ..train.start import start_from
from ..train.state import CheckpointFile
from .correction import corrected
from .layers import head_losses, start_at_scale, total
from .memory import PairMemory
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
_HELD_OUT_SEED = 987654


class Late:
    """A backbone of which only the last `stages` learn: the first cost the most and matter the least here.

    What the first ones make of a crop never changes, so that it is made once and kept instead of the crop.
    All its batch norms keep their statistics. Templates and search windows have different ones, and an average over
    batches of both would fit neither.
    """

    def __init__(self, network: ETTrack, stages: int):
        backbone = network.backbone_net
        frozen = len(backbone.blocks) - stages
        self._early = nn.Sequential(backbone.conv_stem, backbone.bn1, backbone.act1, *backbone.blocks[:frozen])
        self._early.requires_grad_(False)
        self.late = backbone.blocks[frozen:]
        backbone.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def early(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures u8 [B,S,S,3] -> what the stages that learn are fed with, f16 [B,C,h,w]."""
        self._early.eval()
        return self._early(normalise(torch.from_numpy(pictures))).half().numpy()

    def __call__(self, x: Tensor) -> Tensor:
        """What `early` gives, f32 -> features [B,C,h,w]."""
        self.late.eval()
        return self.late(x.contiguous(memory_format=torch.channels_last)).contiguous()


def pair_config(correct: bool = False) -> PairConfig:
    """Pairs of all kinds: the teacher answers for wrong templates and empty windows too, and the wide jitter of
    the window shows what a loop sees after it has drifted. To `correct` it there are more of those without the target,
    most of them of the place where it was, more that show others of the target's category, and longer gaps between
    the frames."""
    pairs = PairConfig(
        crop=CropConfig(search_scale=0.45, search_aspect=0.12, template_scale=0.1),
        mixture=Mixture(video=0.3, still=0.05, reframed=0.3, composite=0.35),
        max_gap=100,
        wrong_template=0.15,
        absent=0.08,
    )
    if not correct:
        return pairs
    others = CompositeConfig(same_category=0.6)
    mixture = Mixture(video=0.3, still=0.03, reframed=0.22, composite=0.45)
    return replace(pairs, mixture=mixture, composite=others, max_gap=150, wrong_template=0.2, absent=0.18, hidden=0.7)


class HeadDistillation:
    """A run: its network, optimiser and step, from a checkpoint where there is one. See `main` for the options."""

    def __init__(self, options: argparse.Namespace, network: ETTrack):
        self._options, self._network = options, network
        self._backbone = Late(network, options.joint)
        head = [p for n, p in network.named_parameters() if not n.startswith("backbone_net.")]
        groups: list[dict[str, Any]] = [{"params": head}]
        if options.joint:
            groups.append({"params": list(self._backbone.late.parameters()), "share": options.backbone_rate})
        self._optimizer = torch.optim.AdamW(groups, lr=options.rate, weight_decay=1e-4)
        self._checkpoint = CheckpointFile(options.out)
        self._step = 0
        if self._checkpoint.exists():
            state = self._checkpoint.load()
            network.load_state_dict(state["state_dict"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._step = state["step"]
        self._teacher = Teacher(options.teacher, threads=options.threads, head_hints=tuple(options.hints))
        held = self._memory(_HELD_OUT_SEED, options.validation_pairs, options.validation_pairs)
        held.add()
        self._held = held.draw(options.validation_pairs)
        if not (options.head or self._step):
            start_at_scale(network, self._ask(self._held)[1])

    def _memory(self, seed: int, capacity: int, batch: int) -> PairMemory:
        joint = bool(self._options.joint)
        pairs = batches(self._options.cache, pair_config(self._options.correct), seed=seed, batch_size=batch)
        student = None if joint else frozen_backbone(self._network, torch.device("cpu"))
        early = self._backbone.early if joint else None
        return PairMemory(pairs, self._teacher, capacity, joint, seed, student, both=True, early=early)

    def _ask(self, batch: dict[str, Tensor]) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
        """The teacher's maps and hints: kept, they would take twenty times the memory of the features."""
        cls, reg, hints = self._teacher.head(batch["teacher_template"].numpy(), batch["teacher_search"].numpy())
        return (torch.from_numpy(cls), torch.from_numpy(reg)), [torch.from_numpy(hint) for hint in hints]

    def _losses(self, batch: dict[str, Tensor], chained: bool) -> dict[str, Tensor]:
        maps, hints = self._ask(batch)
        if self._options.correct:
            maps = corrected(maps, batch["box"], batch["present"])
        teacher = batch["teacher_template"], batch["teacher_search"]
        if not self._options.joint:
            inputs = (batch["template_features"], batch["search_features"]) if chained else teacher
            return head_losses(self._network, *inputs, hints, maps, chained)
        inputs = self._backbone(batch["template"]), self._backbone(batch["search"])
        variance = teacher[1].var((0, 2, 3), keepdim=True).clamp_min(1e-6)
        missed = sum(feature_distance(mine, other, variance) for mine, other in zip(inputs, teacher, strict=True))
        return head_losses(self._network, *inputs, hints, maps, chained) | {"features": missed}

    def _train_step(self, batch: dict[str, Tensor], schedule: Schedule) -> dict[str, float]:
        options = self._options
        for group in self._optimizer.param_groups:
            group["lr"] = options.rate * group.get("share", 1.0) * share(schedule, self._step)
        self._network.train()
        if options.frozen_norms:
            freeze_norms(self._network)
        chained = self._step >= options.blockwise
        losses = self._losses(batch, chained)
        self._optimizer.zero_grad()
        hints = options.hint_weight if chained else 1.0
        total(losses, hints, options.features_weight, options.hard_weight).backward()
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
        # A constant rate with a cosine at the end: a run can be lengthened from its checkpoint.
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
            held = self._losses(self._held, True)
        rate = self._optimizer.param_groups[0]["lr"]
        row: dict[str, Any] = {"step": self._step, "seconds": round(seconds, 1), "rate": f"{rate:.2e}"}
        row |= {name: f"{sum(values) / len(values):.4f}" for name, values in sums.items()}
        return row | {f"held_{name}": f"{value.item():.4f}" for name, value in held.items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True, help="folder of backbone.onnx, head.onnx")
    parser.add_argument("--cache", type=Path, required=True, help="packed pictures")
    parser.add_argument("--backbone", type=Path, required=True, help="checkpoint of the distilled backbone")
    parser.add_argument("--joint", type=int, default=0, metavar="N", help="train the last N stages of the backbone too")
    parser.add_argument("--backbone-rate", type=float, default=0.3, help="of the rate, when joint")
    parser.add_argument("--features-weight", type=float, default=1.0, help="of the backbone's own loss, when joint")
    parser.add_argument("--head", type=Path, help="checkpoint of a trained head to start from")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, resumed when it exists")
    parser.add_argument(
        "--hints",
        nargs="+",
        default=NANOTRACK_V2_HEAD_HINTS,
        help="per tower the teacher's correlation and layers, scores first; NanoTrack v2's if not given",
    )
    parser.add_argument("--steps", type=int, required=True, help="steps in all")
    parser.add_argument("--blockwise", type=int, default=0, help="first steps with teacher-fed layers")
    parser.add_argument("--decay", type=int, default=0, help="last steps, cosine to zero")
    parser.add_argument("--hint-weight", type=float, default=0.3, help="of each hint once the layers are chained")
    parser.add_argument("--hard-weight", type=float, default=0.0, help="of the worst cells where nothing is to be seen")
    parser.add_argument("--correct", action="store_true", help="put the teacher's mistakes right")
    parser.add_argument("--frozen-norms", action="store_true", help="leave the statistics of batch norms as they are")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--fresh", type=int, default=4, help="new pairs per step")
    parser.add_argument("--capacity", type=int, default=20000, help="pairs held in memory")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--validation-pairs", type=int, default=96)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    network = ETTrack(NANO)
    start_from(network, backbone=args.backbone, head=args.head)
    HeadDistillation(args, network).run()


if __name__ == "__main__":
    main()
