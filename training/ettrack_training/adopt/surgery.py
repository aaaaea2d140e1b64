"""Changing ONNX graphs: names, sizes, types and outputs become those of the runtime. Weights stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, utils

from .graphs import AdoptError, OnnxFile

# More tensors between template and track graph are more than the runtime passes on.
MOST_FEATURES = 5


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of its own whose inputs are none of its weights, with a prefix on every name inside."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name for tensor in made.graph.initializer}
    taken = [value for value in made.graph.input if value.name not in weights]
    del made.graph.input[:]
    made.graph.input.extend(taken)
    # Earlier shapes may be those of another size.
    del made.graph.value_info[:]
    return compose.add_prefix(made, "net/")


def rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Renames inputs, outputs and inner tensors."""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def set_shape(model: onnx.ModelProto, name: str, shape: Sequence[int]) -> None:
    """Fixes the shape of an input."""
    for value in model.graph.input:
        if value.name == name:
            del value.type.tensor_type.shape.dim[:]
            for length in shape:
                value.type.tensor_type.shape.dim.add().dim_value = length


def keep_outputs(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Drops all other outputs, and what only they needed. Shapes of outputs are forgotten."""
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    wanted, kept = set(names), []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input) | _inner_names(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    weights = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)


def _inner_names(node: onnx.NodeProto) -> set[str]:
    """Names that graphs inside the node take from outside."""
    found: set[str] = set()
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                found |= set(inner.input) | _inner_names(inner)
    return found


def single_precision(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """float32 at these float16 inputs and outputs; the graph computes in what it was saved in."""
    graph = model.graph
    for name in inputs:
        rename(model, {name: f"{name}/half"})
        for value in graph.input:
            if value.name == f"{name}/half":
                value.name = name
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        graph.node.insert(0, helper.make_node("Cast", [name], [f"{name}/half"], to=TensorProto.FLOAT16))
    for name in outputs:
        rename(model, {name: f"{name}/half"})
        for value in graph.output:
            if value.name == f"{name}/half":
                value.name = name
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        graph.node.append(helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT))


def append(model: onnx.ModelProto, kind: str, inputs: Sequence[str], output: str, **attributes: object) -> None:
    """One more node."""
    model.graph.node.append(helper.make_node(kind, list(inputs), [output], **attributes))


def constant(model: onnx.ModelProto, name: str, values: np.ndarray) -> str:
    """One more constant; gives its name."""
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def channel(model: onnx.ModelProto, source: str, index: int, output: str) -> None:
    """One plane of a map, [1, 1, n, n]."""
    place = constant(model, f"{output}/channel", np.array([index], np.int64))
    append(model, "Gather", [source, place], output, axis=1)


def joined(backbone: OnnxFile, head: OnnxFile, link: tuple[str, str]) -> onnx.ModelProto:
    """The head behind the backbone: output `link[0]` of the one is input `link[1]` of the other."""
    if backbone.opset != head.opset:
        raise AdoptError(f"{head.path}: operator set {head.opset}, expected {backbone.opset} as in {backbone.path}")
    first, second = (compose.add_prefix(copy(file.model), prefix) for file, prefix in ((backbone, "b/"), (head, "h/")))
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    return compose.merge_models(first, second, io_map=[(f"b/net/{link[0]}", f"h/net/{link[1]}")])


def template_cut(model: onnx.ModelProto, images: Sequence[str]) -> list[str]:
    """The tensors that depend on template images alone and that the rest of the graph takes: where it can be cut."""
    of_template, of_search = set(images), {value.name for value in model.graph.input} - set(images)
    found: list[str] = []
    for node in model.graph.node:
        taken = (set(node.input) | _inner_names(node)) - {""}
        if taken & of_search:
            of_search |= set(node.output)
            found += [name for name in node.input if name in of_template and name not in found]
        elif taken & of_template:
            of_template |= set(node.output)
    # An image itself is no result, and a result at the end of the graph has no rest behind it.
    return found


def extracted(path: Path, model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """The part of a graph between these tensors."""
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)}
    if missing := [name for name in (*inputs, *outputs) if name not in known]:
        raise AdoptError(f"{path}: the shape of {', '.join(missing)} is unknown, expected one to cut there")
    return utils.Extractor(inferred).extract_model(list(inputs), list(outputs))
