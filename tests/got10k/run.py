"""Compares `ettrack eval --boxes` with the experiments of the got10k toolkit, on generated data sets and boxes.

    python run.py ETTRACK FOLDER

ETTRACK is the program. The data are made in FOLDER. The exit code is 1 if a figure differs by more than 1e-9. The data
sets are those that the toolkit supports and that `tests/data/eval/make_metrics.py` does not cover.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from got10k.experiments import ExperimentDTB70, ExperimentUAV123

TRACKER = "made"
# Names of the figures here and in the toolkit.
FIGURES = {"success_auc": "success_score", "precision_20": "precision_score", "sr_50": "success_rate"}
# Numbers of frames. Those of UAV20L are fixed in the toolkit.
LENGTHS = {"DTB70": {"Animal1": 90, "BMX2": 70, "Car2": 120}, "UAV20L": {"bike1": 3085, "bird1": 2437}}


def made(random: np.random.Generator, count: int, absent: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns true boxes that move and change their size, and boxes whose error grows; [count, 4] each."""
    centre = 200 + np.cumsum(random.normal(0, 2, (count, 2)), 0)
    size = [60, 40] * np.exp(np.cumsum(random.normal(0, 0.01, (count, 2)), 0))
    truth = np.concatenate([centre, size], 1).round(2)
    error = np.minimum(np.arange(count) / count * 25, 18)[:, None] * random.normal(0, 1, (count, 4))
    boxes = (truth + error).round(3)
    boxes[:, 2:] = boxes[:, 2:].clip(2)
    if absent:
        truth[count // 2 : count // 2 + count // 10] = np.nan
    return truth, boxes


def write(path: Path, boxes: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, boxes, fmt="%.3f", delimiter=",")


def write_pictures(folder: Path, count: int, digits: int) -> None:
    """Makes empty files, because only the names of the pictures are read."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        (folder / f"{number:0{digits}}.jpg").touch()


def write_data(root: Path) -> None:
    random = np.random.default_rng(3)
    for name, count in LENGTHS["DTB70"].items():
        truth, boxes = made(random, count, absent=False)
        write(root / "dtb70" / name / "groundtruth_rect.txt", truth)
        write_pictures(root / "dtb70" / name / "img", count, 5)
        write(root / "results" / "DTB70" / TRACKER / f"{name}.txt", boxes)
    for name, count in LENGTHS["UAV20L"].items():
        truth, boxes = made(random, count, absent=True)
        write(root / "uav20l" / "anno" / "UAV20L" / f"{name}.txt", truth)
        write_pictures(root / "uav20l" / "data_seq" / "UAV123" / name, count, 6)
        write(root / "results" / "UAV20L" / TRACKER / f"{name}.txt", boxes)
    # The toolkit expects more than three entries in UAV123's folder.
    for name in ("one", "two"):
        (root / "uav20l" / name).mkdir()


def ours(ettrack: Path, root: Path, dataset: str, *options: str) -> dict:
    """Runs `ettrack eval` and returns the content of summary.json."""
    out = root / "ettrack" / dataset
    command = [ettrack, "eval", f"--dataset={dataset}", "--root", root / dataset, "--output", out, "--no-samples"]
    boxes = root / "results" / dataset.upper() / TRACKER
    subprocess.run([*command, "--boxes", boxes, *options], check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "summary.json").read_text())


def main() -> None:
    ettrack, root = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    shutil.rmtree(root, ignore_errors=True)
    write_data(root)
    places = {"result_dir": str(root / "results"), "report_dir": str(root / "reports")}
    experiments = {
        "dtb70": (ExperimentDTB70(str(root / "dtb70"), **places), []),
        # On UAV20L the toolkit leaves out frames without a target.
        "uav20l": (ExperimentUAV123(str(root / "uav20l"), "UAV20L", **places), ["--exclude-absent"]),
    }
    largest = 0.0
    for dataset, (experiment, options) in experiments.items():
        # No plots are needed.
        experiment.plot_curves = lambda _: None
        theirs = experiment.report([TRACKER])[TRACKER]
        mine = ours(ettrack, root, dataset, *options)
        pairs = [("mean", mine["mean"], theirs["overall"])]
        pairs += [(name, mine["sequences"][name], theirs["seq_wise"][name]) for name in theirs["seq_wise"]]
        assert len(pairs) == 1 + len(LENGTHS[dataset.upper()]), pairs
        for name, own, other in pairs:
            for figure, other_figure in FIGURES.items():
                difference = abs(own[figure] - other[other_figure])
                largest = max(largest, difference)
                assert difference < 1e-9, (dataset, name, figure, own[figure], other[other_figure])
        print(f"{dataset}: success AUC {mine['mean']['success_auc']:.6f}, the toolkit's the same")
    print(f"the largest difference is {largest:.1e}")


if __name__ == "__main__":
    main()
