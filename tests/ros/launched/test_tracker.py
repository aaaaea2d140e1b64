"""A node in a namespace with remappings and a parameter file: targets, services, parameters, bad input."""

import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import launch_testing
from ament_index_python.packages import get_package_prefix
from ettrack.msg import TrackedTarget
from harness import SIDE, BenchTest, stamp_of
from launch_testing.actions import ReadyToTest
from launching import launch_file
from rcl_interfaces.msg import Parameter, ParameterEvent, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParametersAtomically
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import Detection2D

from launch import LaunchDescription

NODE = "/robot/eye"

# Contains an integer for a floating-point parameter, and a misspelt name.
PARAMETERS = """\
/**:
  ros__parameters:
    search_scale: 1
    diagnostics_period: 0.5
    serch_scale: 2.0
/**/eye:
  ros__parameters:
    class_id: prey
robot:
  "*":
    ros__parameters:
      lost_after_frames: 9
/other/eye:
  ros__parameters:
    found_after_frames: 9
"""


def generate_test_description():
    folder = Path(tempfile.mkdtemp())
    parameters = folder / "parameters.yaml"
    parameters.write_text(PARAMETERS)
    return LaunchDescription(
        [
            launch_file(
                "tracker.launch.py",
                namespace="robot",
                node_name="eye",
                image_topic="camera/image_raw",
                params_file=str(parameters),
            ),
            ReadyToTest(),
        ]
    )


