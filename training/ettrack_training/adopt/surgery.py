"""Changes names, sizes, types and outputs of ONNX graphs to those that the runtime reads. Weights do not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, utils

from .graphs import AdoptError, OnnxFile

# Largest number of tensors that the runtime passes from the template graph to the track graph.
MOST_FEATURES = 5


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy of a graph. Weights are not among its inputs, and all inner names have a prefix."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name for tensor in made.graph.initializer}
    taken = [value for value in made.graph.input if value.name not in weights]
    del made.graph.input[:]
    made.graph.input.extend(taken)
    # The stored shapes may belong to another image size.
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
    """Drops all other outputs, and nodes and weights that only they need. Forgets the shapes of outputs."""
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
    """Returns the names that graphs inside the node take from outside."""
    found: set[str] = set()
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                found |= set(inner.input) | _inner_names(inner)
    return found


def single_precision(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Changes these float16 inputs and outputs to float32. The graph still computes in float16."""
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
    """Appends a node."""
    model.graph.node.append(helper.make_node(kind, list(inputs), [output], **attributes))


def constant(model: onnx.ModelProto, name: str, values: np.ndarray) -> str:
    """Adds a constant and returns its name."""
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def channel(model: onnx.ModelProto, source: str, index: int, output: str) -> None:
    """Appends a node that selects one channel of a map, [1, 1, n, n]."""
    place = constant(model, f"{output}/channel", np.array([index], np.int64))
    append(model, "Gather", [source, place], output, axis=1)


def joined(backbone: OnnxFile, head: OnnxFile, link: tuple[str, str]) -> onnx.ModelProto:
    """Joins backbone and head: output `link[0]` of the backbone becomes input `link[1]` of the head."""
    if backbone.opset != head.opset:
        raise AdoptError(f"{head.path}: operator set {head.opset}, expected {backbone.opset} as in {backbone.path}")
    first, second = (compose.add_prefix(copy(file.model), prefix) for file, prefix in ((backbone, "b/"), (head, "h/")))
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    return compose.merge_models(first, second, io_map=[(f"b/net/{link[0]}", f"h/net/{link[1]}")])


def template_cut(model: onnx.ModelProto, images: Sequence[str]) -> list[str]:
    """Returns the tensors between the part that depends only on template images and the rest. They divide the graph."""
    of_template, of_search = set(images), {value.name for value in model.graph.input} - set(images)
    found: list[str] = []
    for node in model.graph.node:
        taken = (set(node.input) | _inner_names(node)) - {""}
        if taken & of_search:
            of_search |= set(node.output)
            found += [name for name in node.input if name in of_template and name not in found]
        elif taken & of_template:
            of_template |= set(node.output)
    return found


def extracted(path: Path, model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """Returns the part of a graph between these tensors."""
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)}
    if missing := [name for name in (*inputs, *outputs) if name not in known]:
        raise AdoptError(f"{path}: the shape of {', '.join(missing)} is unknown, expected one to cut there")
    return utils.Extractor(inferred).extract_model(list(inputs), list(outputs))
