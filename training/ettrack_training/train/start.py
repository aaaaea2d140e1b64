"""Loads the weights with which a training starts: whole networks, backbones, heads."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..checkpoint import CheckpointError, differences, read, unwrap
from ..networks.et_track import ETTrack, ETTrackConfig
from .state import CheckpointFile, config_differences, config_of, trained_weights

_PREFIX = "backbone_net."
# Prefixes of the backbone's keys in E.T.Track and in LightTrack, which has the same backbone.
_PREFIXES = (_PREFIX, "features.")


def start_from(
    network: ETTrack, *, whole: Path | None = None, backbone: Path | None = None, head: Path | None = None
) -> None:
    """Loads the weights of checkpoints into the network, those of `whole` first.

    `backbone` is the checkpoint of a distilled backbone or of a whole network. `head` is the checkpoint of a whole
    network, of which everything except the backbone is used. Averaged weights are used if a checkpoint holds some.
    Raises `CheckpointError` if keys or shapes differ.
    """
    if whole:
        content = _read(whole)
        load_into(network, whole, _weights(whole, content))
        if isinstance(content, Mapping) and "config" in content:
            # Settings that do not change the tensors, such as the windows, may differ on purpose.
            for line in config_differences(content["config"], network.config.to_dict(), f"in {whole}"):
                print(f"note: {line}", file=sys.stderr)
    if backbone:
        load_into(network.backbone_net, backbone, backbone_state(backbone))
    if head:
        state = {key: value for key, value in _weights(head, _read(head)).items() if not key.startswith(_PREFIX)}
        kept = {_PREFIX + key: value for key, value in network.backbone_net.state_dict().items()}
        load_into(network, head, {**state, **kept})


def backbone_state(path: Path) -> dict[str, Tensor]:
    """Returns the backbone's tensors, without a prefix, from the checkpoint of a backbone or of a whole network."""
    content = _read(path)
    try:
        return unwrap(path, content, entry="backbone")
    except CheckpointError:
        # It is not the checkpoint of a backbone. If it is not one of a whole network either, loading it will fail.
        state = _weights(path, content)
    for prefix in _PREFIXES:
        if own := {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}:
            return own
    return state


def _read(path: Path) -> Any:
    """Reads one file or pieces, from this package or from other authors."""
    file = CheckpointFile(path)
    return read(path, data=file.read_bytes() if file.exists() else None)


def _weights(path: Path, content: Any) -> dict[str, Tensor]:
    ours = isinstance(content, Mapping) and {"state_dict", "ema"} <= content.keys()
    return unwrap(path, trained_weights(content) if ours else content)


def opened(path: Path) -> ETTrack:
    """The network of a checkpoint of this package, in evaluation mode.

    Raises `CheckpointError` if its tensors do not fit its configuration.
    """
    state = CheckpointFile(path).load()
    network = ETTrack(ETTrackConfig.from_dict(config_of(path, state))).eval()
    load_into(network, path, trained_weights(state))
    return network


def load_into(module: nn.Module, path: Path, state: Mapping[str, Tensor]) -> None:
    """Loads a checkpoint's tensors into a module. Raises `CheckpointError` if keys or shapes differ."""
    lines = differences(state, module.state_dict())
    if lines:
        raise CheckpointError(f"{path} does not fit: {'; '.join(lines)}")
    module.load_state_dict(state)
