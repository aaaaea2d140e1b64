"""Tests of OpenCV's trackers on the output of `ettrack sequences`."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ettrack_training.opencv_tracker import main


def line(folder: Path, name: str, frames: int = 6) -> str:
    """A textured square that moves by two pixels per frame and starts at (30, 20)."""
    rng = np.random.default_rng(1)
    square = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    paths = []
    for number in range(frames):
        image = np.full((80, 120, 3), 90, np.uint8)
        image[20:44, 30 + 2 * number : 54 + 2 * number] = square
        path = folder / f"{name}_{number}.png"
        cv2.imwrite(str(path), image)
        paths.append(str(path))
    return json.dumps({"name": name, "first_pixel": 1.0, "first_box": [30.2, 19.9, 24.0, 24.0], "frames": paths})


def track(monkeypatch: pytest.MonkeyPatch, lines: list[str], *options: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    main(list(options))


def test_writes_boxes_and_times_in_the_benchmarks_coordinates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    # MIL is not tested, because its first random samples depend on the time.
    track(monkeypatch, [line(tmp_path, "Square")], "--tracker", "csrt", "--out", str(out))
    boxes = np.loadtxt(out / "boxes/Square.txt", delimiter=",")
    assert boxes.shape == (6, 4)
    assert boxes[0] == pytest.approx([31.2, 20.9, 24, 24])
    assert boxes[5][0] == pytest.approx(41, abs=2), "it follows"
    times = np.loadtxt(out / "times/Square_time.txt")
    assert times.shape == (6,) and (times > 0).all()
    assert sorted(path.suffix for path in out.rglob("*") if path.is_file()) == [".txt", ".txt"]


def test_a_sequence_without_a_picture_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    lines = [line(tmp_path, name) for name in ("First", "Second")]
    (tmp_path / "First_3.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match="1 of 2 sequences"):
        track(monkeypatch, lines, "--tracker", "mil", "--out", str(tmp_path / "out"))
    assert "First_3.png" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out/boxes").iterdir()] == ["Second.txt"]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ([], ["--tracker", "mil"], "got none"),
        (['{"name": "Deer"}'], ["--tracker", "mil"], "a line of `ettrack sequences`"),
        (["{}"], ["--tracker", "nano", "--backbone", "absent.onnx"], "--backbone FILE, got absent.onnx"),
    ],
)
def test_refuses_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], options: list[str], message: str
):
    with pytest.raises(SystemExit, match=message):
        track(monkeypatch, lines, *options, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_refuses_a_tracker_that_this_opencv_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(cv2, "TrackerCSRT_create", raising=False)
    with pytest.raises(SystemExit, match="opencv-contrib-python-headless"):
        track(monkeypatch, ["{}"], "--tracker", "csrt", "--out", str(tmp_path / "out"))
