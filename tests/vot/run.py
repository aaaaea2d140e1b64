"""Run VOT's official toolkit with `ettrack trax` on a small data set, and hold its numbers against `ettrack eval`.

    python run.py ETTRACK FOLDER

ETTRACK is the program, FOLDER is where the workspaces are made. Exits with 1 and the reason where something differs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import yaml
from trax import TraxException
from trax.client import Client
from trax.image import BufferImage, FileImage, MemoryImage
from trax.region import Mask, Polygon, Rectangle

WIDTH, HEIGHT, FRAMES = 160, 120, 50
SIDE = 28
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


def frames_of(seed: int) -> tuple[list[np.ndarray], list[tuple[float, float]]]:
    """Pictures of a patterned square that moves over a patterned ground, and its corner in each."""
    random = np.random.default_rng(seed)
    ground = cv2.resize(random.integers(40, 160, (HEIGHT // 8, WIDTH // 8, 3), np.uint8), (WIDTH, HEIGHT))
    square = cv2.resize(random.integers(0, 255, (4, 4, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    pictures, corners = [], []
    for index in range(FRAMES):
        x = int(20 + 1.6 * index)
        y = int(40 + 12 * np.sin(index / (4 + seed)))
        picture = ground.copy()
        picture[y : y + SIDE, x : x + SIDE] = square
        pictures.append(picture)
        corners.append((x, y))
    return pictures, corners


def write_sequence(folder: Path, seed: int, absent: range = range(0)) -> None:
    """A sequence in VOT's layout. In the frames `absent` the target is not there."""
    pictures, corners = frames_of(seed)
    (folder / "color").mkdir(parents=True)
    rows = []
    for index, (picture, (x, y)) in enumerate(zip(pictures, corners, strict=True)):
        if index in absent:
            picture = picture.copy()
            picture[y : y + SIDE, x : x + SIDE] = 90
            rows.append("nan,nan,nan,nan")
        else:
            rows.append(f"{x},{y},{SIDE},{SIDE}")
        cv2.imwrite(str(folder / "color" / f"{index + 1:08d}.jpg"), picture)
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    anchors = np.zeros(FRAMES, int)
    anchors[[0, 15]] = 1
    anchors[[35, FRAMES - 1]] = -1
    (folder / "anchor.value").write_text("\n".join(map(str, anchors)) + "\n")
    (folder / "sequence").write_text(
        f"name={folder.name}\nwidth={WIDTH}\nheight={HEIGHT}\nlength={FRAMES}\nfps=20\nchannels.color=color/%08d.jpg\n"
    )


def workspace(ettrack: Path, folder: Path, stack: str, sequences: dict[str, range], socket: bool) -> None:
    folder.mkdir(parents=True)
    (folder / "stack.yaml").write_text(stack)
    for seed, (name, absent) in enumerate(sequences.items()):
        write_sequence(folder / "sequences" / name, seed, absent)
    (folder / "sequences" / "list.txt").write_text("\n".join(sequences) + "\n")
    command = [ettrack, "vot-workspace", folder, "--stack", "./stack.yaml", *(["--socket"] if socket else [])]
    subprocess.run(command, check=True)
    # Half a workspace is not overwritten, and what was there stays.
    listed = (folder / "trackers.ini").read_text()
    again = subprocess.run([*command, "--search-scale=2"], capture_output=True, text=True)
    assert again.returncode == 2 and "there is another section [ettrack-nano]" in again.stderr, again.stderr
    assert (folder / "trackers.ini").read_text() == listed


def toolkit(folder: Path) -> dict:
    """Let the toolkit run the tracker and analyse the results."""
    for arguments in (["evaluate"], ["analysis", "--format", "json", "--name", "report"]):
        command = [sys.executable, "-m", "vot", *arguments, "--workspace", folder, TRACKER]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0 and "error" not in done.stderr.lower(), done.stdout + done.stderr
    found = list((folder / "analysis").rglob("*.json"))
    assert found, "the toolkit wrote no analysis"
    return json.loads(found[0].read_text())


def measures(report: dict, experiment: str, stack: str, analysis: str) -> list:
    """What an analysis gave for the only tracker over all sequences."""
    analyses = yaml.safe_load(stack)["experiments"][experiment]["analyses"]
    # The report lists a grid for each analysis, in the order of the stack, with a row for each tracker.
    grids = report["results"][experiment]["results"]
    assert len(grids) == len(analyses), f"{len(grids)} of {len(analyses)} analyses of {experiment}"
    names = [entry["name"] for entry in analyses]
    return grids[names.index(analysis)][0]


def ours(ettrack: Path, folder: Path, evaluation: str) -> dict:
    out = folder / f"ettrack-{evaluation}"
    command = [ettrack, "eval", "--dataset=vot", "--root", folder, "--model", TRACKER, "--output", out]
    subprocess.run([*command, "--evaluation", evaluation, "--no-samples"], check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "summary.json").read_text())["vot"]


