"""Plays a bag through the node, records its answers, and evaluates them if the truth is given.

ros2 launch ettrack replay.launch.py bag:=flight initial_roi:=310,120,64,96 image_topic:=/camera/image_raw

`ettrack replay` does the same without ROS 2, frame by frame, so that no frame is dropped.
"""

from pathlib import Path
from signal import SIGINT

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    TimerAction,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.events import Shutdown, matches_action
from launch.events.process import SignalProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

# Time for publishers and subscribers to find each other, and for the last answers to arrive, seconds.
SETTLE = 2.0

ARGUMENTS = [
    DeclareLaunchArgument("bag", description="The bag to play."),
    DeclareLaunchArgument(
        "initial_roi",
        default_value="",
        description="The target in the first image, x,y,width,height in whole pixels; empty: it comes from the bag "
        "on roi_topic.",
    ),
    DeclareLaunchArgument("rate", default_value="1.0", description="Speed of the playback, 1.0: real time."),
    DeclareLaunchArgument(
        "output", default_value="tracked", description="The bag to write: a folder that does not exist yet."
    ),
    DeclareLaunchArgument("image_topic", default_value="image", description="Topic of the images in the bag."),
    DeclareLaunchArgument("roi_topic", default_value="initial_roi", description="Topic that chooses the target."),
    DeclareLaunchArgument(
        "truth_topic",
        default_value="",
        description="Topic of the bag with the true boxes, vision_msgs/Detection2DArray.",
    ),
    DeclareLaunchArgument(
        "truth", default_value="", description="File with x,y,width,height for each image of the bag, counted from 0."
    ),
    *[
        DeclareLaunchArgument(name, default_value="", description="As in tracker.launch.py.")
        for name in ("params_file", "model_path", "search_scale", "image_transport")
    ],
]


def start(context):
    """Returns the processes and the order in which they run. Raises ValueError for wrong arguments."""

    def given(name):
        return LaunchConfiguration(name).perform(context)

    if Path(given("output")).exists():
        # The recorder would not start, and the old bag would be taken for its answers.
        raise ValueError(f"output:={given('output')} exists; expected the name of a new bag")
    for name in ("bag", "truth"):
        if given(name) and not Path(given(name)).exists():
            raise ValueError(f"{name}:={given(name)} does not exist")
    share = Path(get_package_share_directory("ettrack"))
    passed_on = ("image_topic", "roi_topic", "params_file", "model_path", "search_scale", "image_transport")
    tracker = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "tracker.launch.py")),
        launch_arguments=[
            *((name, given(name)) for name in passed_on if given(name)),
            # A player sends its first images in one burst, and none of them may be lost.
            ("image_queue_depth", "100"),
        ],
    )
    answers = ["/tracked_target", "/detections", "/diagnostics"]
    record = ExecuteProcess(
        cmd=["ros2", "bag", "record", "--storage", "mcap", "--output", given("output"), *answers],
        output="screen",
    )
    play = ExecuteProcess(
        cmd=[
            *("ros2", "bag", "play", given("bag"), "--rate", given("rate"), "--delay", str(SETTLE)),
            *("--topics", *played(given)),
        ],
        output="screen",
    )
    return [
        tracker,
        record,
        *choose_and_play(given("initial_roi"), given("roi_topic"), play),
        # The recorder closes its bag when it is interrupted.
        after(
            play,
            TimerAction(
                period=SETTLE,
                actions=[EmitEvent(event=SignalProcess(signal_number=SIGINT, process_matcher=matches_action(record)))],
            ),
        ),
        # Its exit code then depends on the distribution: 0, the signal's number, or ended by the signal.
        after(record, *judge(given), good=(0, SIGINT, -SIGINT)),
        # Without the node there is nothing to record, and the other processes would wait for ever.
        RegisterEventHandler(OnProcessExit(on_exit=end_with_the_node)),
    ]


def played(given):
    """Returns the topics to play: the node's inputs. Other topics may be answers of a node that ran during the
    recording, and must not be mixed with this node's answers."""
    image = in_bag(given("image_topic"))
    images = [image, *(f"{image}/{transport}" for transport in ("compressed", "ffmpeg", "foxglove"))]
    inputs = [*images, image[: image.rfind("/") + 1] + "camera_info"]
    choices = [in_bag(given("roi_topic")), "/initial_detection", "/initial_point", "/initial_pixel"]
    return inputs if given("initial_roi") else [*inputs, *choices]


def choose_and_play(initial_roi, roi_topic, play):
    """Returns the actions that choose the target and play the bag.

    A given region is sent first and waits in the node for the first image. A region in the bag is often its first
    message, so the bag is played when the node, which opens its model first, has its subscriptions.
    """
    if not initial_roi:
        return [when_the_node_listens(play)]
    try:
        x, y, width, height = (int(number) for number in initial_roi.split(","))
    except ValueError:
        raise ValueError(f"initial_roi:={initial_roi}, expected x,y,width,height in whole pixels") from None
    choose = ExecuteProcess(
        cmd=[
            *("ros2", "topic", "pub", "--once", "--wait-matching-subscriptions", "1"),
            *(roi_topic, "sensor_msgs/msg/RegionOfInterest"),
            f"{{x_offset: {x}, y_offset: {y}, width: {width}, height: {height}}}",
        ]
    )
    return [choose, after(choose, play)]


def judge(given):
    """Returns the actions after the recording: the evaluation if the truth is given, then the end."""
    end = EmitEvent(event=Shutdown(reason="the bag was played"))
    written = LogInfo(msg=f"the node's answers are in {given('output')}")
    if not (given("truth") or given("truth_topic")):
        return [written, end]
    truth = (
        ["--truth-topic", in_bag(given("truth_topic"))]
        if given("truth_topic")
        else ["--truth", given("truth"), "--image-topic", in_bag(given("image_topic"))]
    )
    command = str(Path(get_package_prefix("ettrack")) / "lib" / "ettrack" / "ettrack")
    score = ExecuteProcess(cmd=[command, "score", given("output"), "--bag", given("bag"), *truth], output="screen")
    # Wait before the end, so that the last lines can be read.
    return [written, score, after(score, TimerAction(period=SETTLE, actions=[end]))]


def in_bag(topic):
    """Returns a topic's full name, as in the bag."""
    return "/" + topic.lstrip("/")


def after(process, *actions, good=(0,)):
    """Runs actions when a process has ended with a `good` exit code. With any other code the launch fails."""

    def ended(event, context):
        if context.is_shutdown:
            return None
        if event.returncode in good:
            return list(actions)
        raise RuntimeError(f"{' '.join(event.cmd[:3])} ended with exit code {event.returncode}")

    return RegisterEventHandler(OnProcessExit(target_action=process, on_exit=ended))


def when_the_node_listens(action):
    """Runs an action when the node has logged that it waits for images."""
    waiting = [action]

    def heard(event):
        return [waiting.pop()] if waiting and b"waiting for images on" in event.text else None

    return RegisterEventHandler(OnProcessIO(on_stdout=heard, on_stderr=heard))


def end_with_the_node(event, context):
    """Makes the launch fail if the node ended before the shutdown."""
    if Path(event.cmd[0]).name == "ettrack_node" and not context.is_shutdown:
        raise RuntimeError(f"the node ended with exit code {event.returncode}")


def generate_launch_description():
    """Returns the description for `ros2 launch`."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
