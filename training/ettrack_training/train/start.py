"""Weights to start from: whole networks, backbones, heads."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..checkpoint import CheckpointError, differences, read, unwrap
from ..networks.et_track import ETTrack
from .state import CheckpointFile, config_differences, trained_weights

_PREFIX = "backbone_net."
# LightTrack's name of the same backbone.
_PREFIXES = (_PREFIX, "features.")


def start_from(
    network: ETTrack, *, whole: Path | None = None, backbone: Path | None = None, head: Path | None = None
) -> None:
    """Puts the weights of checkpoints into the network, those of `whole` first.

    A backbone is taken from a distilled one's checkpoint or from a whole network's, a head (everything
    but the backbone) from a whole network's, averaged weights where it holds some. Raises `CheckpointError` where keys
    or shapes differ.
    """
    if whole:
        content = _read(whole)
        load_into(network, whole, _weights(whole, content))
        if isinstance(content, Mapping) and "config" in content:
            # What the tensors do not show, such as windows, may be meant to differ.
            for line in config_differences(content["config"], network.config.to_dict(), f"in {whole}"):
                print(f"note: {line}", file=sys.stderr)
    if backbone:
        load_into(network.backbone_net, backbone, backbone_state(backbone))
    if head:
        state = {key: value for key, value in _weights(head, _read(head)).items() if not key.startswith(_PREFIX)}
        kept = {_PREFIX + key: value for key, value in network.backbone_net.state_dict().items()}
        load_into(network, head, {**state, **kept})


def backbone_state(path: Path) -> dict[str, Tensor]:
    """The backbone's tensors without their prefix, from either kind of checkpoint."""
    content = _read(path)
    try:
        return unwrap(path, content, entry="backbone")
    except CheckpointError:
        # The file holds no backbone alone. It is a whole network's file, or `load` says that it is neither.
        state = _weights(path, content)
    for prefix in _PREFIXES:
        if own := {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}:
            return own
    return state


def _read(path: Path) -> Any:
    """One file or pieces; also other people's, as `checkpoint.load` reads them."""
    file = CheckpointFile(path)
    return read(path, data=file.read_bytes() if file.exists() else None)


def _weights(path: Path, content: Any) -> dict[str, Tensor]:
    ours = isinstance(content, Mapping) and {"state_dict", "ema"} <= content.keys()
    return unwrap(path, trained_weights(content) if ours else content)


def load_into(module: nn.Module, path: Path, state: Mapping[str, Tensor]) -> None:
    """Puts a checkpoint's tensors into a module. Raises `CheckpointError` where keys or shapes differ."""
    lines = differences(state, module.state_dict())
    if lines:
        raise CheckpointError(f"{path} does not fit: {'; '.join(lines)}")
    module.load_state_dict(state)
