"""Launch files of the installed package, for the launch tests."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource


def launch_file(name, **arguments):
    """Includes a launch file of the package."""
    path = Path(get_package_share_directory("ettrack")) / "launch" / name
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=list(arguments.items()))
