"""Launch files use their arguments correctly. The launch tests also run them if `launch` is installed."""

import pytest
from launch_stand_in import defaults, load, start
from process import SHARE


@pytest.fixture
def tracker(monkeypatch):
    return load(SHARE / "launch" / "tracker.launch.py", monkeypatch)


@pytest.fixture
def replay(monkeypatch):
    return load(SHARE / "launch" / "replay.launch.py", monkeypatch)


def node_of(actions):
    """Returns the options of the node among the actions."""
    return next(one.options for one in actions if type(one).__name__ == "Node")


def test_without_arguments_the_node_gets_the_shipped_parameters(tracker):
    node = node_of(start(tracker))
    assert (node["package"], node["executable"], node["name"]) == ("ettrack", "ettrack_node", "tracker")
    assert node["parameters"] == [str(SHARE / "config" / "tracker.yaml")]
    assert node["remappings"] == []


def test_arguments_become_parameters_of_their_types(tracker):
    given = {"search_scale": "2", "image_queue_depth": "7", "use_sim_time": "true", "image_transport": "compressed"}
    file, parameters = node_of(start(tracker, params_file="mine.yaml", **given))["parameters"]
    assert file == "mine.yaml"
    assert parameters == {
        "search_scale": 2.0,
        "image_queue_depth": 7,
        "use_sim_time": True,
        "image_transport": "compressed",
    }
    assert type(parameters["search_scale"]) is float


def test_a_text_for_a_number_is_refused(tracker):
    with pytest.raises(ValueError, match=r"search_scale:=wide, expected a number"):
        start(tracker, search_scale="wide")


def test_camera_info_is_in_the_namespace_of_the_images(tracker):
    remappings = dict(node_of(start(tracker, image_topic="/left/camera/image_raw"))["remappings"])
    assert remappings == {"image": "/left/camera/image_raw", "camera_info": "/left/camera/camera_info"}
    remappings = dict(node_of(start(tracker, image_topic="/a/b", camera_info_topic="/c", roi_topic="/d"))["remappings"])
    assert remappings == {"image": "/a/b", "camera_info": "/c", "initial_roi": "/d"}
    found = [tracker.beside(topic, "camera_info") for topic in ("camera/image", "image")]
    assert found == ["camera/camera_info", "camera_info"]


def test_every_argument_is_described(tracker, replay):
    for module in (tracker, replay):
        assert all(one.options["description"] for one in module.ARGUMENTS)
    assert [name for name, value in defaults(replay).items() if value is None] == ["bag"]


def test_a_replay_plays_the_nodes_input_and_nothing_else(replay):
    image = "/camera/image_raw"
    images = [image, *(f"{image}/{kind}" for kind in ("compressed", "ffmpeg", "foxglove")), "/camera/camera_info"]
    choices = ["/choice", "/initial_detection", "/initial_point", "/initial_pixel"]
    given = {"image_topic": "camera/image_raw", "roi_topic": "/choice", "initial_roi": ""}.get
    assert replay.played(given) == [*images, *choices]
    given = {"image_topic": "camera/image_raw", "roi_topic": "/choice", "initial_roi": "1,2,3,4"}.get
    assert replay.played(given) == images, "a given region is not replaced by recorded ones"


def test_a_replay_refuses_an_existing_output_and_a_missing_bag(replay, tmp_path):
    with pytest.raises(ValueError, match="expected the name of a new bag"):
        start(replay, bag=str(tmp_path), output=str(tmp_path))
    with pytest.raises(ValueError, match="bag:=.*none does not exist"):
        start(replay, bag=str(tmp_path / "none"), output=str(tmp_path / "new"))


def test_a_replay_records_the_answers_of_a_node_that_loses_no_image(replay, tmp_path):
    actions = start(replay, bag=str(tmp_path), output=str(tmp_path / "new"), initial_roi="1,2,3,4")
    included = next(one for one in actions if type(one).__name__ == "IncludeLaunchDescription")
    assert ("image_queue_depth", "100") in included.options["launch_arguments"]
    record = next(one for one in actions if type(one).__name__ == "ExecuteProcess")
    assert record.options["cmd"][:3] == ["ros2", "bag", "record"]
    assert "/tracked_target" in record.options["cmd"]


def test_large_images_use_the_shipped_profile(tracker, monkeypatch):
    assert node_of(start(tracker))["additional_env"] == {}
    environment = node_of(start(tracker, large_images="true"))["additional_env"]
    assert set(environment) == {"FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"}
    assert set(environment.values()) == {str(SHARE / "config" / "fastdds_large_images.xml")}
    monkeypatch.setattr(tracker, "LARGE_IMAGES", SHARE / "nowhere.xml")
    with pytest.raises(ValueError, match="nowhere.xml does not exist"):
        start(tracker, large_images="true")


def test_the_follower_takes_one_trackers_answers(monkeypatch):
    follower = load(SHARE / "launch" / "follower.launch.py", monkeypatch)
    node = node_of(start(follower))
    assert (node["executable"], node["name"], node["remappings"]) == ("ettrack_follower", "follower", [])
    assert node["parameters"] == [str(SHARE / "config" / "follower.yaml")]
    node = node_of(start(follower, target_topic="/left/tracked_target", use_sim_time="true"))
    assert node["remappings"] == [("tracked_target", "/left/tracked_target")]
    assert node["parameters"][1] == {"use_sim_time": True}
    assert all(one.options["description"] for one in follower.ARGUMENTS)
