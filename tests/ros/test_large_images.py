"""Large raw images arrive with the profile that this package ships. The node warns if images are lost."""

import os
import time

import pytest
from harness import Scene, percentiles, tell

COUNT = 150


def test_images_of_1280x720_arrive_with_the_profile(start):
    """scripts/ros2/test.py gives the profile to these tests and to the node."""
    middleware = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if "fastrtps" not in middleware:
        pytest.skip(f"the profile is for Fast DDS, and this is {middleware}")
    _, bench = start(scene=Scene(1280, 720), parameters={"diagnostics_period": 0.2})
    # The message is made before, so that it can be published at the camera's rate.
    message = bench.message()

    def publish():
        message.header.stamp = bench.node.get_clock().now().to_msg()
        bench.index_of[(message.header.stamp.sec, message.header.stamp.nanosec)] = 0
        bench.images.publish(message)
        bench.index += 1

    bench.film(lambda: bench.index >= COUNT, publish=publish)
    time.sleep(1.0)
    received = int(bench.status()["frames received"])
    ages = f", age {percentiles(bench.ages())} ms" if bench.targets else ""
    tell(f"1280x720 at 30 Hz: {received} of {COUNT} received, {len(bench.targets)} answered{ages}")
    # Without the profile about 5 to 70 arrive.
    assert received > 0.9 * COUNT


def test_the_node_warns_of_a_missing_profile(start):
    environment = os.environ | {"FASTRTPS_DEFAULT_PROFILES_FILE": "/nowhere.xml"}
    node, bench = start(environment=environment)
    node.wait_for("/nowhere.xml, which is no file")
    bench.film(lambda: len(bench.targets) > 2)


def test_the_node_warns_of_lost_images_and_says_what_to_do(start):
    """The camera has 50 Hz, and every second pair of images is missing."""
    with_gaps = iter(range(10**9))
    _, bench = start()
    begun = time.time()

    def publish():
        index = next(with_gaps)
        message = bench.message()
        nanoseconds = round((begun + index * 0.02) * 1e9)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(nanoseconds, 10**9)
        if index % 4 < 2:
            bench.images.publish(message)

    bench.film(lambda: bench.said("large_images:=true"), rate=50.0, publish=publish)
    line = next(line.msg for line in bench.lines if "large_images:=true" in line.msg)
    tell(line)
