"""Scenes of a bench from files: rendered flights, and sequences with their true boxes."""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from process import run_command_line

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "tests" / "data" / "ettrack" / "frames"


class Sequence:
    """Pictures of a folder in the order of their names, with a box for each. (0, 0) is the first pixel."""

    def __init__(self, folder, boxes, limit=None):
        self.paths = sorted(path for path in Path(folder).iterdir() if path.suffix in (".png", ".jpg"))[:limit]
        assert self.paths, f"no pictures in {folder}"
        self.boxes = boxes
        self.pixels = [np.asarray(Picture.open(path).convert("RGB")) for path in self.paths]
        height, width, _ = self.pixels[0].shape
        self.size = (width, height)

    def __len__(self):
        return len(self.paths)

    def picture(self, index):
        """Returns the pixels of picture `index`, rgb8. The first picture follows the last one."""
        return self.pixels[index % len(self)]

    def box(self, index):
        """Returns the target's box in picture `index`."""
        return self.boxes[index % len(self)]

    def file(self, index, kind="jpeg"):
        """Returns picture `index` as the bytes of a file."""
        file = io.BytesIO()
        options = {"quality": 90} if kind == "jpeg" else {"compress_level": 1}
        Picture.fromarray(self.picture(index)).save(file, kind, **options)
        return file.getvalue()


def flight(frames=300, width=640, height=480, shown=None):
    """Renders a flight and returns its first `shown` frames with the true boxes."""
    with tempfile.TemporaryDirectory() as folder:
        size = ("--frames", frames, "--width", width, "--height", height)
        run_command_line("simulate", *size, "--output", Path(folder) / "flight")
        return from_otb(Path(folder) / "flight", shown)


def from_otb(folder, limit=None):
    """Reads a sequence in the layout of OTB-100: the folder img, and boxes whose pixels count from 1."""
    text = (folder / "groundtruth_rect.txt").read_text().replace(",", " ").replace("\t", " ")
    boxes = [tuple(float(word) for word in line.split()) for line in text.splitlines() if line.strip()]
    return Sequence(folder / "img", [(x - 1, y - 1, *size) for x, y, *size in boxes], limit)
