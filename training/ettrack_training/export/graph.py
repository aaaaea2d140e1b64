"""Writes an ONNX graph and compares its outputs with those of the network."""

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


# Largest ratio between the rounding errors of a graph and of its network. It differs from 1 because a graph adds in
# another order. With the trackers' pseudo-random weights it is 0.3 to 6. A wrong weight gives thousands.
ROUNDING = 30.0
# Accepted error in steps of float32 at the output's largest magnitude, if the network's own rounding is very small.
STEPS = 16


@dataclass(frozen=True)
class Graph:
    """A graph to be exported.

    `module` is the fast form that is written: a module to be traced, or a graph built by hand (see `builder`).
    `reference` computes the same in a plain way, to check `module`. Both take the inputs in the order of `inputs` and
    return the tensors named by `outputs` (one tensor or a tuple). `axes` names symbolic axes of inputs and outputs.
    `variants` are further inputs for the check, in particular with other sizes of these axes.

    `choices` names values inside the graph that record choices, such as the largest of several numbers. If two numbers
    are almost equal, rounding may lead to another choice in the reference, and then all later values differ. So the
    reference takes these choices as further inputs and follows them. It raises ValueError for a choice that rounding
    does not explain.

    `ways` are sets of values for the choices. The check also runs the graph with each of them, because the given
    inputs may not lead to every part of the graph. `obedient` then takes the place of the reference and follows every
    choice. The first way has the highest cost.
    """

    module: nn.Module | onnx.ModelProto
    reference: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    variants: tuple[Mapping[str, Tensor], ...] = ()
    choices: tuple[str, ...] = ()
    ways: tuple[tuple[Tensor, ...], ...] = ()
    obedient: nn.Module | None = None


def export_graph(graph: Graph) -> bytes:
    """Returns the bytes of the ONNX model. Shapes of a traced module's values are filled in."""
    if isinstance(graph.module, onnx.ModelProto):
        return graph.module.SerializeToString()
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # Uses the tracing exporter. It takes a tenth of the time of its successor, needs no further package and
        # writes exactly the operators that the modules use.
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
    """Runs `model` and the reference on the same inputs. Returns the largest difference for each output.

    Model and reference in single precision are compared with the reference in double precision. The error of the model
    may be `ROUNDING` times that of the reference, so the limit fits weights of any scale. Raises `ExportError` if the
    error of the model is larger.
    """
    largest = dict.fromkeys(graph.outputs, 0.0)
    _compare(graph, showing(model, graph.choices), graph.reference, name, largest)
    for way in graph.ways:
        _compare(graph, showing(deciding(model, graph.choices, way), graph.choices), graph.obedient, name, largest)
    return largest


def _compare(graph: Graph, model: bytes, reference: nn.Module, name: str, largest: dict[str, float]) -> None:
    """Compares `model`, which shows its choices, with the reference. Updates the `largest` differences."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    exact = copy.deepcopy(reference).double()
    for inputs in (graph.inputs, *graph.variants):
        made = session.run([*graph.outputs, *graph.choices], {key: value.numpy() for key, value in inputs.items()})
        chosen = [torch.from_numpy(np.asarray(value)) for value in made[len(graph.outputs) :]]
        try:
            with torch.no_grad():
                single = _tuple(reference(*inputs.values(), *chosen))
                double = _tuple(exact(*(value.double() for value in inputs.values()), *chosen))
        except ValueError as error:
            raise ExportError(f"{name}: {error}") from error
        for output, a, s, d in zip(graph.outputs, made, single, double, strict=False):
            difference = _difference(name, output, a, s.numpy(), d.numpy())
            largest[output] = max(largest[output], difference)


def deciding(model: bytes, choices: Sequence[str], way: Sequence[Tensor]) -> bytes:
    """Returns the model with constants in the place of its choices."""
    changed = onnx.load_from_string(model)
    values = dict(zip(choices, way, strict=True))
    for node in changed.graph.node:
        for output in set(node.output) & set(values):
            value = onnx.numpy_helper.from_array(values[output].numpy())
            node.CopyFrom(onnx.helper.make_node("Constant", [], [output], name=node.name, value=value))
    return changed.SerializeToString()


def showing(model: bytes, values: Sequence[str]) -> bytes:
    """Returns the model with `values` as further outputs."""
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
    # This form of the comparison also fails for NaN.
    if not difference <= allowed:
        raise ExportError(
            f"{graph}: output {output} differs from the network by {difference:.3g}, at most {allowed:.3g} is allowed "
            f"(the network's own rounding is {rounding:.2g})"
        )
    return difference
