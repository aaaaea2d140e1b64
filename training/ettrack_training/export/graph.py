"""One ONNX graph: what it computes, how it is written, how it is checked."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

# The oldest operator set with LayerNormalization, so that every ONNX Runtime that the Rust
# runtime accepts (1.17 and later) reads the files.
OPSET = 17


class ExportError(Exception):
    """An exported graph does not compute what the network computes."""


@dataclass(frozen=True)
class Tolerance:
    """Allowed difference of an output: `absolute` + `relative` * largest magnitude."""

    absolute: float = 1e-4
    relative: float = 1e-5


@dataclass(frozen=True)
class Graph:
    """A graph to be exported.

    `module` is what is written, made for speed: a module to be traced, or a graph laid out by hand
    (see `builder`). `reference` computes the same the plain way and judges it. Both take the inputs
    in the order of `inputs` and return the tensors named by `outputs` (one tensor or a tuple).
    `axes` names symbolic axes of inputs and outputs; `variants` are further inputs to check with,
    other sizes of these axes in particular.
    """

    module: nn.Module | onnx.ModelProto
    reference: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tolerance]
    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    variants: tuple[Mapping[str, Tensor], ...] = ()


def export_graph(graph: Graph) -> bytes:
    """The serialised ONNX model, with shapes inferred."""
    if isinstance(graph.module, onnx.ModelProto):
        return graph.module.SerializeToString()
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The tracing exporter is chosen: it takes a tenth of the time of its successor, needs
        # no further package and writes exactly the operators that the modules ask for.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            buffer,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: dict(axes) for name, axes in graph.axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def verify_graph(graph: Graph, model: bytes, name: str) -> dict[str, float]:
    """Runs `model` and the reference on the same inputs; the largest difference per output.

    Raises `ExportError` where one is not within the output's tolerance.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    largest = dict.fromkeys(graph.outputs, 0.0)
    for inputs in (graph.inputs, *graph.variants):
        with torch.no_grad():
            expected = graph.reference(*inputs.values())
        if isinstance(expected, Tensor):
            expected = (expected,)
        actual = session.run(list(graph.outputs), {key: value.numpy() for key, value in inputs.items()})
        for (output, tolerance), a, e in zip(graph.outputs.items(), actual, expected, strict=True):
            difference = _difference(name, output, a, e.numpy(), tolerance)
            largest[output] = max(largest[output], difference)
    return largest


def _difference(graph: str, output: str, actual: np.ndarray, expected: np.ndarray, tolerance: Tolerance) -> float:
    if actual.shape != expected.shape:
        raise ExportError(f"{graph}: output {output} has shape {actual.shape}, expected {expected.shape}")
    difference = float(np.abs(actual - expected).max())
    allowed = tolerance.absolute + tolerance.relative * float(np.abs(expected).max())
    # Written so that NaN fails.
    if not difference <= allowed:
        raise ExportError(
            f"{graph}: output {output} differs from the network by {difference:.3g}, at most {allowed:.3g} is allowed"
        )
    return difference
