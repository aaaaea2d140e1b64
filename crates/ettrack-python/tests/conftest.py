"""Fixtures: frames with a target, and the command line that was built from the same sources."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[3]
DATA = REPOSITORY / "tests" / "data" / "ettrack"
MODEL = REPOSITORY / "models" / "ettrack-nano"

# In this number of frames, ten per second, the target passes under a bridge and leaves the picture.
FLIGHT = ["--width", 320, "--height", 240, "--frames", 100, "--rate", 10]


def read(path):
    """Returns a picture in the channel order of OpenCV: blue, green, red."""
    with Image.open(path) as picture:
        return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


@pytest.fixture(scope="session")
def folder():
    return DATA / "frames"


@pytest.fixture(scope="session")
def frames(folder):
    return [read(path) for path in sorted(folder.glob("*.png"))]


@pytest.fixture(scope="session")
def target():
    return tuple(np.load(DATA / "tracker.npz")["seq_a_init_bbox"].tolist())


@pytest.fixture(scope="session")
def command():
    """Runs `ettrack` and returns its output."""
    program = os.environ.get("ETTRACK_COMMAND")
    if not program:
        pytest.skip("ETTRACK_COMMAND does not name the command line to compare with")

    def run(*arguments):
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def flight(command, tmp_path_factory):
    """Returns a flight whose target is hidden for a time: folder, frames, and the target in the first frame."""
    folder = tmp_path_factory.mktemp("flight")
    command("simulate", "--output", folder / "drawn", *FLIGHT)
    # Lossless, because two JPEG decoders may differ in a pixel.
    frames = [read(path) for path in sorted((folder / "drawn" / "img").iterdir())]
    (folder / "img").mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame[:, :, ::-1]).save(folder / "img" / f"{index:04}.png", compress_level=1)
    first = (folder / "drawn" / "groundtruth_rect.txt").read_text().splitlines()[0]
    # Pixels count from 1 in that layout.
    x, y, width, height = map(float, first.split(","))
    return folder / "img", frames, (x - 1, y - 1, width, height)
