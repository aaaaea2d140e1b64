"""Tests that the package gives exactly the numbers of the command line."""

from importlib.util import find_spec
from pathlib import Path

import ettrack
import pytest
from conftest import MODEL


def rows(tracker, frames, target):
    """Returns the text that the command line prints, made by the package."""
    tracker.init(frames[0], target)
    said = [(target, tracker.confidence, tracker.state)]
    for frame in frames[1:]:
        found, box = tracker.update(frame)
        assert found == (tracker.state == "tracking")
        said.append((box, tracker.confidence, tracker.state))
    return [
        ",".join([str(index), *(f"{number:.4f}" for number in (*box, confidence)), state])
        for index, (box, confidence, state) in enumerate(said)
    ]


def expected(command, folder, target, *options):
    library = Path(find_spec("onnxruntime").origin).parent / "capi"
    roi = ",".join(map(str, target))
    text = command("track", folder, "--roi", roi, "--model", MODEL, "--onnxruntime", library, *options)
    return text.splitlines()[1:]


OPTIONS = [
    ({}, []),
    ({"search_scale": 2.0}, ["--search-scale", "2"]),
    ({"lost": "off"}, ["--lost", "off"]),
    (
        {"overrides": {"window_influence": 0.1, "learning_rate": 0.9}},
        ["--set", "window_influence=0.1", "--set", "learning_rate=0.9"],
    ),
    (
        {"lost": {"lost_below": 0.9, "lost_after": 1, "weights": {"agreement": 9.0}}},
        ["--set", "lost.lost_below=0.9", "--set", "lost.lost_after=1", "--set", "lost.weights.agreement=9"],
    ),
]


def test_boxes_on_recorded_frames_are_those_of_the_command_line(command, folder, frames, target):
    assert rows(ettrack.Tracker(threads=1), frames, target) == expected(command, folder, target)


@pytest.fixture(scope="module")
def usual(flight):
    _, frames, target = flight
    return rows(ettrack.Tracker(threads=1), frames, target)


def test_target_of_the_flight_is_lost_for_a_while(usual):
    states = [row.rsplit(",", 1)[1] for row in usual]
    assert 1 < states.count("lost") < len(states) / 2


@pytest.mark.parametrize(("keywords", "options"), OPTIONS, ids=lambda value: "-".join(value) or "usual")
def test_boxes_on_a_flight_are_those_of_the_command_line(command, flight, usual, keywords, options):
    folder, frames, target = flight
    said = rows(ettrack.Tracker(threads=1, **keywords), frames, target) if keywords else usual
    assert said == expected(command, folder, target, *options)
    assert (said != usual) == bool(keywords), "an option that changes nothing here is not tested"
