"""Adds features to the outputs of a model: `python -m ettrack_training.expose MODEL --tensor NAME --output FOLDER`

The runtime can learn to tell the target from look-alikes on features that the network computes anyway
(`outputs.features` in docs/model-folder.md). This command makes a tensor inside the track graph an output of it. The
tensor must have the score map's cells and must not depend on the template. Without `--tensor` the command lists such
tensors.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import yaml
from onnx import shape_inference

from .model_folder import ModelFolderError, sha256, to_yaml, write_files
from .refusals import refusals

# Name of the new output.
NAME = "features"
# The runtime takes at most this many channels.
MOST_CHANNELS = 256


class ExposeError(ValueError):
    """The model has no such features. The message says what was expected and what came."""


def candidates(graph: onnx.GraphProto, manifest: Mapping[str, Any]) -> dict[str, int]:
    """Tensors of the track graph that can be exposed, in the graph's order, with their numbers of channels."""
    search = manifest["search"]
    if len(search["sizes"]) != 1:
        raise ExposeError(f"search.sizes: expected one size, got {search['sizes']}")
    side = round(search["sizes"][0] / search["stride"])
    shapes = {value.name: _shape(value) for value in [*graph.value_info, *graph.output]}
    known = {search["input"]} | {initializer.name for initializer in graph.initializer}
    outputs = {value.name for value in graph.output}
    found = {}
    for node in graph.node:
        if any(name and name not in known for name in node.input):
            continue
        known.update(node.output)
        shape = shapes.get(node.output[0], ())
        if len(shape) == 4 and shape[2:] == (side, side) and 1 <= shape[1] <= MOST_CHANNELS:
            found[node.output[0]] = shape[1]
    return {name: channels for name, channels in found.items() if name not in outputs}


def expose(folder: Path, tensor: str) -> dict[str, bytes]:
    """Returns the files of the model folder with the tensor as the output `features`.

    Raises `ExposeError` for a tensor that cannot be exposed, and for a model that has such an output already.
    """
    manifest = _manifest(folder)
    if NAME in manifest["outputs"]:
        raise ExposeError(f"{folder}: has outputs.{NAME} already ({manifest['outputs'][NAME]['name']})")
    path = folder / manifest["files"]["track"]["path"]
    model = _track_graph(path)
    possible = candidates(model.graph, manifest)
    if tensor not in possible:
        raise ExposeError(
            f"{path}: expected one of the tensors {', '.join(possible) or '(there are none)'}; got {tensor}"
        )
    if any(NAME in (*node.input, *node.output) for node in model.graph.node):
        raise ExposeError(f"{path}: expected no tensor called {NAME}, the name of the new output")
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == tensor:
                    names[index] = NAME
    value = next(value for value in model.graph.value_info if value.name == tensor)
    model.graph.output.add().CopyFrom(value)
    model.graph.output[-1].name = NAME
    model.graph.value_info.remove(value)
    onnx.checker.check_model(model)
    exposed = model.SerializeToString()
    _compare(path.read_bytes(), exposed, path)

    manifest["outputs"][NAME] = {"name": NAME, "channels": possible[tensor]}
    manifest["files"]["track"]["sha256"] = sha256(exposed)
    files = {file["path"]: (folder / file["path"]).read_bytes() for file in manifest["files"].values()}
    return {**files, path.name: exposed, "model.yaml": to_yaml(manifest).encode()}


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = yaml.safe_load((folder / "model.yaml").read_text())
    needed = ("files", "search", "outputs")
    if not isinstance(manifest, dict) or any(section not in manifest for section in needed):
        raise ExposeError(f"{folder / 'model.yaml'}: expected a manifest with the sections {', '.join(needed)}")
    return manifest


def _track_graph(path: Path) -> onnx.ModelProto:
    """The graph with the shapes of its tensors. Shape inference needs the values of shapes."""
    return shape_inference.infer_shapes(onnx.load(path), data_prop=True)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)


def _compare(before: bytes, after: bytes, path: Path) -> None:
    """Raises `ExposeError` if the graphs' common outputs are not equal to the last bit."""
    random = np.random.default_rng(1)
    sessions = [onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]) for graph in (before, after)]
    inputs = {i.name: random.standard_normal(i.shape, np.float32) for i in sessions[0].get_inputs()}
    names = [output.name for output in sessions[0].get_outputs()]
    first, second = (session.run(names, inputs) for session in sessions)
    for name, a, b in zip(names, first, second, strict=True):
        if not np.array_equal(a, b):
            raise ExposeError(
                f"{path}: expected the same {name} with the new output, got a difference of {abs(a - b).max()}"
            )


@refusals()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--tensor", help="tensor of the track graph; without it, those that can be taken are listed")
    parser.add_argument("--output", type=Path, help="model folder to write")
    parser.add_argument("--replace", action="store_true", help="replace an existing folder")
    args = parser.parse_args(argv)
    if args.tensor is None:
        manifest = _manifest(args.model)
        graph = _track_graph(args.model / manifest["files"]["track"]["path"]).graph
        for name, channels in candidates(graph, manifest).items():
            print(f"{channels:4} channels  {name}")
        return
    if args.output is None:
        parser.error("expected --output FOLDER with --tensor")
    files = expose(args.model, args.tensor)
    manifest = yaml.safe_load(files["model.yaml"])
    manifest["name"] = args.output.resolve().name
    try:
        write_files(args.output, {**files, "model.yaml": to_yaml(manifest).encode()}, replace=args.replace)
    except ModelFolderError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{args.output}: {manifest['outputs'][NAME]['channels']} features per cell")


if __name__ == "__main__":
    main()
