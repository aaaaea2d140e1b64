"""Choose the loop's constants on folds of targets: `python -m ettrack_training.tune --model DIR --dataset otb100=DIR`

Every combination of the given values is run by `ettrack eval`. With a dozen targets the best of many combinations
is partly luck, so the choice is cross-validated: for each fold of targets the constants are chosen on the others and
scored on it. The figure printed as `held out` is what the choice is worth on targets that did not take part in it.
Targets of one video (Jogging-1, Jogging-2) stay in one fold.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
from pathlib import Path

import numpy as np


def combinations(values: dict[str, list[str]]) -> list[dict[str, str]]:
    """All combinations of the values per constant."""
    return [dict(zip(values, choice, strict=True)) for choice in itertools.product(*values.values())]


def cross_validate(scores: np.ndarray, groups: list[str], folds: int) -> tuple[int, float]:
    """Best row of `scores` [combinations, targets], and the mean score of held-out targets.

    `groups` names the video of each target; whole videos are dealt out to the folds in order.
    """
    videos = list(dict.fromkeys(groups))
    fold_of = {video: number % folds for number, video in enumerate(videos)}
    fold = np.array([fold_of[group] for group in groups])
    held = np.empty(scores.shape[1])
    for number in range(folds):
        inside = fold == number
        chosen = int(scores[:, ~inside].mean(axis=1).argmax())
        held[inside] = scores[chosen, inside]
    return int(scores.mean(axis=1).argmax()), float(held.mean())


def evaluate(
    binary: Path, model: Path, datasets: dict[str, Path], output: Path, constants: dict[str, str]
) -> dict[str, float]:
    """Success AUC per target, by `ettrack eval`, which takes up what an earlier run left in `output`."""
    result: dict[str, float] = {}
    for name, root in datasets.items():
        folder = output / "_".join(f"{key}={value}" for key, value in constants.items()) / name
        command = [binary, "eval", "--dataset", name, "--root", root, "--model", model, "--output", folder]
        command += ["--no-samples", *(f"--set={key}={value}" for key, value in constants.items())]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        summary = json.loads((folder / "summary.json").read_text())
        result |= {target: row["success_auc"] for target, row in summary["sequences"].items()}
    return result


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE`; raises `argparse.ArgumentTypeError` for anything else."""
    key, found, value = text.partition("=")
    if not (key and found and value):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def main(argv: list[str] | None = None) -> None:
    """Runs all combinations and prints a table, best last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dataset", type=pair, action="append", required=True, metavar="NAME=DIR")
    parser.add_argument(
        "--values", type=pair, action="append", required=True, metavar="CONSTANT=A,B,C", help="values to combine"
    )
    parser.add_argument("--output", type=Path, default=Path("out/tune"))
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--binary", type=Path, default=Path("target/release/ettrack"))
    args = parser.parse_args(argv)

    datasets = {name: Path(root) for name, root in args.dataset}
    choices = combinations({key: text.split(",") for key, text in args.values})
    rows = [evaluate(args.binary, args.model, datasets, args.output, constants) for constants in choices]
    targets = sorted(rows[0])
    scores = np.array([[row[target] for target in targets] for row in rows])
    best, held_out = cross_validate(scores, [target.split("-")[0] for target in targets], args.folds)
    for number in scores.mean(axis=1).argsort():
        print(f"{scores[number].mean():.4f}  {choices[number]}")
    print(f"best on all: {scores[best].mean():.4f}; held out, {args.folds} folds: {held_out:.4f}")


if __name__ == "__main__":
    main()
