"""Writing a model folder: ONNX files and `model.yaml`, as docs/model-folder.md lays it out."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
import yaml
from torch import nn

from . import __version__, cost
from .export import export_graph, verify_graph
from .trackers.base import Tracker

FORMAT = 1


class ModelFolderError(Exception):
    """The folder cannot be written where it was asked for."""


def sha256(data: bytes) -> str:
    """Checksum as it stands in `model.yaml`, lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_model_folder(
    tracker: Tracker,
    network: nn.Module,
    output: Path,
    *,
    provenance: Mapping[str, str],
    description: str | None = None,
    overrides: Mapping[str, Mapping] | None = None,
    replace: bool = False,
) -> dict[str, float]:
    """Exports `network`, verifies the graphs and writes the folder `output`, whole or not at all.

    `overrides` replaces whole sections of the manifest (`tracking`, `lost`, ...). With `replace`
    an existing folder gets the new files, `model.yaml` last; its other files stay.
    Returns the largest difference found per output. Raises `ExportError` where a graph does not
    compute what the network computes, `ModelFolderError` where the folder exists already.
    """
    _refuse_existing(Path(output), replace)
    network = network.eval()
    graphs = tracker.graphs(network)
    differences: dict[str, float] = {}
    files: dict[str, bytes] = {}
    costs = {"parameters": cost.parameters(network)}
    for key, graph in graphs.items():
        model = export_graph(graph)
        for name, value in verify_graph(graph, model, f"{key}.onnx").items():
            differences[f"{key}.{name}"] = value
        files[key] = model
        costliest = (graph.obedient, *graph.inputs.values(), *graph.ways[0]) if graph.ways else None
        costs[f"macs_{key}"] = cost.macs(*(costliest or (graph.reference, *graph.inputs.values())))
    write_graphs(
        output,
        files,
        family=tracker.family,
        description=description or tracker.title,
        sections={**tracker.manifest(network), **(overrides or {})},
        costs=costs,
        provenance=provenance,
        replace=replace,
    )
    return differences


def write_graphs(
    output: Path,
    graphs: Mapping[str, bytes],
    *,
    family: str,
    description: str,
    sections: Mapping[str, Mapping],
    costs: Mapping[str, int],
    provenance: Mapping[str, str],
    replace: bool = False,
) -> None:
    """Writes the folder `output` of graphs by name (`template`, `track`), whole or not at all.

    Raises `ModelFolderError` where it exists already and is not to be replaced.
    """
    output = Path(output)
    _refuse_existing(output, replace)
    files = {f"{key}.onnx": model for key, model in graphs.items()}
    manifest = {
        "format": FORMAT,
        "name": output.resolve().name,
        "family": family,
        "description": description,
        "files": {key: {"path": f"{key}.onnx", "sha256": sha256(model)} for key, model in graphs.items()},
        **sections,
        "cost": dict(costs),
        "provenance": {**provenance, "converted_with": _versions()},
    }
    _write(output, {**files, "model.yaml": to_yaml(manifest).encode()})


def _refuse_existing(output: Path, replace: bool) -> None:
    if output.exists() and not replace:
        raise ModelFolderError(f"{output} exists already: remove it or ask to replace it")


def to_yaml(manifest: Mapping) -> str:
    """The manifest's text: keys in the given order, the innermost mappings on one line."""
    return yaml.safe_dump(dict(manifest), sort_keys=False, default_flow_style=None, width=100)


def _versions() -> str:
    return f"ettrack_training {__version__}, torch {torch.__version__}, onnx {onnx.__version__}"


def write_files(output: Path, files: Mapping[str, bytes], *, replace: bool = False) -> None:
    """Writes the folder `output` of files by name, `model.yaml` last, whole or not at all.

    Raises `ModelFolderError` where it exists already and is not to be replaced.
    """
    output = Path(output)
    _refuse_existing(output, replace)
    _write(output, files)


def _write(output: Path, files: Mapping[str, bytes]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        # mkdtemp is private to the user; a model folder is as readable as its neighbours.
        temporary.chmod(0o755)
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        if output.exists():
            # model.yaml is the last of `files`: until it is there the old checksums refuse
            # the new graphs, and no mixture is ever accepted.
            for name in files:
                os.replace(temporary / name, output / name)
        else:
            os.rename(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
