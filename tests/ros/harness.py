"""Helpers of the tests: a camera that publishes pictures of a moving target, and the node's answers."""

import statistics
import threading
import time
import unittest
from array import array

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from ettrack.msg import TrackedTarget
from rcl_interfaces.msg import Log
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from vision_msgs.msg import Detection2D, Detection2DArray

WIDTH, HEIGHT, SIDE = 320, 240, 48
PATIENCE = 30.0


class Scene:
    """A coloured square that moves in a circle over textured ground. The pictures are the same every time. Every scene
    of a bench has `size` (width, height), `picture(index)` and `box(index)` (x, y, width, height)."""

    def __init__(self, width=WIDTH, height=HEIGHT):
        self.size = (width, height)
        generator = np.random.default_rng(7)
        coarse = generator.integers(60, 160, (-(-height // 8), -(-width // 8), 3))
        self.ground = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8)
        colours = np.array([[250, 40, 30], [240, 220, 30], [30, 60, 250], [250, 250, 250]])
        cells = colours[generator.integers(0, 4, (6, 6))]
        self.target = np.kron(cells, np.ones((SIDE // 6, SIDE // 6, 1))).astype(np.uint8)

    def corner(self, index):
        """Returns the upper-left corner of the target in picture `index`."""
        angle = index * 0.04
        width, height = self.size
        return (
            int(width / 2 - SIDE / 2 + 70 * np.cos(angle)),
            int(height / 2 - SIDE / 2 + 50 * np.sin(angle)),
        )

    def box(self, index):
        """Returns the target's box in picture `index`."""
        return (*self.corner(index), SIDE, SIDE)

    def picture(self, index, visible=True):
        """Returns the pixels of picture `index`, rgb8."""
        picture = self.ground.copy()
        if visible:
            x, y = self.corner(index)
            picture[y : y + SIDE, x : x + SIDE] = self.target
        return picture


def count_bad(bench):
    """Returns the number of bad messages that the node has reported."""
    return int(bench.status()["bad messages"])


class Bench:
    """A ROS node for tests, which spins in its own thread. It publishes pictures and collects the answers of the
    tested node. A `calibration` (CameraInfo) is published with each picture, as cameras do: a node that has just
    subscribed may miss a single message."""

    def __init__(self, namespace="", image_topic="image", topics="", reliable=False, scene=None):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("test_bench", namespace=namespace, context=self.context)
        self.scene = scene or Scene()
        self.targets, self.detections, self.statuses, self.lines = [], [], [], []
        self.arrivals = {}
        self.index_of = {}
        camera_qos = QoSProfile(depth=10) if reliable else qos_profile_sensor_data
        self.images = self.node.create_publisher(Image, image_topic, camera_qos)
        self.files = self.node.create_publisher(CompressedImage, f"{image_topic}/compressed", camera_qos)
        self.calibrations = self.node.create_publisher(CameraInfo, "camera_info", 1)
        self.calibration = None
        self.rois = self.node.create_publisher(RegionOfInterest, topics + "initial_roi", 1)
        self.boxes = self.node.create_publisher(Detection2D, topics + "initial_detection", 1)
        listen = self.node.create_subscription
        listen(TrackedTarget, topics + "tracked_target", self._on_target, 100)
        listen(Detection2DArray, topics + "detections", self.detections.append, 100)
        listen(DiagnosticArray, "/diagnostics", lambda a: self.statuses.extend(a.status), 10)
        late = QoSProfile(depth=1000, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        listen(Log, "/rosout", self.lines.append, late)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.spinner = threading.Thread(target=self.executor.spin, daemon=True)
        self.spinner.start()
        self.index = 0

    def close(self):
        """Ends the node."""
        self.executor.shutdown()
        self.spinner.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def _on_target(self, target):
        self.arrivals[stamp_of(target)] = time.time()
        self.targets.append(target)

    def message(self, visible=True, **changes):
        """Returns the next picture as a message. `changes` replace fields of the message."""
        width, height = self.scene.size
        message = Image(height=height, width=width, encoding="rgb8", step=width * 3)
        message.header.frame_id = "camera_optical"
        # Only some scenes have pictures without the target.
        options = {} if visible else {"visible": False}
        # Not `bytes`: older distributions check each element of it, which takes longer than a frame.
        message.data = array("B", self.scene.picture(self.index, **options).tobytes())
        # The stamp is set last, because the time to make the picture must not count as the image's age.
        message.header.stamp = self.node.get_clock().now().to_msg()
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def publish(self, visible=True, **changes):
        """Publishes the next picture. `changes` replace fields of the message. Returns the message."""
        message = self.message(visible, **changes)
        self.index_of[stamp_of(message)] = self.index
        if self.calibration:
            self.calibrations.publish(self.calibration)
        self.images.publish(message)
        self.index += 1
        return message

    def publish_file(self, data, kind="jpeg"):
        """Publishes the next picture as the bytes of a file."""
        message = CompressedImage(format=kind, data=array("B", data))
        message.header.frame_id = "camera_optical"
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.index_of[stamp_of(message)] = self.index
        self.files.publish(message)
        self.index += 1
        return message

    def film(self, until, visible=True, rate=30.0, patience=PATIENCE, publish=None):
        """Publishes pictures until `until()` is true. Fails after `patience` seconds."""
        publish = publish or (lambda: self.publish(visible))
        begun = time.monotonic()
        due = begun
        while not until():
            now = time.monotonic()
            if now > begun + patience:
                raise AssertionError(f"not in {patience} s: {until.__doc__ or until}")
            publish()
            # The next time follows from the clock, so that the time for publishing does not lower the rate. After a
            # delay the missed pictures are not published in a burst.
            due = max(due + 1.0 / rate, now)
            time.sleep(max(0.0, due - time.monotonic()))

    def film_for(self, seconds, **options):
        """Publishes pictures for some seconds."""
        end = time.monotonic() + seconds
        self.film(lambda: time.monotonic() > end, patience=seconds + PATIENCE, **options)

    def wait(self, until, patience=PATIENCE):
        """Waits until `until()` is true, without publishing. Fails after `patience` seconds."""
        end = time.monotonic() + patience
        while not until():
            if time.monotonic() > end:
                raise AssertionError(f"not in {patience} s: {until.__doc__ or until}")
            time.sleep(0.02)

    def wait_for_the_node(self):
        """Waits until the node has subscribed to the inputs and publishes diagnostics."""
        self.wait(lambda: self.rois.get_subscription_count() > 0)
        self.wait(lambda: self.images.get_subscription_count() + self.files.get_subscription_count() > 0)
        self.wait(lambda: self.node.count_publishers("/diagnostics") > 0)

    def choose(self, index=None):
        """Requests the target by its box in picture `index`, or in the newest picture, which must be answered."""
        x, y, width, height = map(round, self.scene.box(self.index - 1 if index is None else index))
        self.rois.publish(RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height))

    def detection(self, target, identity=""):
        """Returns a detection of the target in the image that was answered by `target`."""
        detection = Detection2D(header=target.header, id=identity)
        x, y, width, height = self.scene.box(self.index_of[stamp_of(target)])
        detection.bbox.center.position.x = x + width / 2
        detection.bbox.center.position.y = y + height / 2
        detection.bbox.size_x, detection.bbox.size_y = float(width), float(height)
        return detection

    def start_tracking(self, **options):
        """Publishes until the node answers, chooses the target, and publishes until the target is tracked."""
        self.wait_for_the_node()
        before = len(self.targets)
        self.film(lambda: len(self.targets) > before, **options)
        self.settle()
        self.choose()
        self.film(lambda: self.targets[-1].state == TrackedTarget.TRACKING, **options)

    def settle(self):
        """Waits until the newest picture is answered. Publishes further pictures if the middleware has lost it."""
        for _ in range(20):
            try:
                return self.wait(lambda: self.newest_stamp() in self.arrivals, patience=1.0)
            except AssertionError:
                self.publish()
        raise AssertionError("none of 20 pictures was answered")

    def newest_stamp(self):
        """Returns the stamp of the newest picture."""
        return max(self.index_of)

    def overlap(self, target):
        """Returns the intersection over union of an answer with the true box."""
        return overlap(corners_of(target), self.scene.box(self.index_of[stamp_of(target)]))

    def overlaps(self):
        """Returns the overlap of each answer with the state TRACKING."""
        return [self.overlap(target) for target in self.targets if target.state == TrackedTarget.TRACKING]

    def ages(self):
        """Returns the milliseconds from the stamp to the arrival of each answer, sorted."""
        return sorted((self.arrivals[s] - (s[0] + s[1] * 1e-9)) * 1e3 for s in map(stamp_of, self.targets))

    def call(self, kind, name, request, patience=PATIENCE):
        """Calls a service and returns its answer."""
        client = self.node.create_client(kind, name)
        if not client.wait_for_service(patience):
            raise AssertionError(f"no service {name}")
        answer = client.call_async(request)
        self.wait(answer.done, patience)
        self.node.destroy_client(client)
        return answer.result()

    def status(self):
        """Waits for new diagnostics and returns them as a dictionary."""
        self.statuses.clear()
        self.wait(lambda: self.statuses)
        return {entry.key: entry.value for entry in self.statuses[-1].values}

    def said(self, words):
        """Returns whether a log line contains these words."""
        return any(words in line.msg for line in self.lines)


def stamp_of(message):
    """Returns the seconds and nanoseconds of a message's stamp, which can be compared."""
    return (message.header.stamp.sec, message.header.stamp.nanosec)


def corners_of(target):
    """Returns the box of an answer as x, y, width, height."""
    box = target.bounding_box
    x, y = box.center.position.x - box.size_x / 2, box.center.position.y - box.size_y / 2
    return x, y, box.size_x, box.size_y


def overlap(one, other):
    """Returns the intersection over union of two boxes x, y, width, height."""
    sides = (min(one[i] + one[i + 2], other[i] + other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    width, height = (max(side, 0.0) for side in sides)
    common = width * height
    return common / (one[2] * one[3] + other[2] * other[3] - common)


def percentiles(values):
    """Returns the median and the 95th and 99th percentile as text."""
    values = sorted(values)
    at = [values[min(len(values) - 1, int(len(values) * part))] for part in (0.95, 0.99)]
    return f"median {statistics.median(values):.1f}, p95 {at[0]:.1f}, p99 {at[1]:.1f}"


# Measured figures, which are printed after the tests.
FIGURES = []


def tell(line):
    """Prints a measured figure now, and again after the tests."""
    FIGURES.append(line)
    print(line)


class BenchTest(unittest.TestCase):
    """A test with a bench that is made with `OPTIONS`."""

    OPTIONS = {}

    def setUp(self):
        self.bench = Bench(**self.OPTIONS)

    def tearDown(self):
        self.bench.close()
