"""Fixtures: rendered flights that all tests share."""

import random
import shutil
import subprocess
from collections import namedtuple

import pytest
from ground import COMMAND

Flight = namedtuple("Flight", "frames truth size")
SIZE = 320, 240


@pytest.fixture(scope="session")
def flight(tmp_path_factory):
    """Returns frames, true boxes and frame size. The flight is small and short, because only its motion matters."""
    folder = tmp_path_factory.mktemp("flight") / "flight"
    options = ["--frames", "100", "--width", str(SIZE[0]), "--height", str(SIZE[1])]
    subprocess.run([COMMAND, "simulate", "--output", folder, *options], check=True, stderr=subprocess.DEVNULL)
    rows = (folder / "groundtruth_rect.txt").read_text().split()
    boxes = [[float(number) for number in row.split(",")] for row in rows]
    # The file counts pixels from 1.
    truth = [(x - 1, y - 1, width, height) for x, y, width, height in boxes]
    return Flight(folder / "img", truth, SIZE)


@pytest.fixture(scope="session")
def vanishing(flight, tmp_path_factory):
    """Returns the same flight with only noise after 40 frames."""
    folder = tmp_path_factory.mktemp("vanishing")
    noise = random.Random(1)
    names = sorted(flight.frames.iterdir())
    for number, name in enumerate(names[:80]):
        if number < 40:
            shutil.copy(name, folder / f"{number:04}{name.suffix}")
        else:
            pixels = noise.randbytes(SIZE[0] * SIZE[1] * 3)
            (folder / f"{number:04}.ppm").write_bytes(b"P6\n%d %d\n255\n" % SIZE + pixels)
    return Flight(folder, flight.truth, SIZE)
