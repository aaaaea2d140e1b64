"""Ten times the images that can be tracked: the newest one is, and no queue grows."""

import statistics

from harness import percentiles, stamp_of, tell

CAMERA = 30.0
TIMES = 10


def test_at_ten_times_a_cameras_rate_the_tracked_image_is_new(start):
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
    # One image being tracked, one waiting, and the way through the middleware twice.
    assert statistics.median(ages) < 2 * one_frame + 1e3 / (CAMERA * TIMES) + 20.0
    # The kept images, and buffers of the middleware.
    assert grown < 60.0


def test_a_slow_model_does_not_age_the_images(start):
    """The widest search takes three runs of the network where the target is not seen."""
    _, bench = start(parameters={"search_scale": 8.0, "num_threads": 1})
    bench.start_tracking()
    bench.film_for(1.0, visible=False, rate=CAMERA * TIMES)
    bench.targets.clear()
    bench.film_for(3.0, visible=False, rate=CAMERA * TIMES)
    ages = bench.ages()
    one_frame = float(bench.status()["latency p95 (ms)"])
    tell(f"{len(ages)} answers; age {percentiles(ages)} ms; one frame takes {one_frame:.1f} ms (p95)")
    assert statistics.median(ages) < 2 * one_frame + 1e3 / (CAMERA * TIMES) + 20.0
