"""Chooses the loop's constants on folds of targets: `python -m ettrack_training.tune --model DIR --dataset otb100=DIR`

`ettrack eval` runs every combination of the given values. With a dozen targets, the best of many combinations is partly
chance, so the choice is cross-validated: for each fold of targets, the constants are chosen on the other folds and
scored on this one. The mean of these scores is printed as `held out`.
Targets of one video (Jogging-1, Jogging-2) stay in one fold.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from .train.evaluation import Benchmark, EvaluationError, evaluate, video_of


def combinations(values: dict[str, list[str]]) -> list[dict[str, str]]:
    """All combinations of the constants' values."""
    return [dict(zip(values, choice, strict=True)) for choice in itertools.product(*values.values())]


def cross_validate(scores: np.ndarray, groups: list[str], folds: int) -> tuple[int, float]:
    """Index of the best row of `scores` [combinations, targets], and the mean score of the held-out targets.

    `groups` names the video of each target; whole videos are assigned to the folds in turn. Raises `ValueError` for
    fewer than two folds or more folds than videos.
    """
    check_folds(folds, groups)
    videos = list(dict.fromkeys(groups))
    fold_of = {video: number % folds for number, video in enumerate(videos)}
    fold = np.array([fold_of[group] for group in groups])
    held = np.empty(scores.shape[1])
    for number in range(folds):
        inside = fold == number
        chosen = int(scores[:, ~inside].mean(axis=1).argmax())
        held[inside] = scores[chosen, inside]
    return int(scores.mean(axis=1).argmax()), float(held.mean())


def check_folds(folds: int, groups: list[str]) -> None:
    """Raises `ValueError` for fewer than two folds or more folds than videos."""
    videos = len(set(groups))
    if not 2 <= folds <= videos:
        raise ValueError(f"expected from 2 folds to as many as there are videos, {videos}, got {folds}")


def auc_by_target(
    binary: Path, model: Path, benchmarks: list[Benchmark], output: Path, constants: dict[str, str]
) -> dict[tuple[str, str], float]:
    """Success AUC per dataset and target, from runs of `ettrack eval`. Raises `EvaluationError` if a run fails."""
    result: dict[tuple[str, str], float] = {}
    for benchmark in benchmarks:
        folder = output / "_".join(f"{key}={value}" for key, value in constants.items()) / benchmark.dataset
        figures = evaluate(binary, model, benchmark, folder, constants)
        result |= {(benchmark.dataset, target): auc for target, auc in figures.sequences.items()}
    return result


def pair(text: str) -> tuple[str, str]:
    """Splits `KEY=VALUE`. Raises `argparse.ArgumentTypeError` for any other text."""
    key, found, value = text.partition("=")
    if not (key and found and value):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def once(option: str, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The pairs given to an option, by key. Raises `ValueError` if a key is given twice."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"expected each {option} once, got {', '.join(keys)}")
    return dict(pairs)


def main(argv: list[str] | None = None) -> None:
    """Runs all combinations and prints a table, with the best one last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dataset", type=pair, action="append", required=True, metavar="NAME=DIR")
    parser.add_argument(
        "--values", type=pair, action="append", required=True, metavar="CONSTANT=A,B,C", help="the values to try"
    )
    parser.add_argument(
        "--evaluation", default="ope", help="ope, sre or tre; with several runs a target's score is their mean"
    )
    parser.add_argument("--output", type=Path, default=Path("out/tune"))
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--binary", type=Path, default=Path("target/release/ettrack"))
    args = parser.parse_args(argv)

    try:
        datasets, values = once("--dataset", args.dataset), once("--values", args.values)
    except ValueError as error:
        parser.error(str(error))
    benchmarks = [Benchmark(name, Path(root), evaluation=args.evaluation) for name, root in datasets.items()]
    choices = combinations({key: text.split(",") for key, text in values.items()})
    rows = []
    try:
        for constants in choices:
            rows.append(auc_by_target(args.binary, args.model, benchmarks, args.output, constants))
            targets = sorted(rows[0])
            # One video may be in two datasets with different frame rates.
            videos = [video_of(target) for _, target in targets]
            # Checked before the runs, because they may take hours.
            check_folds(args.folds, videos)
    except (EvaluationError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    scores = np.array([[row[target] for target in targets] for row in rows])
    best, held_out = cross_validate(scores, videos, args.folds)
    for number in scores.mean(axis=1).argsort():
        print(f"{scores[number].mean():.4f}  {choices[number]}")
    print(f"best on all: {scores[best].mean():.4f}; held out, {args.folds} folds: {held_out:.4f}")


if __name__ == "__main__":
    main()
