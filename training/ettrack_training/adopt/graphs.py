"""Reads ONNX files of other projects: their inputs and outputs. Refuses files that cannot be used, with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

# The newest operator set of the oldest ONNX Runtime that the Rust runtime accepts.
NEWEST_OPSET = 20
_FLOATS = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}


class AdoptError(ValueError):
    """A file or a graph cannot be adopted. The message says what was expected and what was found."""


@dataclass(frozen=True)
class Port:
    """An input or output of a graph. Axes without a fixed length have a name or `?` instead of a number."""

    name: str
    shape: tuple[int | str, ...]
    half: bool = False

    def __str__(self) -> str:
        kind = " float16" if self.half else ""
        return f"{self.name} [{', '.join(map(str, self.shape))}]{kind}"


@dataclass
class OnnxFile:
    """A graph and its file."""

    path: Path
    sha256: str
    model: onnx.ModelProto
    inputs: list[Port]
    outputs: list[Port]

    @property
    def opset(self) -> int:
        """Version of ONNX's own operator set."""
        return next(entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx"))


def listed(ports: list[Port]) -> str:
    """Returns names and shapes of ports for messages."""
    return "; ".join(map(str, ports)) or "none"


def read(path: Path) -> OnnxFile:
    """Reads and checks a file. Raises `AdoptError`."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise AdoptError(f"{path}: no such file") from error
    except OSError as error:
        raise AdoptError(f"{path}: cannot be read: {error}") from error
    try:
        model = onnx.load_from_string(data)
        no_graph = not model.graph.node
    # protobuf has no single exception for a file that is not ONNX.
    except Exception as error:
        raise AdoptError(f"{path}: expected an ONNX model, cannot read it: {error}") from error
    if no_graph:
        raise AdoptError(f"{path}: expected an ONNX model with a graph, found no nodes")
    _refuse_external_data(path, model)
    _refuse_unknown_operators(path, model)
    weights = {tensor.name for tensor in model.graph.initializer}
    file = OnnxFile(
        path,
        hashlib.sha256(data).hexdigest(),
        model,
        [_port(path, "input", value) for value in model.graph.input if value.name not in weights],
        [_port(path, "output", value) for value in model.graph.output],
    )
    try:
        session(model)
    # ONNX Runtime has a class of exceptions for each status.
    except Exception as error:
        raise AdoptError(f"{path}: ONNX Runtime {onnxruntime.__version__} cannot open it: {error}") from error
    return file


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Opens a graph on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(path: Path, model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs a graph and returns all outputs by name. Raises `AdoptError` if the graph fails."""
    names = [output.name for output in model.graph.output]
    try:
        return dict(zip(names, session(model).run(names, dict(inputs)), strict=True))
    except Exception as error:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
        raise AdoptError(f"{path}: fails on {shapes}: {error}") from error


def _port(path: Path, kind: str, value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type not in _FLOATS:
        found = TensorProto.DataType.Name(tensor.elem_type) if value.type.HasField("tensor_type") else "no tensor"
        raise AdoptError(f"{path}: {kind} {value.name} is {found}, expected a tensor of float32 or float16")
    if not tensor.HasField("shape"):
        raise AdoptError(f"{path}: {kind} {value.name} has no shape, expected a fixed number of axes")
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in tensor.shape.dim)
    return Port(value.name, shape, tensor.elem_type == TensorProto.FLOAT16)


def tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Yields the weights and constants of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from tensors(attribute.g)


def _refuse_external_data(path: Path, model: onnx.ModelProto) -> None:
    outside = [tensor for tensor in tensors(model.graph) if tensor.data_location == TensorProto.EXTERNAL]
    if outside:
        place = next((entry.value for entry in outside[0].external_data if entry.key == "location"), "?")
        raise AdoptError(
            f"{path}: {len(outside)} tensors lie in other files ({outside[0].name} in {place}), expected all weights "
            "in this file: save it with save_as_external_data=False"
        )


def _refuse_unknown_operators(path: Path, model: onnx.ModelProto) -> None:
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if "ai.onnx" not in versions:
        raise AdoptError(f"{path}: expected operators of ONNX, the file names {', '.join(versions) or 'none'}")
    if versions["ai.onnx"] > NEWEST_OPSET:
        raise AdoptError(
            f"{path}: operator set {versions['ai.onnx']}, expected at most {NEWEST_OPSET}, which ONNX Runtime 1.17 "
            "reads: export with a lower opset_version"
        )
    functions = {(function.domain, function.name) for function in model.functions}
    unknown = set()
    for node in model.graph.node:
        domain = node.domain or "ai.onnx"
        if (node.domain, node.op_type) in functions or domain == "com.microsoft":
            continue
        if domain != "ai.onnx" or not onnx.defs.has(node.op_type, versions["ai.onnx"]):
            unknown.add(f"{domain}.{node.op_type}")
    if unknown:
        raise AdoptError(f"{path}: unknown operators {', '.join(sorted(unknown))}, expected those of ONNX")


def parameters(models: list[onnx.ModelProto]) -> int:
    """Returns the number of parameters of several graphs. A backbone for both images is counted once."""
    seen: dict[str, int] = {}
    for model in models:
        named = [(tensor.name, tensor) for tensor in model.graph.initializer]
        for node in model.graph.node:
            if node.op_type == "Constant":
                named += [(node.output[0], attribute.t) for attribute in node.attribute if attribute.HasField("t")]
        for name, tensor in named:
            size = int(np.prod(tensor.dims, dtype=np.int64))
            # A single number is a constant of a formula and no parameter.
            if tensor.data_type in _FLOATS and size > 1:
                seen[name.removeprefix("t/").removeprefix("b/")] = size
    return sum(seen.values())


def macs(model: onnx.ModelProto) -> int:
    """Returns the multiply-accumulates of convolutions and matrix products whose shapes are known."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        axes = value.type.tensor_type.shape.dim
        if all(axis.HasField("dim_value") for axis in axes):
            shapes[value.name] = tuple(axis.dim_value for axis in axes)
    total = 0
    for node in inferred.node:
        made, taken = shapes.get(node.output[0]), [shapes.get(name) for name in node.input[:2]]
        if made is None or len(taken) < 2 or None in taken:
            continue
        numbers = int(np.prod(made, dtype=np.int64))
        if node.op_type == "Conv":
            total += numbers * int(np.prod(taken[1][1:], dtype=np.int64))
        elif node.op_type == "MatMul":
            total += numbers * taken[0][-1]
        elif node.op_type == "Gemm":
            turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            total += numbers * taken[0][0 if turned else 1]
    return total
