"""Widen a network: `python -m ettrack_training.distil.widen --start FILE --cache DIR --out FILE`

Makes `networks.nano.SMALL` from a network like `NANO_FAST`. At first the wide network computes what the narrow one
computes. New channels have random weights, and what reads them reads them with weights of zero. New residual blocks add
nothing. So training starts from the narrow network's accuracy and not from random weights (Net2Net, Chen et al., ICLR
2016).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint import CheckpointError
from ..cost import parameters
from ..networks.blocks import InvertedResidual
from ..networks.et_track import ETTrack, ETTrackConfig
from ..networks.exemplar import ExemplarLayer
from ..networks.nano import SMALL
from ..pixels import normalise
from ..refusals import refusals
from ..train.start import opened
from ..train.state import CheckpointFile
from .slim import pairs

# Number of pairs from which batch norms get the statistics of their new channels.
_MEASURED = 64


def widened(narrow: ETTrack, config: ETTrackConfig) -> ETTrack:
    """Returns a network with `config`, in evaluation mode, that has the same outputs as `narrow`.

    `config` may have more channels in the neck, the towers and the backbone's blocks, and more residual blocks at the
    end of a stage. Raises CheckpointError if a tensor of `narrow` has no place in it. `measure_norms` gives new
    channels their statistics.
    """
    wide = ETTrack(config).eval()
    with torch.no_grad():
        for mine, theirs in shared(wide, narrow):
            if theirs.ndim > 1:
                # The old rows read zeros of the new columns.
                mine[: len(theirs)] = 0
            _corner(mine, theirs).copy_(theirs)
        for name in _new_blocks(wide, narrow):
            nn.init.zeros_(wide.get_submodule(name).bn3.weight)
        _silence_new_template_channels(wide, narrow)
    return wide


class Kept:
    """The weights that a wide network has from a narrow one, with their values in the narrow one.

    `restore` after each step of a training lets only the added weights learn. What the narrow network learnt from more
    pictures is then not forgotten.
    """

    def __init__(self, wide: ETTrack, narrow: ETTrack):
        self._pairs = [(_corner(mine, theirs), theirs.detach().clone()) for mine, theirs in shared(wide, narrow)]

    @torch.no_grad()
    def restore(self) -> None:
        """Gives these weights the narrow network's values again."""
        for mine, theirs in self._pairs:
            mine.copy_(theirs)


def shared(wide: ETTrack, narrow: ETTrack) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields each tensor of `wide` that has a counterpart in `narrow`, and the counterpart, which is not larger.

    Tensors in which channels are grouped come in parts. Raises CheckpointError if `narrow` has a tensor that `wide`
    lacks, or a larger one.
    """
    if unread := set(narrow.state_dict()) - set(wide.state_dict()):
        raise CheckpointError(f"the wide network lacks {', '.join(sorted(unread)[:5])}")
    old = dict(narrow.named_modules())
    for name, module in wide.named_modules():
        if name not in old:
            continue
        for key, mine in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            theirs = getattr(old[name], key)
            mine, theirs = mine.detach(), theirs.detach()
            if isinstance(module, ExemplarLayer):
                mine, theirs = _kernels(mine, module), _kernels(theirs, old[name])
            if mine.ndim != theirs.ndim or any(a < b for a, b in zip(mine.shape, theirs.shape, strict=True)):
                raise CheckpointError(f"{name}.{key}: expected at most {tuple(mine.shape)}, got {tuple(theirs.shape)}")
            # Each part of a projection's channels belongs to one tower.
            parts = wide.config.correlations if name.startswith("neck.project_") else 1
            yield from zip(mine.chunk(parts), theirs.chunk(parts), strict=True) if theirs.ndim else [(mine, theirs)]


def _corner(mine: Tensor, theirs: Tensor) -> Tensor:
    """The first rows and columns of a tensor, as many as the smaller one has."""
    return mine[tuple(slice(size) for size in theirs.shape)]


def _kernels(flat: Tensor, layer: ExemplarLayer) -> Tensor:
    """A view of an exemplar layer's kernels [1,n] as one kernel, [C,C] or [C,k*k]."""
    if not layer.fixed:
        raise CheckpointError("expected exemplar layers with one exemplar, got several: use distil.slim first")
    return flat.view(layer.channels, -1)


def _new_blocks(wide: ETTrack, narrow: ETTrack) -> list[str]:
    """Names of the residual blocks that only `wide` has. Raises CheckpointError for any other new layer, because only a
    residual block can add nothing at first."""
    old = {name for name, _ in narrow.named_modules()}
    blocks: list[str] = []
    for name, module in wide.named_modules():
        if name in old or any(name.startswith(f"{block}.") for block in blocks):
            continue
        if not isinstance(module, InvertedResidual) or not module.residual:
            raise CheckpointError(f"expected only new residual blocks, got {name}, which the narrow network lacks")
        blocks.append(name)
    return blocks


def _silence_new_template_channels(wide: ETTrack, narrow: ETTrack) -> None:
    """A correlation is a sum over channels of template and search window. So in new ones the template is zero."""
    if not wide.config.neck_channels:
        return
    kept = narrow.config.neck_channels
    project = wide.neck["project_z"]
    for tensor in (project.weight, project.bias):
        for part in tensor.chunk(wide.config.correlations):
            part[kept:] = 0


@torch.no_grad()
def measure_norms(wide: ETTrack, narrow: ETTrack, template: Tensor, search: Tensor) -> None:
    """Gives new channels of the batch norms the mean and variance of their inputs for pictures [B,3,S,S].

    The backbone keeps its statistics while it is trained, so new channels need some from the start. Those of the search
    windows are used where templates pass the same batch norm.
    """
    old = dict(narrow.named_modules())

    def watch(kept: int):
        def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
            new = inputs[0][:, kept:]
            norm.running_mean[kept:] = new.mean((0, 2, 3))
            norm.running_var[kept:] = new.var((0, 2, 3)).clamp_min(1e-6)

        return hook

    norms = {name: module for name, module in wide.named_modules() if isinstance(module, nn.BatchNorm2d)}
    kept = {name: old[name].num_features if name in old else 0 for name in norms}
    handles = [
        norm.register_forward_pre_hook(watch(kept[name]))
        for name, norm in norms.items()
        if norm.num_features > kept[name]
    ]
    wide.eval()(template, search)
    for handle in handles:
        handle.remove()


@refusals()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", type=Path, required=True, help="checkpoint of the narrow network")
    parser.add_argument("--cache", type=Path, required=True, help="folder written by ettrack_training.data.pack")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint of the wide network")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)

    narrow = opened(args.start)
    wide = widened(narrow, replace(SMALL, box_context=narrow.config.box_context))
    batch = next(pairs(args.cache, wide.config, _MEASURED, args.seed))
    measure_norms(wide, narrow, *(normalise(torch.from_numpy(batch[name])) for name in ("template", "search")))
    CheckpointFile(args.out).save({"state_dict": wide.state_dict(), "config": wide.config.to_dict()})
    print(f"{parameters(narrow):,} parameters became {parameters(wide):,}")


if __name__ == "__main__":
    main()
