"""Tests that the pictures beside the JPEG files of the Rust tests equal those that OpenCV decodes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

FILES = sorted((Path(__file__).parents[2] / "tests/data/jpeg").glob("*.jpg"))


def test_there_is_a_file_of_every_kind():
    assert len(FILES) == 17


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_opencv_reads_the_recorded_pixels(file):
    expected = cv2.imread(str(file.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), expected)
