"""Starts the follower of a tracker: ros2 launch ettrack follower.launch.py cmd_vel_topic:=/cmd_vel."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription

DEFAULT_PARAMETERS = str(Path(get_package_share_directory("ettrack")) / "config" / "follower.yaml")

ARGUMENTS = [
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of node and topics."),
    DeclareLaunchArgument(
        "params_file",
        default_value=DEFAULT_PARAMETERS,
        description="Parameter file; the default one lists all parameters.",
    ),
    DeclareLaunchArgument("target_topic", default_value="tracked_target", description="The answers of one tracker."),
    DeclareLaunchArgument(
        "camera_info_topic", default_value="camera_info", description="Calibration, for the position of the target."
    ),
    DeclareLaunchArgument("cmd_vel_topic", default_value="cmd_vel", description="Topic of the velocities."),
    DeclareLaunchArgument(
        "pose_topic", default_value="target_pose", description="Topic of the position of a target of known size."
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", "true", "false"],
        description="Whether time comes from /clock; empty: as the parameter file says.",
    ),
]


def start(context):
    """Returns the node."""

    def given(name):
        return LaunchConfiguration(name).perform(context)

    parameters = [{"use_sim_time": given("use_sim_time") == "true"}] if given("use_sim_time") else []
    topics = {
        "tracked_target": given("target_topic"),
        "camera_info": given("camera_info_topic"),
        "cmd_vel": given("cmd_vel_topic"),
        "target_pose": given("pose_topic"),
    }
    return [
        Node(
            package="ettrack",
            executable="ettrack_follower",
            namespace=given("namespace"),
            name="follower",
            parameters=[given("params_file") or DEFAULT_PARAMETERS, *parameters],
            remappings=[(topic, name) for topic, name in topics.items() if name != topic],
            output="screen",
        )
    ]


def generate_launch_description():
    """Returns the description for `ros2 launch`."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start)])
