"""Compresses a transformer tracker into fewer layers, as CompressTracker does (Hong et al., ICCV 2025).

    python -m ettrack_training.compress --tracker compresstracker TEACHER.pth.tar --layers 2 \\
        --pairs PACKS --output models/compresstracker_2
    python -m ettrack_training.compress --tracker compresstracker --smoke --output out/compressed

The teacher's stacks of equal layers are divided into stages, one for each layer that remains. The student
starts as a copy of the teacher in which each stage keeps only its last layer. In training each stage runs, at random,
either the student's layer or the teacher's frozen layers, so that the student's layer learns to replace them.
The probability of the student's layer rises from a half to one. The student learns to give the teacher's outputs
after each stage, and its scores and boxes. Labels are not needed.

It works for every tracker whose stacks are listed in `STACKS`. If a run was interrupted, the same command resumes it
from the last checkpoint (`--checkpoint`).
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .boxes import overlap
from .checkpoint import CheckpointError
from .convert import load_network
from .model_folder import sha256, write_model_folder
from .networks import ETTrack
from .networks.compresstracker import CompressTracker
from .networks.smat import Smat
from .networks.sparsett import SparseTT
from .trackers import TRACKERS
from .trackers.noise import structured_noise
from .train.start import load_into
from .train.state import CheckpointFile

# Weights of the losses, as in the paper.
L1, GIOU, SCORE, FEATURES = 5.0, 2.0, 1.0, 0.2
_HELD_OUT_SEED = 987654


@dataclass(frozen=True)
class Stack:
    """The names of consecutive layers of equal shape in a network."""

    layers: tuple[str, ...]

    def stages(self, count: int) -> list[tuple[str, ...]]:
        """Divides the layers into `count` stages of almost equal length (fewer stages if there are fewer layers)."""
        parts = np.array_split(np.array(self.layers), min(count, len(self.layers)))
        return [tuple(map(str, part)) for part in parts]


def _children(network: nn.Module, container: str, kind: type | None = None) -> Stack:
    names = network.get_submodule(container).named_children()
    return Stack(tuple(f"{container}.{name}" for name, child in names if kind is None or isinstance(child, kind)))


def _et_track_stacks(network: ETTrack) -> list[Stack]:
    towers = (network.config.cls_tower, "cls_branch"), (network.config.reg_tower, "bbreg_branch")
    return [
        Stack(tuple(f"{prefix}_{i}" for i, layer in enumerate(tower.layers, 1) if layer.startswith("et")))
        for tower, prefix in towers
    ]


def _smat_stacks(network: Smat) -> list[Stack]:
    containers = ("backbone.layer_3.1.", "backbone.layer_4.1.")
    names = [f"{c}global_rep" for c in containers] + ["box_head.global_rep_cls", "box_head.global_rep_reg"]
    unit = type(network.box_head.global_rep_cls[0])
    return [_children(network, name, unit) for name in names]


#: The stacks of each kind of network.
STACKS: dict[type, Callable[[nn.Module], list[Stack]]] = {
    CompressTracker: lambda network: [_children(network, "backbone.distill_blocks")],
    ETTrack: _et_track_stacks,
    Smat: _smat_stacks,
    SparseTT: lambda network: [
        _children(network, "neck.encoder.encoder_layers"),
        _children(network, "neck.decoder.decoder_layers"),
    ],
}


def stacks_of(network: nn.Module) -> list[Stack]:
    """The stacks of `network` that can be compressed. Raises `TypeError` if the network has none."""
    if type(network) not in STACKS:
        known = ", ".join(sorted(kind.__name__ for kind in STACKS))
        raise TypeError(f"{type(network).__name__} has no stacks to compress, expected one of {known}")
    return STACKS[type(network)](network)


class Stage(nn.Module):
    """A layer of the student and the teacher's layers that it replaces; one of the two runs."""

    def __init__(self, layer: nn.Module, teacher: list[nn.Module]):
        super().__init__()
        self.layer = layer
        # In a tuple: the teacher's weights are neither trained nor saved with the student's.
        self.teacher = tuple(teacher)
        self.replaced = True
        self.output: Tensor | None = None

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        if self.replaced:
            x = self.layer(x, *others)
        else:
            for layer in self.teacher:
                x = layer(x, *others)
        self.output = x
        return x


class Passage(nn.Module):
    """Takes the place of a removed layer and returns its first input unchanged."""

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return x


