"""Images are answered with boxes: raw and compressed ones at a camera's rate, from flights and real sequences."""

import os
import statistics
import time
from pathlib import Path

import pytest
from agreement import boxes_of_the_command_line, node_gives
from ettrack.msg import TrackedTarget
from harness import percentiles, stamp_of, tell
from sequences import flight, from_otb

SEQUENCES = "ETTRACK_TEST_SEQUENCES"
# Number of frames of a flight before the target is hidden for the first time.
IN_THE_OPEN = 100


@pytest.fixture(scope="module")
def open_flight():
    """Returns a flight of 640x480 pixels at 30 Hz in which the target is visible."""
    return flight(shown=IN_THE_OPEN)


def film_once(bench, scene, rate, publish=None):
    """Chooses the target in the first picture and publishes each other picture once. Returns the answers to these."""
    publish = publish or bench.publish
    publish()
    for _ in range(20):
        time.sleep(0.2)
        if bench.newest_stamp() in bench.arrivals:
            break
        bench.index = 0
        publish()
    bench.choose(0)
    bench.wait(lambda: bench.targets[-1].state == TrackedTarget.TRACKING)
    bench.targets.clear()
    bench.film(lambda: bench.index >= len(scene), rate=rate, publish=publish, patience=len(scene) / rate + 30)
    time.sleep(0.5)
    return bench.targets


def judge(bench, shown, name):
    overlaps = bench.overlaps()
    tell(
        f"{name}: {len(bench.targets)} of {shown} images answered, median overlap {statistics.median(overlaps):.3f}, "
        f"age {percentiles(bench.ages())} ms"
    )
    stamps = [stamp_of(target) for target in bench.targets]
    assert stamps == sorted(set(stamps)), "each image has at most one answer, in the order of the images"
    assert all(stamp in bench.index_of for stamp in stamps), "answers have the stamps of images"
    assert all(target.header.frame_id == "camera_optical" for target in bench.targets)
    assert all(0.0 <= target.confidence <= 1.0 for target in bench.targets)
    assert all(len(array.detections) <= 1 for array in bench.detections)
    return overlaps


def test_raw_images_at_a_cameras_rate(start, open_flight):
    _, bench = start(scene=open_flight)
    film_once(bench, open_flight, rate=30.0)
    overlaps = judge(bench, IN_THE_OPEN - 1, "raw 640x480 at 30 Hz")
    assert len(bench.targets) > 0.8 * IN_THE_OPEN
    assert statistics.median(overlaps) > 0.6


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_compressed_images_at_a_cameras_rate(start, open_flight, kind):
    _, bench = start(scene=open_flight, parameters={"image_transport": "compressed"})
    files = [open_flight.file(index, kind) for index in range(len(open_flight))]
    film_once(bench, open_flight, 30.0, lambda: bench.publish_file(files[bench.index % len(files)], kind))
    overlaps = judge(bench, IN_THE_OPEN - 1, f"{kind} 640x480 at 30 Hz")
    assert len(bench.targets) > 0.8 * IN_THE_OPEN
    assert statistics.median(overlaps) > 0.6


def test_the_node_gives_the_boxes_of_the_command_line(start):
    node_gives(boxes_of_the_command_line(), start)


def test_real_sequences(start):
    """Tracks the sequences in the layout of OTB-100 below the folder that the variable names."""
    if not os.environ.get(SEQUENCES):
        pytest.skip(f"{SEQUENCES} is not set: a folder of sequences in the layout of OTB-100")
    folders = sorted(path.parent for path in Path(os.environ[SEQUENCES]).rglob("groundtruth_rect.txt"))
    assert folders, f"no sequence below {os.environ[SEQUENCES]}"
    medians = []
    for folder in folders:
        scene = from_otb(folder, 150)
        node, bench = start(scene=scene)
        film_once(bench, scene, rate=30.0)
        overlaps = judge(bench, len(scene) - 1, f"{folder.name} {scene.size[0]}x{scene.size[1]}")
        assert len(bench.targets) > 0.5 * len(scene)
        medians.append(statistics.median(overlaps))
        node.stop()
    assert statistics.median(medians) > 0.4, medians


def test_a_publisher_may_end_and_start_again(start):
    _, bench = start()
    bench.start_tracking()
    bench.node.destroy_publisher(bench.images)
    time.sleep(0.5)
    bench.images = bench.node.create_publisher(type(bench.message()), "image", 5)
    bench.targets.clear()
    bench.film(lambda: len(bench.targets) > 10)
    bench.choose()
    bench.film(lambda: bench.targets[-1].state == TrackedTarget.TRACKING)
    assert bench.overlap(bench.targets[-1]) > 0.4


def test_the_warning_about_missing_images_names_topic_and_publishers(start):
    _, bench = start(parameters={"no_image_timeout": 3.0})
    # On a busy machine the node may need longer to discover the publisher. An image starts the time again.
    for _ in range(5):
        bench.lines.clear()
        bench.wait(lambda: bench.said("s on /image: "))
        line = next(line.msg for line in bench.lines if "s on /image: " in line.msg)
        if "nobody publishes" not in line:
            break
        bench.targets.clear()
        bench.film(lambda: bench.targets, rate=5.0)
    assert "/test_bench" in line
