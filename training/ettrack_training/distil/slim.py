"""Slim a network: `python -m ettrack_training.distil.slim --start FILE --cache DIR --out FILE`

Makes `networks.nano.NANO_FAST`, or with `--cut` `NANO_CUT`, from a network like `NANO_BOX` and keeps its weights.
Removed parts are merged into the remaining ones. The kernels of an exemplar layer are mixed once, with their mean
attention over pairs. A removed gate is replaced by its mean over pairs. Then the backbone's stages up to the last
changed one learn the outputs of the larger network's stages (hints, Romero et al., ICLR 2015), so that all later layers
can stay as they are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..data.loader import Batch, batches
from ..networks.blocks import SqueezeExcite
from ..networks.et_track import ETTrack, ETTrackConfig
from ..networks.exemplar import ExemplarLayer
from ..networks.nano import NANO_CUT, NANO_FAST
from ..pixels import normalise
from ..refusals import refusals
from ..train.forward import freeze_norms
from ..train.log import CsvLog
from ..train.recipe import Schedule
from ..train.schedule import share
from ..train.start import load_into, opened
from ..train.state import CheckpointFile
from .asked_pairs import box_pair_config
from .late import first_stages

_HELD_OUT_SEED = 987654
# Recorded values of each exemplar layer and gate, by the module's name.
Watched = Mapping[str, Tensor]


def pairs(cache: Path, config: ETTrackConfig, batch: int, seed: int) -> Iterator[Batch]:
    """Yields batches of pairs, in windows for a network with `config`, without end."""
    size, search_size = config.template_size, config.search_sizes[0]
    asked = box_pair_config(config.box_context, size, size, search_size)
    return batches(cache, asked, seed=seed, batch_size=batch)


@torch.no_grad()
def watched(network: ETTrack, stream: Iterator[Batch], count: int) -> Watched:
    """Records the attention [n,exemplars] of each exemplar layer and the factors [n,C] of each gate over `count`
    batches.

    n is the number of pictures. The network stays in evaluation mode.
    """
    seen: dict[str, list[Tensor]] = {}

    def watch(name: str, module: nn.Module):
        def attention(_: nn.Module, inputs: tuple[Tensor], __: Tensor) -> None:
            seen.setdefault(name, []).append(module.mixing_weights(inputs[0]))

        def gate(_: nn.Module, __: tuple[Tensor], output: Tensor) -> None:
            seen.setdefault(name, []).append(module.gate(output).flatten(1))

        if isinstance(module, ExemplarLayer):
            return module.register_forward_hook(attention)
        return module.conv_expand.register_forward_hook(gate)

    kinds = (ExemplarLayer, SqueezeExcite)
    handles = [watch(name, module) for name, module in network.eval().named_modules() if isinstance(module, kinds)]
    for _ in range(count):
        batch = next(stream)
        network(*(normalise(torch.from_numpy(batch[name])) for name in ("template", "search")))
    for handle in handles:
        handle.remove()
    return {name: torch.cat(values) for name, values in seen.items()}


def slimmed(large: ETTrack, config: ETTrackConfig, seen: Watched) -> ETTrack:
    """Returns a network with `config` and the weights of `large`. `seen` holds what `watched` recorded of `large`.

    Raises `CheckpointError` if `config` is not a smaller network of the same kind, for example if it has more layers.
    """
    state = dict(large.state_dict())
    for name, layer in large.named_modules():
        if isinstance(layer, ExemplarLayer) and len(layer.V_dw) > 1 and config.exemplars == 1:
            for kernels in ("V_dw", "V_pw"):
                state[f"{name}.{kernels}"] = seen[name].mean(0, keepdim=True) @ state[f"{name}.{kernels}"]
    slim = ETTrack(config)
    modules = dict(slim.named_modules())
    for name, gate in large.named_modules():
        if isinstance(gate, SqueezeExcite) and isinstance(modules.get(name), nn.Identity):
            block = name.removesuffix(".se")
            after = "conv_pwl" if hasattr(modules[block], "conv_pwl") else "conv_pw"
            state[f"{block}.{after}.weight"] = state[f"{block}.{after}.weight"] * seen[name].mean(0).view(1, -1, 1, 1)
    wanted = slim.state_dict()
    load_into(slim, Path("the larger network"), {name: value for name, value in state.items() if name in wanted})
    return slim


def changed_stages(large: ETTrackConfig, slim: ETTrackConfig) -> int:
    """Number of the backbone's stages up to the last one that differs. 0 if all are equal."""
    both = zip(large.backbone.stages, slim.backbone.stages, strict=True)
    return max((index for index, (a, b) in enumerate(both, start=1) if a != b), default=0)


