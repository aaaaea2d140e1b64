"""The node against the command line on the committed frames."""

import pytest
from ettrack.msg import TrackedTarget
from harness import corners_of, overlap
from process import run_command_line
from sequences import COMMITTED, Sequence

REGION = (92, 82, 46, 36)


def boxes_of_the_command_line(*options):
    """The box in every committed frame, x, y, width, height."""
    lines = run_command_line("track", COMMITTED, "--roi", ",".join(map(str, REGION)), *options).splitlines()
    return [tuple(map(float, line.split(",")[1:5])) for line in lines if line[0].isdigit()]


def node_gives(expected, start, **parameters):
    """Compares the node's boxes with `expected`, frame by frame over reliable topics, so that no image is overtaken.
    Returns the node and the bench."""
    scene = Sequence(COMMITTED, [REGION] * len(expected))
    assert len(scene) == len(expected) == 30
    node, bench = start(scene=scene, reliable=True, parameters={"image_reliability": "reliable", **parameters})
    bench.publish()
    bench.settle()
    bench.choose(0)
    bench.wait(lambda: bench.targets[-1].state == TrackedTarget.TRACKING)
    for index in range(1, len(scene)):
        bench.publish()
        bench.wait(lambda: bench.newest_stamp() in bench.arrivals)
        got = corners_of(bench.targets[-1])
        assert got == pytest.approx(expected[index], abs=0.01), f"frame {index + 1}"
        assert overlap(got, expected[index]) > 0.99
    return node, bench
