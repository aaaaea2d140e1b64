"""Exports the network regularly, evaluates it with the runtime, and keeps the best one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from tqdm import tqdm

from ..distil.publish import publish
from ..export import ExportError
from ..networks.et_track import ETTrack
from ..whole_file import write_whole
from .evaluation import Benchmark, EvaluationError, check_binary, evaluate, mean_auc


class BestModel:
    """Exports a network, runs all benchmarks, and keeps the model folder with the highest mean AUC.

    The best folder is FOLDER/best/NAME, with its figures in FOLDER/best/figures.yaml. Earlier figures on other
    sequences are not compared. If an export or evaluation fails, the error is printed, the figures are empty, and the
    training continues.

    Raises `EvaluationError` if the command line cannot be run, and ValueError if a benchmark is given twice.
    """

    def __init__(self, binary: Path, benchmarks: list[Benchmark], folder: Path, name: str, description: str):
        check_binary(binary)
        names = [benchmark.dataset for benchmark in benchmarks]
        if len(set(names)) < len(names):
            raise ValueError(f"expected each benchmark once, got {', '.join(names)}")
        self._binary, self._benchmarks, self._folder = binary, benchmarks, folder
        self._name, self._description = name, description
        self._figures_file = folder / "best" / "figures.yaml"
        self.columns = [*(f"auc_{name}" for name in names), "auc"]
        self._best = {}
        if self._figures_file.exists():
            self._best = yaml.safe_load(self._figures_file.read_text())

    def __call__(self, network: ETTrack, step: int) -> dict[str, str]:
        """Returns figures by column, or nothing after a failure. See `loop.Evaluator`."""
        # The name of the folder becomes the name of the model.
        candidate = self._folder / "candidate" / self._name
        figures = []
        try:
            publish(network, candidate, description=self._description, source=f"step {step} of a training run")
            for benchmark in self._benchmarks:
                output = self._folder / "eval" / benchmark.dataset
                figures.append(evaluate(self._binary, candidate, benchmark, output))
        except (EvaluationError, ExportError) as error:
            tqdm.write(f"step {step} has no figures: {error}", file=sys.stderr)
            return {}
        auc = mean_auc(figures)
        sequences = {one.dataset: one.sequences for one in figures}
        # Figures of other sequences cannot be compared with these.
        comparable = _names(self._best.get("sequences", {})) == _names(sequences)
        if not comparable or auc > self._best["auc"]:
            self._best = {"step": step, "auc": auc, "sequences": sequences}
            self._keep(candidate)
        return {f"auc_{one.dataset}": f"{one.success_auc:.4f}" for one in figures} | {"auc": f"{auc:.4f}"}

    def _keep(self, candidate: Path) -> None:
        best = self._figures_file.parent / self._name
        copy = best.with_name(f".{self._name}")
        shutil.rmtree(copy, ignore_errors=True)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(candidate, copy)
        shutil.rmtree(best, ignore_errors=True)
        copy.rename(best)
        write_whole(self._figures_file, yaml.safe_dump(self._best))


def _names(sequences: Mapping[str, Mapping[str, float]]) -> dict[str, set[str]]:
    return {dataset: set(aucs) for dataset, aucs in sequences.items()}
