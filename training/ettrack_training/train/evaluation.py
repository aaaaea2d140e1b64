"""Measures how well an exported network tracks in the runtime, by `ettrack eval`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class EvaluationError(Exception):
    """`ettrack eval` could not be run or gave no figures. The message holds its output."""


@dataclass(frozen=True)
class Benchmark:
    """A data set of `ettrack eval`, its folder, the sequences to run (empty: all), and the kind of evaluation: `ope`,
    `tre` or `sre`."""

    dataset: str
    root: Path
    sequences: tuple[str, ...] = ()
    evaluation: str = "ope"

    @classmethod
    def parse(cls, text: str) -> Benchmark:
        """Parses `DATASET=ROOT` or `DATASET=ROOT:SEQUENCE,SEQUENCE`. Raises ValueError for other text."""
        dataset, equals, rest = text.partition("=")
        root, _, names = rest.partition(":")
        if not (dataset and equals and root):
            raise ValueError(f"expected DATASET=ROOT or DATASET=ROOT:SEQUENCE,SEQUENCE, got {text!r}")
        return cls(dataset, Path(root), tuple(name for name in names.split(",") if name))


@dataclass(frozen=True)
class Figures:
    """The success AUC of each sequence of a benchmark, 0..1, and their mean."""

    dataset: str
    success_auc: float
    sequences: dict[str, float]


def video_of(sequence: str) -> str:
    """Returns the name of a sequence's video.

    OTB has two targets in some videos, named for example Jogging-1 and Jogging-2. In other benchmarks such numbers
    belong to the video, for example LaSOT's airplane-1 and airplane-9. Their names begin with a small letter or contain
    other characters.
    """
    two_targets = re.fullmatch(r"([A-Z][A-Za-z0-9]*)-[12]", sequence)
    return two_targets[1] if two_targets else sequence


def check_binary(binary: Path) -> None:
    """Raises `EvaluationError` if the command line cannot be run. Called before the training, which takes hours."""
    try:
        subprocess.run([binary, "eval", "--help"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        raise EvaluationError(f"{binary}: expected the ettrack command line (cargo build --release): {said}") from error


def evaluate(
    binary: Path, model: Path, benchmark: Benchmark, output: Path, constants: Mapping[str, str] | None = None
) -> Figures:
    """Runs a model folder on a benchmark. `constants` replace constants of the model. Raises `EvaluationError`.

    Continues an interrupted run in `output`.
    """
    command = [binary, "eval", "--dataset", benchmark.dataset, "--root", benchmark.root]
    command += ["--model", model, "--output", output, "--no-samples", "--evaluation", benchmark.evaluation]
    for name in benchmark.sequences:
        command += ["--sequence", name]
    command += [f"--set={key}={value}" for key, value in (constants or {}).items()]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise EvaluationError(f"{binary}: {error}") from error
    if done.returncode != 0:
        raise EvaluationError(f"ettrack eval on {benchmark.root} ended with {done.returncode}: {done.stderr.strip()}")
    return read_summary(output / "summary.json")


def read_summary(path: Path) -> Figures:
    """Reads the figures of a `summary.json`. Raises `EvaluationError` if it is missing or has another layout."""
    try:
        summary = json.loads(path.read_text())
        sequences = {name: float(row["success_auc"]) for name, row in summary["sequences"].items()}
        return Figures(summary["dataset"], float(summary["mean"]["success_auc"]), sequences)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path}: expected success_auc of each sequence and their mean: {error!r}") from error


def mean_auc(figures: list[Figures]) -> float:
    """Returns the mean AUC over all sequences of all benchmarks."""
    values = [auc for one in figures for auc in one.sequences.values()]
    return sum(values) / len(values)
