"""Targets are chosen by a point: with the stamp of an image, or by a click in a viewer."""

import math

from ettrack.msg import TrackedTarget
from geometry_msgs.msg import Point, PointStamped
from harness import stamp_of


def middle(bench, index):
    """Returns the middle of the target in picture `index`."""
    x, y, width, height = bench.scene.box(index)
    return Point(x=x + width / 2, y=y + height / 2)


def test_chooses_a_target_by_a_stamped_point_in_its_image(start):
    _, bench = start()
    points = bench.node.create_publisher(PointStamped, "initial_point", 1)
    bench.wait(lambda: points.get_subscription_count() > 0)
    bench.film(lambda: len(bench.targets) > 20)
    shown = bench.targets[-15]
    points.publish(PointStamped(header=shown.header, point=middle(bench, bench.index_of[stamp_of(shown)])))
    bench.film(lambda: bench.targets[-1].state == TrackedTarget.TRACKING)
    first = next(target for target in bench.targets if target.state == TrackedTarget.TRACKING)
    assert bench.index_of[stamp_of(first)] > bench.index_of[stamp_of(shown)], "caught up to a newer image"
    bench.film_for(1.0)
    assert bench.overlap(bench.targets[-1]) > 0.3


def test_chooses_a_target_by_a_click_in_the_newest_image(start):
    _, bench = start(remappings={"initial_pixel": "/camera/image_raw_mouse_left"})
    clicks = bench.node.create_publisher(Point, "/camera/image_raw_mouse_left", 1)
    bench.wait(lambda: clicks.get_subscription_count() > 0)
    bench.film(lambda: bench.targets)
    bench.settle()
    clicks.publish(middle(bench, bench.index - 1))
    bench.wait(lambda: bench.targets[-1].state == TrackedTarget.TRACKING)
    assert bench.overlap(bench.targets[-1]) > 0.3
    for x, y, words in ((-5.0, 3.0, "outside the image"), (math.nan, 3.0, "expected a point in pixels")):
        clicks.publish(Point(x=x, y=y))
        bench.wait(lambda: words in bench.status()["last refused request"])  # noqa: B023, waited for at once
    assert bench.targets[-1].state == TrackedTarget.TRACKING, "the old target is followed on"
