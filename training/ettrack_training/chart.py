"""Draws published accuracy against time per frame, one point per tracker, as an SVG file.

    python -m ettrack_training.chart docs/trackers.csv --output docs/images/trackers.svg

The table has the columns `tracker`, `group`, `lasot_auc` (success AUC in percent) and `ms` (CPU time per frame in
milliseconds, as `bench_folders` prints it). Rows in which one of the two numbers is missing are left out. Trackers of a
group have the same colour and are joined by a line in the order of their times.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

COLUMNS = ("tracker", "group", "lasot_auc", "ms")
WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 24, 52
# Also distinct for readers who cannot distinguish red and green (Okabe and Ito, 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class ChartError(Exception):
    """The table cannot be drawn."""


@dataclass(frozen=True)
class Point:
    """One tracker: success AUC on LaSOT in percent, milliseconds per frame."""

    name: str
    group: str
    accuracy: float
    ms: float


def read(path: Path) -> list[Point]:
    """Reads the points of a table. Raises `ChartError` if the table cannot be read or has no points."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ChartError(f"{path}: {error.strerror}") from error
    missing = [column for column in COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise ChartError(f"{path}: no column {', '.join(missing)}, expected {', '.join(COLUMNS)}")
    points = []
    for number, row in enumerate(rows, 2):
        if not row["lasot_auc"] or not row["ms"]:
            continue
        try:
            accuracy, ms = float(row["lasot_auc"]), float(row["ms"])
        except ValueError as error:
            raise ChartError(f"{path}, line {number}: {error}") from error
        if not 0 <= accuracy <= 100 or not 0 < ms < math.inf:
            raise ChartError(
                f"{path}, line {number}: AUC {accuracy} and {ms} ms, expected a percentage and a time above 0"
            )
        points.append(Point(row["tracker"], row["group"], accuracy, ms))
    if not points:
        raise ChartError(f"{path}: no row has both lasot_auc and ms")
    return points


def draw(points: Sequence[Point]) -> str:
    """Returns the chart as SVG text: time on a logarithmic axis, accuracy on a linear one."""
    times, values = [p.ms for p in points], [p.accuracy for p in points]
    first = max((t for t in TICKS if t <= min(times)), default=min(times) / 1.5)
    last = min((t for t in TICKS if t >= 1.3 * max(times)), default=2 * max(times))
    low, high = 5 * math.floor(min(values) / 5), 5 * math.ceil((max(values) + 1) / 5)

    def x(ms: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(ms / first) / math.log(last / first)

    def y(accuracy: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (accuracy - low) / (high - low)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    for tick in TICKS:
        if first <= tick <= last:
            lines.append(_line(x(tick), TOP, x(tick), HEIGHT - BOTTOM, "#dddddd"))
            lines.append(_text(x(tick), HEIGHT - BOTTOM + 18, f"{tick}", "middle"))
    for value in range(low, high + 1, 5):
        lines.append(_line(LEFT, y(value), WIDTH - RIGHT, y(value), "#dddddd"))
        lines.append(_text(LEFT - 8, y(value) + 4, f"{value}", "end"))
    lines.append(
        _text(
            middle,
            HEIGHT - 12,
            "CPU time of the network per frame on one thread, milliseconds",
            "middle",
        )
    )
    lines.append(_text(LEFT, 14, "success AUC on LaSOT as published, percent", "start"))
    places = {point: (x(point.ms), y(point.accuracy)) for point in points}
    groups = list(dict.fromkeys(point.group for point in points))
    taken = [(px - 6, py - 6, px + 6, py + 6) for px, py in places.values()]
    for group in groups:
        colour = COLOURS[groups.index(group) % len(COLOURS)]
        members = sorted((point for point in points if point.group == group), key=lambda point: point.ms)
        path = " ".join(f"{places[point][0]:.1f},{places[point][1]:.1f}" for point in members)
        if len(members) > 1:
            lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-opacity="0.5"/>')
        for point in members:
            px, py = places[point]
            lines.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4.5" fill="{colour}">'
                f"<title>{escape(point.name)}: {point.accuracy:g}, {point.ms:g} ms</title></circle>"
            )
            left, baseline = _free_place(px, py, point.name, taken)
            lines.append(_text(left, baseline, point.name, "start", colour))
    return "\n".join([*lines, "</svg>", ""])


def _free_place(px: float, py: float, name: str, taken: list[tuple[float, float, float, float]]) -> tuple[float, float]:
    """Finds a free place for a name beside its point and marks it as taken. Returns left end and baseline."""
    width, height = 6.8 * len(name), 12
    right, left = px + 8, px - 8 - width
    # To the right, to the left, below, above.
    starts = [(right, py + 4), (left, py + 4), (px - 5, py + 20), (px - 5, py - 10)]
    boxes = [(start, baseline - height, start + width, baseline + 2) for start, baseline in starts]
    free = [
        index
        for index, (x1, y1, x2, y2) in enumerate(boxes)
        if x1 >= LEFT and x2 <= WIDTH and not any(x1 < b[2] and b[0] < x2 and y1 < b[3] and b[1] < y2 for b in taken)
    ]
    chosen = free[0] if free else 0
    taken.append(boxes[chosen])
    return starts[chosen]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ettrack_training.chart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", type=Path, help="a CSV file")
    parser.add_argument("--output", required=True, type=Path, help="the SVG file to write")
    options = parser.parse_args(arguments)
    try:
        options.output.write_text(draw(read(options.table)))
    except ChartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {options.output}: {error.strerror}", file=sys.stderr)
        return 1
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
