"""Parameters are described, read from files, changed while the node runs, and refused with the reason."""

import pytest
from harness import PATIENCE
from process import Node
from rcl_interfaces.msg import Parameter, ParameterEvent, ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)

# Contains an integer for a floating-point parameter, and a misspelt name.
FILE = """\
/**:
  ros__parameters:
    search_scale: 1
    diagnostics_period: 0.2
    serch_scale: 2.0
/**/tracker:
  ros__parameters:
    class_id: prey
robot:
  "*":
    ros__parameters:
      lost_after_frames: 9
/other/tracker:
  ros__parameters:
    found_after_frames: 9
"""
NODE = "/robot/tracker"


@pytest.fixture
def bench(start, tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text(FILE)
    _, bench = start(namespace="robot", bench={"namespace": "robot"}, arguments=("--params-file", file))
    return bench


def value_of(value):
    """Returns a Python value as the value of a parameter."""
    kinds = {bool: (1, "bool_value"), int: (2, "integer_value"), float: (3, "double_value"), str: (4, "string_value")}
    number, field = kinds[type(value)]
    return ParameterValue(type=number, **{field: value})


def set_one(bench, name, value):
    """Sets one parameter and returns the result."""
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value_of(value))])
    return bench.call(SetParameters, f"{NODE}/set_parameters", request).results[0]


def get(bench, *names):
    """Returns the values of parameters."""
    request = GetParameters.Request(names=list(names))
    return bench.call(GetParameters, f"{NODE}/get_parameters", request).values


def test_the_node_reads_the_sections_of_files_and_warns_of_unknown_names(bench):
    scale, word, lost, found, nothing = get(
        bench, "search_scale", "class_id", "lost_after_frames", "found_after_frames", "nothing"
    )
    assert (scale.type, scale.double_value) == (ParameterType.PARAMETER_DOUBLE, 1.0), (
        "an integer is accepted for a float"
    )
    assert (word.string_value, lost.integer_value, found.integer_value) == ("prey", 9, 0)
    assert nothing.type == ParameterType.PARAMETER_NOT_SET
    bench.wait(lambda: bench.said("serch_scale"))


def test_every_parameter_is_described(bench):
    names = bench.call(ListParameters, f"{NODE}/list_parameters", ListParameters.Request()).result.names
    assert {"search_scale", "model_path", "image_transport", "use_sim_time"} <= set(names)
    request = DescribeParameters.Request(names=names)
    described = bench.call(DescribeParameters, f"{NODE}/describe_parameters", request).descriptors
    assert [one.name for one in described] == list(names)
    assert all(one.description for one in described), [one.name for one in described if not one.description]
    by_name = {one.name: one for one in described}
    limits = by_name["search_scale"].floating_point_range[0]
    assert (limits.from_value, limits.to_value) == (1.0, 8.0)
    assert by_name["num_threads"].integer_range[0].to_value == 64
    assert by_name["image_transport"].read_only
    # A value outside the described range is refused.
    for one in described:
        for limit, kind in ((one.floating_point_range, float), (one.integer_range, int)):
            if limit:
                result = set_one(bench, one.name, kind(limit[0].to_value + 1))
                assert not result.successful, one.name
                assert one.name in result.reason


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("search_scale", 9.5, "1 to 8"),
        ("search_scale", float("nan"), "1 to 8"),
        ("search_scale", "wide", "expected a number"),
        ("num_threads", -1, "0 to 64"),
        ("num_threads", 2.0, "whole number"),
        ("confidence_threshold", -0.5, "-1, or 0 to 1"),
        ("image_transport", "compressed", "restart"),
        ("image_transport", "theora", "raw or compressed"),
        ("publish_overlay", 1, "true or false"),
        ("nothing", 1, "there is no parameter"),
    ],
)
def test_a_bad_value_is_refused_with_the_reason(bench, name, value, reason):
    before = get(bench, name)
    result = set_one(bench, name, value)
    assert not result.successful
    assert reason in result.reason
    assert get(bench, name) == before


def test_a_change_takes_effect_and_is_published(bench):
    events = []
    bench.node.create_subscription(ParameterEvent, "/parameter_events", events.append, 10)
    bench.wait(lambda: bench.node.count_publishers("/parameter_events") > 1)
    bench.start_tracking()
    assert set_one(bench, "search_scale", 2.0).successful
    bench.wait(lambda: any(event.node == NODE for event in events))
    told = next(event for event in events if event.node == NODE).changed_parameters[0]
    assert (told.name, told.value.double_value) == ("search_scale", 2.0)
    bench.film(lambda: bench.status()["search scale"] == "2")
    assert set_one(bench, "class_id", "fox").successful
    bench.film(lambda: bench.detections[-1].detections[0].results[0].hypothesis.class_id == "fox")


def test_several_parameters_are_set_all_or_none(bench):
    request = SetParametersAtomically.Request(
        parameters=[
            Parameter(name="search_scale", value=value_of(3.0)),
            Parameter(name="num_threads", value=value_of(900)),
        ]
    )
    result = bench.call(SetParametersAtomically, f"{NODE}/set_parameters_atomically", request).result
    assert not result.successful
    assert "0 to 64" in result.reason
    assert get(bench, "search_scale")[0].double_value == 1.0


def test_a_bad_model_leaves_the_old_one_running(bench):
    bench.start_tracking()
    model = bench.status()["model"]
    set_one(bench, "model_path", "/nowhere")
    bench.film(lambda: bench.said("stays in use"), patience=PATIENCE)
    bench.film_for(0.5)
    assert bench.status()["model"] == model
    assert "ettrack-nano" in get(bench, "model_path")[0].string_value
    bench.film(lambda: bench.targets[-1].state == bench.targets[-1].TRACKING)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "search_scale:=9.0"], "search_scale is 9.0, expected 1 to 8"),
        (["-p", "search_scale:=wide"], "expected a number"),
        (["-p", "image_transport:=theora"], "expected raw or compressed"),
        (["-p", "model_path:=/nowhere"], "/nowhere"),
        (["--params-file", "/nowhere.yaml"], "/nowhere.yaml"),
        (["-r", "nonsense"], "nonsense"),
    ],
)
def test_a_start_with_a_wrong_argument_is_reported_and_ends_with_code_1(arguments, words):
    node = Node(*arguments, wait=False)
    assert node.process.wait(PATIENCE) == 1, node.text()
    assert words in node.text()


def test_a_failure_is_printed_once():
    node = Node("-p", "search_scale:=9.0", wait=False)
    assert node.process.wait(PATIENCE) == 1, node.text()
    assert node.text().count("search_scale is 9.0") == 1, node.text()


def test_a_faulty_parameter_file_is_named(tmp_path):
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("tracker:\n  ros__parameters:\n    search_scale: [1, two]\n")
    node = Node("--params-file", faulty, wait=False)
    assert node.process.wait(PATIENCE) == 1, node.text()
    assert "faulty.yaml" in node.text()
