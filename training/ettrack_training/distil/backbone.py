"""Distil a backbone: `python -m ettrack_training.distil.backbone --teacher DIR --pictures DIR... --out FILE`

Each stage of the student learns the teacher's tensor after the same stage (hints, Romero et al., ICLR 2015). At first
each stage gets the teacher's tensor as input, so that all stages learn at the same time from correct inputs (block-wise
distillation, Li et al., CVPR 2020). Then the stages are connected and learn together. The rate is constant until the
last `--decay` steps, in which it falls to zero along a cosine. So a run can be continued with more steps.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..networks.lt_mobile import LTMobile
from ..networks.nano import NANO_BACKBONE
from ..pixels import normalise
from ..refusals import refusals
from ..train.log import CsvLog
from ..train.recipe import Schedule
from ..train.schedule import share
from ..train.state import CheckpointFile
from .pictures import Pictures, framings
from .teacher import Teacher

# Outputs of the stages of stride 4, 8 and 16 of NanoTrack v2's backbone.
NANOTRACK_V2_HINTS = (
    "/features/features.1/conv/conv.4/Conv_output_0",
    "/features/features.3/Add_output_0",
    "/features/features.6/Add_output_0",
)


def normalised(pictures: np.ndarray) -> Tensor:
    """RGB u8 [B,S,S,3] -> normalised f32 [B,3,S,S], with channels last in memory."""
    return normalise(torch.from_numpy(pictures))


def stages(net: LTMobile) -> list[nn.Module]:
    """The parts of the student that each learn one tensor of the teacher: stem with first stage, then each stage."""
    first = nn.Sequential(net.conv_stem, net.bn1, net.act1, net.blocks[0])
    return [first, *net.blocks[1:]]


class Residual:
    """Share of the variance of the teacher's tensor that the student's does not reproduce, for each stage (0:
    equal)."""

    def __init__(self, sample: list[np.ndarray]):
        self._variance = [torch.from_numpy(t.var((0, 2, 3), keepdims=True)).clamp_min(1e-6) for t in sample]

    def __call__(self, stage: int, student: Tensor, teacher: Tensor) -> Tensor:
        return ((student - teacher).square() / self._variance[stage]).mean()


def losses(parts: list[nn.Module], x: Tensor, targets: list[Tensor], residual: Residual, chained: bool) -> list[Tensor]:
    """Returns one residual per stage. With `chained` the input of a stage is the student's own tensor.

    Without it, the first two stages use only a quarter of the batch. They have a high resolution: they need half of the
    time of a step, and each of their many cells is a sample.
    """
    values = []
    few = len(x) if chained else max(2, len(x) // 4)
    for stage, (part, target) in enumerate(zip(parts, targets, strict=True)):
        n = few if stage < 2 else len(target)
        y = part(x[:n])
        values.append(residual(stage, y, target[:n]))
        x = y if chained else target.contiguous(memory_format=torch.channels_last)
    return values


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True, help="folder of backbone.onnx, head.onnx")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; an existing one is resumed")
    parser.add_argument(
        "--hints",
        nargs="+",
        default=NANOTRACK_V2_HINTS,
        help="inner tensors of the teacher that the student's first stages learn (default: those of NanoTrack v2)",
    )
    parser.add_argument("--steps", type=int, required=True, help="total number of steps")
    parser.add_argument(
        "--blockwise", type=int, default=0, help="first steps, with the teacher's tensors as inputs of stages"
    )
    parser.add_argument("--decay", type=int, default=0, help="last steps, in which the rate falls to zero")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=250)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    with refusals():
        teacher = Teacher(args.teacher, tuple(args.hints))
        pictures = Pictures(args.pictures)
        held_out = next(framings(pictures, 256, 64, np.random.default_rng(12345)))
        held_out_targets = teacher.features(held_out)
        residual = Residual(held_out_targets)

        net = LTMobile(NANO_BACKBONE).to(memory_format=torch.channels_last)
        parts = stages(net)
        optimizer = torch.optim.AdamW(net.parameters(), lr=args.rate, weight_decay=1e-4)
        checkpoint = CheckpointFile(args.out)
        step = checkpoint.resume(net, optimizer, asdict(NANO_BACKBONE), keys=("backbone", "spec"))
    # A resumed run uses another seed, so that it does not repeat the pictures of its beginning.
    rng = np.random.default_rng([args.seed, step])
    streams = {size: framings(pictures, size, args.batch, rng) for size in (127, 256)}

    # The rate is constant until the decay, so that a run can be continued with more steps.
    schedule = Schedule(args.steps, warmup=100, shape="constant", decay=args.decay, final=0.0)
    log = CsvLog(args.out.with_suffix(".csv"))
    started = time.monotonic()
    with tqdm(total=args.steps, initial=step, mininterval=1.0) as bar:
        while step < args.steps:
            for group in optimizer.param_groups:
                group["lr"] = args.rate * share(schedule, step)
            crops = next(streams[127 if step % 5 == 4 else 256])
            targets = [torch.from_numpy(t) for t in teacher.features(crops)]
            net.train()
            chained = step >= args.blockwise
            values = losses(parts, normalised(crops), targets, residual, chained)
            # When stages are connected, the output has the largest weight. Hints keep early stages close to the
            # teacher.
            weights = [0.25, 0.25, 0.5, 2.0] if chained else [1.0] * len(values)
            loss = sum(w * v for w, v in zip(weights, values, strict=True))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 10.0)
            optimizer.step()
            step += 1
            bar.update()
            if step % args.save_every == 0 or step == args.steps:
                net.eval()
                with torch.no_grad():
                    held = losses(
                        parts,
                        normalised(held_out),
                        [torch.from_numpy(t) for t in held_out_targets],
                        residual,
                        True,
                    )
                row = {"step": step, "seconds": round(time.monotonic() - started, 1), "rate": group["lr"]}
                row |= {f"stage{n}": f"{v.item():.4f}" for n, v in enumerate(values, start=1)}
                row |= {f"held_out{n}": f"{v.item():.4f}" for n, v in enumerate(held, start=1)}
                log.write(row)
                bar.set_postfix(output=f"{held[-1].item():.4f}")
                checkpoint.save(
                    {
                        "backbone": net.state_dict(),
                        "spec": asdict(NANO_BACKBONE),
                        "optimizer": optimizer.state_dict(),
                        "step": step,
                    }
                )


if __name__ == "__main__":
    main()
