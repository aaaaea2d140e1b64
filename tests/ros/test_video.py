"""Tests video in the messages of image_transport's plugins: packets of H.264, each with the stamp of its image."""

import shutil
import statistics
import subprocess
from array import array

import pytest
from ettrack.msg import TrackedTarget
from harness import Bench, percentiles, tell
from process import Node
from rclpy.qos import QoSProfile
from sequences import flight

REASON = "the messages of video are not installed, so the node was built without them"
FFMPEGPacket = pytest.importorskip("ffmpeg_image_transport_msgs.msg", reason=REASON).FFMPEGPacket
CompressedVideo = pytest.importorskip("foxglove_msgs.msg", reason=REASON).CompressedVideo

WIDTH, HEIGHT, GROUP = 640, 480, 15


def has_encoder():
    if not shutil.which("ffmpeg"):
        return False
    listed = subprocess.run(["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True)
    return "libx264" in listed.stdout


pytestmark = pytest.mark.skipif(
    not has_encoder(), reason="there is no ffmpeg with libx264, which encodes the test's video"
)


@pytest.fixture(scope="module")
def scene():
    return flight(frames=120, width=WIDTH, height=HEIGHT)


@pytest.fixture(scope="module")
def packets(scene):
    """Returns the flight as H.264, one packet per picture. Every fifteenth is a key frame."""
    line = [
        *(
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            f"{WIDTH}x{HEIGHT}",
            "-r",
            "30",
            "-i",
            "-",
        ),
        *("-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-crf", "20", "-g", str(GROUP)),
        *("-x264-params", "aud=1:scenecut=0", "-f", "h264", "-"),
    ]
    pictures = b"".join(scene.picture(index).tobytes() for index in range(len(scene)))
    coded = subprocess.run(line, input=pictures, capture_output=True, check=True).stdout
    delimiter = b"\0\0\0\1\x09"
    parts = [delimiter + part for part in coded.split(delimiter)[1:]]
    assert len(parts) == len(scene)
    return parts


class Sender:
    """Publishes packets instead of pictures."""

    def __init__(self, bench, packets, kind):
        self.bench, self.packets, self.kind = bench, packets, kind
        message_type, name = {"ffmpeg": (FFMPEGPacket, "ffmpeg"), "foxglove": (CompressedVideo, "foxglove")}[kind]
        self.topic = bench.node.create_publisher(message_type, f"image/{name}", QoSProfile(depth=100))
        bench.wait(lambda: self.topic.get_subscription_count() > 0)

    def message(self, index, stamp):
        data = array("B", self.packets[index])
        if self.kind == "foxglove":
            return CompressedVideo(timestamp=stamp, frame_id="camera_optical", data=data, format="h264")
        message = FFMPEGPacket(width=WIDTH, height=HEIGHT, encoding="h264;yuv420p;bgr8;bgr8", data=data)
        message.pts, message.flags = index, int(index % GROUP == 0)
        message.header.stamp, message.header.frame_id = stamp, "camera_optical"
        return message

    def publish(self):
        bench = self.bench
        stamp = bench.node.get_clock().now().to_msg()
        bench.index_of[(stamp.sec, stamp.nanosec)] = bench.index
        self.topic.publish(self.message(bench.index % len(self.packets), stamp))
        bench.index += 1


def begin(stack, scene, packets, kind, **parameters):
    node = stack.enter_context(
        Node(
            parameters={
                "image_transport": kind,
                "image_reliability": "reliable",
                "diagnostics_period": 0.2,
                **parameters,
            }
        )
    )
    bench = Bench(scene=scene)
    stack.callback(bench.close)
    bench.wait(lambda: bench.rois.get_subscription_count() > 0)
    return node, bench, Sender(bench, packets, kind)


@pytest.mark.parametrize("kind", ["ffmpeg", "foxglove"])
def test_tracks_a_target_in_video_at_real_rate(stack, scene, packets, kind):
    _, bench, sender = begin(stack, scene, packets, kind)
    bench.film(lambda: len(bench.targets) > 3, publish=sender.publish)
    # The flight starts again at its first picture, so that pictures and true boxes agree.
    bench.index += -bench.index % len(packets)
    bench.targets.clear()
    bench.arrivals.clear()
    first = bench.index
    bench.film(lambda: any(bench.index_of[key] >= first for key in list(bench.arrivals)), publish=sender.publish)
    bench.boxes.publish(bench.detection(bench.targets[-1]))
    bench.film(lambda: bench.index >= first + len(packets) - 1, publish=sender.publish)
    bench.wait(lambda: bench.newest_stamp() in bench.arrivals)
    overlaps = bench.overlaps()
    answered = len({key for key in bench.arrivals if bench.index_of[key] >= first})
    tell(
        f"{kind}, H.264 {WIDTH}x{HEIGHT} at 30 Hz: {answered} of {bench.index - first} images answered, median overlap "
        f"{statistics.median(overlaps):.3f}, age {percentiles(bench.ages())} ms"
    )
    assert answered > 0.6 * (bench.index - first)
    assert statistics.median(overlaps) > 0.6
    assert all(target.header.frame_id == "camera_optical" for target in bench.targets)


def test_waits_for_a_key_frame_after_a_lost_packet_or_a_late_start_and_reports_it(stack, scene, packets):
    _, bench, sender = begin(stack, scene, packets, "ffmpeg")
    # The stream begins between two key frames.
    bench.index = 3
    for _ in range(5):
        sender.publish()
    bench.wait(lambda: "waits for a key frame, 5 packets so far" in bench.status()["last bad message"])
    assert not bench.targets
    bench.film(lambda: bench.targets, publish=sender.publish)
    assert min(bench.index_of[key] for key in bench.arrivals) >= GROUP
    # One packet is lost.
    bench.index += 2 * GROUP - bench.index % GROUP + 4
    lost = bench.index
    for _ in range(3):
        sender.publish()
    bench.wait(lambda: "a packet was lost" in bench.status()["last bad message"])
    bench.film(lambda: max(bench.index_of[key] for key in bench.arrivals) > lost, publish=sender.publish)
    answered = {bench.index_of[key] for key in bench.arrivals}
    assert not answered & set(range(lost, lost + GROUP - lost % GROUP)), "none between the loss and the key frame"
    bench.film(lambda: bench.status()["last bad message"] == "", publish=sender.publish)


def test_goes_on_after_bad_packets(stack, scene, packets):
    node, bench, sender = begin(stack, scene, packets, "ffmpeg")
    now = bench.node.get_clock().now

    def send(**changes):
        message = sender.message(0, now().to_msg())
        for name, value in changes.items():
            setattr(message, name, value)
        sender.topic.publish(message)

    for changes, words in (
        ({"encoding": "theora"}, '"theora", expected h264'),
        ({"data": array("B")}, "a video packet has 0 bytes"),
        ({"data": array("B", bytes(range(256)) * 40)}, "waits for a key frame"),
    ):
        send(**changes)
        bench.wait(lambda: words in bench.status()["last bad message"])  # noqa: B023, waited for at once
    # A key frame with invalid content.
    send(data=array("B", b"\0\0\0\1\x67" + bytes(range(1, 200)) + b"\0\0\0\1\x65" + bytes(range(1, 250))))
    bench.index = 0
    bench.film(lambda: bench.targets, publish=sender.publish)
    bench.boxes.publish(bench.detection(bench.targets[-1]))
    bench.film(lambda: bench.targets[-1].state == TrackedTarget.TRACKING, publish=sender.publish)
