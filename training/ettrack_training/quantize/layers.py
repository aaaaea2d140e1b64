"""The layers of a graph that may compute in eight bits, and groups of layers that are chosen together."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import numpy_helper, shape_inference

KINDS = ("depthwise", "pointwise", "convolution", "matrix")


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product with learnt weights."""

    name: str
    kind: str
    macs: int


@dataclass(frozen=True)
class Group:
    """Neighbouring layers of one kind."""

    kind: str
    layers: tuple[Layer, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(layer.macs for layer in self.layers)

    def __str__(self) -> str:
        return f"{len(self.layers)} x {self.kind} from {self.layers[0].name}"


def name_nodes(model: onnx.ModelProto) -> None:
    """Gives each node a unique name."""
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)


def layers(model: onnx.ModelProto, sizes: dict[str, int]) -> list[Layer]:
    """Returns the layers in the order in which they run. `sizes` has the lengths of symbolic axes."""
    weights = {tensor.name: numpy_helper.to_array(tensor).shape for tensor in model.graph.initializer}
    shapes = _shapes(model, sizes)
    found = []
    for node in model.graph.node:
        weight = weights.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type not in ("Conv", "MatMul", "Gemm") or weight is None or len(weight) < 2:
            continue
        values = _product(shapes.get(node.output[0], ()))
        if node.op_type == "Conv":
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            depthwise = groups > 1 and weight[1] == 1
            pointwise = all(side == 1 for side in weight[2:])
            kind = "depthwise" if depthwise else "pointwise" if pointwise else "convolution"
            macs = values * _product(weight[1:])
        else:
            kind = "matrix"
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            macs = values * (weight[-1] if turned else weight[-2])
        found.append(Layer(node.name, kind, macs))
    return found


def groups(found: list[Layer], parts: int) -> list[Group]:
    """Returns at most `parts` groups of neighbours per kind, with about equal numbers of multiply-accumulates."""
    result = []
    for kind in KINDS:
        own = [layer for layer in found if layer.kind == kind]
        total = sum(layer.macs for layer in own)
        divided: list[list[Layer]] = [[] for _ in range(parts)]
        before = 0
        for layer in own:
            middle = before + layer.macs / 2
            divided[min(int(parts * middle / max(total, 1)), parts - 1)].append(layer)
            before += layer.macs
        result += [Group(kind, tuple(part)) for part in divided if part]
    return result


def _shapes(model: onnx.ModelProto, sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in [*fixed.graph.input, *fixed.graph.output]:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in sizes:
                axis.dim_value = sizes[axis.dim_param]
    # The shapes of the outputs are inferred again from the inputs.
    inferred = shape_inference.infer_shapes(fixed, data_prop=True).graph
    return {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in [*inferred.value_info, *inferred.output]
    }


def _product(numbers: tuple[int, ...]) -> int:
    result = 1
    for number in numbers:
        # An axis of unknown length counts once.
        result *= max(number, 1)
    return result
