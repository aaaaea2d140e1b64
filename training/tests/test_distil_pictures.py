"""Tests of crops of any pictures."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from ettrack_training.distil.pictures import Pictures, framings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good").mkdir()
    picture = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "good" / "one.png"), picture)
    return tmp_path / "good"


def test_refuses_a_folder_without_pictures(folder: Path) -> None:
    assert len(Pictures([folder])) == 1
    misspelt = folder.parent / "god"
    words = re.escape(f"{misspelt}: expected .jpeg, .jpg, .png in it or below, found none")
    with pytest.raises(ValueError, match=words):
        Pictures([folder, misspelt])


def test_skips_broken_files_and_refuses_only_broken_files(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "empty.png").write_bytes(b"")
    crops = next(framings(Pictures([folder]), 32, 4, np.random.default_rng(2)))
    assert crops.shape == (4, 32, 32, 3)
    (folder / "one.png").unlink()
    with pytest.raises(ValueError, match="none of 2 files can be decoded"):
        next(framings(Pictures([folder]), 32, 4, np.random.default_rng(2)))
