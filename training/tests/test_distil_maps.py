"""Distilling maps of teachers that see windows of the box's own shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ettrack_training.data.config import CropConfig
from ettrack_training.distil.maps import FolderTeacher, box_pairs, mean_maps
from ettrack_training.micro import MICRO
from ettrack_training.model_folder import write_model_folder
from ettrack_training.networks.et_track import ETTrack
from ettrack_training.pixels import normalise
from ettrack_training.trackers import TRACKERS


@pytest.fixture(scope="module")
def network() -> ETTrack:
    torch.manual_seed(3)
    return ETTrack(replace(MICRO, box_context=0.2)).eval()


@pytest.fixture(scope="module")
def teacher(network, tmp_path_factory) -> FolderTeacher:
    folder = tmp_path_factory.mktemp("teacher") / "micro"
    provenance = {"source": "test", "checkpoint_sha256": "none", "licence": "none"}
    write_model_folder(TRACKERS["et_track"], network, folder, provenance=provenance)
    return FolderTeacher(folder)


def test_a_folder_answers_as_its_network(network, teacher) -> None:
    random = np.random.default_rng(4)
    template = random.integers(0, 256, (2, MICRO.template_size, MICRO.template_size, 3), np.uint8)
    search = random.integers(0, 256, (2, MICRO.search_sizes[0], MICRO.search_sizes[0], 3), np.uint8)
    cls, reg = teacher.maps(template, search)
    with torch.no_grad():
        pictures = [normalise(torch.from_numpy(picture)) for picture in (template, search)]
        expected = [
            torch.cat(maps)
            for maps in zip(*(network(z[None], x[None]) for z, x in zip(*pictures, strict=True)), strict=True)
        ]
    np.testing.assert_allclose(cls, expected[0], atol=2e-4)
    np.testing.assert_allclose(reg, expected[1], atol=2e-3)


def test_a_teacher_sees_its_share_of_the_template(teacher) -> None:
    assert teacher.template_context == 0.2
    assert teacher.share_of(0.75) == pytest.approx(1.4 / 2.5)


def test_of_several_teachers_the_mean_is_taught() -> None:
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
    # Around square windows neither holds.
    assert CropConfig().object_size(127.0) is None
    np.testing.assert_allclose(*CropConfig().template_span(box, stretch=1.0))


def test_pairs_are_framed_for_the_student() -> None:
    pairs = box_pairs(0.75, 229)
    assert (pairs.crop.box_context, pairs.crop.template_size, pairs.crop.search_size) == (0.75, 229, 256)
