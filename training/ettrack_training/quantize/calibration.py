"""The images that a model's networks read, cut by the runtime's loop: `ettrack tensors`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..train.evaluation import Benchmark


class CalibrationError(ValueError):
    """There are no images for the calibration. The message gives the reason."""


@dataclass(frozen=True)
class Crop:
    """The networks' inputs for one frame of a target by their names: normalised images [1,3,S,S], float32."""

    sequence: str
    search_size: int
    inputs: dict[str, np.ndarray]


def cut(binary: Path, model: Path, benchmark: Benchmark, output: Path, *, every: int, most: int) -> None:
    """Tracks the benchmark's targets with `model` and writes the images of every `every`th frame.

    `most` is the largest number of frames per target. Raises `CalibrationError` with the command line's message.
    """
    command = [str(binary), "tensors", "--dataset", benchmark.dataset, "--root", str(benchmark.root)]
    command += ["--model", str(model), "--output", str(output), "--every", str(every), "--most", str(most)]
    for name in benchmark.sequences:
        command += ["--sequence", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise CalibrationError(
            f"{binary}: expected the ettrack command line (cargo build --release): {error}"
        ) from error
    if done.returncode != 0:
        raise CalibrationError(done.stderr.strip())


def read(folder: Path) -> list[Crop]:
    """Returns the images that `cut` wrote. Raises `CalibrationError` if the folder contains none."""
    index = folder / "index.json"
    try:
        entries = json.loads(index.read_text())
        crops = [
            Crop(
                entry["sequence"],
                entry["search_size"],
                {name: np.load(folder / file) for name, file in entry["inputs"]},
            )
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CalibrationError(f"{index}: expected what `ettrack tensors` writes: {error}") from error
    if not crops:
        raise CalibrationError(f"{index}: expected one frame at least, found none")
    return crops


def halves(crops: Iterable[Crop]) -> tuple[list[Crop], list[Crop]]:
    """Frames to calibrate on and frames to measure on, of different targets if there are two or more."""
    crops = list(crops)
    names = list(dict.fromkeys(crop.sequence for crop in crops))
    if len(names) > 1:
        first = set(names[::2])
        return [c for c in crops if c.sequence in first], [c for c in crops if c.sequence not in first]
    if len(crops) < 2:
        raise CalibrationError(
            f"expected two frames at least, one to calibrate on and one to measure on, got {len(crops)}"
        )
    return crops[::2], crops[1::2]