class Tracker(BenchTest):
    OPTIONS = {"namespace": "robot", "image_topic": "camera/image_raw"}

    def test_a_target_is_tracked_stopped_and_chosen_again(self):
        bench = self.bench
        bench.start_tracking()
        bench.film_for(2.0)
        tracked = [t for t in bench.targets if t.state == TrackedTarget.TRACKING]
        self.assertGreater(len(tracked), 30)
        overlaps = sorted(bench.overlap(target) for target in tracked)
        self.assertGreater(overlaps[len(overlaps) // 2], 0.5, "the box follows the target")
        self.assertTrue(all(t.header.frame_id == "camera_optical" for t in tracked))
        self.assertTrue(all(stamp_of(t) in bench.index_of for t in tracked), "stamps are the images'")
        self.assertTrue(all(0.0 <= t.confidence <= 1.0 for t in tracked))
        self.assertTrue(all(len(d.detections) <= 1 for d in bench.detections))
        first = tracked[-1].target_id

        answer = bench.call(Trigger, f"{NODE}/stop", Trigger.Request())
        self.assertTrue(answer.success)
        self.assertIn(first, answer.message)
        bench.wait(lambda: bench.targets[-1].state == TrackedTarget.IDLE)
        bench.start_tracking()
        self.assertNotEqual(bench.targets[-1].target_id, first)

    def test_a_detection_is_applied_to_its_image_and_followed_to_the_newest(self):
        bench = self.bench
        publisher = bench.node.create_publisher(Detection2D, "initial_detection", 1)
        bench.wait(lambda: publisher.get_subscription_count() > 0)
        bench.film(lambda: len(bench.targets) > 10)
        header = bench.targets[-1].header
        x, y = bench.scene.corner(bench.index_of[header.stamp.sec, header.stamp.nanosec])
        detection = Detection2D(header=header, id="the one")
        detection.bbox.center.position.x = x + SIDE / 2
        detection.bbox.center.position.y = y + SIDE / 2
        detection.bbox.size_x = detection.bbox.size_y = float(SIDE)
        bench.film_for(0.3)
        publisher.publish(detection)
        bench.film(lambda: bench.targets[-1].target_id == "the one")
        self.assertGreater(bench.overlap(bench.targets[-1]), 0.4)

    def test_a_target_that_disappears_is_lost(self):
        bench = self.bench
        bench.start_tracking()
        bench.film_for(1.0)
        bench.film(lambda: bench.targets[-1].state == TrackedTarget.LOST, visible=False)
        bench.wait(lambda: bench.detections[-1].detections == [])

    def test_a_disabled_node_answers_nothing(self):
        bench = self.bench
        bench.film(lambda: len(bench.targets) > 0)
        answer = bench.call(SetBool, f"{NODE}/enable", SetBool.Request(data=False))
        self.assertTrue(answer.success, answer.message)
        bench.targets.clear()
        bench.film_for(0.5)
        self.assertEqual(bench.targets, [])
        bench.call(SetBool, f"{NODE}/enable", SetBool.Request(data=True))
        bench.film(lambda: len(bench.targets) > 0)

    def test_bad_images_are_counted_and_the_node_works_on(self):
        bench = self.bench
        bench.film(lambda: len(bench.targets) > 0)
        before = int(bench.status()["bad messages"])
        for changes in (
            {"encoding": "jelly"},
            {"data": b"short"},
            {"step": 1},
            {"height": 0},
            {"width": 16384, "height": 16384},
        ):
            bench.publish(**changes)
            time.sleep(0.1)
        status = bench.status()
        self.assertEqual(int(status["bad messages"]) - before, 5, status)
        self.assertTrue(status["last bad message"])
        bench.targets.clear()
        bench.film(lambda: len(bench.targets) > 0)

    def test_parameters_are_described_checked_and_changed(self):
        bench = self.bench
        bench.film(lambda: len(bench.targets) > 0)
        bench.wait(lambda: bench.said("serch_scale"))  # the warning of an unknown name
        sections = ["class_id", "lost_after_frames", "found_after_frames"]
        asked = GetParameters.Request(names=sections)
        prey, lost, found = bench.call(GetParameters, f"{NODE}/get_parameters", asked).values
        self.assertEqual((prey.string_value, lost.integer_value, found.integer_value), ("prey", 9, 0))
        names = ["search_scale", "num_threads", "image_transport", "nothing"]
        answer = bench.call(GetParameters, f"{NODE}/get_parameters", GetParameters.Request(names=names))
        self.assertEqual(answer.values[0].double_value, 1.0, "an integer is accepted for a float")
        self.assertEqual(answer.values[3].type, ParameterType.PARAMETER_NOT_SET)
        described = bench.call(
            DescribeParameters,
            f"{NODE}/describe_parameters",
            DescribeParameters.Request(names=names),
        ).descriptors
        limits = described[0].floating_point_range[0]
        self.assertEqual((limits.from_value, limits.to_value), (1.0, 8.0))
        self.assertEqual(described[1].integer_range[0].to_value, 64)
        self.assertTrue(described[2].read_only)
        self.assertTrue(all(one.description for one in described[:3]))

        def command(*arguments):
            # A daemon of another or an ended environment would not know the node.
            verb, *others = arguments
            line = ["ros2", "param", verb, "--no-daemon", "--spin-time", "2", *others]
            done = subprocess.run(line, capture_output=True, text=True, timeout=60)
            return done.stdout + done.stderr

        events = []
        subscription = bench.node.create_subscription(ParameterEvent, "/parameter_events", events.append, 10)
        bench.wait(lambda: bench.node.count_publishers("/parameter_events") > 1)
        self.assertIn("successful", command("set", NODE, "search_scale", "2"))
        bench.wait(lambda: any(event.node == NODE for event in events))
        told = next(event for event in events if event.node == NODE).changed_parameters[0]
        self.assertEqual((told.name, told.value.type, told.value.double_value), ("search_scale", 3, 2.0))
        bench.node.destroy_subscription(subscription)
        self.assertIn("2.0", command("get", NODE, "search_scale"))
        self.assertIn("1 to 8", command("set", NODE, "search_scale", "9.5"))
        self.assertIn("2.0", command("get", NODE, "search_scale"))
        self.assertEqual(bench.status()["search scale"], "2")
        self.assertIn("restart", command("set", NODE, "image_transport", "compressed"))

        # All or none.
        request = SetParametersAtomically.Request(
            parameters=[
                Parameter(name="search_scale", value=ParameterValue(type=3, double_value=3.0)),
                Parameter(name="num_threads", value=ParameterValue(type=2, integer_value=900)),
            ]
        )
        answer = bench.call(SetParametersAtomically, f"{NODE}/set_parameters_atomically", request)
        self.assertFalse(answer.result.successful)
        self.assertIn("0 to 64", answer.result.reason)
        self.assertIn("2.0", command("get", NODE, "search_scale"))
        command("set", NODE, "search_scale", "1.0")

        # If a model cannot be loaded, the old model stays in use and the parameter keeps its value.
        model = bench.status()["model"]
        command("set", NODE, "model_path", "/nowhere")
        bench.wait(lambda: bench.said("stays in use"))
        self.assertEqual(bench.status()["model"], model)
        self.assertIn("ettrack-nano", command("get", NODE, "model_path"))


class Refused(unittest.TestCase):
    def test_a_faulty_parameter_file_is_reported_and_ends_the_node_with_code_1(self):
        node = Path(get_package_prefix("ettrack")) / "lib" / "ettrack" / "ettrack_node"
        with tempfile.TemporaryDirectory() as folder:
            faulty = Path(folder) / "faulty.yaml"
            faulty.write_text("tracker:\n  ros__parameters:\n    search_scale: [1, two]\n")
            line = [node, "--ros-args", "--params-file", faulty]
            done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("error: cannot join ROS 2", done.stderr)
        self.assertIn("faulty.yaml", done.stderr)


@launch_testing.post_shutdown_test()
class Shutdown(unittest.TestCase):
    def test_an_interrupt_ends_the_node_with_code_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info, process="ettrack_node")
