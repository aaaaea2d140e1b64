"""Train ettrack-nano: `python -m ettrack_training.distil.tracker --cache DIR --teacher DIR --out FILE`

Without `--joint` only the head learns: on the teacher's own features, which costs no backbone, or with
`--backbone` on the features of that distilled backbone, which stays as it is. With `--joint` the
backbone under the head learns too, from pictures; a mimic loss keeps its features from drifting.

What predicts tracking is not the loss but whether the template matters (Doing without it, a network
becomes a detector of salient things), so the log holds, over held-out pairs: how often the best cell's
box overlaps the truth by half with the right template, and the same with another pair's template.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..data.config import PairConfig
from ..data.loader import batches
from ..networks.et_track import ETTrack
from ..networks.nano import NANO
from .backbone import normalise
from .losses import decode, head_loss, overlap, total
from .memory import PairMemory
from .teacher import Teacher

MIMIC_WEIGHT = 0.5

# More wrong templates than usual: the template must be made to matter.
PAIRS = PairConfig(wrong_template=0.2, absent=0.1)


def maps(net: ETTrack, batch: dict[str, Tensor], joint: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits, distances, and (joint) the features' distance from the teacher's."""
    if not joint:
        zf, xf, mimic = batch["template_features"], batch["search_features"], None
    else:
        zf = net.backbone(normalise(batch["template"].numpy()))
        xf = net.backbone(normalise(batch["search"].numpy()))
        scale = batch["search_features"].var((0, 2, 3), keepdim=True).clamp_min(1e-6)
        mimic = sum(
            ((mine - batch[name]).square() / scale).mean()
            for mine, name in ((zf, "template_features"), (xf, "search_features"))
        )
    cls, reg = net.predict(net.fuse(net.template_neck(zf), net.search_neck(xf)))
    return cls, reg, mimic


