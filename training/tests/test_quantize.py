"""Tests `quantize`: finding layers, choosing them, and the outputs of the eight-bit graph."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from ettrack_training.quantize.__main__ import NoGain, main, manifest_of, quantize
from ettrack_training.quantize.calibration import CalibrationError, Crop, halves, read
from ettrack_training.quantize.choice import choose
from ettrack_training.quantize.layers import Group, Layer, groups, layers, name_nodes
from ettrack_training.quantize.measure import Cost

OPTIONS = argparse.Namespace(layers="all", parts=2, balance=2.0, rounds=2, reduce_range=False)


def graph() -> onnx.ModelProto:
    """A convolution, a depthwise one, a pointwise one and a matrix product, of an image with a symbolic side."""
    random = np.random.RandomState(3)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((random.standard_normal(shape) * 0.2).astype(np.float32), name)

    weights = [weight("wide", 8, 3, 3, 3), weight("deep", 8, 1, 3, 3), weight("point", 8, 8, 1, 1), weight("mix", 8, 8)]
    nodes = [
        helper.make_node("Conv", ["search", "wide"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "deep"], ["c"], group=8, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "point"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("MatMul", ["f", "mix"], ["out"]),
        # Without learnt weights it is no layer.
        helper.make_node("MatMul", ["f", "f_turned"], ["square"]),
        helper.make_node("Transpose", ["f"], ["f_turned"], perm=[1, 0]),
    ]
    nodes[-2], nodes[-1] = nodes[-1], nodes[-2]
    image = helper.make_tensor_value_info("search", TensorProto.FLOAT, [1, 3, "search_size", "search_size"])
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 8])]
    made = helper.make_graph(nodes, "small", [image], outputs, initializer=weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 14)], ir_version=7)
    name_nodes(model)
    return model


def images(count: int) -> list[dict[str, np.ndarray]]:
    random = np.random.RandomState(1)
    return [{"search": random.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(count)]


def test_layers_are_those_with_learnt_weights_and_know_their_kind_and_work():
    found = layers(graph(), {"search_size": 16})
    assert [layer.kind for layer in found] == ["convolution", "depthwise", "pointwise", "matrix"]
    assert [layer.macs for layer in found] == [256 * 8 * 27, 256 * 8 * 9, 256 * 8 * 8, 64]
    assert len({layer.name for layer in found}) == 4


def test_groups_hold_neighbours_of_one_kind_with_about_as_much_work():
    found = [Layer(f"p{number}", "pointwise", 10) for number in range(6)] + [Layer("m", "matrix", 1)]
    divided = groups(found, 3)
    assert [[layer.name for layer in group.layers] for group in divided] == [
        ["p0", "p1"],
        ["p2", "p3"],
        ["p4", "p5"],
        ["m"],
    ]


def test_a_group_that_saves_no_time_or_loses_more_than_it_brings_stays_as_it_is():
    good, slow, lossy = (Group("pointwise", (Layer(name, "pointwise", 1),)) for name in ("good", "slow", "lossy"))
    saved = {"good": 4.0, "slow": -1.0, "lossy": 0.5}
    lost = {"good": 0.1, "slow": 0.1, "lossy": 1.0}
    asked = []

    def measured(choices: list[list[Group]]) -> list[Cost]:
        asked.append([[group.layers[0].name for group in choice] for choice in choices])
        names = [[group.layers[0].name for group in choice] for choice in choices]
        return [Cost(10.0, 0.0)] + [
            Cost(10 - sum(saved[name] for name in own), sum(lost[name] ** 2 for name in own) ** 0.5) for own in names
        ]

    judged = choose([good, slow, lossy], measured, balance=2.0)
    assert [one.is_kept for one in judged] == [True, False, False]
    assert judged[1].milliseconds == pytest.approx(-1.0)
    assert judged[2].loss > 0.9
    # The kept groups are judged again without the others.
    assert asked[-1] == [["good"], []]


def test_the_eight_bit_graph_computes_nearly_the_same(tmp_path: Path):
    model = graph()
    path = tmp_path / "track.onnx"
    onnx.save(model, path)
    bits, judged, (before, after), count = quantize(
        str(path), model, images(8), images(4), {"search_size": 16}, OPTIONS
    )
    assert count == 4 and all(one.is_kept for one in judged)
    assert before.difference == 0.0 and 0.0 < after.difference < 0.1
    operators = [node.op_type for node in onnx.load_from_string(bits).graph.node]
    assert operators.count("QuantizeLinear") >= 4
    # A scale per output channel of the first convolution.
    scales = [
        t for t in onnx.load_from_string(bits).graph.initializer if t.name.startswith("wide") and "scale" in t.name
    ]
    assert [list(t.dims) for t in scales] == [[8]]
    feed = images(1)[0]
    exact = onnxruntime.InferenceSession(str(path)).run(None, feed)[0]
    short = onnxruntime.InferenceSession(bits).run(None, feed)[0]
    assert np.abs(exact - short).max() < 0.1 * exact.std()


def test_nothing_is_made_where_eight_bits_save_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = graph()
    path = tmp_path / "track.onnx"
    onnx.save(model, path)
    slower = lambda exact, others, *_: [Cost(1.0, 0.0), *(Cost(2.0, 0.1) for _ in others)]  # noqa: E731
    monkeypatch.setattr("ettrack_training.quantize.__main__.costs", slower)
    options = argparse.Namespace(**{**vars(OPTIONS), "layers": "measured"})
    with pytest.raises(NoGain) as refused:
        quantize(str(path), model, images(2), images(2), {"search_size": 16}, options)
    assert "no group of layers is faster" in str(refused.value) and refused.value.judged


def test_frames_of_other_targets_are_measured_on():
    crops = [Crop(name, 16, {}) for name in ("a", "a", "b", "c")]
    fit, held = halves(crops)
    assert ({c.sequence for c in fit}, {c.sequence for c in held}) == ({"a", "c"}, {"b"})
    fit, held = halves(crops[:2])
    assert len(fit) == len(held) == 1
    with pytest.raises(CalibrationError, match="expected two frames at least"):
        halves(crops[:1])


def test_a_folder_that_the_runtime_did_not_write_is_refused(tmp_path: Path):
    with pytest.raises(CalibrationError, match="index.json: expected what `ettrack tensors` writes"):
        read(tmp_path)
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(CalibrationError, match="found none"):
        read(tmp_path)
    np.save(tmp_path / "0.npy", np.zeros((1, 3, 4, 4), np.float32))
    entry = {"sequence": "a", "frame": 3, "search_size": 4, "inputs": [["search", "0.npy"]]}
    (tmp_path / "index.json").write_text(json.dumps([entry]))
    (crop,) = read(tmp_path)
    assert crop.inputs["search"].shape == (1, 3, 4, 4)


def test_the_manifest_says_what_is_in_eight_bits():
    manifest = {
        "format": 1,
        "name": "net",
        "description": "a network",
        "files": {"track": {"path": "track.onnx", "sha256": "0" * 64}},
    }
    layer = Layer("x", "pointwise", 1)
    judged = [argparse.Namespace(group=Group("pointwise", (layer, layer)), is_kept=True)]
    new = manifest_of(manifest, Path("models/net-int8"), b"graph", judged, 5, [Crop("a", 16, {})])
    assert new["name"] == "net-int8"
    assert new["quantization"] == {"bits": 8, "layers": 2, "of": 5}
    assert "2 of 5 layers" in new["description"]
    assert new["files"]["track"]["sha256"] != "0" * 64
    assert new["provenance"]["quantized_on"] == "1 search images of 1 targets"


def test_what_cannot_be_quantized_is_refused_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture):
    def refused(model: Path, *more: str) -> str:
        arguments = [str(model), "--calibrate", "otb100=/nowhere", "--output", str(tmp_path / "new"), *more]
        assert main(arguments) == 2
        assert not (tmp_path / "new").exists()
        return capsys.readouterr().err

    assert "expected a model folder" in refused(tmp_path / "none")
    folder = tmp_path / "net"
    folder.mkdir()
    onnx.save(graph(), folder / "track.onnx")
    manifest = {"name": "net", "files": {"track": {"path": "track.onnx"}}, "search": {"sizes": [16]}}
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest))
    assert "/nowhere/ettrack: expected the ettrack command line" in refused(folder, "--binary", "/nowhere/ettrack")
    manifest["quantization"] = {"bits": 8, "layers": 1, "of": 4}
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest))
    assert "expected a model in single precision" in refused(folder)
    with pytest.raises(SystemExit):
        main([str(folder), "--calibrate", "no pair", "--output", "x"])
    assert "expected DATASET=ROOT" in capsys.readouterr().err
