"""Streams with errors. Each test has its own node, because its messages would disturb the other tests."""

from ettrack.msg import TrackedTarget
from harness import count_bad
from sequences import COMMITTED

FILES = {
    "no file": b"",
    "text": b"not a picture",
    "the first bytes of a JPEG": b"\xff\xd8\xff\xe0",
    "the first bytes of a PNG": b"\x89PNG\r\n\x1a\n",
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "a GIF": b"GIF89a" + bytes(100),
    "a huge PNG": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\x02\x00\x00\x00"
    + bytes(40),
}


def test_images_of_changing_size_end_the_target(start):
    _, bench = start()
    bench.start_tracking()
    # Several images, because a newer image may replace a single one before the node reads it.
    bench.film(
        lambda: bench.said("choose it anew"),
        rate=5.0,
        publish=lambda: bench.publish(height=120, data=bytes(320 * 120 * 3)),
    )
    bench.wait(lambda: bench.targets[-1].state == TrackedTarget.IDLE)


def test_files_that_are_not_pictures_are_counted_once(start):
    node, bench = start(parameters={"image_transport": "compressed", "diagnostics_period": 0.1})
    for number, (name, data) in enumerate(FILES.items(), start=1):
        bench.publish_file(data)
        bench.wait(lambda number=number: count_bad(bench) >= number)
        assert count_bad(bench) == number, name
    # Good images are still answered.
    good = sorted(COMMITTED.glob("*.png"))[0].read_bytes()
    bench.film(lambda: len(bench.targets) > 2, publish=lambda: bench.publish_file(good, "png"))
    assert node.process.poll() is None
