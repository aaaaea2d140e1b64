"""Runs one of OpenCV's trackers over a benchmark, to be compared with:

    ettrack sequences --dataset otb100 --root DIR |
        python -m ettrack_training.opencv_tracker --tracker nano --backbone backbone.onnx --head head.onnx --out OUT
    ettrack eval --dataset otb100 --root DIR --boxes OUT --output OUT/evaluation

OUT receives `boxes/NAME.txt` in the benchmark's pixel convention and `times/NAME_time.txt`, the seconds of each frame
without reading its image, the first being those of the initialisation. OpenCV's trackers take a first box of whole
pixels; in a frame in which the tracker reports failure, the previous box is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from tqdm import tqdm

from .refusals import refusals

Box = tuple[float, float, float, float]


# OpenCV's class of each tracker, and which of its parameters is given by which option.
TRACKERS: dict[str, tuple[str, dict[str, str]]] = {
    "nano": ("TrackerNano", {"backbone": "backbone", "head": "neckhead"}),
    "vit": ("TrackerVit", {"net": "net"}),
    "csrt": ("TrackerCSRT", {}),
    "kcf": ("TrackerKCF", {}),
    "mil": ("TrackerMIL", {}),
}


class Tracker(Protocol):
    """What all of OpenCV's trackers do."""

    def init(self, image: np.ndarray, box: tuple[int, int, int, int], /) -> object: ...

    def update(self, image: np.ndarray, /) -> tuple[bool, tuple[float, ...]]: ...


class OpenCvError(ValueError):
    """A tracker or sequence that cannot be used; says why."""


@dataclass(frozen=True)
class Sequence:
    """A line of `ettrack sequences`; the box is 0-based."""

    name: str
    first_pixel: float
    first_box: Box
    frames: tuple[Path, ...]

    @staticmethod
    def of(line: str) -> Sequence:
        """Raises `OpenCvError` where the line is none of these."""
        try:
            fields = json.loads(line)
            x, y, w, h = map(float, fields["first_box"])
            frames = tuple(Path(frame) for frame in fields["frames"])
            return Sequence(str(fields["name"]), float(fields["first_pixel"]), (x, y, w, h), frames)
        except (ValueError, TypeError, KeyError) as error:
            raise OpenCvError(f"expected a line of `ettrack sequences`, got {line.strip()[:80]!r}") from error


def maker(name: str, files: dict[str, Path | None]) -> Callable[[], Tracker]:
    """Makes trackers of that name. Raises `OpenCvError` where OpenCV has none, or a file is missing."""
    kind, parameters_of = TRACKERS[name]
    for option in parameters_of:
        path = files[option]
        if path is None or not path.is_file():
            raise OpenCvError(f"--tracker {name} needs --{option} FILE, got {path}")
    create = getattr(cv2, f"{kind}_create", None)
    if create is None:
        raise OpenCvError(
            f"OpenCV {cv2.__version__} has no {kind}; expected one with it, such as that of the package "
            "opencv-contrib-python-headless"
        )
    if not parameters_of:
        return create
    parameters = getattr(cv2, f"{kind}_Params")()
    for option, parameter in parameters_of.items():
        setattr(parameters, parameter, str(files[option]))
    return lambda: create(parameters)


def run(tracker: Tracker, sequence: Sequence) -> Iterator[tuple[Box, float]]:
    """The box, 0-based, and the seconds of each frame. Raises `OpenCvError` where an image cannot be read."""
    box = sequence.first_box
    for number, path in enumerate(sequence.frames):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise OpenCvError(f"{sequence.name}: cannot read the image {path}")
        started = time.perf_counter()
        if number == 0:
            x, y, w, h = (round(value) for value in box)
            tracker.init(image, (x, y, w, h))
        else:
            found, seen = tracker.update(image)
            if found:
                box = (float(seen[0]), float(seen[1]), float(seen[2]), float(seen[3]))
        yield box, time.perf_counter() - started


def write(out: Path, sequence: Sequence, answers: list[tuple[Box, float]]) -> None:
    """Boxes and times in the layout of `ettrack eval`."""
    shift = sequence.first_pixel
    rows = [f"{x + shift:.4f},{y + shift:.4f},{w:.4f},{h:.4f}\n" for (x, y, w, h), _ in answers]
    texts = {f"times/{sequence.name}_time.txt": [f"{seconds:.8f}\n" for _, seconds in answers]}
    texts[f"boxes/{sequence.name}.txt"] = rows
    for name, lines in texts.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text("".join(lines))
        partial.replace(path)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", required=True, choices=list(TRACKERS))
    parser.add_argument("--backbone", type=Path, help="of nano: ONNX file")
    parser.add_argument("--head", type=Path, help="of nano: ONNX file")
    parser.add_argument("--net", type=Path, help="of vit: ONNX file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1, help="of OpenCV")
    args = parser.parse_args(argv)
    cv2.setNumThreads(args.threads)
    with refusals():
        make = maker(args.tracker, {"backbone": args.backbone, "head": args.head, "net": args.net})
        sequences = [Sequence.of(line) for line in sys.stdin if line.strip()]
        if not sequences:
            raise OpenCvError("expected lines of `ettrack sequences` on standard input, got none")
    failed = 0
    for sequence in tqdm(sequences, unit="sequence"):
        try:
            write(args.out, sequence, list(run(make(), sequence)))
        except OpenCvError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
    if failed:
        raise SystemExit(f"error: {failed} of {len(sequences)} sequences have no result")


if __name__ == "__main__":
    main()
