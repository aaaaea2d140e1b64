"""Deterministic pseudo-random weights, for tests without checkpoints that cannot be distributed.

A tensor depends only on its key, its shape and a salt, so that two implementations can make the same network on any
machine and compare their outputs. Such networks cannot track.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor

# (key, shape, standard normal noise, salt) -> tensor; None keeps the network's own value (computed buffers).
Rule = Callable[[str, tuple[int, ...], np.ndarray, str], np.ndarray | None]


def noise(key: str, shape: tuple[int, ...], salt: str) -> np.ndarray:
    """Standard normal numbers of this shape, float64, C order; the seed is the CRC-32 of key and salt."""
    generator = np.random.default_rng(zlib.crc32((key + salt).encode("utf-8")))
    return np.asarray(generator.standard_normal(shape))


def pseudo_state_dict(template: Mapping[str, Tensor], rule: Rule, salt: str) -> dict[str, Tensor]:
    """A state dict with the keys and shapes of `template`; counters and index tables are copied unchanged."""
    state = {}
    for key, tensor in template.items():
        if not tensor.is_floating_point():
            state[key] = tensor.clone()
            continue
        shape = tuple(tensor.shape)
        values = rule(key, shape, noise(key, shape, salt), salt)
        if values is None:
            state[key] = tensor.clone()
            continue
        state[key] = torch.from_numpy(np.array(values, dtype=np.float32))
    return state


def checksum(state: Mapping[str, Tensor]) -> int:
    """CRC-32 of all keys and tensors, in the order of the sorted keys."""
    crc = 0
    for key in sorted(state):
        crc = zlib.crc32(state[key].numpy().tobytes(), zlib.crc32(key.encode(), crc))
    return crc


# The first match is used. Outside the backbone the gain is 1 if nothing matches.
_BACKBONE_GAINS = ((r"conv_pwl\.", 0.38), (r"conv_pw\.|conv_stem\.", 2.0))
_HEAD_GAINS = ((r"CA_layer\.|\.adj_layer\.", 0.3), (r"cls_pred\.", 9.0), (r"bbox_pred\.", 0.4))


def siamese_rule(key: str, shape: tuple[int, ...], n: np.ndarray, _salt: str) -> np.ndarray:
    """Weights of E.T.Track and LightTrack, with gains that give varied scores and boxes of a usual size."""
    leaf = key.rpartition(".")[2]
    backbone = key.startswith(("backbone_net.", "features."))
    offset = 0.05 if backbone else 0.1
    if leaf == "running_mean":
        return offset * n
    if leaf == "running_var":
        return 1.0 + 0.1 * np.abs(n)
    if leaf == "K":
        return 2.0 * n
    if leaf == "V_dw":
        return 0.6 * n
    if leaf == "V_pw":
        return n * (4.0 / sqrt(sqrt(shape[1])))
    if key.endswith("bbox_pred.bias"):
        return 2.0 + 0.1 * n
    if leaf == "weight" and len(shape) >= 2:
        if key.endswith("_branch_1.conv1.weight"):
            # The head should react to the content and not to the constant part of the correlation.
            n = n - n.mean(axis=(2, 3), keepdims=True)
        gains = _BACKBONE_GAINS if backbone else _HEAD_GAINS
        gain = next((value for pattern, value in gains if re.search(pattern, key)), 1.0)
        return n * (gain * sqrt(2.0 / prod(shape[1:])))
    if leaf == "weight":
        return (1.0 + 0.1 * n) * (0.5 if key.startswith("neck.") else 1.0)
    if leaf == "bias":
        return offset * n
    raise KeyError(f"no pseudo-random rule for {key} of shape {shape}")


@dataclass(frozen=True)
class Override:
    """Changes the rule `offset + scale * noise` of the keys that match; `gain` multiplies the scale.

    An `offset` of several numbers gives one per first index of the tensor.
    """

    pattern: str
    gain: float = 1.0
    scale: float | None = None
    offset: float | Sequence[float] | None = None


def transformer_rule(
    overrides: Sequence[Override],
    by_salt: Mapping[str, Sequence[Override]],
    computed: Sequence[str] = (),
) -> Rule:
    """Weights of SMAT, SparseTT and CompressTracker: rules of initialisation, then `overrides`, then those of the salt.

    The overrides keep boxes near the object and scores varied. The overrides of a salt were chosen with the sequence of
    the reference results. `computed` names buffers that the network computes itself.
    """

    def rule(key: str, shape: tuple[int, ...], n: np.ndarray, salt: str) -> np.ndarray | None:
        if key in computed:
            return None
        offset, scale = _initial_law(key, shape)
        for override in (*overrides, *by_salt.get(salt, ())):
            if not re.search(override.pattern, key):
                continue
            scale = scale * override.gain if override.scale is None else override.scale
            if override.offset is not None:
                offset = np.asarray(override.offset, np.float64)
                offset = offset.reshape(offset.shape + (1,) * (len(shape) - 1) * offset.ndim)
        if key.endswith("running_var"):
            n = np.abs(n)
        return np.asarray(offset + scale * n).reshape(shape)

    return rule


def _initial_law(key: str, shape: tuple[int, ...]) -> tuple[float, float]:
    leaf = key.rpartition(".")[2]
    fan_in = prod(shape[1:])
    if leaf == "running_var":
        return 1.0, 0.1
    if leaf == "running_mean" or leaf.endswith("bias"):
        return 0.0, 0.1
    if leaf.endswith("weight") and len(shape) == 1:
        return 1.0, 0.1
    if leaf.endswith("weight") and len(shape) == 4:
        return 0.0, sqrt(2.0 / fan_in)
    if leaf.endswith("weight") and len(shape) == 2 and "embed.weight" not in key:
        return 0.0, sqrt(1.0 / fan_in)
    return 0.0, 0.1
