"""A small builder of ONNX graphs from NumPy weights, with the layers that several trackers use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .graph import OPSET

#: File format version of ONNX that belongs to this operator set.
IR_VERSION = 8
#: Domain of ONNX Runtime's own operators. The exact GELU is one of them.
FUSED = "com.microsoft"

# Winograd's F(2x2, 3x3): matrices that transform a 4x4 patch, a 3x3 kernel, and the 4x4 products to 2x2 results.
_PATCH = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float64)
_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float64)
_RESULT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float64)


class GraphBuilder:
    """Builds a graph. Methods take and return names of values. Operators run in the order of the calls."""

    def __init__(self, name: str):
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple, str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, shape: Sequence[int]) -> str:
        """Declares a float32 input and returns its name."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def output(self, value: str, name: str, shape: Sequence[int]) -> None:
        """Declares ``value`` as the float32 output ``name``."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output/{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def constant(self, array: np.ndarray) -> str:
        """Stores an array as float32, or as int64 if it holds integers, and returns its name. Equal arrays are stored
        once."""
        array = np.asarray(array)
        array = np.ascontiguousarray(array, np.int64 if array.dtype.kind == "i" else np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def op(self, kind: str, *inputs: str, outputs: int | Sequence[bool] = 1, domain: str = "", **attributes):
        """Appends an operator and returns the name of its output, or a tuple of names if there are several.

        ``outputs`` is their number, or a list of flags. An output with the flag False gets no name and is not computed.
        """
        flags = [True] * outputs if isinstance(outputs, int) else list(outputs)
        self._count += 1
        label = f"{kind}_{self._count}"
        names = [f"{label}/{i}" if wanted else "" for i, wanted in enumerate(flags)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=label, domain=domain, **attributes))
        wanted = tuple(name for name in names if name)
        return wanted[0] if len(wanted) == 1 else wanted

    def when(self, condition: str, then: Callable[[], str], otherwise: Callable[[], str]) -> str:
        """Returns the value that ``then`` builds if ``condition``, one truth value, is true, else that of
        ``otherwise``. Only one of them is computed."""
        self._count += 1
        label = f"If_{self._count}"
        branches = {}
        for key, build in (("then_branch", then), ("else_branch", otherwise)):
            outer, self._nodes = self._nodes, []
            value, name = build(), f"{label}/{key}"
            # A branch may only return values that it computes.
            self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
            result = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            branches[key] = helper.make_graph(self._nodes, name, [], [result])
            self._nodes = outer
        self._nodes.append(helper.make_node("If", [condition], [label], name=label, **branches))
        return label

    def model(self) -> onnx.ModelProto:
        """Returns the complete model. Raises ``onnx.checker.ValidationError`` if it is not valid."""
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ettrack")
        onnx.checker.check_model(model)
        return model

    # Layers.

    def reshape(self, x: str, *shape: int) -> str:
        """``x`` with another shape. One side may be -1 and is then computed from the others."""
        return self.op("Reshape", x, self.constant(np.array(shape, np.int64)))

    def transpose(self, x: str, *axes: int) -> str:
        """``x`` with its axes in the given order."""
        return self.op("Transpose", x, perm=list(axes))

    def gather(self, x: str, index: np.ndarray, axis: int = 0) -> str:
        """The slices of ``x`` at the positions ``index`` along ``axis``, which is replaced by the shape of
        ``index``."""
        return self.op("Gather", x, self.constant(np.asarray(index, np.int64)), axis=axis)

    def rows(self, x: str, start: int, stop: int) -> str:
        """The rows from ``start`` to before ``stop`` of the first axis."""
        index = (self.constant(np.array([v], np.int64)) for v in (start, stop, 0))
        return self.op("Slice", x, *index)

    def linear(self, x: str, weight: np.ndarray, bias: np.ndarray | None = None, relu: bool = False) -> str:
        """``x [n, in]`` times the transpose of ``weight [out, in]`` plus ``bias [out]`` or ``[n, out]``: ``[n,
        out]``."""
        inputs = [x, self.constant(weight.T)]
        if bias is not None:
            inputs.append(self.constant(bias))
        y = self.op("Gemm", *inputs)
        return self.op("Relu", y) if relu else y

    def conv(
        self,
        x: str,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        stride: int = 1,
        groups: int = 1,
        relu: bool = False,
    ) -> str:
        """Convolution of ``x [b, in, h, w]`` with ``weight [out, in / groups, k, k]``, padded with k // 2 zeros.

        With an even k it is not padded.
        """
        kernel = weight.shape[2]
        pad = kernel // 2 if kernel % 2 else 0
        inputs = [x, self.constant(weight)] + ([self.constant(bias)] if bias is not None else [])
        y = self.op("Conv", *inputs, kernel_shape=[kernel] * 2, pads=[pad] * 4, strides=[stride] * 2, group=groups)
        return self.op("Relu", y) if relu else y

    def layer_norm(self, x: str, weight: np.ndarray, bias: np.ndarray, eps: float) -> str:
        """Layer norm over the last axis, of ``c`` values, with ``weight [c]`` and ``bias [c]``."""
        return self.op("LayerNormalization", x, self.constant(weight), self.constant(bias), epsilon=eps, axis=-1)

    def add_layer_norm(self, x: str, skip: str, weight: np.ndarray, bias: np.ndarray, eps: float) -> tuple[str, str]:
        """``(norm(x + skip), x + skip)``. Uses two operators, because the fused one took three times as long."""
        total = self.op("Add", x, skip)
        return self.layer_norm(total, weight, bias, eps), total

    def clamped_sigmoid(self, x: str, clamp: float) -> str:
        """The sigmoid of ``x``, limited to ``clamp`` to ``1 - clamp``."""
        return self.op(
            "Clip", self.op("Sigmoid", x), self.constant(np.float32(clamp)), self.constant(np.float32(1 - clamp))
        )

    def gelu(self, x: str) -> str:
        """The exact GELU, which is computed with erf."""
        return self.op("Gelu", x, domain=FUSED)

    def attention(
        self,
        query: str,
        key: str,
        value: str,
        batch: int,
        heads: int,
        width: int,
        bias: np.ndarray | str | None = None,
        keep: int | None = None,
        squared: float = 0.0,
    ) -> str:
        """Multi-head attention of tokens ``[batch * n, width]`` inside each batch. The result has the query's shape.

        The query must already contain the scale. ``bias``, a constant or the name of a value that
        can be broadcast to ``[batch, heads, n, n]``, is added to the logits. With
        ``keep``, only the ``keep`` largest logits of each query are used. ``squared`` is the share of the squared
        weights that is added to the weights.
        """
        return self.attention_with_weights(query, key, value, batch, heads, width, bias, keep, squared)[0]

    def attention_with_weights(
        self,
        query: str,
        key: str,
        value: str,
        batch: int,
        heads: int,
        width: int,
        bias: np.ndarray | str | None = None,
        keep: int | None = None,
        squared: float = 0.0,
    ) -> tuple[str, str]:
        """As :meth:`attention`, with the weight of each key for each query, ``[batch, heads, queries, keys]``."""

        def split(x: str, *axes: int) -> str:
            return self.transpose(self.reshape(x, batch, -1, heads, width // heads), *axes)

        logits = self.op("MatMul", split(query, 0, 2, 1, 3), split(key, 0, 2, 3, 1))
        if bias is not None:
            logits = self.op("Add", logits, bias if isinstance(bias, str) else self.constant(bias))
        if keep is None:
            weights = self.op("Softmax", logits, axis=-1)
        else:
            # Selecting without sorting, a softmax over the selected logits, and a scatter were faster than a threshold.
            best, index = self.op("TopK", logits, self.constant(np.array([keep])), outputs=2, axis=-1, sorted=0)
            zeros = self.op("Mul", logits, self.constant(np.float32(0)))
            weights = self.op("ScatterElements", zeros, index, self.op("Softmax", best, axis=-1), axis=-1)
        if squared:
            factor = self.op("Mul", weights, self.constant(np.float32(squared)))
            weights = self.op("Mul", weights, self.op("Add", factor, self.constant(np.float32(1))))
        mixed = self.op("MatMul", weights, split(value, 0, 2, 1, 3))
        return self.reshape(self.transpose(mixed, 0, 2, 1, 3), -1, width), weights

    def conv3x3(self, x: str, weight: np.ndarray, bias: np.ndarray, side: int, relu: bool = True) -> str:
        """3x3 convolution, padded with zeros, of cells ``[side^2, in]`` in row-major order to ``[side^2, out]``.

        Uses Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016) as 16 matrix products, which needs 4/9 of the
        multiplications. ``weight`` is ``[out, in, 3, 3]``. ``bias`` is ``[out]``, or ``[side^2, out]`` for a bias of
        each cell.
        """
        outputs, inputs = weight.shape[:2]
        tiles = (side + 1) // 2
        patch, tile = np.arange(4), np.arange(tiles)
        position = 2 * tile[None, :] + patch[:, None] - 1  # [4, tiles]
        row, col = position[:, None, :, None], position[None, :, None, :]
        outside = (row < 0) | (row >= side) | (col < 0) | (col >= side)
        index = np.where(outside, side * side, row * side + col).reshape(-1)
        padded = self.op("Concat", x, self.constant(np.zeros((1, inputs))), axis=0)
        d = self.reshape(self.gather(padded, index), 16, tiles * tiles * inputs)
        d = self.op("MatMul", self.constant(np.kron(_PATCH, _PATCH)), d)
        kernel = np.einsum("ik,ockl,jl->ijco", _KERNEL, weight, _KERNEL).reshape(16, inputs, outputs)
        # Sixteen separate products, because ONNX Runtime packs a constant matrix in advance, but not a stack of them.
        parts = self.op("Split", d, self.constant(np.ones(16, np.int64)), outputs=16, axis=0)
        parts = [
            self.linear(self.reshape(part, tiles * tiles, inputs), w.T) for part, w in zip(parts, kernel, strict=True)
        ]
        m = self.reshape(self.op("Concat", *parts, axis=0), 16, tiles * tiles * outputs)
        m = self.op("MatMul", self.constant(np.kron(_RESULT, _RESULT)), m)
        row, col = np.divmod(np.arange(side * side), side)
        order = (2 * (row % 2) + col % 2) * tiles * tiles + (row // 2) * tiles + col // 2
        y = self.gather(self.reshape(m, 4 * tiles * tiles, outputs), order)
        y = self.op("Add", y, self.constant(bias))
        return self.op("Relu", y) if relu else y
