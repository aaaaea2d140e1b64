"""The camera sends ten times more images than can be tracked: the newest one is tracked, and no queue grows."""

import statistics

from harness import percentiles, stamp_of, tell

CAMERA = 30.0
TIMES = 10


def test_the_tracked_image_is_new_at_ten_times_a_cameras_rate(start):
    node, bench = start()
    bench.start_tracking()
    memory, _ = node.facts()
    bench.film_for(2.0, rate=CAMERA * TIMES)
    bench.targets.clear()
    bench.film_for(4.0, rate=CAMERA * TIMES)
    ages = bench.ages()
    stamps = [stamp_of(target) for target in bench.targets]
    status = bench.status()
    one_frame = float(status["latency p95 (ms)"])
    grown = node.facts()[0] - memory
    tell(
        f"{len(ages)} answers; age {percentiles(ages)} ms; one frame takes {one_frame:.1f} ms (p95); "
        f"{status['frames dropped']} of {status['frames received']} images overtaken; memory grew by {grown:.1f} MiB"
    )
    assert len(ages) > 50
    assert stamps == sorted(stamps)
    # The time of one tracked image, of one waiting image, and of two ways through the middleware.
    assert statistics.median(ages) < 2 * one_frame + 1e3 / (CAMERA * TIMES) + 20.0
    # Kept images and buffers of the middleware need memory.
    assert grown < 60.0


def test_a_slow_model_does_not_age_the_images(start):
    """While the target is not seen, the widest search runs the network three times per image."""
    _, bench = start(parameters={"search_scale": 8.0, "num_threads": 1})
    bench.start_tracking()
    bench.film_for(1.0, visible=False, rate=CAMERA * TIMES)
    bench.targets.clear()
    bench.film_for(3.0, visible=False, rate=CAMERA * TIMES)
    ages = bench.ages()
    one_frame = float(bench.status()["latency p95 (ms)"])
    tell(f"{len(ages)} answers; age {percentiles(ages)} ms; one frame takes {one_frame:.1f} ms (p95)")
    assert statistics.median(ages) < 2 * one_frame + 1e3 / (CAMERA * TIMES) + 20.0
