"""Fits the weights of the confidence: `python -m ettrack_training.fit_evidence FILE.csv ...`

The files come from `ettrack presence --features FILE.csv`. A logistic regression (L2 on standardised features) is
fitted to whether the target is in the box that was judged. Every video has the same weight. Within a video, the frames
with the target in the box have together the same weight as the others, because how often a target disappears depends
on the recording.

A fit to a dozen sequences overfits easily, so every sequence is also judged by weights that were fitted without it.
These figures are printed as `held out`. Targets of one video (Jogging-1, Jogging-2) are left out together, and so are
all edits of a sequence.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .train.evaluation import video_of

ON_TARGET = 0.3
"""A box holds the target if its overlap (IoU) with the true box is larger; `ettrack presence` uses the same value."""

BEFORE_FEATURES = ("sequence", "edit", "frame", "sight", "overlap", "state", "confidence")


@dataclass(frozen=True)
class Table:
    """The recorded frames, in the order of the files. Each array has one entry per frame."""

    names: tuple[str, ...]
    """Names of the features."""
    features: np.ndarray
    """Values of the features, [frames, features]."""
    video: np.ndarray
    """Name of the video from which the frame's sequence was made."""
    run: np.ndarray
    """Number of the tracker's run to which the frame belongs."""
    counts: np.ndarray
    """Whether the frame is used: false where the target is partly hidden."""
    present: np.ndarray
    """Whether the frame shows the target."""
    in_box: np.ndarray
    """Whether the judged box holds the target: the label."""
    confidence: np.ndarray
    """The tracker's confidence, 0..1."""


def read(paths: list[Path]) -> Table:
    """Reads recordings. Raises `ValueError` for a file that is not a recording or has other features than the first."""
    names: tuple[str, ...] | None = None
    rows: list[dict[str, str]] = []
    runs: list[int] = []
    for path in paths:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            expected = BEFORE_FEATURES + (names or columns[len(BEFORE_FEATURES) :])
            if columns != expected or len(columns) == len(BEFORE_FEATURES):
                raise ValueError(f"{path}: expected the columns {','.join(expected)}, got {','.join(columns)}")
            names = columns[len(BEFORE_FEATURES) :]
            before = None
            for row in reader:
                of = (row["sequence"], row["edit"])
                runs.append((runs[-1] if runs else 0) + (of != before))
                before = of
                rows.append(row)
    if not rows:
        raise ValueError("no frames in " + ", ".join(map(str, paths)))
    sight = np.array([row["sight"] for row in rows])
    overlap = np.array([float(row["overlap"] or 0) for row in rows])
    return Table(
        names=names or (),
        features=np.array([[float(row[name]) for name in names or ()] for row in rows]),
        video=np.array([video_of(row["sequence"]) for row in rows]),
        run=np.array(runs),
        counts=sight != "partly",
        present=sight == "present",
        in_box=(sight == "present") & (overlap >= ON_TARGET),
        confidence=np.array([float(row["confidence"]) for row in rows]),
    )


def frame_weights(table: Table) -> np.ndarray:
    """Weight of each frame: its video's share, halved between the frames with the target in the box and the others."""
    weights = np.zeros(len(table.video))
    for video in np.unique(table.video):
        for label in (False, True):
            chosen = (table.video == video) & table.counts & (table.in_box == label)
            if chosen.any():
                weights[chosen] = 1.0 / chosen.sum()
    return weights / weights.sum()


def fit(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """Bias and weights [1 + features] of the logistic regression, by Newton's method.

    `features` are [frames, features]; `labels` and `weights` are [frames], and the weights sum to 1. `penalty` is the
    factor of the squared weights of the standardised features. The bias is not penalised.
    """
    mean = weights @ features
    scale = np.sqrt(weights @ (features - mean) ** 2)
    scale[scale < 1e-9] = np.inf  # A constant feature carries no information.
    inputs = np.column_stack([np.ones(len(features)), (features - mean) / scale])
    ridge = np.full(inputs.shape[1], penalty)
    ridge[0] = 1e-9
    solution = np.zeros(inputs.shape[1])
    for _ in range(50):
        chance = sigmoid(inputs @ solution)
        slope = inputs.T @ (weights * (chance - labels)) + ridge * solution
        curvature = (inputs * (weights * chance * (1 - chance))[:, None]).T @ inputs + np.diag(ridge)
        step = np.linalg.solve(curvature, slope)
        solution = solution - step * min(1.0, 4.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    factors = solution[1:] / scale
    return np.concatenate([[solution[0] - factors @ mean], factors])


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logits))."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -60, 60)))