@torch.no_grad()
def validate(net: ETTrack, held: dict[str, Tensor], joint: bool) -> dict[str, float]:
    """Hit rates and mean best scores with the right and with a wrong template, and hits' IoU."""
    net.eval()
    present = held["present"]
    row: dict[str, float] = {}
    for name, shift in (("right", 0), ("wrong", 1)):
        batch = dict(held)
        for key in ("template_features", "template"):
            if key in batch:
                batch[key] = batch[key].roll(shift, 0)
        cls, reg, _ = maps(net, batch, joint)
        score, best = cls[:, 0].sigmoid().flatten(1).max(1)
        iou, _ = overlap(decode(reg), held["box"])
        iou = iou.flatten(1).gather(1, best[:, None])[:, 0][present]
        row[f"hit_{name}"] = (iou > 0.5).float().mean().item()
        row[f"score_{name}"] = score[present].mean().item()
        row[f"iou_{name}"] = iou.mean().item()
    return row


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="packed pictures")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, resumed when it exists")
    parser.add_argument("--joint", action="store_true", help="train the backbone too")
    parser.add_argument("--backbone", type=Path, help="checkpoint of a distilled backbone to start from")
    parser.add_argument("--head", type=Path, help="checkpoint of a trained head to start from")
    parser.add_argument("--steps", type=int, required=True, help="steps in all")
    parser.add_argument("--decay", type=int, default=0, help="last steps, cosine to zero")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--fresh", type=int, default=8, help="new pairs per step")
    parser.add_argument("--capacity", type=int, default=40000, help="pairs held in memory")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--backbone-rate", type=float, default=0.2, help="of the rate, when joint")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=250)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    net = ETTrack(NANO)
    if args.head:
        load_head(net, args.head)
    if args.backbone:
        net.backbone_net.load_state_dict(torch.load(args.backbone, weights_only=True)["backbone"])
    groups = [{"params": [p for n, p in net.named_parameters() if not n.startswith("backbone_net.")]}]
    if args.joint:
        net.backbone_net.to(memory_format=torch.channels_last)
        groups.append({"params": list(net.backbone_net.parameters()), "share": args.backbone_rate})
    optimizer = torch.optim.AdamW(groups, lr=args.rate, weight_decay=1e-4)
    step = 0
    if args.out.exists():
        state = torch.load(args.out, weights_only=True)
        net.load_state_dict(state["state_dict"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]

    teacher = Teacher(args.teacher)
    student = frozen(net) if args.backbone and not args.joint else None
    held_pairs = batches(args.cache, PAIRS, seed=987654, batch_size=256)
    held_memory = PairMemory(held_pairs, teacher, 256, args.joint, 0, student)
    held_memory.add()
    held = held_memory.draw(256)
    # A resumed run makes other pairs than its beginning did.
    fresh = batches(args.cache, PAIRS, seed=args.seed * 100003 + step, batch_size=args.fresh)
    memory = PairMemory(fresh, teacher, args.capacity, args.joint, args.seed + step, student)
    while memory.made < 8 * args.batch:
        memory.add()

    with args.out.with_suffix(".csv").open("a", newline="") as log_file, tqdm(total=args.steps, initial=step) as bar:
        log = csv.writer(log_file)
        started = time.monotonic()
        while step < args.steps:
            left = (args.steps - step) / args.decay if args.decay else 1.0
            rate = args.rate * min(1.0, (step + 1) / 200)
            rate *= 0.5 - 0.5 * math.cos(math.pi * min(1.0, left))
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("share", 1.0)
            memory.add()
            batch = memory.draw(args.batch)
            net.train()
            cls, reg, mimic = maps(net, batch, args.joint)
            parts = head_loss(cls, reg, batch["box"], batch["present"], batch["cls"], batch["reg"])
            loss = total(parts)
            if mimic is not None:
                loss = loss + MIMIC_WEIGHT * mimic
                parts["features"] = mimic
            if not torch.isfinite(loss):
                raise FloatingPointError(f"step {step}: the loss is {loss.item()}: {parts}")
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            step += 1
            bar.update()
            if step % args.save_every == 0 or step == args.steps:
                row = validate(net, held, args.joint)
                values = {name: parts[name].item() for name in parts}
                if log_file.tell() == 0:
                    log.writerow(["step", "seconds", "rate", *values, *row])
                log.writerow(
                    [step, round(time.monotonic() - started, 1), f"{rate:.2e}"]
                    + [f"{v:.4f}" for v in (*values.values(), *row.values())]
                )
                log_file.flush()
                bar.set_postfix(right=f"{row['hit_right']:.3f}", wrong=f"{row['hit_wrong']:.3f}")
                save(args.out, net, optimizer, step)


def frozen(net: ETTrack) -> Callable[[np.ndarray], np.ndarray]:
    """The network's backbone as it is now, from pictures to features."""
    backbone = copy.deepcopy(net.backbone_net).eval()

    @torch.no_grad()
    def features(pictures: np.ndarray) -> np.ndarray:
        return backbone(normalise(pictures)).numpy()

    return features


def load_head(net: ETTrack, path: Path) -> None:
    """Takes everything but the backbone from a checkpoint."""
    state = torch.load(path, weights_only=True)["state_dict"]
    head = {k: v for k, v in state.items() if not k.startswith("backbone_net.")}
    missing, unexpected = net.load_state_dict(head, strict=False)
    wrong = [*unexpected, *(k for k in missing if not k.startswith("backbone_net."))]
    if wrong:
        raise ValueError(f"{path} does not hold this head; first differences: {wrong[:5]}")


def save(path: Path, net: ETTrack, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Writes the checkpoint beside its place, then renames it."""
    temporary = path.with_suffix(".tmp")
    torch.save(
        {
            "state_dict": net.state_dict(),
            "config": net.config.to_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
        },
        temporary,
    )
    temporary.replace(path)


if __name__ == "__main__":
    main()
