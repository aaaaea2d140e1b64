"""The weights of a neural network in a Core ML file (`.mlmodel`), read without Core ML.

Such a file is a protocol buffer that lists layers. Only the weights of its convolutions are read. The messages below
are the part of Core ML's format (version 4, `NeuralNetwork.proto`) that they need; the rest is skipped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from torch import Tensor

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "ettrack.coreml"
# Message: field -> (number, type or message, repeated).
_MESSAGES: dict[str, dict[str, tuple[int, int | str, bool]]] = {
    "Quantization": {"bits": (1, _FIELD.TYPE_UINT64, False)},
    "Weights": {
        "floats": (1, _FIELD.TYPE_FLOAT, True),
        "halves": (2, _FIELD.TYPE_BYTES, False),
        "quantization": (40, "Quantization", False),
    },
    "Convolution": {
        "outputs": (1, _FIELD.TYPE_UINT64, False),
        "inputs": (2, _FIELD.TYPE_UINT64, False),
        "kernel": (20, _FIELD.TYPE_UINT64, True),
        "transposed": (60, _FIELD.TYPE_BOOL, False),
        "biased": (70, _FIELD.TYPE_BOOL, False),
        "weights": (90, "Weights", False),
        "bias": (91, "Weights", False),
    },
    "Layer": {"name": (1, _FIELD.TYPE_STRING, False), "convolution": (100, "Convolution", False)},
    "Network": {"layers": (1, "Layer", True)},
    "Model": {"version": (1, _FIELD.TYPE_INT32, False), "network": (500, "Network", False)},
}


class CoreMlError(ValueError):
    """The file is not a Core ML network, or its weights are stored in a way that is not supported."""


def read_convolutions(path: Path) -> dict[str, Tensor]:
    """`NAME.weight` [outputs, inputs per group, height, width] and `NAME.bias` [outputs] of each convolution,
    float32, in the order of the file. Raises `CoreMlError`, and OSError where the file cannot be read."""
    model = message_class("Model")()
    try:
        model.ParseFromString(Path(path).read_bytes())
    except message.DecodeError as error:
        raise CoreMlError(f"{path}: expected a Core ML model (.mlmodel), cannot read it: {error}") from error
    if not model.network.layers:
        raise CoreMlError(f"{path}: expected a Core ML model with a neural network, found no layers")
    state: dict[str, Tensor] = {}
    for layer in model.network.layers:
        if layer.HasField("convolution"):
            where = f"{path}: convolution {layer.name}"
            kind = layer.convolution
            if kind.transposed:
                raise CoreMlError(f"{where}: expected no transposed one")
            kernel = list(kind.kernel) or [3, 3]
            state[f"{layer.name}.weight"] = _tensor(where, kind.weights, (kind.outputs, kind.inputs, *kernel))
            if kind.biased:
                state[f"{layer.name}.bias"] = _tensor(where, kind.bias, (kind.outputs,))
    if not state:
        raise CoreMlError(f"{path}: expected convolutions, found none among {len(model.network.layers)} layers")
    return state


def _tensor(where: str, weights: Any, shape: tuple[int, ...]) -> Tensor:
    if weights.HasField("quantization"):
        raise CoreMlError(f"{where}: expected weights of 16 or 32 bits, got quantised ones")
    if len(weights.halves) % 2:
        raise CoreMlError(f"{where}: expected weights of two bytes each, got {len(weights.halves)} bytes")
    values = np.frombuffer(weights.halves, "<f2") if weights.halves else np.array(weights.floats, np.float32)
    if values.size != int(np.prod(shape)):
        raise CoreMlError(f"{where}: expected {int(np.prod(shape))} weights, shape {list(shape)}, got {values.size}")
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


@cache
def message_class(name: str) -> type[message.Message]:
    """The class of one of the messages above, by its name."""
    file = descriptor_pb2.FileDescriptorProto(name="ettrack/coreml.proto", package=_PACKAGE, syntax="proto3")
    for title, fields in _MESSAGES.items():
        entry = file.message_type.add(name=title)
        for field, (number, kind, repeated) in fields.items():
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            made = entry.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                made.type, made.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                made.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
