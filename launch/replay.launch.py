"""Plays a bag through the node, records its answers, and judges them where the truth is given.

ros2 launch ettrack replay.launch.py bag:=flight initial_roi:=310,120,64,96 image_topic:=/camera/image_raw

Without a race against the player, and without ROS 2, `ettrack replay` does the same frame by frame.
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

# Seconds in which publishers and subscribers find each other, and in which the last answers arrive.
SETTLE = 2.0

ARGUMENTS = [
    DeclareLaunchArgument("bag", description="The bag to play."),
    DeclareLaunchArgument(
        "initial_roi",
        default_value="",
        description="The target in the first image, x,y,width,height in whole pixels; empty: the bag chooses it "
        "on roi_topic.",
    ),
    DeclareLaunchArgument("rate", default_value="1.0", description="Speed of playing."),
    DeclareLaunchArgument(
        "output", default_value="tracked", description="The bag to write: a folder that is not there yet."
    ),
    DeclareLaunchArgument("image_topic", default_value="image", description="Images of the bag."),
    DeclareLaunchArgument("roi_topic", default_value="initial_roi", description="Topic that chooses the target."),
    DeclareLaunchArgument(
        "truth_topic",
        default_value="",
        description="Topic of the bag with the true boxes, vision_msgs/Detection2DArray.",
    ),
    DeclareLaunchArgument(
        "truth", default_value="", description="File with x,y,width,height for each image of the bag."
    ),
    *[
        DeclareLaunchArgument(name, default_value="", description="As in tracker.launch.py.")
        for name in ("params_file", "model_path", "search_scale", "image_transport")
    ],
]


def start(context):
    """Makes the processes and says what follows what."""

    def given(name):
        return LaunchConfiguration(name).perform(context)

    if Path(given("output")).exists():
        # The recorder would not begin, and what lies there be taken for its answers.
        raise ValueError(f"output:={given('output')} exists; expected the name of a new bag")
    for name in ("bag", "truth"):
        if given(name) and not Path(given(name)).exists():
            raise ValueError(f"{name}:={given(name)} is not there")
    share = Path(get_package_share_directory("ettrack"))
    passed_on = ("image_topic", "roi_topic", "params_file", "model_path", "search_scale", "image_transport")
    tracker = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "tracker.launch.py")),
        launch_arguments=[
            *((name, given(name)) for name in passed_on if given(name)),
            # The first images of a player come in one burst; none of them is to be lost.
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
        # By distribution that ends it with 0, with the signal's number as the code, or by the signal.
        after(record, *judge(given), good=(0, SIGINT, -SIGINT)),
        # Without the node there is nothing to record; what waits for it would wait for ever.
        RegisterEventHandler(OnProcessExit(on_exit=end_with_the_node)),
    ]


def played(given):
    """The topics that are the node's input. What else the bag holds may be the answers of a node that ran when it was
    recorded, which are none of this one's."""
    image = in_bag(given("image_topic"))
    topics = [image, f"{image}/compressed", image[: image.rfind("/") + 1] + "camera_info"]
    return topics if given("initial_roi") else [*topics, in_bag(given("roi_topic")), "/initial_detection"]


def choose_and_play(initial_roi, roi_topic, play):
    """The region first: it waits in the node for the first image. One that the bag holds is often its first message, so
    the bag waits until the node, which opens its model first, listens."""
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
    """The evaluation where there is a truth, then the end."""
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
    # A moment for the last lines to be read by whoever started this.
    return [written, score, after(score, TimerAction(period=SETTLE, actions=[end]))]


def in_bag(topic):
    """A topic's full name, as it is recorded."""
    return "/" + topic.lstrip("/")


def after(process, *actions, good=(0,)):
    """Runs actions when a process has ended with a `good` exit code; any other ends the launch, which fails."""

    def ended(event, context):
        if context.is_shutdown:
            return None
        if event.returncode in good:
            return list(actions)
        raise RuntimeError(f"{' '.join(event.cmd[:3])} ended with exit code {event.returncode}")

    return RegisterEventHandler(OnProcessExit(target_action=process, on_exit=ended))


def when_the_node_listens(action):
    """Runs an action once the node has said that it waits for images."""
    waiting = [action]

    def heard(event):
        return [waiting.pop()] if waiting and b"waiting for images on" in event.text else None

    return RegisterEventHandler(OnProcessIO(on_stdout=heard, on_stderr=heard))


def end_with_the_node(event, context):
    """Ends the launch, which fails, if what ended is the node and nobody ended it."""
    if Path(event.cmd[0]).name == "ettrack_node" and not context.is_shutdown:
        raise RuntimeError(f"the node ended with exit code {event.returncode}")


def generate_launch_description():
    """What `ros2 launch` runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
