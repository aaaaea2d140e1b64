"""Starts the tracker node: ros2 launch ettrack tracker.launch.py image_topic:=/camera/image_raw."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

CONFIGURATION = Path(get_package_share_directory("ettrack")) / "config"
DEFAULT_PARAMETERS = str(CONFIGURATION / "tracker.yaml")
# Settings of Fast DDS, and the variables that name this file: for versions up to 2, and from 3 on.
LARGE_IMAGES = CONFIGURATION / "fastdds_large_images.xml"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

# An empty value means the value of the parameter file.
ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of node and topics."),
    DeclareLaunchArgument("node_name", default_value="tracker", description="Name of the node."),
    DeclareLaunchArgument(
        "params_file",
        default_value=DEFAULT_PARAMETERS,
        description="Parameter file; the default one lists all parameters.",
    ),
    DeclareLaunchArgument(
        "image_topic",
        default_value="image",
        description="Images to track in; with compressed images the name without /compressed.",
    ),
    DeclareLaunchArgument(
        "camera_info_topic",
        default_value="",
        description="Calibration, for the bearing; empty: camera_info beside the images.",
    ),
    DeclareLaunchArgument(
        "roi_topic",
        default_value="initial_roi",
        description="sensor_msgs/RegionOfInterest that chooses the target.",
    ),
    DeclareLaunchArgument(
        "point_topic",
        default_value="initial_point",
        description="geometry_msgs/PointStamped that chooses the target by a point on it.",
    ),
    DeclareLaunchArgument(
        "pixel_topic",
        default_value="initial_pixel",
        description="The same without a stamp, geometry_msgs/Point, as rqt_image_view sends for a mouse click.",
    ),
    DeclareLaunchArgument(
        "model_path", default_value="", description="Model folder; empty: as the parameter file says."
    ),
    DeclareLaunchArgument(
        "search_scale",
        default_value="",
        description="Side of the widest search relative to the authors', 1 to 8; empty: as the parameter file says.",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed", "ffmpeg", "foxglove"],
        description="How images arrive; empty: as the parameter file says.",
    ),
    DeclareLaunchArgument(
        "image_queue_depth",
        default_value="",
        description="Depth of the image subscription; empty: as the parameter file says.",
    ),
    DeclareLaunchArgument(
        "large_images",
        default_value="false",
        choices=["true", "false"],
        description="Whether Fast DDS is set up for raw images above about 300 KB; start the camera with it, too.",
    ),
    DeclareLaunchArgument(
        "web",
        default_value="false",
        choices=["true", "false"],
        description="Whether a page for the browser is served to the network; the log gives its address and token.",
    ),
    DeclareLaunchArgument(
        "web_address",
        default_value="0.0.0.0:8090",
        description="With web:=true, address of the page; 127.0.0.1:8090 is for this machine only.",
    ),
    DeclareLaunchArgument(
        "mavlink",
        default_value="",
        description="MAVLink connections of a drone's camera: udpin:0.0.0.0:14550; empty: as the parameter file says.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", "true", "false"],
        description="Whether time comes from /clock; empty: as the parameter file says.",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Which log lines are shown.",
    ),
]


def start(context):
    """Returns the node. Only the given arguments replace values of the parameter file. Raises ValueError for wrong
    ones."""

    def given(name):
        return LaunchConfiguration(name).perform(context)

    parameters = {}
    if given("use_sim_time"):
        parameters["use_sim_time"] = given("use_sim_time") == "true"
    if given("web") == "true":
        parameters["web_address"] = given("web_address")
        # Drawing a box takes seconds, and the frame that was shown must still be kept.
        parameters["history_frames"] = 150
        parameters["history_megabytes"] = 512
    over_the_file = {
        "mavlink": str,
        "model_path": str,
        "search_scale": float,
        "image_transport": str,
        "image_queue_depth": int,
    }
    for name, convert in over_the_file.items():
        if given(name):
            try:
                parameters[name] = convert(given(name))
            except ValueError:
                raise ValueError(f"{name}:={given(name)}, expected a number") from None
    environment = {}
    if given("large_images") == "true":
        if not LARGE_IMAGES.is_file():
            raise ValueError(f"large_images:=true, but {LARGE_IMAGES} does not exist: install the package again")
        environment = dict.fromkeys(PROFILE_VARIABLES, str(LARGE_IMAGES))
    topics = {
        "image": given("image_topic"),
        "camera_info": given("camera_info_topic") or beside(given("image_topic"), "camera_info"),
        "initial_roi": given("roi_topic"),
        "initial_point": given("point_topic"),
        "initial_pixel": given("pixel_topic"),
    }
    return [
        Node(
            package="ettrack",
            executable="ettrack_node",
            namespace=given("namespace"),
            name=given("node_name"),
            parameters=[given("params_file") or DEFAULT_PARAMETERS, *([parameters] if parameters else [])],
            remappings=[(topic, name) for topic, name in topics.items() if name != topic],
            arguments=["--ros-args", "--log-level", given("log_level")],
            additional_env=environment,
            output="screen",
        )
    ]


def beside(topic, name):
    """Returns the topic `name` in the namespace of `topic`, where camera_info is by convention."""
    return topic[: topic.rfind("/") + 1] + name


def generate_launch_description():
    """Returns the description for `ros2 launch`."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
