"""Runs VOT's official toolkit with `ettrack trax` on a small data set, and compares its numbers with `ettrack eval`.

    python run.py ETTRACK FOLDER

ETTRACK is the program. The workspaces are made in FOLDER. If a number differs, prints it and exits with 1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from trax import TraxException
from trax.client import Client
from trax.image import BufferImage, FileImage, MemoryImage
from trax.region import Mask, Polygon, Rectangle

WIDTH, HEIGHT = 320, 240
# Number of frames of a flight, and of its first half, in which the target is visible. Later a bridge hides it and it
# leaves the picture.
FLIGHT, SHORT = 100, 50
TRACKER = "ettrack-nano"

SHORT_TERM = """\
title: short-term and real-time
experiments:
  baseline:
    type: multistart
    analyses:
      - {type: multistart_eao_score, name: eao, low: 10, high: 40}
      - {type: multistart_average_ar, name: ar}
  realtime:
    type: multistart
    realtime: {grace: 3}
    analyses:
      - {type: multistart_average_ar, name: ar}
  unsupervised:
    type: unsupervised
    repetitions: 1
    analyses:
      - {type: average_accuracy, name: accuracy, burnin: 1}
"""

LONG_TERM = """\
title: long-term
experiments:
  longterm:
    type: unsupervised
    repetitions: 1
    analyses:
      - {type: average_tpr, name: average_tpr}
      - {type: f_curve, name: f_curve}
"""


@dataclass
class Flight:
    """Pictures in order, and the target's box x, y, width, height in each: NaN while the target is hidden."""

    pictures: list[Path]
    boxes: np.ndarray

    def __getitem__(self, part: slice) -> Flight:
        return Flight(self.pictures[part], self.boxes[part])

    def __add__(self, other: Flight) -> Flight:
        return Flight(self.pictures + other.pictures, np.concatenate([self.boxes, other.boxes]))


def simulated(ettrack: Path, folder: Path, seed: int) -> Flight:
    """Renders a flight with `ettrack simulate`."""
    size = [f"--width={WIDTH}", f"--height={HEIGHT}", f"--frames={FLIGHT}", f"--seed={seed}"]
    subprocess.run([ettrack, "simulate", "--output", folder, *size], check=True, stderr=subprocess.DEVNULL)
    boxes = np.loadtxt(folder / "groundtruth_rect.txt", delimiter=",")
    # The file counts pixels from 1, like OTB.
    return Flight(sorted((folder / "img").iterdir()), boxes - [1, 1, 0, 0])


def moved_right(flight: Flight, pixels: int, folder: Path) -> Flight:
    """Shifts the pictures to the right. The part beyond the right border appears at the left border."""
    folder.mkdir()
    pictures = []
    for path in flight.pictures:
        pictures.append(folder / f"{path.stem}.png")
        cv2.imwrite(str(pictures[-1]), np.roll(cv2.imread(str(path)), pixels, axis=1))
    boxes = flight.boxes + [pixels, 0, 0, 0]
    assert (boxes[:, 0] + boxes[:, 2] < WIDTH).all()
    return Flight(pictures, boxes)


def write_sequence(folder: Path, flight: Flight) -> None:
    """Writes a sequence in VOT's layout, with two forward and two backward starts."""
    (folder / "color").mkdir(parents=True)
    for index, picture in enumerate(flight.pictures):
        cv2.imwrite(str(folder / "color" / f"{index + 1:08d}.png"), cv2.imread(str(picture)))
    rows = [",".join(f"{number:.2f}" for number in box) for box in flight.boxes]
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    length = len(rows)
    anchors = np.zeros(length, int)
    anchors[[0, 15]] = 1
    anchors[[SHORT - 15, SHORT - 1]] = -1
    (folder / "anchor.value").write_text("\n".join(map(str, anchors)) + "\n")
    (folder / "sequence").write_text(
        f"name={folder.name}\nwidth={WIDTH}\nheight={HEIGHT}\nlength={length}\nfps=20\nchannels.color=color/%08d.png\n"
    )


