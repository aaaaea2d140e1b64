"""Prints how many pairs per second one process makes, and draws a sheet of samples.

python -m ettrack_training.data.preview --cache CACHE --out sheet.png   # measures the time of 600 pairs
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..refusals import refusals
from .config import Mixture, PairConfig
from .dataset import Dataset
from .pairs import Kind, Origin, Pair
from .sampling import PairSampler, limit_threads

_COLOURS = {Kind.POSITIVE: (0, 255, 0), Kind.WRONG_TEMPLATE: (255, 0, 0), Kind.ABSENT: (255, 128, 0)}

_OTHER = (255, 0, 255)


def draw(pair: Pair) -> np.ndarray:
    """Draws template and search crop side by side, with boxes and kind: u8 RGB [search size, sum of sizes, 3]."""
    search = pair.search.copy()
    colour = _COLOURS[pair.kind]
    if pair.kind != Kind.ABSENT:
        x1, y1, x2, y2 = (int(round(float(value))) for value in pair.box)
        cv2.rectangle(search, (x1, y1), (x2 - 1, y2 - 1), colour, 1)
    for x1, y1, x2, y2 in np.rint(pair.others).astype(int).tolist():
        cv2.rectangle(search, (x1, y1), (x2 - 1, y2 - 1), _OTHER, 1)
    text = f"{pair.origin.name.lower()} {pair.kind.name.lower()}"
    template = np.full((search.shape[0], pair.template.shape[1], 3), 24, np.uint8)
    template[: pair.template.shape[0]] = pair.template
    cv2.putText(template, text[:20], (2, search.shape[0] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, 1, cv2.LINE_AA)
    return np.hstack([template, search])


def sheet(pairs: list[Pair], columns: int) -> np.ndarray:
    """Draws pairs in a table of ``columns`` columns, u8 RGB."""
    cells = [draw(pair) for pair in pairs]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[row : row + columns]) for row in range(0, len(cells), columns)])


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder written by ettrack_training.data.pack")
    parser.add_argument("--out", type=Path, help="file for the sheet of samples, PNG or JPEG")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=600, help="number of pairs whose time is measured")
    parser.add_argument("--origin", choices=[origin.name.lower() for origin in Origin], help="make only this origin")
    options = parser.parse_args(arguments)
    limit_threads()
    config = PairConfig()
    if options.origin:
        shares = {origin.name.lower(): float(origin.name.lower() == options.origin) for origin in Origin}
        config = replace(config, mixture=Mixture(**shares))
    with refusals():
        dataset = Dataset(options.cache, config.source_weights, config.source_cap)
        sampler = PairSampler(dataset, config)
    print(
        f"{len(dataset.sources)} sources: {len(dataset.videos)} video tracks, {len(dataset.stills)} boxes in "
        f"photographs, {len(dataset.clips)} clips, {len(dataset.objects)} cut-out objects"
    )
    rng = np.random.default_rng(options.seed)
    if options.out:
        pairs = [sampler(rng) for _ in range(options.rows * options.columns)]
        picture = sheet(pairs, options.columns)
        cv2.imwrite(str(options.out), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    counts: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    start = time.process_time()
    for _ in range(options.pairs):
        before = time.process_time()
        pair = sampler(rng)
        name = pair.origin.name.lower()
        counts[name] += 1
        counts[pair.kind.name.lower()] += 1
        spent[name] += time.process_time() - before
    if options.pairs:
        total = time.process_time() - start
        each = ", ".join(f"{name} {1000 * spent[name] / counts[name]:.2f} ms" for name in sorted(spent))
        print(f"{options.pairs / total:.0f} pairs per second of one core ({each})")
        print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