def missed(small: nn.Module, large: nn.Module, batch: Batch) -> Tensor:
    """Share of the variance of `large`'s outputs for a batch that `small` does not reproduce (0: equal outputs). It is
    the mean over templates and search windows."""
    losses = []
    for name in ("template", "search"):
        x = normalise(torch.from_numpy(batch[name])).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            target = large(x)
        variance = target.var((0, 2, 3), keepdim=True).clamp_min(1e-6)
        losses.append(((small(x) - target).square() / variance).mean())
    return sum(losses) / len(losses)


def learn(slim: ETTrack, large: ETTrack, stages: int, args: argparse.Namespace) -> None:
    """Trains the first stages of `slim` to give the outputs of those of `large`.

    Resumes from the checkpoint `args.out` if it exists, and writes a log beside it. Raises ValueError if the checkpoint
    belongs to another network. During the decay, batch norms keep their statistics, so that the last steps train the
    network in the form in which it is used.
    """
    small, teacher = first_stages(slim, stages), first_stages(large, stages).eval()
    optimizer = torch.optim.AdamW(small.parameters(), lr=args.rate, weight_decay=1e-4)
    checkpoint, config = CheckpointFile(args.out), slim.config.to_dict()
    begun = checkpoint.resume(slim, optimizer, config)
    # A resumed run uses another seed, so that it does not repeat the pairs of its beginning.
    stream = pairs(args.cache, slim.config, args.batch, args.seed * 100_003 + begun)
    held = next(pairs(args.cache, slim.config, 64, _HELD_OUT_SEED))
    schedule = Schedule(args.steps, warmup=50, shape="constant", decay=args.decay, final=0.0)
    log = CsvLog(args.out.with_suffix(".csv"))
    started = time.monotonic()
    for step in tqdm(range(begun, args.steps), initial=begun, total=args.steps, mininterval=1.0):
        for group in optimizer.param_groups:
            group["lr"] = args.rate * share(schedule, step)
        small.train()
        if step >= args.steps - args.decay:
            freeze_norms(small)
        loss = missed(small, teacher, next(stream))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(small.parameters(), 10.0)
        optimizer.step()
        if (step + 1) % args.save_every and step + 1 < args.steps:
            continue
        small.eval()
        with torch.no_grad():
            value = missed(small, teacher, held).item()
        row = {"step": step + 1, "seconds": round(time.monotonic() - started, 1)}
        log.write(row | {"missed": f"{loss.item():.4f}", "held_missed": f"{value:.4f}"})
        state = {"state_dict": slim.state_dict(), "config": config, "optimizer": optimizer.state_dict()}
        checkpoint.save(state | {"step": step + 1})


@refusals()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", type=Path, required=True, help="checkpoint of the larger network")
    parser.add_argument("--cache", type=Path, required=True, help="folder written by ettrack_training.data.pack")
    parser.add_argument(
        "--out", type=Path, required=True, help="checkpoint of the slim network; an existing one is resumed"
    )
    parser.add_argument("--cut", action="store_true", help="remove a block and a gate of the first stage, too")
    parser.add_argument("--steps", type=int, default=1200, help="total number of steps for the changed stages")
    parser.add_argument("--decay", type=int, default=600, help="last steps, in which the rate falls to zero")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=50)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    large = opened(args.start)
    config = replace(NANO_CUT if args.cut else NANO_FAST, box_context=large.config.box_context)
    seen = watched(large, pairs(args.cache, config, args.batch, args.seed + 1), 16)
    for name, layer in large.named_modules():
        if isinstance(layer, ExemplarLayer):
            shares = zip(seen[name].mean(0), seen[name].std(0), strict=True)
            print(f"{name}: attention", *(f"{mean:.3f} (deviation {spread:.3f})" for mean, spread in shares))
    slim = slimmed(large, config, seen)
    if stages := changed_stages(large.config, config):
        learn(slim, large, stages, args)
    else:
        CheckpointFile(args.out).save({"state_dict": slim.state_dict(), "config": config.to_dict()})


if __name__ == "__main__":
    main()
