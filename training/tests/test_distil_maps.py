"""Tests of the distillation of maps from teachers whose windows have the box's own shape."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ettrack_training.data.config import CropConfig
from ettrack_training.data.pairs import Kind
from ettrack_training.distil.folder_teacher import FolderTeacher, mean_maps
from ettrack_training.distil.losses import decode
from ettrack_training.distil.map_labels import BoxLabels, carried, mixed, warped
from ettrack_training.micro import MICRO
from ettrack_training.model_folder import write_model_folder
from ettrack_training.networks.et_track import ETTrack
from ettrack_training.pixels import normalise
from ettrack_training.trackers import TRACKERS


@pytest.fixture(scope="module")
def network() -> ETTrack:
    torch.manual_seed(3)
    # If 32 pixels are 1.4 boxes, five boxes are 114 pixels. 112 is the nearest size for stride 16.
    return ETTrack(replace(MICRO, box_context=0.2, search_sizes=(112,))).eval()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "micro"
    provenance = {"source": "test", "checkpoint_sha256": "none", "licence": "none"}
    write_model_folder(TRACKERS["et_track"], network, folder, provenance=provenance)
    return folder


@pytest.fixture(scope="module")
def teacher(folder) -> FolderTeacher:
    return FolderTeacher(folder)


def test_a_folder_teacher_gives_the_maps_of_its_network(network, teacher) -> None:
    random = np.random.default_rng(4)
    template = random.integers(0, 256, (2, MICRO.template_size, MICRO.template_size, 3), np.uint8)
    search = random.integers(0, 256, (2, 112, 112, 3), np.uint8)
    cls, reg = teacher.maps(template, search)
    with torch.no_grad():
        pictures = [normalise(torch.from_numpy(picture)) for picture in (template, search)]
        expected = [
            torch.cat(maps)
            for maps in zip(*(network(z[None], x[None]) for z, x in zip(*pictures, strict=True)), strict=True)
        ]
    np.testing.assert_allclose(cls, expected[0], atol=2e-4)
    np.testing.assert_allclose(reg, expected[1], atol=2e-3)


def test_a_teacher_knows_its_share_of_the_template(teacher) -> None:
    assert teacher.template_context == 0.2
    assert teacher.share_of(0.75) == pytest.approx(1.4 / 2.5)


def test_mean_maps_averages_logits_and_logarithms_of_distances() -> None:
    one = np.full((1, 1, 2, 2), -1.0), np.full((1, 4, 2, 2), 10.0)
    two = np.full((1, 1, 2, 2), 3.0), np.full((1, 4, 2, 2), 40.0)
    cls, reg = mean_maps([one, two])
    np.testing.assert_allclose(cls, 1.0)
    np.testing.assert_allclose(reg, 20.0)
    np.testing.assert_allclose(mean_maps([one, (two[0], np.zeros((1, 4, 2, 2)))])[1], 1.0)


def test_every_target_is_square_in_windows_of_its_shape() -> None:
    crops = CropConfig(box_context=0.75)
    box = np.array([10.0, 20.0, 30.0, 140.0])
    np.testing.assert_allclose(crops.template_span(box, stretch=1.7), (50.0, 300.0))
    assert crops.object_size(127.0) == pytest.approx(50.8)
    # Square windows have neither property.
    assert CropConfig().object_size(127.0) is None
    np.testing.assert_allclose(*CropConfig().template_span(box, stretch=1.0))


def test_pairs_have_the_windows_of_the_student(teacher) -> None:
    crop = BoxLabels([teacher], 0.75, 127, 256).pairs().crop
    assert (crop.box_context, crop.search_size) == (0.75, 256)
    # The teacher's part of it, 1.4 sides, has the teacher's number of pixels.
    assert crop.template_size == round(teacher.template_size * 2.5 / 1.4)


@pytest.mark.parametrize(("size", "edge"), [(256, 32), (224, 48)])
def test_a_student_with_a_smaller_window_gets_the_inner_part_of_the_teachers_maps(size: int, edge: int) -> None:
    teacher = Seeing((120.0, 104.0, 168.0, 152.0))
    # If 128 pixels are two boxes, five boxes are 320 pixels, which the teacher resizes to 256. The student sees the
    # inner part.
    label = BoxLabels([teacher], 0.5, 128, size)
    assert label.pairs().crop.search_size == 320
    box = np.array([[150.0, 130.0, 210.0, 190.0], [0.0, 0.0, 33.0, 40.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
    labelled = label(
        {
            "template": np.zeros((3, 128, 128, 3), np.uint8),
            "search": np.arange(3 * 320 * 320 * 3, dtype=np.uint8).reshape(3, 320, 320, 3),
            "box": box,
            "others": np.array([[[210.0, 130.0, 300.0, 190.0], [0.0] * 4], [[0.0] * 4] * 2, [[0.0] * 4] * 2]),
            "kind": np.array([Kind.POSITIVE, Kind.POSITIVE, Kind.ABSENT]),
        }
    )
    assert labelled.search.shape == (3, size, size, 3)
    # The second target is outside the inner window. If that is 256 pixels wide, one pixel of the target is inside.
    assert labelled.present.tolist() == [True, False, False]
    inner = np.array([150.0, 130.0, 210.0, 190.0]) - edge
    np.testing.assert_array_equal(labelled.box, [inner, [0] * 4, [0] * 4])
    np.testing.assert_array_equal(
        labelled.others[0], [np.array([210, 130, min(300, size + edge), 190]) - edge, [0] * 4]
    )
    assert not labelled.others[1:].any()
    # The box is the teacher's, enlarged by 5/4 and shifted to the inner window.
    cells = size // 16
    assert labelled.cls.shape == (3, 1, cells, cells)
    row, column = np.unravel_index(labelled.cls[0, 0].argmax(), (cells, cells))
    centre = (inner[:2] + inner[2:]) / 2
    assert np.abs(np.array([column, row]) * 16 - centre).max() <= 12
    np.testing.assert_allclose(decode(torch.from_numpy(labelled.reg))[0, :, row, column], inner, atol=1e-3)


@pytest.mark.parametrize(
    ("section", "change", "named"),
    [
        ("template", {"window": "square"}, "template.window box, got square"),
        ("template", {"context": 0.5}, "a search window of 5 boxes, got those of 7.00"),
        ("search", {"exemplar_size": 36}, "search.exemplar_size of a search window of 5 boxes, got those of 4.36"),
        ("outputs", {"score": {"name": "cls", "activation": "none"}}, "score.activation sigmoid, got none"),
        ("input", {"channels": "bgr"}, "input.channels rgb, got bgr"),
    ],
)
def test_refuses_teachers_with_other_windows_or_scores(
    folder: Path, tmp_path: Path, section: str, change: dict, named: str
) -> None:
    manifest = yaml.safe_load((folder / "model.yaml").read_text())
    manifest[section] |= change
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}: expected .*{named}"):
        FolderTeacher(tmp_path)


def test_refuses_teachers_of_other_families(folder: Path, tmp_path: Path) -> None:
    manifest = yaml.safe_load((folder / "model.yaml").read_text())
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(manifest | {"family": "siamfcpp"}))
    with pytest.raises(ValueError, match="family anchor_free, got siamfcpp"):
        FolderTeacher(tmp_path)


class Constant:
    """A teacher with the same score in all cells that counts its calls."""

    template_size = 32
    search_size = 64

    def __init__(self, score: float):
        self.score, self.asked = score, 0

    def share_of(self, context: float) -> float:
        return 1.0

    def maps(self, template: np.ndarray, search: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.asked += 1
        return np.full((len(search), 1, 4, 4), self.score), np.ones((len(search), 4, 4, 4))


@pytest.mark.parametrize("context", [-0.5, 0.9])
def test_refuses_a_student_with_a_larger_search_window_than_its_teachers(context: float) -> None:
    with pytest.raises(ValueError, match="search window is 5 boxes or less"):
        BoxLabels([Constant(1.0)], context, 128, 256)


def test_refuses_a_teacher_with_a_larger_template_than_the_student(teacher) -> None:
    with pytest.raises(ValueError, match=r"template.context of at most the student's 0.1, got \[0.2\]"):
        BoxLabels([teacher], 0.1, 127, 256)


class Seeing(Constant):
    """A teacher whose cells all have the same box, and scores that depend on the distance from its centre."""

    def __init__(self, box: tuple[float, float, float, float]):
        super().__init__(0.0)
        self.search_size = 256
        self.box = box

    def maps(self, template: np.ndarray, search: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.meshgrid(np.arange(16) * 16.0, np.arange(16) * 16.0)
        left, top, right, bottom = self.box
        cls = 4 - np.hypot(x - (left + right) / 2, y - (top + bottom) / 2) / 16
        reg = np.stack([x - left, y - top, right - x, bottom - y])
        return np.stack([cls[None]] * len(search)), np.stack([reg] * len(search))


def test_teachers_take_turns_by_batch() -> None:
    teachers = [Constant(1.0), Constant(3.0)]
    label = BoxLabels(teachers, 0.75, 32, 64)
    pairs = {
        "template": np.zeros((2, 32, 32, 3), np.uint8),
        "search": np.zeros((2, 64, 64, 3), np.uint8),
        "box": np.zeros((2, 4), np.float32),
        "others": np.zeros((2, 3, 4), np.float32),
        "kind": np.full(2, Kind.POSITIVE),
    }
    scores = [label(pairs).cls for _ in range(4)]
    assert [score.mean() for score in scores] == [1.0, 3.0, 1.0, 3.0]
    assert [teacher.asked for teacher in teachers] == [2, 2]


def maps_of(box: np.ndarray, cell: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and distances for 256 pixels: all cells have the box `box`, and one cell has a high score."""
    points = np.arange(16) * 16.0
    x, y = np.meshgrid(points, points)
    cls = np.full((16, 16), -6.0)
    cls[cell] = 4.0
    return cls, np.stack([x - box[0], y - box[1], box[2] - x, box[3] - y])


