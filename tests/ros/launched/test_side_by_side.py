"""Two nodes at the same time, one with compressed images and simulated time. Warnings and the overlay."""

import io
import sys
import time
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import launch_testing
from ettrack.msg import TrackedTarget
from harness import HEIGHT, WIDTH, BenchTest
from launch_testing.actions import ReadyToTest
from launching import launch_file
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from launch import LaunchDescription

try:
    from PIL import Image as Picture
except ImportError:  # python3-pil
    Picture = None


def generate_test_description():
    return LaunchDescription(
        [
            launch_file("tracker.launch.py", namespace="left", image_topic="/left_camera/image"),
            launch_file(
                "tracker.launch.py",
                namespace="right",
                image_topic="/right_camera/image",
                image_transport="compressed",
                use_sim_time="true",
            ),
            ReadyToTest(),
        ]
    )


class SideBySide(BenchTest):
    OPTIONS = {"image_topic": "/left_camera/image", "topics": "/left/"}

    def test_1_the_warning_about_missing_images_names_topic_and_publishers(self):
        bench = self.bench
        # This also holds while simulated time does not advance, and the warning has the compressed topic's own name.
        for topic in ("/left_camera/image", "/right_camera/image/compressed"):
            bench.wait(lambda words=f"s on {topic}: ": bench.said(words))
        line = next(one.msg for one in bench.lines if "s on /left_camera/image:" in one.msg)
        self.assertTrue("nobody publishes it" in line or "/test_bench" in line, line)

    def test_2_the_overlay_is_drawn_while_there_is_a_subscriber(self):
        bench = self.bench
        bench.start_tracking()
        overlays = []
        subscription = bench.node.create_subscription(
            Image, "/left/tracker/overlay", overlays.append, qos_profile_sensor_data
        )
        bench.film(lambda: len(overlays) > 3)
        drawn = overlays[-1]
        self.assertEqual((drawn.width, drawn.height, drawn.encoding), (WIDTH, HEIGHT, "rgb8"))
        bench.node.destroy_subscription(subscription)

    def test_3_a_calibrated_camera_gives_the_bearing(self):
        bench = self.bench
        publisher = bench.node.create_publisher(CameraInfo, "/left_camera/camera_info", qos_profile_sensor_data)
        bench.wait(lambda: publisher.get_subscription_count() > 0)
        k = [200.0, 0.0, WIDTH / 2 - 0.5, 0.0, 200.0, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0]
        camera = CameraInfo(width=WIDTH, height=HEIGHT, k=k, distortion_model="plumb_bob")
        bench.start_tracking()

        def has_bearing():
            """Publishes a calibration with each image, as cameras do. Returns whether there is a bearing."""
            publisher.publish(camera)
            return bench.targets[-1].bearing_valid

        bench.film(has_bearing)
        target = bench.targets[-1]
        bearing = target.bearing
        self.assertAlmostEqual(bearing.x**2 + bearing.y**2 + bearing.z**2, 1.0, places=6)
        self.assertAlmostEqual(bearing.x / bearing.z, target.offset_x * WIDTH / 2 / 200.0, places=2)

    def test_4_compressed_images_under_simulated_time(self):
        if Picture is None:
            self.skipTest("python3-pil is not installed, so there are no JPEGs")
        bench = self.bench
        clock = bench.node.create_publisher(Clock, "/clock", 10)
        images = bench.node.create_publisher(CompressedImage, "/right_camera/image/compressed", qos_profile_sensor_data)
        targets = []
        bench.node.create_subscription(TrackedTarget, "/right/tracked_target", targets.append, 10)
        bench.wait(lambda: images.get_subscription_count() > 0)
        bench.wait(lambda: clock.get_subscription_count() > 0)
        for index in range(300):
            if len(targets) > 5:
                break
            message = CompressedImage(format="jpeg")
            message.header.stamp.sec = 100
            message.header.stamp.nanosec = index * 1_000_000
            file = io.BytesIO()
            Picture.fromarray(bench.scene.picture(index)).save(file, "JPEG", quality=90)
            message.data = file.getvalue()
            clock.publish(Clock(clock=message.header.stamp))
            images.publish(message)
            time.sleep(0.03)
        self.assertGreater(len(targets), 5)
        self.assertEqual(targets[-1].header.stamp.sec, 100)

    def test_5_a_publisher_may_end_and_start_again(self):
        bench = self.bench
        bench.start_tracking()
        bench.node.destroy_publisher(bench.images)
        time.sleep(1.0)
        bench.images = bench.node.create_publisher(Image, "/left_camera/image", qos_profile_sensor_data)
        bench.targets.clear()
        bench.film(lambda: len(bench.targets) > 10)


@launch_testing.post_shutdown_test()
class Shutdown(unittest.TestCase):
    def test_both_nodes_end_with_code_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
