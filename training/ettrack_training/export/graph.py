"""One ONNX graph: what it computes, how it is written, how it is checked."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Mapping, Sequence
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


# A graph may be so many times less exact than the network that it is made of: it adds in another order. With the
# trackers' pseudo-random weights it is 0.3 to 6 times; a wrong weight makes thousands.
ROUNDING = 30.0
# And so many steps of float32 at the output's largest magnitude, for outputs that the network happens to round well.
STEPS = 16


@dataclass(frozen=True)
class Graph:
    """A graph to be exported.

    `module` is what is written, made for speed: a module to be traced, or a graph laid out by hand
    (see `builder`). `reference` computes the same the plain way and judges it. Both take the inputs
    in the order of `inputs` and return the tensors named by `outputs` (one tensor or a tuple).
    `axes` names symbolic axes of inputs and outputs; `variants` are further inputs to check with,
    other sizes of these axes in particular.

    `choices` names values inside the graph by which it decides between things of almost equal value. Rounding may
    decide otherwise in the reference, and everything behind differs then. So the reference takes them after the
    inputs, decides likewise, and raises ValueError for a choice that rounding does not excuse.
    """

    module: nn.Module | onnx.ModelProto
    reference: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    variants: tuple[Mapping[str, Tensor], ...] = ()
    choices: tuple[str, ...] = ()


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

    Both are held against the reference in double precision. The model may differ from it by `ROUNDING` times what
    the reference in single precision does, so that weights of any scale are judged by their own rounding. Raises
    `ExportError` where it differs by more.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(showing(model, graph.choices), options, providers=["CPUExecutionProvider"])
    exact = copy.deepcopy(graph.reference).double()
    largest = dict.fromkeys(graph.outputs, 0.0)
    for inputs in (graph.inputs, *graph.variants):
        made = session.run([*graph.outputs, *graph.choices], {key: value.numpy() for key, value in inputs.items()})
        chosen = [torch.from_numpy(value) for value in made[len(graph.outputs) :]]
        try:
            with torch.no_grad():
                single = _tuple(graph.reference(*inputs.values(), *chosen))
                double = _tuple(exact(*(value.double() for value in inputs.values()), *chosen))
        except ValueError as error:
            raise ExportError(f"{name}: {error}") from error
        for output, a, s, d in zip(graph.outputs, made, single, double, strict=False):
            difference = _difference(name, output, a, s.numpy(), d.numpy())
            largest[output] = max(largest[output], difference)
    return largest


def showing(model: bytes, values: Sequence[str]) -> bytes:
    """The model with `values` among its outputs."""
    if not values:
        return model
    shown = onnx.load_from_string(model)
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(value) for value in values)
    return shown.SerializeToString()


def _tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _difference(graph: str, output: str, actual: np.ndarray, single: np.ndarray, double: np.ndarray) -> float:
    if actual.shape != double.shape:
        raise ExportError(f"{graph}: output {output} has shape {actual.shape}, expected {double.shape}")
    difference = float(np.abs(actual - double).max())
    rounding = float(np.abs(single - double).max())
    step = float(np.finfo(np.float32).eps * np.abs(double).max())
    allowed = ROUNDING * rounding + STEPS * step
    # Written so that NaN fails.
    if not difference <= allowed:
        raise ExportError(
            f"{graph}: output {output} differs from the network by {difference:.3g}, at most {allowed:.3g} is allowed "
            f"(the network's own rounding is {rounding:.2g})"
        )
    return difference
