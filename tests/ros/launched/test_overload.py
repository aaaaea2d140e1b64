"""The camera sends more images than can be tracked: the newest one is tracked, and no queue grows."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from harness import BenchTest
from launch_testing.actions import ReadyToTest
from launching import launch_file

from launch import LaunchDescription

RATE = 400.0


def generate_test_description():
    return LaunchDescription([launch_file("tracker.launch.py"), ReadyToTest()])


class Overload(BenchTest):
    def test_the_tracked_image_is_new(self):
        bench = self.bench
        bench.start_tracking()
        bench.film_for(2.0, rate=RATE)
        bench.targets.clear()
        bench.film_for(4.0, rate=RATE)
        ages = sorted(
            bench.arrivals[stamp] - (stamp[0] + stamp[1] * 1e-9)
            for stamp in ((t.header.stamp.sec, t.header.stamp.nanosec) for t in bench.targets)
        )
        status = bench.status()
        one_frame = float(status["latency p95 (ms)"]) * 1e-3
        median = ages[len(ages) // 2]
        print(
            f"{len(ages)} answers; age median {median * 1e3:.1f} ms, "
            f"p99 {ages[len(ages) * 99 // 100] * 1e3:.1f} ms; one frame takes {one_frame * 1e3:.1f} ms (p95); "
            f"{status['frames dropped']} of {status['frames received']} images overtaken"
        )
        # The time of one tracked image, of one waiting image, and of two ways through the middleware.
        self.assertLess(median, 2 * one_frame + 1 / RATE + 0.02)
