"""Simulated time runs forward, is paused, and is set back."""

import time

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from ettrack.msg import TrackedTarget
from rosgraph_msgs.msg import Clock


class Simulation:
    """A simulated clock that gives the stamps of a bench's images."""

    def __init__(self, bench):
        self.bench = bench
        self.now = 100.0
        self.clock = bench.node.create_publisher(Clock, "/clock", 10)
        self.reports = []
        bench.node.create_subscription(DiagnosticArray, "/diagnostics", self.reports.append, 10)
        bench.wait(lambda: self.clock.get_subscription_count() > 0)

    def stamp(self):
        return Time(sec=int(self.now), nanosec=int(self.now % 1 * 1e9))

    def step(self, seconds=1 / 30):
        """Advances the time, publishes it, and publishes a picture."""
        self.now += seconds
        self.clock.publish(Clock(clock=self.stamp()))
        message = self.bench.message()
        message.header.stamp = self.stamp()
        self.bench.index_of[(message.header.stamp.sec, message.header.stamp.nanosec)] = self.bench.index
        self.bench.images.publish(message)
        self.bench.index += 1

    def film(self, until):
        self.bench.film(until, publish=self.step)


@pytest.fixture
def simulation(start):
    _, bench = start(parameters={"use_sim_time": True, "diagnostics_period": 0.2})
    return Simulation(bench)


def start_tracking(simulation):
    bench = simulation.bench
    simulation.film(lambda: len(bench.targets) > 3)
    time.sleep(0.3)
    index = bench.index_of[(bench.targets[-1].header.stamp.sec, bench.targets[-1].header.stamp.nanosec)]
    bench.choose(index)
    simulation.film(lambda: bench.targets[-1].state == TrackedTarget.TRACKING)


def test_ages_and_diagnostics_use_simulated_time(simulation):
    bench = simulation.bench
    start_tracking(simulation)
    simulation.film(lambda: len(bench.targets) > 40)
    assert bench.overlap(bench.targets[-1]) > 0.4
    # The report of a period without an answered image has no age.
    ages = []
    simulation.film(lambda: ages.extend(ages_in(bench.statuses)) or ages)
    assert 0 <= ages[-1] < 1000
    reports = len(simulation.reports)
    bench.wait(lambda: len(simulation.reports) > reports)
    assert abs(simulation.reports[-1].header.stamp.sec - simulation.now) < 2


def ages_in(statuses):
    """Returns the ages in diagnostics."""
    entries = [entry for status in list(statuses) for entry in status.values]
    return [float(entry.value) for entry in entries if entry.key == "age of the last frame (ms)"]


def test_diagnostics_and_warnings_still_come_while_time_is_paused(start):
    _, bench = start(parameters={"use_sim_time": True, "diagnostics_period": 0.2, "no_image_timeout": 0.5})
    simulation = Simulation(bench)
    start_tracking(simulation)
    count = len(simulation.reports)
    bench.wait(lambda: len(simulation.reports) > count + 3)
    bench.wait(lambda: bench.said("s on /image: "))
    # The target is tracked again when the time runs again.
    simulation.film(lambda: len(bench.targets) > 20)
    assert bench.targets[-1].state == TrackedTarget.TRACKING


def test_the_target_is_still_tracked_after_time_was_set_back(simulation):
    bench = simulation.bench
    start_tracking(simulation)
    detection = bench.detection(bench.targets[-1], "too late")
    detection.header.stamp.sec += 5
    bench.boxes.publish(detection)
    bench.wait(lambda: "target waits for" in bench.status())
    simulation.now -= 50
    bench.targets.clear()
    simulation.film(lambda: len(bench.targets) > 10)
    assert bench.targets[-1].header.stamp.sec < 60
    assert bench.targets[-1].state == TrackedTarget.TRACKING
    assert bench.overlap(bench.targets[-1]) > 0.4
    assert "set back" in bench.status()["last refused request"]
    # A detection in a new image is still accepted.
    bench.boxes.publish(bench.detection(bench.targets[-1], "in time"))
    simulation.film(lambda: bench.targets[-1].target_id == "in time")
