"""Makes tests/data/two_templates: a graph with two template images whose output is one box, without a score map.

The box is not a prediction. Its numbers are the mean levels of the images, so that a test sees which images the graph
got: means of the template, of the refreshed template, of the search image, and of the search image again.

    python -m ettrack_training.two_templates tests/data/two_templates
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from .one_graph import run, write_folder

TEMPLATE, SEARCH = 8, 16


def graph() -> onnx.ModelProto:
    """Returns the track graph."""

    def image(name: str, side: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, side, side])

    images = [image("template", TEMPLATE), image("refreshed", TEMPLATE), image("search", SEARCH)]
    means = [helper.make_node("GlobalAveragePool", [name.name], [f"{name.name}_means"]) for name in images]
    # The channels of all test pictures are equal, so the first one is enough.
    zero = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
    first = [
        helper.make_node("Gather", [f"{name.name}_means", "zero"], [f"{name.name}_mean"], axis=1) for name in images
    ]
    names = [f"{name}_mean" for name in ("template", "refreshed", "search", "search")]
    joined = helper.make_node("Concat", names, ["joined"], axis=3)
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [1, 1, 4])
    box = helper.make_node("Reshape", ["joined", "shape"], ["box"])
    output = helper.make_tensor_value_info("box", TensorProto.FLOAT, [1, 1, 4])
    nodes = [*means, *first, joined, box]
    body = helper.make_graph(nodes, "two_templates", images, [output], initializer=[zero, shape])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def write(folder: Path) -> None:
    """Writes the model folder `folder`."""
    manifest = {
        "template": {"input": "template", "refreshed_input": "refreshed", "size": TEMPLATE, "factor": 2.0},
        "search": {"input": "search", "sizes": [SEARCH], "factor": 4.0, "stride": 16},
        "outputs": {"boxes": {"name": "box"}},
        "tracking": {"default": {"refresh_above": 0.0}},
    }
    description = "mean levels of its images for tests, tracks nothing"
    write_folder(folder, graph().SerializeToString(), "token_box", description, manifest)


if __name__ == "__main__":
    run(write, __doc__)