def workspace(ettrack: Path, folder: Path, stack: str, sequences: dict[str, Flight], *options: str) -> None:
    folder.mkdir(parents=True)
    (folder / "stack.yaml").write_text(stack)
    for name, flight in sequences.items():
        write_sequence(folder / "sequences" / name, flight)
    (folder / "sequences" / "list.txt").write_text("\n".join(sequences) + "\n")
    command = [ettrack, "vot-workspace", folder, "--stack", "./stack.yaml", *options]
    subprocess.run(command, check=True)
    # A section of the list is not replaced by another one with the same name.
    listed = (folder / "trackers.ini").read_text()
    again = subprocess.run([*command, "--search-scale=2"], capture_output=True, text=True)
    assert again.returncode == 2 and "there is another section [ettrack-nano]" in again.stderr, again.stderr
    assert (folder / "trackers.ini").read_text() == listed


def toolkit(folder: Path) -> dict:
    """Runs the tracker with the toolkit and returns the toolkit's analysis."""
    for arguments in (["evaluate"], ["analysis", "--format", "json", "--name", "report"]):
        command = [sys.executable, "-m", "vot", *arguments, "--workspace", folder, TRACKER]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0 and "error" not in done.stderr.lower(), done.stdout + done.stderr
    found = list((folder / "analysis").rglob("*.json"))
    assert found, "the toolkit wrote no analysis"
    return json.loads(found[0].read_text())


def measures(report: dict, experiment: str, stack: str, analysis: str) -> list:
    """Returns the numbers of an analysis for the only tracker over all sequences."""
    analyses = yaml.safe_load(stack)["experiments"][experiment]["analyses"]
    # The report has a grid for each analysis, in the order of the stack, with a row for each tracker.
    grids = report["results"][experiment]["results"]
    assert len(grids) == len(analyses), f"{len(grids)} of {len(analyses)} analyses of {experiment}"
    names = [entry["name"] for entry in analyses]
    return grids[names.index(analysis)][0]


def ours(ettrack: Path, folder: Path, evaluation: str, dataset: str = "vot") -> dict:
    """Runs `ettrack eval` and returns the content of summary.json."""
    out = folder / f"ettrack-{evaluation}"
    command = [ettrack, "eval", f"--dataset={dataset}", "--root", folder, "--model", TRACKER, "--output", out]
    subprocess.run([*command, "--evaluation", evaluation, "--no-samples"], check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "summary.json").read_text())


def close(name: str, theirs: float, mine: float) -> None:
    print(f"{name}: toolkit {theirs:.9f}, ettrack eval {mine:.9f}, difference {abs(theirs - mine):.1e}")
    assert abs(theirs - mine) < 1e-6, name


def bounds_of(region: Rectangle | Polygon | Mask) -> tuple[float, ...]:
    """Returns the bounding rectangle x, y, width, height of a region."""
    if isinstance(region, Rectangle):
        return region.bounds()
    if isinstance(region, Polygon):
        points = np.array(list(region))
    else:
        rows, columns = np.nonzero(region.array())
        inside = np.stack([columns, rows], 1) + region.offset()
        points = np.concatenate([inside, inside + 1])
    low = points.min(0)
    return (*low, *(points.max(0) - low))


