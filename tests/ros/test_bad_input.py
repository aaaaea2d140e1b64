"""Invalid images, regions and detections: each one is refused once with the reason, and the node works on."""

import math

import pytest
from ettrack.msg import TrackedTarget
from harness import count_bad as count
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from vision_msgs.msg import Detection2D

NUL = "rgb8\x01"
IMAGES = {
    "unknown encoding": {"encoding": "jelly"},
    "no encoding": {"encoding": ""},
    "upper case": {"encoding": "RGB8"},
    "depth": {"encoding": "32FC1"},
    "signed": {"encoding": "8SC3"},
    "two channels": {"encoding": "8UC2"},
    "five channels": {"encoding": "8UC5"},
    "compressed in a raw message": {"encoding": "jpeg"},
    "control character": {"encoding": NUL},
    "a long name": {"encoding": "x" * 1000},
    "no data": {"data": b""},
    "one byte": {"data": b"\x00"},
    "a byte too few": {"data": bytes(320 * 240 * 3 - 1)},
    "a byte too many": {"data": bytes(320 * 240 * 3 + 1)},
    "half the data": {"data": bytes(320 * 120 * 3)},
    "no step": {"step": 0},
    "a step of one": {"step": 1},
    "a short step": {"step": 319 * 3},
    "a huge step": {"step": 2**32 - 1},
    "no rows": {"height": 0},
    "no columns": {"width": 0},
    "no pixels": {"height": 0, "width": 0, "data": b""},
    "more rows than data": {"height": 241},
    "more columns than a row": {"width": 321},
    "huge": {"width": 16384, "height": 16384},
    "largest": {"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1},
    "four channels in three": {"encoding": "rgba8"},
    "sixteen bits in eight": {"encoding": "mono16", "step": 320},
    "a mosaic of two pixels": {"encoding": "bayer_rggb8", "width": 2, "height": 2, "step": 2, "data": bytes(4)},
    "half a chroma plane": {"encoding": "nv12", "step": 320, "data": bytes(320 * 240)},
    "yuv of half a row": {"encoding": "yuv422", "step": 320},
}
# x, y, width and height of a region.
REGIONS = {
    "no width": (10, 10, 0, 20),
    "no height": (10, 10, 20, 0),
    "nothing": (0, 0, 0, 0),
    "right of the image": (320, 10, 20, 20),
    "below the image": (10, 240, 20, 20),
    "far away": (2**32 - 1, 2**32 - 1, 20, 20),
}
# Centre x, y, width and height of a box.
BOXES = {
    "no size": (50, 50, 0, 0),
    "negative": (50, 50, -20, 20),
    "not a number": (math.nan, 50, 20, 20),
    "size not a number": (50, 50, 20, math.nan),
    "infinite width": (50, 50, math.inf, 20),
    "at infinity": (math.inf, 50, 20, 20),
    "left of the image": (-50, 50, 20, 20),
    "above the image": (50, -50, 20, 20),
    "far away": (1e300, 1e300, 20, 20),
    "far away the other way": (-1e300, 50, 20, 20),
    "huge far away": (1e300, 1e300, 1e299, 1e299),
    "tiny": (50, 50, 1e-30, 1e-30),
    "no number at all": (math.nan, math.nan, math.nan, math.nan),
}


@pytest.fixture(scope="module")
def pair():
    """Returns one node and one bench for all tests, because a refused message does not change the node."""
    from harness import Bench
    from process import Node

    # Over reliable topics, so that no bad message is lost.
    with Node(parameters={"diagnostics_period": 0.1, "image_reliability": "reliable"}) as node:
        bench = Bench(reliable=True)
        bench.wait_for_the_node()
        bench.start_tracking()
        yield node, bench
        bench.close()


@pytest.fixture
def bench(pair):
    """Returns a bench whose node tracks a target, and checks after the test that it still does."""
    node, bench = pair
    if bench.targets[-1].state != TrackedTarget.TRACKING:
        bench.start_tracking()
    yield bench
    assert node.process.poll() is None, node.text()
    bench.targets.clear()
    bench.film(lambda: len(bench.targets) > 2)
    assert bench.targets[-1].state == TrackedTarget.TRACKING, "the old target is still tracked"


@pytest.mark.parametrize("name", IMAGES)
def test_an_invalid_image_is_counted_once(bench, name):
    before = count(bench)
    bench.targets.clear()
    message = bench.publish(**IMAGES[name])
    bench.wait(lambda: count(bench) > before)
    status = bench.status()
    assert int(status["bad messages"]) == before + 1
    assert "image refused" in status["last bad message"]
    assert len(status["last bad message"]) < 600
    assert all(target.header.stamp != message.header.stamp for target in bench.targets), (
        "an invalid image has no answer"
    )
    bench.index = max(0, bench.index - 1)


@pytest.mark.parametrize("name", REGIONS)
def test_an_invalid_region_is_refused_with_the_reason(bench, name):
    x, y, width, height = REGIONS[name]
    identity = bench.targets[-1].target_id
    region = RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height)
    refusal(bench, lambda: bench.rois.publish(region), "target refused")
    assert bench.targets[-1].target_id == identity


