"""Tests of removing targets from crops."""

from __future__ import annotations

import numpy as np
import pytest

from ettrack_training.data.hide import hide

BOX = np.array([100.0, 90.0, 160.0, 150.0])
TEXTURE = np.full((20, 20, 3), (0, 0, 250), np.uint8)


def scene() -> np.ndarray:
    """A red square on green noise."""
    canvas = np.zeros((256, 256, 3), np.uint8)
    canvas[..., 1] = np.random.default_rng(0).integers(80, 120, (256, 256))
    canvas[90:150, 100:160] = (250, 0, 0)
    return canvas


def test_removes_the_target_and_keeps_the_rest() -> None:
    kinds = set()
    for seed in range(60):
        canvas = scene()
        hide(np.random.default_rng(seed), canvas, BOX, TEXTURE)
        # The soft edge of a cover shows a part of the background. It lies outside the target.
        assert not (canvas[90:150, 100:160] == (250, 0, 0)).all(axis=2).any()
        far = np.ones((256, 256), bool)
        far[70:170, 80:180] = False
        assert (canvas == scene())[far].all()
        centre = canvas[120, 130]
        kinds.add("texture" if centre[2] == 250 else "painted" if centre[0] == 0 and centre[2] == 0 else "board")
    assert kinds == {"texture", "painted", "board"}


@pytest.mark.parametrize("box", [(0, 0, 256, 256), (-40, 100, 30, 300), (0, 60, 3, 64), (250, 250, 256, 256)])
def test_covers_boxes_at_the_edge(box: tuple[int, int, int, int]) -> None:
    x1, y1, x2, y2 = np.clip(box, 0, 256)
    for seed in range(30):
        canvas = np.full((256, 256, 3), 90, np.uint8)
        canvas[y1:y2, x1:x2] = (250, 0, 0)
        hide(np.random.default_rng(seed), canvas, np.array(box, float), TEXTURE)
        if x2 - x1 < 256:
            assert not (canvas[y1:y2, x1:x2] == (250, 0, 0)).all(axis=2).any()
