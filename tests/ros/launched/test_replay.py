"""replay.launch.py plays a simulated flight, tracks its target, records the answers, and evaluates them."""

import sys
import tempfile
import unittest
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from subprocess import run

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import launch_testing
import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix, get_package_share_directory
from launch_testing.actions import ReadyToTest
from launch_testing.util import KeepAliveProc
from launching import launch_file

from launch import LaunchDescription

FRAMES = 150

try:
    get_package_prefix("ros2bag")
    MISSING = None
except PackageNotFoundError:
    MISSING = "ros2bag is not installed, so no bag can be played"


def generate_test_description():
    if MISSING:
        # A launch without a process would end before the tests.
        return LaunchDescription([KeepAliveProc(), ReadyToTest()]), {"output": None}
    folder = Path(tempfile.mkdtemp())
    command = Path(get_package_prefix("ettrack")) / "lib" / "ettrack" / "ettrack"
    flight, output = folder / "flight", folder / "tracked"
    size = ["--frames", str(FRAMES), "--width", "320", "--height", "240"]
    run([command, "simulate", "--format", "bag", *size, "--output", flight], check=True)
    replay = launch_file(
        "replay.launch.py",
        bag=str(flight),
        output=str(output),
        image_topic="/camera/image_raw",
        image_transport="compressed",
        roi_topic="/initial_roi",
        truth_topic="ground_truth",
    )
    return LaunchDescription([replay, ReadyToTest()]), {"output": output}


class Topics(unittest.TestCase):
    """The topics of a bag that are played, and the topics that the node subscribes to."""

    def test_a_replay_plays_the_nodes_input_and_nothing_else(self):
        choices = ["/choice", "/initial_detection", "/initial_point", "/initial_pixel"]
        given = {"image_topic": "camera/image_raw", "roi_topic": "/choice", "initial_roi": ""}.get
        image = "/camera/image_raw"
        images = [image, *(f"{image}/{kind}" for kind in ("compressed", "ffmpeg", "foxglove")), "/camera/camera_info"]
        played = imported("replay.launch.py").played
        self.assertEqual(played(given), [*images, *choices])
        # A given region is not replaced by recorded ones.
        given = {"image_topic": "camera/image_raw", "roi_topic": "/choice", "initial_roi": "1,2,3,4"}.get
        self.assertEqual(played(given), images)

    def test_camera_info_is_in_the_namespace_of_the_images(self):
        beside = imported("tracker.launch.py").beside
        topics = ["/left/camera/image_raw", "camera/image", "image"]
        found = [beside(topic, "camera_info") for topic in topics]
        self.assertEqual(found, ["/left/camera/camera_info", "camera/camera_info", "camera_info"])


class Replay(unittest.TestCase):
    def test_the_flight_is_evaluated(self, proc_output):
        if MISSING:
            self.skipTest(MISSING)
        proc_output.assertWaitFor("success AUC", timeout=120, stream="stdout")


@launch_testing.post_shutdown_test()
class Result(unittest.TestCase):
    def test_most_images_were_answered_and_the_target_followed(self, output, proc_output, proc_info):
        if MISSING:
            self.skipTest(MISSING)
        launch_testing.asserts.assertExitCodes(proc_info, process="ettrack_node")
        words = judgement(proc_output).split()
        number = {name: float(words[words.index(name) + 1]) for name in ("images", "answered", "AUC")}
        print(number)
        self.assertGreater(number["images"], FRAMES * 0.9)
        self.assertGreater(number["answered"], 0.5 * number["images"])
        self.assertGreater(number["AUC"], 0.4)
        again = ["ros2", "launch", "ettrack", "replay.launch.py", f"bag:={output}", f"output:={output}"]
        refused = run(again, capture_output=True, text=True, timeout=60)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("exists; expected the name of a new bag", refused.stdout + refused.stderr)
        information = yaml.safe_load((output / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        topics = {topic["topic_metadata"]["name"] for topic in information["topics_with_message_count"]}
        self.assertIn("/tracked_target", topics)


def imported(name):
    """Imports a launch file of the package as a module."""
    path = Path(get_package_share_directory("ettrack")) / "launch" / name
    spec = spec_from_file_location(name.partition(".")[0], path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judgement(proc_output):
    """Returns the output of the command that evaluates."""
    texts = [b"".join(line.text for line in proc_output[process]).decode() for process in proc_output.process_names()]
    return next(text for text in texts if "success AUC" in text)
