"""Makes small ONNX trackers with pseudo-random weights in published layouts, for tests. They cannot track a target.

    python -m ettrack_training.parity_onnx FOLDER

`nanotrack_backbone.onnx` and `nanotrack_head.onnx` have the inputs, outputs and sizes of NanoTrack's files. The size of
the backbone's image is not fixed. `mixformer.onnx` has the interface of MixFormerV2: it takes template, second template
and search image, and returns a box and its score. The boxes of both stay near the target, so that a closed loop goes
through many different regions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .one_graph import run

OPSET, IR = 14, 7
_CHANNELS = 8


class _Graph:
    """Nodes and weights of a graph under construction."""

    def __init__(self, seed: int):
        # This generator gives the same numbers in every version of numpy.
        self._random = np.random.RandomState(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def weight(self, *shape: int, scale: float) -> str:
        """Adds normally distributed weights and returns their name."""
        return self.fixed(self._random.standard_normal(shape).astype(np.float32) * np.float32(scale))

    def fixed(self, values: np.ndarray) -> str:
        """Adds these numbers as weights and returns their name."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, *inputs: str, name: str | None = None, **attributes: object) -> str:
        """Appends an operator and returns the name of its output."""
        name = name or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def made(self, inputs: dict[str, list], outputs: dict[str, list]) -> onnx.ModelProto:
        """Returns the finished and checked model."""

        def values(ports: dict[str, list]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports.items()]

        graph = helper.make_graph(self._nodes, "small", values(inputs), values(outputs), initializer=self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model)
        return model


def backbone() -> onnx.ModelProto:
    """Returns a backbone: a picture in 0..255 to features with one cell per 16 pixels (8 cells for 127, 16 for 255)."""
    graph = _Graph(1)
    kernel = graph.weight(_CHANNELS, 3, 16, 16, scale=0.0004)
    cells = graph.node("Conv", "input", kernel, strides=[16, 16], pads=[8, 8, 8, 8])
    graph.node("Tanh", cells, name="output")
    return graph.made({"input": [1, 3, "height", "width"]}, {"output": [1, _CHANNELS, "rows", "columns"]})


def head() -> onnx.ModelProto:
    """Returns a head: features of both images to two logits and four distances per cell."""
    graph = _Graph(2)
    kernel = graph.node("GlobalAveragePool", "input1")
    mixed = graph.node("Mul", "input2", kernel)
    both = graph.node("Concat", mixed, "input2", axis=1)
    graph.node("Conv", both, graph.weight(2, 2 * _CHANNELS, 1, 1, scale=1.5), name="output1")
    spread = graph.node("Tanh", graph.node("Conv", both, graph.weight(4, 2 * _CHANNELS, 1, 1, scale=0.3)))
    share = graph.node("Exp", graph.node("Mul", spread, graph.fixed(np.float32(0.4))))
    # A quarter of the template's side: the distance from the target's centre to its sides in both images.
    graph.node("Mul", share, graph.fixed(np.float32(31.75)), name="output2")
    features = {"input1": [1, _CHANNELS, 8, 8], "input2": [1, _CHANNELS, 16, 16]}
    return graph.made(features, {"output1": [1, 2, 16, 16], "output2": [1, 4, 16, 16]})


def mixformer() -> onnx.ModelProto:
    """Returns a graph: two templates of 112 and a search image of 224 pixels to one box, in parts of the search image's
    side, and the logit of its score."""
    graph = _Graph(3)
    kernel = graph.weight(_CHANNELS, 3, 16, 16, scale=0.03)
    names = ("template", "online_template", "search")
    parts = []
    for name in names:
        cells = graph.node("Tanh", graph.node("Conv", name, kernel, strides=[16, 16]))
        # The search image is divided into four parts, so that the box depends on the positions of things.
        side = 2 if name == "search" else 1
        pooled = graph.node("AveragePool", cells, kernel_shape=[7, 7], strides=[7, 7])
        shape = graph.fixed(np.array([1, 1, _CHANNELS * side * side], np.int64))
        parts.append(graph.node("Reshape", pooled, shape))
    joined = graph.node("Concat", *parts, axis=2)
    # The sine of a large number changes its sign from frame to frame, so that the box stays near the target.
    numbers = graph.weight(6 * _CHANNELS, 4, scale=4.0)
    places = graph.node("Sin", graph.node("MatMul", joined, numbers))
    reach = graph.node("Mul", places, graph.fixed(np.array([0.05, 0.05, 0.03, 0.03], np.float32)))
    # The middle of the region and a box of the target's size at a factor of 4.5.
    graph.node("Add", reach, graph.fixed(np.array([0.5, 0.5, 0.222, 0.222], np.float32)), name="pred_boxes")
    logit = graph.node("Sin", graph.node("MatMul", joined, graph.weight(6 * _CHANNELS, 1, scale=4.0)))
    score = graph.node("Mul", logit, graph.fixed(np.float32(3.0)))
    graph.node("Reshape", score, graph.fixed(np.array([1], np.int64)), name="pred_scores")
    sizes = {"template": 112, "online_template": 112, "search": 224}
    images = {name: [1, 3, size, size] for name, size in sizes.items()}
    return graph.made(images, {"pred_boxes": [1, 1, 4], "pred_scores": [1]})


# Files of each small tracker, and the options of `adopt` that its authors' tracking loop needs.
TRACKERS: dict[str, tuple[dict[str, object], list[str]]] = {
    "small_nanotrack": (
        {"nanotrack_backbone.onnx": backbone, "nanotrack_head.onnx": head},
        ["--search-size", "255", "--template-size", "127"],
    ),
    "small_mixformer": (
        {"mixformer.onnx": mixformer},
        ["--search-factor", "4.5", "--constant", "update_interval=5", "--constant", "score_decay=0.95"],
    ),
}


def write(folder: Path) -> None:
    """Writes the files of all small trackers into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for files, _ in TRACKERS.values():
        for name, make in files.items():
            (folder / name).write_bytes(make().SerializeToString())


if __name__ == "__main__":
    run(write, __doc__)