def evidence(solution: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Evidence per frame, 0..1, for bias and weights [1 + features]."""
    return sigmoid(solution[0] + features @ solution[1:])


def smoothed(values: np.ndarray, run: np.ndarray, share: float) -> np.ndarray:
    """Confidence per frame: the evidence `values`, smoothed within each run. `share` is the share of a new frame."""
    result = values.copy()
    for index in range(1, len(values)):
        if run[index] == run[index - 1]:
            result[index] = share * values[index] + (1 - share) * result[index - 1]
    return result


def roc_auc(values: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve, where ties count half; NaN if all `labels` are equal."""
    positive, negative = values[labels], np.sort(values[~labels])
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, side="left") + np.searchsorted(negative, positive, side="right")
    return float(below.mean() / 2 / len(negative))


def held_out(table: Table, fitting: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Evidence of every frame, by weights that `fitting` computed from the frames of the other videos."""
    result = np.empty(len(table.video))
    for video in np.unique(table.video):
        inside = table.video == video
        result[inside] = evidence(fitting(~inside), table.features[inside])
    return result


def fitter(table: Table, without: list[str], penalty: float) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a mask of frames, [frames], to bias and weights, [1 + features], fitted to these frames.

    The features named by `without` get the weight 0.
    """
    weights = frame_weights(table)
    columns = np.array([name not in without for name in table.names])

    def fitting(mask: np.ndarray) -> np.ndarray:
        share = np.where(mask, weights, 0)
        solution = np.zeros(1 + len(columns))
        solution[np.concatenate([[True], columns])] = fit(
            table.features[:, columns], table.in_box.astype(float), share / share.sum(), penalty
        )
        return solution

    return fitting


def report(label: str, values: np.ndarray, table: Table) -> str:
    """A line of text with the areas under the ROC curves of a confidence."""
    counts = table.counts
    shown = roc_auc(values[counts], table.present[counts])
    inside = roc_auc(values[counts], table.in_box[counts])
    return f"{label:24}  target in the picture: {shown:.3f}  target in the box: {inside:.3f}"


def block(names: tuple[str, ...], solution: np.ndarray) -> str:
    """The weights as text for `model.yaml`."""
    pairs = ", ".join(f"{name}: {value:.3g}" for name, value in zip(("bias", *names), solution, strict=True))
    return f"lost:\n  weights: {{{pairs}}}"


def main(argv: list[str] | None = None) -> None:
    """Fits the weights, judges them on held-out videos and prints the block for `model.yaml` on standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.csv")
    parser.add_argument(
        "--penalty",
        type=float,
        default=0.01,
        help="factor of the L2 penalty on the weights of the standardised features",
    )
    parser.add_argument("--without", action="append", default=[], metavar="FEATURE", help="leave a feature out")
    parser.add_argument("--smoothing", type=float, default=0.6, help="share of a new frame in the confidence")
    args = parser.parse_args(argv)
    try:
        table = read(args.files)
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    if unknown := set(args.without) - set(table.names):
        raise SystemExit(f"error: --without {unknown.pop()}: expected one of {', '.join(table.names)}")
    if len(np.unique(table.video)) < 2 or len(np.unique(table.in_box[table.counts])) < 2:
        raise SystemExit("error: expected frames with and without the target, of two videos or more")

    fitting = fitter(table, args.without, args.penalty)
    solution = fitting(np.ones(len(table.video), bool))
    print(f"# {table.counts.sum()} frames of {len(np.unique(table.video))} videos, area under the ROC curve of")
    print("# " + report("recorded confidence", table.confidence, table))
    for label, values in {
        "fitted, on the same": evidence(solution, table.features),
        "fitted, held out": held_out(table, fitting),
    }.items():
        print("# " + report(label, smoothed(values, table.run, args.smoothing), table))
    print(block(table.names, solution))


if __name__ == "__main__":
    main()
