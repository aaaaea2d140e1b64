"""Model folders of one graph that predicts nothing, for tests, and the command line of programs that write them."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


def write_folder(folder: Path, graph: bytes, family: str, description: str, manifest: dict[str, Any]) -> None:
    """Writes a model folder: `graph` as track.onnx, and model.yaml, whose further sections are `manifest`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "track.onnx").write_bytes(graph)
    whole = {
        "format": 1,
        "name": folder.name,
        "family": family,
        "description": description,
        "files": {"track": {"path": "track.onnx", "sha256": hashlib.sha256(graph).hexdigest()}},
        "input": {"channels": "rgb", "scale": 255.0, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
        **manifest,
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(whole, sort_keys=False, width=120))


def run(write: Callable[[Path], None], description: str | None) -> None:
    """Runs a command whose only argument is the folder that `write` fills."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