def _set(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


class Compression(nn.Module):
    """The teacher and the student during training."""

    def __init__(self, teacher: nn.Module, layers: int):
        super().__init__()
        teacher = teacher.eval().requires_grad_(False)
        # Outside the module's children, for the same reason as in `Stage`.
        self._teacher = (teacher,)
        self.student = copy.deepcopy(teacher).requires_grad_(True)
        self.plan = [stage for stack in stacks_of(teacher) for stage in stack.stages(layers)]
        self.stages = []
        for names in self.plan:
            stage = Stage(self.student.get_submodule(names[-1]), [teacher.get_submodule(name) for name in names])
            for name in names[:-1]:
                _set(self.student, name, Passage())
            _set(self.student, names[-1], stage)
            self.stages.append(stage)

    @property
    def teacher(self) -> nn.Module:
        return self._teacher[0]

    def guide(self, template: Tensor, search: Tensor) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """The teacher's output after each stage, and its predictions (see `predictions`)."""
        features: list[Tensor] = [torch.empty(0)] * len(self.plan)

        def keep(index: int) -> Callable:
            return lambda _module, _inputs, output: features.__setitem__(index, output)

        hooks = [
            self.teacher.get_submodule(names[-1]).register_forward_hook(keep(index))
            for index, names in enumerate(self.plan)
        ]
        try:
            with torch.no_grad():
                return features, predictions(self.teacher, template, search)
        finally:
            for hook in hooks:
                hook.remove()

    def draw(self, probability: float, random: np.random.Generator) -> None:
        """Chooses for each stage whether the student's layer runs. At least one stage runs it."""
        chosen = random.random(len(self.stages)) < probability
        if not chosen.any():
            chosen[random.integers(len(chosen))] = True
        for stage, replaced in zip(self.stages, chosen, strict=True):
            stage.replaced = bool(replaced)

    def finished(self) -> nn.Module:
        """The student as a network of the teacher's class with fewer layers."""
        for stage in self.stages:
            stage.output = None  # Part of a computation, which cannot be copied.
        network = copy.deepcopy(self.student)
        if isinstance(network, ETTrack):
            return _shorter_et_track(network)
        for stack in stacks_of(self.teacher):
            container, _, _ = stack.layers[0].rpartition(".")
            kept = []
            for child in network.get_submodule(container).children():
                if isinstance(child, Stage):
                    kept.append(child.layer)
                elif not isinstance(child, Passage):
                    kept.append(child)
            kind = type(network.get_submodule(container))
            _set(network, container, kind(*kept) if kind is nn.Sequential else kind(kept))
        return network.eval()


def _shorter_et_track(network: ETTrack) -> ETTrack:
    """The network with the remaining layers of its towers, which are attributes numbered from one, renumbered."""
    towers, renamed = {}, {}
    for tower, prefix in (("cls_tower", "cls_branch"), ("reg_tower", "bbreg_branch")):
        spec = getattr(network.config, tower)
        kept = []
        for number, layer in enumerate(spec.layers, 1):
            module = getattr(network, f"{prefix}_{number}")
            if not isinstance(module, Passage):
                kept.append(layer)
                renamed[f"{prefix}_{number}"] = f"{prefix}_{len(kept)}"
        towers[tower] = dataclasses.replace(spec, layers=tuple(kept))
    shorter = ETTrack(dataclasses.replace(network.config, **towers))
    state = {}
    for key, value in network.state_dict().items():
        head, _, rest = key.partition(".")
        if head in renamed:
            key = f"{renamed[head]}.{rest.removeprefix('layer.')}"
        state[key] = value
    shorter.load_state_dict(state)
    return shorter.eval()


def predictions(network: nn.Module, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
    """Scores `[B, n]`, 0 to 1, and boxes `[B, n, 4]`: left, top, right, bottom as shares of the search region."""
    outputs = network(template, search)
    size = search.shape[-1]
    if isinstance(network, SparseTT):
        score, box = outputs
        return score[..., 0], box / size
    if isinstance(network, ETTrack):
        logits, distances = outputs
        side = logits.shape[-1]
        centre = (_cells(side, logits) - side // 2) / side + 0.5
        left_top, right_bottom = (distances / size).flatten(2).transpose(1, 2).split(2, dim=-1)
        return logits.sigmoid().flatten(1), torch.cat([centre - left_top, centre + right_bottom], dim=-1)
    score, extent, offset = outputs
    side = score.shape[-1]
    centre = (_cells(side, score) + offset.flatten(2).transpose(1, 2)) / side
    half = 0.5 * extent.flatten(2).transpose(1, 2)
    return score.flatten(1), torch.cat([centre - half, centre + half], dim=-1)


def _cells(side: int, like: Tensor) -> Tensor:
    """Column and row of each cell, `[n, 2]`."""
    cell = torch.arange(side * side, device=like.device)
    return torch.stack([cell % side, cell // side], dim=-1).to(like)


def losses(compression: Compression, template: Tensor, search: Tensor) -> dict[str, Tensor]:
    """Losses of one batch by name; `total` is the one that is minimised."""
    features, (teacher_score, teacher_box) = compression.guide(template, search)
    score, box = predictions(compression.student, template, search)
    teacher_score = teacher_score.clamp(1e-6, 1 - 1e-6)
    # The entropy of the teacher's scores is subtracted, so that the loss is 0 where both agree.
    entropy = F.binary_cross_entropy(teacher_score, teacher_score)
    _, giou = overlap(box, teacher_box)
    # Where the teacher's score is low, its boxes are not meaningful.
    weight = teacher_score / teacher_score.sum(dim=1, keepdim=True)
    parts = {
        "score": F.binary_cross_entropy(score.clamp(1e-6, 1 - 1e-6), teacher_score) - entropy,
        "l1": (weight * (box - teacher_box).abs().mean(dim=-1)).sum(dim=1).mean(),
        "giou": (weight * (1 - giou)).sum(dim=1).mean(),
        "features": torch.stack(
            [F.mse_loss(stage.output, f) for stage, f in zip(compression.stages, features, strict=True)]
        ).mean(),
    }
    scales = {"score": SCORE, "l1": L1, "giou": GIOU, "features": FEATURES}
    parts["total"] = sum(scales[name] * value for name, value in parts.items())
    return parts


def replacement_probability(step: int, steps: int) -> float:
    """Probability of the student's layer: 0.5 in the first tenth of the steps, 1 in the last, linear between."""
    return float(np.clip(0.5 + 0.5 * (step / steps - 0.1) / 0.8, 0.5, 1.0))


def packed_pairs(
    folder: Path, tracker: str, batch: int, seed: int, network: nn.Module
) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised template and search images, [B,3,S,S], from the packs that `ettrack_training.data` makes."""
    from .data.config import CropConfig, PairConfig
    from .data.loader import batches

    manifest = TRACKERS[tracker].manifest(network)
    pixels = manifest["input"]
    crop = CropConfig(template_size=manifest["template"]["size"], search_size=manifest["search"]["sizes"][0])
    mean, std = (torch.tensor(pixels[key]).view(1, 3, 1, 1) for key in ("mean", "std"))

    def images(array: np.ndarray) -> Tensor:
        return (torch.from_numpy(array).permute(0, 3, 1, 2).float() / pixels["scale"] - mean) / std

    for pairs in batches(folder, PairConfig(crop=crop), seed=seed, batch_size=batch):
        yield images(pairs["template"]), images(pairs["search"])


def noise_pairs(tracker: str, batch: int, seed: int, network: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Template and search images of structured noise, [B,3,S,S], for smoke runs."""
    manifest = TRACKERS[tracker].manifest(network)
    random = torch.Generator().manual_seed(seed)
    sizes = manifest["template"]["size"], manifest["search"]["sizes"][0]
    while True:
        yield tuple(torch.cat([structured_noise(size, random) for _ in range(batch)]) for size in sizes)


def train(
    compression: Compression,
    pairs: Callable[[int], Iterator[tuple[Tensor, Tensor]]],
    steps: int,
    *,
    rate: float = 4e-5,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: CheckpointFile | None = None,
    report: Callable[[int, dict[str, float]], None] = lambda _step, _losses: None,
) -> None:
    """Trains the student. `pairs` takes the first step and returns the batches from there on.

    Resumes from `checkpoint` if it exists, and writes it every hundred steps. Raises `CheckpointError` for a checkpoint
    of another student and `ValueError` for a damaged one.
    """
    compression.to(device)
    compression.teacher.to(device)
    optimizer = torch.optim.AdamW(compression.student.parameters(), lr=rate, weight_decay=1e-4)
    start = 0
    if checkpoint and checkpoint.exists():
        saved = checkpoint.load(device)
        load_into(compression.student, checkpoint.path, saved["student"])
        optimizer.load_state_dict(saved["optimizer"])
        start = saved["step"]
    stream = pairs(start)
    for step in range(start, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate if step < 0.8 * steps else 0.1 * rate
        compression.draw(replacement_probability(step, steps), np.random.default_rng([seed, step]))
        template, search = (images.to(device) for images in next(stream))
        parts = losses(compression, template, search)
        optimizer.zero_grad(set_to_none=True)
        parts["total"].backward()
        nn.utils.clip_grad_norm_(compression.student.parameters(), 0.1)
        optimizer.step()
        report(step, {name: float(value.detach()) for name, value in parts.items()})
        if checkpoint and ((step + 1) % 100 == 0 or step + 1 == steps):
            checkpoint.save(
                {"student": compression.student.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            )


@torch.no_grad()
def evaluate(compression: Compression, pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Mean loss of the student without layers of the teacher."""
    for stage in compression.stages:
        stage.replaced = True
    return float(np.mean([losses(compression, *pair)["total"].item() for pair in pairs]))


def smoke_teacher(tracker: str) -> nn.Module:
    """A teacher with pseudo-random weights: a small CompressTracker of six blocks, other trackers at full size."""
    torch.manual_seed(0)
    if tracker == "compresstracker":
        return CompressTracker(depth=6, width=48, heads=3, head_width=32)
    return TRACKERS[tracker].build({})


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path, nargs="?", help="the teacher's checkpoint")
    parser.add_argument("--tracker", required=True, choices=sorted(TRACKERS))
    parser.add_argument("--layers", type=int, default=2, help="number of layers that remain of each stack")
    parser.add_argument("--pairs", type=Path, help="folder of packs (see ettrack_training.data)")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=4e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument(
        "--smoke", action="store_true", help="a test run: small random teacher, noise images, few steps"
    )
    parser.add_argument("--output", type=Path, required=True, help="model folder to write or replace")
    options = parser.parse_args(arguments)
    if options.smoke == bool(options.teacher) or (options.teacher and not options.pairs):
        parser.error("give a teacher's checkpoint and --pairs, or --smoke")
    try:
        _compress(options)
    except (CheckpointError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(options.output)
    return 0


def _compress(options: argparse.Namespace) -> None:
    if options.smoke:
        options.steps, options.batch, options.rate, options.device = 30, 2, 1e-3, "cpu"
        teacher = smoke_teacher(options.tracker)
    else:
        teacher, _ = load_network(TRACKERS[options.tracker], options.teacher)
    compression = Compression(teacher, options.layers)

    def pairs(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        if options.smoke:
            return noise_pairs(options.tracker, options.batch, seed, teacher)
        return packed_pairs(options.pairs, options.tracker, options.batch, seed, teacher)

    held = list(itertools.islice(pairs(_HELD_OUT_SEED), 2))
    before = evaluate(compression, held)

    def report(step: int, parts: dict[str, float]) -> None:
        if step % max(1, options.steps // 50) == 0:
            print(step, *(f"{name} {value:.4f}" for name, value in parts.items()), file=sys.stderr)

    train(
        compression,
        # A resumed run uses another seed, so that it does not repeat its first pairs.
        lambda step: pairs(options.seed * 100_003 + step),
        options.steps,
        rate=options.rate,
        seed=options.seed,
        device=options.device,
        checkpoint=CheckpointFile(options.checkpoint) if options.checkpoint else None,
        report=report,
    )
    compression.cpu()
    teacher.cpu()
    print(f"loss of the student alone on held-out pairs: {before:.4f} before, {evaluate(compression, held):.4f} after")
    digest = sha256(options.teacher.read_bytes()) if options.teacher else "none"
    write_model_folder(
        TRACKERS[options.tracker],
        compression.finished(),
        options.output,
        description=f"{TRACKERS[options.tracker].title}, compressed to {options.layers} layers a stack",
        provenance={
            "source": f"compressed from {options.teacher or 'a random teacher (tracks nothing)'}",
            "checkpoint_sha256": digest,
            "licence": TRACKERS[options.tracker].licence,
        },
        replace=True,
    )


if __name__ == "__main__":
    sys.exit(main())