@pytest.mark.parametrize("name", BOXES)
def test_an_invalid_box_is_refused_with_the_reason(bench, name):
    detection = Detection2D(header=bench.targets[-1].header)
    centre = detection.bbox.center.position
    centre.x, centre.y, detection.bbox.size_x, detection.bbox.size_y = map(float, BOXES[name])
    identity = bench.targets[-1].target_id
    reason = refusal(bench, lambda: bench.boxes.publish(detection), "target refused")
    assert len(reason) < 300, reason
    if name == "tiny":
        assert "too small" in reason, "and not outside the image"
    assert bench.targets[-1].target_id == identity


@pytest.mark.parametrize("seconds", [-(2**31), -1, 0])
def test_a_detection_of_another_time_is_refused(bench, seconds):
    detection = Detection2D(header=bench.targets[-1].header)
    detection.header.stamp.sec = seconds
    detection.bbox.size_x = detection.bbox.size_y = 20.0
    refusal(bench, lambda: bench.boxes.publish(detection), "no image with its stamp")


def test_an_id_of_a_megabyte_is_refused_and_one_of_256_bytes_is_taken(bench):
    detection = bench.detection(bench.targets[-1], "x" * 1_000_000)
    reason = refusal(bench, lambda: bench.boxes.publish(detection), "its id has 1000000 bytes, expected at most 256")
    assert len(reason) < 200
    identity = "y" * 256
    bench.boxes.publish(bench.detection(bench.targets[-1], identity))
    bench.film(lambda: bench.targets[-1].target_id == identity)


def test_the_last_bad_message_is_cleared_by_good_messages(bench):
    bench.publish(encoding="jelly")
    bench.wait(lambda: "jelly" in bench.status()["last bad message"])
    bench.film(lambda: bench.status()["last bad message"] == "", publish=lambda: bench.film_for(0.2))
    assert count(bench) > 0


def refusal(bench, ask, words):
    """Calls `ask`, which sends a request that must be refused, and returns the reason."""
    before = bench.status()["last refused request"]
    ask()
    reasons = []

    def is_new():
        """The reason is new."""
        reasons.append(bench.status()["last refused request"])
        return words in reasons[-1] and reasons[-1] != before

    bench.wait(is_new)
    return reasons[-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"k": [0.0] * 9},
        {"k": [math.nan] * 9},
        {"k": [200.0, 0.0, 160.0, 0.0, 200.0, 120.0, 0.0, 0.0, 1.0], "width": 10, "height": 10},
        {"k": [200.0, 0.0, 160.0, 0.0, 200.0, 120.0, 0.0, 0.0, 1.0], "d": [math.inf] * 5},
        {"k": [200.0, 0.0, 160.0, 0.0, 200.0, 120.0, 0.0, 0.0, 1.0], "d": [0.1] * 1000},
        {"k": [200.0, 0.0, 160.0, 0.0, 200.0, 120.0, 0.0, 0.0, 1.0], "d": [0.1] * 5, "distortion_model": "x" * 2000},
    ],
    ids=["uncalibrated", "not numbers", "of another size", "endless distortion", "too many", "unknown model"],
)
def test_an_invalid_calibration_gives_no_bearing(bench, changes):
    fields = {"width": 320, "height": 240, "distortion_model": "plumb_bob"} | changes
    bench.calibration = CameraInfo(**fields)
    bench.film_for(0.3)
    bench.targets.clear()
    bench.film(lambda: len(bench.targets) > 3)
    bench.calibration = None
    assert not bench.targets[-1].bearing_valid
    reason = bench.status()["bearing"]
    assert reason.startswith("none: camera_info is ") and len(reason) < 300
    assert ("another size" in reason) == ("width" in changes)
