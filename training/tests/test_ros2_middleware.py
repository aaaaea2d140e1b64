"""Tests scripts/ros2/middleware.py on folders with the layout of ROS 2's install folders."""

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts/ros2"


@pytest.fixture
def choose(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import middleware

    return middleware.choose


def installed(folder, package):
    """An install folder with one package in it."""
    for path in (
        folder / "share" / package / "package.xml",
        folder / "share/ament_index/resource_index/packages" / package,
    ):
        path.parent.mkdir(parents=True)
        path.write_text("")
    return folder


@pytest.fixture
def ros(tmp_path):
    """The variables of a ROS 2 with Fast DDS."""
    folder = installed(tmp_path / "ros", "rmw_fastrtps_cpp")
    return {"AMENT_PREFIX_PATH": str(folder), "LD_LIBRARY_PATH": f"{folder}/lib"}


def test_without_a_choice_nothing_changes(choose, ros):
    assert choose(ros) == ros
    assert (
        choose(ros | {"RMW_IMPLEMENTATION": "", "ETTRACK_ROS_OVERLAY": ""})["AMENT_PREFIX_PATH"]
        == ros["AMENT_PREFIX_PATH"]
    )
    assert choose(ros | {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"})["LD_LIBRARY_PATH"] == ros["LD_LIBRARY_PATH"]


def test_a_middleware_that_is_not_there_is_refused(choose, ros):
    with pytest.raises(ValueError, match=r"rmw_cyclonedds_cpp, which no folder .*ETTRACK_ROS_OVERLAY"):
        choose(ros | {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"})


def test_overlays_come_before_ros_in_their_order(choose, ros, tmp_path):
    first, second = installed(tmp_path / "a", "rmw_cyclonedds_cpp"), installed(tmp_path / "b", "rmw_implementation")
    chosen = choose(ros | {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", "ETTRACK_ROS_OVERLAY": f"{first}:{second}"})
    assert chosen["AMENT_PREFIX_PATH"] == f"{first}:{second}:{ros['AMENT_PREFIX_PATH']}"
    assert chosen["LD_LIBRARY_PATH"] == f"{first}/lib:{second}/lib:{ros['LD_LIBRARY_PATH']}"


def test_a_folder_in_which_nothing_is_installed_is_refused(choose, ros, tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}/empty, expected an install folder with share/ament_index"):
        choose(ros | {"ETTRACK_ROS_OVERLAY": f"{tmp_path}/empty"})
