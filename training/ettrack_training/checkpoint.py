"""Reads checkpoints of other authors without running code that they may contain."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from .coreml import CoreMlError, read_convolutions

# Keys under which training code stores weights; the first one that exists is used. Averaged weights come last, so
# that a file with both is read as its authors' loader reads it. `entry` chooses another key.
WRAPPERS = ("state_dict", "net", "model_state_dict", "model", "network", "state_dict_ema", "model_ema", "ema")
# Classes that training code often stores beside the weights: settings, and the constructor, settings and statistics of
# PyTracking's trainer (`ltr`) and of the framework derived from it (`lib.train`). They are read as empty classes.
_PYTRACKING = (
    "admin.settings.Settings",
    "admin.local.EnvironmentSettings",
    "admin.environment.EnvSettings",
    "admin.stats.AverageMeter",
    "admin.stats.StatValue",
    "admin.model_constructor.NetConstructor",
    "admin.tensordict.TensorDict",
)
_SHELLS = (
    "argparse.Namespace",
    "easydict.EasyDict",
    "yacs.config.CfgNode",
    *(f"{package}.{name}" for package in ("ltr", "lib.train") for name in _PYTRACKING),
)
_SHOWN = 5
# The name of a class or function in torch's message that refuses it.
_GLOBAL = re.compile(r"(?:GLOBAL|global) ([\w.]+)")


class CheckpointError(Exception):
    """The file is not a usable checkpoint, or is a checkpoint of another tracker."""


def load(path: Path, *, entry: str | None = None, inert_classes: Iterable[str] = ()) -> dict[str, Tensor]:
    """The named tensors of a checkpoint, without a leading `module.`.

    Takes the mapping under `entry`, or under the first of `WRAPPERS` that exists, or the whole file.
    Only tensors and plain containers are read; `inert_classes` are read as empty classes.
    From a Core ML file (`.mlmodel`) it reads the weights of the convolutions, in the order of the file.
    Raises `CheckpointError`.
    """
    if Path(path).suffix == ".mlmodel":
        return _core_ml(path)
    return unwrap(path, read(path, inert_classes), entry)


def _core_ml(path: Path) -> dict[str, Tensor]:
    try:
        return read_convolutions(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except CoreMlError as error:
        raise CheckpointError(str(error)) from error


def read(path: Path, inert_classes: Iterable[str] = (), *, data: bytes | None = None) -> Any:
    """The whole content of a checkpoint, see `load`. `data`, if given, is read instead of the file at `path`."""
    shells = [(_shell(name), name) for name in (*_SHELLS, *inert_classes)]
    try:
        with torch.serialization.safe_globals([*shells, *_numpy_globals()]):
            return torch.load(path if data is None else io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    # For a truncated or foreign file torch may raise any exception.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        foreign = next((line for line in lines if "GLOBAL" in line or "global " in line), None)
        if isinstance(error, pickle.UnpicklingError) and foreign:
            name = _GLOBAL.search(foreign)
            hint = f"; if {name[1]} is a class, --inert-class {name[1]} reads it as an empty class" if name else ""
            raise CheckpointError(
                f"{path}: expected tensors in plain containers; it holds pickled code, which was not run "
                f"({foreign}){hint}"
            ) from error
        cause = "" if isinstance(error, pickle.UnpicklingError) or not lines else f": {lines[0]}"
        raise CheckpointError(
            f"{path}: expected a PyTorch checkpoint, cannot read it ({type(error).__name__}{cause})"
        ) from error


def _shell(name: str) -> type:
    """An empty class in place of `name`: it stores attributes and items and runs no code of the file."""
    return type(name.rpartition(".")[2], (dict,), {})


def _numpy_globals() -> list[Any]:
    """The functions and types in pickled NumPy numbers and arrays, such as learning rates and schedules."""
    arrays = numpy.array(0.0).__reduce__()[0]
    scalars = numpy.float64(0.0).__reduce__()[0]
    functions = [
        (function, f"numpy.{core}.multiarray.{function.__name__}")
        for core in ("core", "_core")
        for function in (arrays, scalars)
    ]
    kinds = (numpy.float64, numpy.float32, numpy.int64, numpy.int32, numpy.bool_)
    return [*functions, numpy.ndarray, numpy.dtype, *(type(numpy.dtype(kind)) for kind in kinds)]


def unwrap(path: Path, content: Any, entry: str | None = None) -> dict[str, Tensor]:
    """The named tensors in the `content` of a checkpoint, see `load`."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: expected a mapping of tensors, got {type(content).__name__}")
    if entry is not None:
        if entry not in content:
            raise CheckpointError(f"{path}: entry {entry!r} is not there, expected one of {sorted(map(str, content))}")
        candidates = [content[entry]]
    else:
        candidates = [content[name] for name in WRAPPERS if name in content]
        candidates.append(content)
    for candidate in candidates:
        if _is_state(candidate):
            return {key.removeprefix("module."): value for key, value in candidate.items()}
    raise CheckpointError(
        f"{path}: expected tensors by name, or under one of {', '.join(WRAPPERS)}; "
        f"got the keys {', '.join(map(str, list(content)[:_SHOWN])) or 'none'}"
    )


def _is_state(candidate: Any) -> bool:
    return (
        isinstance(candidate, Mapping)
        and bool(candidate)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in candidate.items())
    )


def differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """The reasons why a strict load of `state` fails, with the first keys of each kind; empty if it succeeds."""
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    reshaped = [
        f"{key} is {list(state[key].shape)}, expected {list(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    lines = []
    for title, found in (
        ("missing keys", missing),
        ("unexpected keys", unexpected),
        ("other shapes", reshaped),
    ):
        if found:
            more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            lines.append(f"{len(found)} {title}: {', '.join(found[:_SHOWN])}{more}")
    return lines


def without(state: dict[str, Tensor], unused: Mapping[str, str]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors whose names have none of the prefixes `unused`, and a line for each prefix of others.

    `unused` says what the tensors are for.
    """
    dropped = []
    for prefix, what in unused.items():
        count = sum(key.startswith(prefix) for key in state)
        if count:
            dropped.append(f"{count} tensors {prefix}* ({what})")
    return {key: value for key, value in state.items() if not key.startswith(tuple(unused))}, dropped


def overlap(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Number of keys that both have with the same shape, divided by the number of all keys; 0 to 1."""
    shared = sum(key in state and state[key].shape == t.shape for key, t in expected.items())
    return shared / max(1, len(state.keys() | expected.keys()))
