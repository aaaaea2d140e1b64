"""Trackers of other authors: the node runs each by the path of its model folder alone."""

import os
import statistics
from pathlib import Path

import pytest
from agreement import boxes_of_the_command_line, node_gives
from ettrack.msg import TrackedTarget
from harness import overlap, tell

MODELS = "ETTRACK_TEST_MODELS"
FOLDERS = [Path(folder) for folder in os.environ.get(MODELS, "").split(os.pathsep) if folder]


@pytest.fixture(scope="module")
def boxes_of_the_default_model():
    return boxes_of_the_command_line()


@pytest.mark.parametrize("folder", FOLDERS or [None], ids=lambda folder: folder.name if folder else "none")
def test_a_model_tracks_by_its_path_alone(start, folder, boxes_of_the_default_model):
    """The boxes are the command line's, and are where the default model finds the target. Random weights do not do
    this."""
    if folder is None:
        pytest.skip(f"{MODELS} is not set: model folders with real weights, with {os.pathsep} between them")
    assert (folder / "model.yaml").is_file(), f"{folder} is not a model folder: it has no model.yaml"
    expected = boxes_of_the_command_line("--model", folder)
    _, bench = node_gives(expected, start, model_path=folder)
    assert bench.targets[-1].state == TrackedTarget.TRACKING
    median = statistics.median(map(overlap, expected, boxes_of_the_default_model))
    tell(f"{folder.name}: 30 frames equal to the command line, median overlap with the default model {median:.3f}")
    assert median > 0.6
