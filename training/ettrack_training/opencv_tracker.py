"""Runs one of OpenCV's trackers on a benchmark, to compare it with ettrack:

    ettrack sequences --dataset otb100 --root DIR |
        python -m ettrack_training.opencv_tracker --tracker nano --backbone backbone.onnx --head head.onnx --out OUT
    ettrack eval --dataset otb100 --root DIR --boxes OUT --output OUT/evaluation

It writes `boxes/NAME.txt`, in the benchmark's pixel convention, and `times/NAME_time.txt` to OUT. The times are in
seconds per frame, without reading the image; the first one is that of the initialisation. The first box is rounded to
whole pixels, as OpenCV's trackers need. In a frame in which the tracker reports failure, the previous box is repeated.
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
from .whole_file import write_whole

Box = tuple[float, float, float, float]


# OpenCV's class of each tracker, and the command-line option for each of its parameters.
TRACKERS: dict[str, tuple[str, dict[str, str]]] = {
    "nano": ("TrackerNano", {"backbone": "backbone", "head": "neckhead"}),
    "vit": ("TrackerVit", {"net": "net"}),
    "csrt": ("TrackerCSRT", {}),
    "kcf": ("TrackerKCF", {}),
    "mil": ("TrackerMIL", {}),
}


class Tracker(Protocol):
    """The interface of OpenCV's trackers."""

    def init(self, image: np.ndarray, box: tuple[int, int, int, int], /) -> object: ...

    def update(self, image: np.ndarray, /) -> tuple[bool, tuple[float, ...]]: ...


class OpenCvError(ValueError):
    """A tracker or sequence cannot be used. The message says why."""


@dataclass(frozen=True)
class Sequence:
    """A line of `ettrack sequences`. The box is in pixels, 0-based."""

    name: str
    first_pixel: float
    first_box: Box
    frames: tuple[Path, ...]

    @staticmethod
    def of(line: str) -> Sequence:
        """Reads a line. Raises `OpenCvError` if it is not a line of `ettrack sequences`."""
        try:
            fields = json.loads(line)
            x, y, w, h = map(float, fields["first_box"])
            frames = tuple(Path(frame) for frame in fields["frames"])
            return Sequence(str(fields["name"]), float(fields["first_pixel"]), (x, y, w, h), frames)
        except (ValueError, TypeError, KeyError) as error:
            raise OpenCvError(f"expected a line of `ettrack sequences`, got {line.strip()[:80]!r}") from error


def maker(name: str, files: dict[str, Path | None]) -> Callable[[], Tracker]:
    """A function that makes trackers of that name. Raises `OpenCvError` if OpenCV has none or a file is missing."""
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
    """The box (pixels, 0-based) and the seconds of each frame. Raises `OpenCvError` if an image cannot be read."""
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
    """Writes boxes and times in the layout that `ettrack eval` reads."""
    shift = sequence.first_pixel
    rows = [f"{x + shift:.4f},{y + shift:.4f},{w:.4f},{h:.4f}\n" for (x, y, w, h), _ in answers]
    texts = {f"times/{sequence.name}_time.txt": [f"{seconds:.8f}\n" for _, seconds in answers]}
    texts[f"boxes/{sequence.name}.txt"] = rows
    for name, lines in texts.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, "".join(lines))


def main(argv: list[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", required=True, choices=list(TRACKERS))
    parser.add_argument("--backbone", type=Path, help="ONNX file, for nano")
    parser.add_argument("--head", type=Path, help="ONNX file, for nano")
    parser.add_argument("--net", type=Path, help="ONNX file, for vit")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1, help="threads of OpenCV")
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
