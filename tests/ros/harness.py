"""What the launch tests share: a camera that films a moving target, and an ear for the node's answers."""

import threading
import time
import unittest
from array import array
from pathlib import Path

import numpy as np
import rclpy
from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticArray
from ettrack.msg import TrackedTarget
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rcl_interfaces.msg import Log
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, RegionOfInterest
from vision_msgs.msg import Detection2DArray

WIDTH, HEIGHT, SIDE = 320, 240, 48
PATIENCE = 30.0


def launch_file(name, **arguments):
    """Includes a launch file of the package."""
    path = Path(get_package_share_directory("ettrack")) / "launch" / name
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=list(arguments.items()))


class Scene:
    """A chequered, coloured square that circles over blotchy ground; the same pictures every time."""

    def __init__(self):
        generator = np.random.default_rng(7)
        coarse = generator.integers(60, 160, (HEIGHT // 8, WIDTH // 8, 3))
        self.ground = np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)
        colours = np.array([[250, 40, 30], [240, 220, 30], [30, 60, 250], [250, 250, 250]])
        cells = colours[generator.integers(0, 4, (6, 6))]
        self.target = np.kron(cells, np.ones((SIDE // 6, SIDE // 6, 1))).astype(np.uint8)

    def corner(self, index):
        """Upper-left corner of the target in picture `index`."""
        angle = index * 0.04
        return (
            int(WIDTH / 2 - SIDE / 2 + 70 * np.cos(angle)),
            int(HEIGHT / 2 - SIDE / 2 + 50 * np.sin(angle)),
        )

    def picture(self, index, visible=True):
        """Pixels of picture `index`, rgb8."""
        picture = self.ground.copy()
        if visible:
            x, y = self.corner(index)
            picture[y : y + SIDE, x : x + SIDE] = self.target
        return picture


class Bench:
    """A camera and an ear on one ROS node that spins in a thread of its own."""

    def __init__(self, namespace="", image_topic="image", topics="", reliable=False):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("test_bench", namespace=namespace, context=self.context)
        self.scene = Scene()
        self.targets, self.detections, self.statuses, self.lines = [], [], [], []
        self.arrivals = {}
        self.index_of = {}
        camera_qos = QoSProfile(depth=10) if reliable else qos_profile_sensor_data
        self.images = self.node.create_publisher(Image, image_topic, camera_qos)
        self.rois = self.node.create_publisher(RegionOfInterest, topics + "initial_roi", 1)
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

    def publish(self, visible=True, **changes):
        """Publishes the next picture; `changes` are fields of the message. Returns the message."""
        message = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=WIDTH * 3)
        message.header.frame_id = "camera_optical"
        # An array is taken as it is; of bytes, older distributions check every one, for longer than a frame takes.
        message.data = array("B", self.scene.picture(self.index, visible).tobytes())
        # Last, as a camera's driver does: what making the picture took is no age of it.
        message.header.stamp = self.node.get_clock().now().to_msg()
        for name, value in changes.items():
            setattr(message, name, value)
        self.index_of[stamp_of(message)] = self.index
        self.images.publish(message)
        self.index += 1
        return message

    def film(self, until, visible=True, rate=30.0, patience=PATIENCE):
        """Publishes pictures until `until()` holds; fails when that takes too long."""
        end = time.monotonic() + patience
        while not until():
            if time.monotonic() > end:
                raise AssertionError(f"not in {patience} s: {until.__doc__ or until}")
            self.publish(visible)
            time.sleep(1.0 / rate)

    def film_for(self, seconds, **options):
        """Publishes pictures for some seconds."""
        end = time.monotonic() + seconds
        self.film(lambda: time.monotonic() > end, patience=seconds + PATIENCE, **options)

    def wait(self, until, patience=PATIENCE):
        """Waits without publishing."""
        end = time.monotonic() + patience
        while not until():
            if time.monotonic() > end:
                raise AssertionError(f"not in {patience} s: {until.__doc__ or until}")
            time.sleep(0.02)

    def choose(self):
        """Asks for the target where it is in the newest picture, which must have been answered."""
        x, y = self.scene.corner(self.index - 1)
        self.rois.publish(RegionOfInterest(x_offset=x, y_offset=y, width=SIDE, height=SIDE))

    def start_tracking(self):
        """Films until the node answers, chooses the target, films until it is tracked."""
        self.wait(lambda: self.rois.get_subscription_count() > 0)
        before = len(self.targets)
        self.film(lambda: len(self.targets) > before)
        self.wait(lambda: self.arrivals.get(self.newest_stamp()) is not None)
        self.choose()
        self.film(lambda: self.targets[-1].state == TrackedTarget.TRACKING)

    def newest_stamp(self):
        """Stamp of the newest picture."""
        return max(self.index_of)

    def overlap(self, target):
        """Intersection over union of an answer with the truth."""
        x, y = self.scene.corner(self.index_of[stamp_of(target)])
        box = target.bounding_box
        left, top = (
            box.center.position.x - box.size_x / 2,
            box.center.position.y - box.size_y / 2,
        )
        width = min(left + box.size_x, x + SIDE) - max(left, x)
        height = min(top + box.size_y, y + SIDE) - max(top, y)
        common = max(width, 0.0) * max(height, 0.0)
        return common / (box.size_x * box.size_y + SIDE * SIDE - common)

    def call(self, kind, name, request, patience=PATIENCE):
        """Calls a service."""
        client = self.node.create_client(kind, name)
        if not client.wait_for_service(patience):
            raise AssertionError(f"no service {name}")
        answer = client.call_async(request)
        self.wait(answer.done, patience)
        self.node.destroy_client(client)
        return answer.result()

    def status(self):
        """The newest diagnostics as a dictionary, once there are new ones."""
        self.statuses.clear()
        self.wait(lambda: self.statuses)
        return {entry.key: entry.value for entry in self.statuses[-1].values}

    def said(self, words):
        """Whether a log line holds these words."""
        return any(words in line.msg for line in self.lines)


def stamp_of(message):
    """Seconds and nanoseconds of a header, comparable."""
    return (message.header.stamp.sec, message.header.stamp.nanosec)


class BenchTest(unittest.TestCase):
    """A test with a bench, made by `OPTIONS`."""

    OPTIONS = {}

    def setUp(self):
        self.bench = Bench(**self.OPTIONS)

    def tearDown(self):
        self.bench.close()