class Session:
    """A process of `ettrack trax` with a client of the official library."""

    # Clients are kept, because vot-trax 4.0.2 crashes when it frees one.
    kept: list[Client] = []

    def __init__(self, ettrack: Path, *options: str):
        self.process = subprocess.Popen(
            [ettrack, "trax", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        streams = (self.process.stdin.fileno(), self.process.stdout.fileno())
        # Without a log, the client of vot-trax 4.0.2 fails with a TypeError.
        self.client = Client(stream=streams, log=os.devnull)
        self.kept.append(self.client)

    def run(self, images: list, region) -> list[tuple]:
        answers = [self.client.initialize({"color": images[0]}, [(region, {})], {})[0]]
        answers += [self.client.frame({"color": image}, objects=[])[0] for image in images[1:]]
        return [(bounds_of(answer[0][0]), answer[0][1].get("confidence")) for answer in answers]


def protocol(ettrack: Path, flight: Flight) -> None:
    """Checks that all forms of images and regions give the same boxes, and that several targets are refused."""
    files = flight.pictures[:8]
    pictures = [cv2.imread(str(path)) for path in files]
    # Whole pixels, so that a mask can describe the same region.
    x, y, width, height = flight.boxes[0].round().astype(int).tolist()
    rectangle = Rectangle.create(x, y, width, height)
    by_path = [FileImage.create(str(path)) for path in files]
    session = Session(ettrack)
    assert set(session.client.image_formats) == {"path", "memory", "buffer"}, session.client.image_formats
    assert set(session.client.region_formats) == {"rectangle", "polygon", "mask"}, session.client.region_formats
    expected = session.run(by_path, rectangle)
    assert len({answer[0] for answer in expected}) > 4, expected
    assert all(0 <= float(answer[1]) <= 1 for answer in expected), expected
    moved = np.abs(np.array(expected[-1][0]) - flight.boxes[7]).max()
    assert moved < 6, f"the target was lost: {expected[-1]}, it is at {flight.boxes[7]}"
    # The same target again in the same session, then in each other form.
    assert session.run(by_path, rectangle) == expected
    by_memory = [MemoryImage.create(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)) for picture in pictures]
    assert session.run(by_memory, rectangle) == expected
    by_buffer = [BufferImage.create(path.read_bytes()) for path in files]
    assert session.run(by_buffer, rectangle) == expected
    polygon = Polygon.create([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    assert session.run(by_path, polygon) == expected
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + height, x : x + width] = 1
    assert session.run(by_path, Mask.create(mask)) == expected
    session.client.quit()
    assert session.process.wait(10) == 0
    for region in ("polygon", "mask"):
        session = Session(ettrack, f"--region={region}")
        for (theirs, _), (bounds, _) in zip(session.run(by_path, rectangle), expected, strict=True):
            assert np.abs(np.array(theirs) - bounds).max() <= 1.01, (region, theirs, bounds)
        session.client.quit()

    session = Session(ettrack)
    two = [(rectangle, {}), (Rectangle.create(1, 1, 20, 20), {})]
    try:
        session.client.initialize({"color": by_path[0]}, two, {})
        raise AssertionError("two targets were accepted")
    except TraxException:
        session.process.kill()
    # A client that sends a second target without asking whether this is possible.
    messages = b'@@TRAX:initialize "1,1,20,20"\n@@TRAX:initialize "30,30,20,20"\n'
    done = subprocess.run([ettrack, "trax"], input=messages, capture_output=True)
    assert done.returncode == 2 and b"one at a time" in done.stdout and b"one at a time" in done.stderr, done
    # A client that closes the connection.
    done = subprocess.run([ettrack, "trax"], input=b"", capture_output=True)
    assert done.returncode == 1 and b"hung up after 0 frames" in done.stderr, done


def main() -> None:
    ettrack, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    start = time.monotonic()
    one, two = (simulated(ettrack, out / f"flight-{seed}", seed) for seed in (1, 2))
    protocol(ettrack, one)
    print(f"protocol: all forms of images and regions give the same boxes ({time.monotonic() - start:.0f} s)")

    # In the second sequence the target jumps so far that the tracker loses it.
    short, half = out / "short-term", SHORT // 2
    jump = one[:half] + moved_right(one[half:SHORT], 110, out / "moved")
    workspace(ettrack, short, SHORT_TERM, {"flight": two[:SHORT], "jump": jump})
    report = toolkit(short)
    one_pass = ours(ettrack, short, "ope")["vot"]
    starts = ours(ettrack, short, "multistart")["vot"]
    close("accuracy, one pass", measures(report, "unsupervised", SHORT_TERM, "accuracy")[0], one_pass["accuracy"])
    accuracy, robustness = measures(report, "baseline", SHORT_TERM, "ar")[:2]
    close("accuracy, multi-start", accuracy, starts["accuracy"])
    close("robustness, multi-start", robustness, starts["robustness"])
    assert 0.1 < robustness < 0.99, "expected starts that fail and starts that do not"
    eao = measures(report, "baseline", SHORT_TERM, "eao")[0]
    realtime = measures(report, "realtime", SHORT_TERM, "ar")[:2]
    print(f"EAO {eao:.3f}; real-time accuracy {realtime[0]:.3f}, robustness {realtime[1]:.3f}")
    assert 0 < eao <= 1 and all(0 <= number <= 1 for number in realtime)

    long = out / "long-term"
    workspace(ettrack, long, LONG_TERM, {"flight": one, "other": two}, "--socket")
    assert np.isnan(one.boxes).any() and np.isnan(two.boxes).any()
    report = toolkit(long)
    mine = ours(ettrack, long, "ope", "vot_lt")["long_term"]
    theirs = measures(report, "longterm", LONG_TERM, "average_tpr")[:3]
    for name, value in zip(("precision", "recall", "f_score"), theirs, strict=True):
        close(f"long-term {name}, through a socket", value, mine[name])
    print(f"VOT's toolkit and ettrack agree ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # Ends without freeing the kept clients.
    os._exit(0)