def test_maps_of_the_same_window_stay_unchanged() -> None:
    cls, reg = maps_of(np.array([100.0, 120.0, 140.0, 200.0]), (9, 7))
    score, corners, reach = carried(cls, reg, np.array([256.0, 256.0]), 256)
    assert reach.all()
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-cls)), atol=1e-6)
    np.testing.assert_allclose(corners[:, 3, 5], (100, 120, 140, 200), atol=1e-4)


def test_maps_of_another_window_are_resampled_at_the_right_cells() -> None:
    # A window half as wide and twice as high with the same centre. Its cell is two to the right and one below.
    cls, reg = maps_of(np.array([140.0, 130.0, 180.0, 160.0]), (9, 10))
    score, corners, reach = carried(cls, reg, np.array([128.0, 512.0]), 256)
    assert np.unravel_index(score.argmax(), score.shape) == (10, 9)
    assert score[10, 9] == pytest.approx(1 / (1 + np.exp(-4.0)), abs=1e-6)
    np.testing.assert_allclose(corners[:, 8, 8], (134.0, 132.0, 154.0, 192.0), atol=1e-3)
    # It contains 64 pixels on each side of the centre, without the last cell at the right, and all rows.
    assert reach.any(axis=0).nonzero()[0].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]
    assert reach[:, 8].all()


