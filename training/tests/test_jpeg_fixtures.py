"""The pictures beside the JPEG files of the Rust tests are what this OpenCV reads from these."""

from pathlib import Path

import cv2
import numpy as np
import pytest

FILES = sorted((Path(__file__).parents[2] / "tests/data/jpeg").glob("*.jpg"))


def test_every_kind_is_there():
    assert len(FILES) == 17


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_opencv_reads_the_recorded_pixels(file):
    expected = cv2.imread(str(file.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), expected)