def close(name: str, theirs: float, mine: float) -> None:
    print(f"{name}: toolkit {theirs:.9f}, ettrack eval {mine:.9f}, difference {abs(theirs - mine):.1e}")
    assert abs(theirs - mine) < 1e-6, name


class Session:
    """`ettrack trax` with a client of the official library."""

    def __init__(self, ettrack: Path, *options: str):
        self.process = subprocess.Popen(
            [ettrack, "trax", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        streams = (self.process.stdin.fileno(), self.process.stdout.fileno())
        # Without a log the client of vot-trax 4.0.2 ends with a TypeError.
        self.client = Client(stream=streams, log=os.devnull)

    def run(self, images: list, region) -> list[tuple]:
        answers = [self.client.initialize({"color": images[0]}, [(region, {})], {})[0]]
        answers += [self.client.frame({"color": image}, objects=[])[0] for image in images[1:]]
        return [(tuple(answer[0][0].bounds()), answer[0][1].get("confidence")) for answer in answers]


def protocol(ettrack: Path, folder: Path) -> None:
    """Every form of images and regions gives the same boxes; several targets are refused."""
    pictures, corners = frames_of(7)
    pictures = pictures[:8]
    files = []
    for index, picture in enumerate(pictures):
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), picture)
        files.append(path)
    x, y = corners[0]
    rectangle = Rectangle.create(x, y, SIDE, SIDE)
    by_path = [FileImage.create(str(path)) for path in files]
    session = Session(ettrack)
    assert set(session.client.image_formats) == {"path", "memory", "buffer"}, session.client.image_formats
    assert set(session.client.region_formats) == {"rectangle", "polygon", "mask"}, session.client.region_formats
    expected = session.run(by_path, rectangle)
    assert len({answer[0] for answer in expected}) > 4, expected
    assert all(0 <= float(answer[1]) <= 1 for answer in expected), expected
    moved = np.abs(np.array(expected[-1][0][:2]) - corners[7]).max()
    assert moved < 6, f"the target was lost: {expected[-1]}, it is at {corners[7]}"
    # A second target of the same session, a new session, and each form.
    assert session.run(by_path, rectangle) == expected
    by_memory = [MemoryImage.create(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)) for picture in pictures]
    assert session.run(by_memory, rectangle) == expected
    by_buffer = [BufferImage.create(path.read_bytes()) for path in files]
    assert session.run(by_buffer, rectangle) == expected
    polygon = Polygon.create([(x, y), (x + SIDE, y), (x + SIDE, y + SIDE), (x, y + SIDE)])
    assert session.run(by_path, polygon) == expected
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + SIDE, x : x + SIDE] = 1
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
    # A client that does not ask whether several are possible.
    messages = b'@@TRAX:initialize "1,1,20,20"\n@@TRAX:initialize "30,30,20,20"\n'
    done = subprocess.run([ettrack, "trax"], input=messages, capture_output=True)
    assert done.returncode == 2 and b"one at a time" in done.stdout and b"one at a time" in done.stderr, done
    # A client that hangs up.
    done = subprocess.run([ettrack, "trax"], input=b"", capture_output=True)
    assert done.returncode == 1 and b"hung up after 0 frames" in done.stderr, done


def main() -> None:
    ettrack, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    start = time.monotonic()
    protocol(ettrack, out)
    print(f"protocol: all forms of images and regions give the same boxes ({time.monotonic() - start:.0f} s)")

    short = out / "short-term"
    workspace(ettrack, short, SHORT_TERM, {"one": range(0), "two": range(0)}, socket=False)
    report = toolkit(short)
    if "--show" in sys.argv:
        print(json.dumps(report, indent=1)[:6000])
    one_pass = ours(ettrack, short, "ope")
    starts = ours(ettrack, short, "multistart")
    close("accuracy, one pass", measures(report, "unsupervised", SHORT_TERM, "accuracy")[0], one_pass["accuracy"])
    accuracy, robustness = measures(report, "baseline", SHORT_TERM, "ar")[:2]
    close("accuracy, multi-start", accuracy, starts["accuracy"])
    close("robustness, multi-start", robustness, starts["robustness"])
    eao = measures(report, "baseline", SHORT_TERM, "eao")[0]
    realtime = measures(report, "realtime", SHORT_TERM, "ar")[:2]
    print(f"EAO {eao:.3f}; real-time accuracy {realtime[0]:.3f}, robustness {realtime[1]:.3f}")
    assert 0 < eao <= 1 and all(0 <= number <= 1 for number in realtime)

    long = out / "long-term"
    workspace(ettrack, long, LONG_TERM, {"gone": range(20, 30)}, socket=True)
    report = toolkit(long)
    precision, recall, f_score = measures(report, "longterm", LONG_TERM, "average_tpr")[:3]
    print(f"long-term through a socket: {precision}, {recall}, {f_score}")
    print(f"VOT's toolkit and ettrack agree ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