def test_mixed_maps_use_only_the_teacher_that_sees_a_cell() -> None:
    cls, reg = maps_of(np.array([100.0, 120.0, 140.0, 200.0]), (9, 7))
    other = np.full((16, 16), 0.5), np.zeros((4, 16, 16)), np.zeros((16, 16), bool)
    logits, distances = mixed((cls[None], reg), other, 0.6)
    np.testing.assert_allclose(logits[0], cls, atol=1e-6)
    np.testing.assert_allclose(distances, reg.clip(0.1), atol=1e-6)
    # Where both see the target, scores are mixed by their shares, and boxes are weighted by the scores.
    score, corners, reach = carried(cls - 20, reg * 2, np.array([256.0, 256.0]), 256)
    logits, distances = mixed((cls[None], reg), (score, corners, reach), 0.6)
    assert 1 / (1 + np.exp(-logits[0, 9, 7])) == pytest.approx(0.4 / (1 + np.exp(-4.0)), rel=1e-3)
    np.testing.assert_allclose(distances[:, 9, 7], reg[:, 9, 7], rtol=1e-3)


def test_cuts_a_window_at_the_given_position() -> None:
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    picture = np.stack([3 * x, 3 * y, 0 * x], 2).astype(np.uint8)
    cut = warped(picture, np.array([16.0, 8.0]), np.array([16.0, 32.0]), 16, np.zeros(3))
    # A pixel has the colour at its centre. Columns keep their scale, and two rows become one.
    np.testing.assert_allclose(cut[5, :, 0], 3 * (16 + np.arange(16)), atol=1)
    np.testing.assert_allclose(cut[:, 5, 1], 3 * (8.5 + 2 * np.arange(16)), atol=1)
