"""Tests `adopt` with small ONNX files that are made here in the layouts of several trackers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from ettrack_training import parity_onnx
from ettrack_training.adopt.__main__ import main
from ettrack_training.adopt.graphs import read
from ettrack_training.convert import main as convert

NANOTRACK = ["nanotrack_backbone.onnx", "nanotrack_head.onnx"]


def port(name: str, shape: list | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def centre_head(
    path: Path, *, sizes: tuple = (64, 128), half: bool = False, logits: bool = False, extra: bool = False
) -> Path:
    """Writes a graph with the inputs and outputs of OSTrack: maps of score, size and offset, one cell per 16 pixels."""
    random = np.random.RandomState(5)
    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    kernel = numpy_helper.from_array((random.standard_normal((4, 3, 16, 16)) * 0.05).astype(dtype), "kernel")
    heads = [
        numpy_helper.from_array((random.standard_normal((planes, 4, 1, 1)) * 2).astype(dtype), name)
        for name, planes in (("w_score", 1), ("w_size", 2), ("w_offset", 2))
    ]
    nodes = [
        helper.make_node("Conv", ["z", "kernel"], ["fz"], strides=[16, 16]),
        helper.make_node("GlobalAveragePool", ["fz"], ["kz"]),
        helper.make_node("Conv", ["x", "kernel"], ["fx"], strides=[16, 16]),
        helper.make_node("Mul", ["fx", "kz"], ["both"]),
        helper.make_node("Conv", ["both", "w_score"], ["score_map" if logits else "raw"]),
        helper.make_node("Conv", ["both", "w_size"], ["size_raw"]),
        helper.make_node("Sigmoid", ["size_raw"], ["size_map"]),
        helper.make_node("Conv", ["both", "w_offset"], ["offset_raw"]),
        helper.make_node("Sigmoid", ["offset_raw"], ["offset_map"]),
    ]
    if not logits:
        nodes.append(helper.make_node("Sigmoid", ["raw"], ["score_map"]))
    n = sizes[1] // 16 if isinstance(sizes[1], int) else "n"
    outputs = [port("offset_map", [1, 2, n, n], kind), port("score_map", [1, 1, n, n], kind)]
    outputs.append(port("size_map", [1, 2, n, n], kind))
    if extra:
        nodes.append(helper.make_node("ReduceMean", ["size_map"], ["extra"], axes=[2, 3], keepdims=0))
        outputs.append(port("extra", [1, 2], kind))
    images = [port(name, [1, 3, size, size], kind) for name, size in zip("zx", sizes, strict=True)]
    graph = helper.make_graph(nodes, "centre", images, outputs, initializer=[kernel, *heads])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=7)
    path.write_bytes(model.SerializeToString())
    return path


def manifest_of(folder: Path) -> dict:
    return yaml.safe_load((folder / "model.yaml").read_text())


def outputs_of(folder: Path, template: np.ndarray, search: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs of the folder's graphs for two images."""
    manifest = manifest_of(folder)
    feed = {"search": search}
    if "template" in manifest["files"]:
        session = onnxruntime.InferenceSession(folder / "template.onnx")
        names = manifest["template"]["outputs"]
        feed |= dict(zip(names, session.run(names, {"template": template}), strict=True))
    else:
        feed["template"] = template
    session = onnxruntime.InferenceSession(folder / "track.onnx")
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    parity_onnx.write(tmp_path)
    return tmp_path


def test_makes_template_and_track_graph_from_backbone_and_head(small: Path):
    output = small / "out"
    files = [str(small / name) for name in NANOTRACK]
    assert main([*files, "--search-size", "255", "--output", str(output)]) == 0
    manifest = manifest_of(output)
    assert manifest["family"] == "nanotrack"
    assert manifest["template"] | {"outputs": []} == {"input": "template", "size": 127, "context": 0.5, "outputs": []}
    assert manifest["search"] == {"input": "search", "sizes": [255], "exemplar_size": 127, "stride": 16}
    assert manifest["input"] == {"channels": "bgr", "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    assert manifest["outputs"]["score"] == {"name": "score", "activation": "sigmoid"}
    random = np.random.default_rng(3)
    template, search = (random.uniform(0, 255, (1, 3, size, size)).astype(np.float32) for size in (127, 255))
    made = outputs_of(output, template, search)
    backbone, head = (onnxruntime.InferenceSession(path) for path in files)
    (z,), (x,) = (backbone.run(None, {"input": image}) for image in (template, search))
    logits, distances = head.run(None, {"input1": z, "input2": x})
    np.testing.assert_allclose(made["score"], logits[:, 1:] - logits[:, :1], atol=1e-5)
    np.testing.assert_allclose(made["boxes"], distances, rtol=1e-5)
    # The backbone's kernel is counted once, plus the weights of the head.
    assert manifest["cost"]["parameters"] == 8 * 3 * 256 + 2 * 16 + 4 * 16


def test_keeps_a_template_graph_and_a_track_graph(small: Path):
    first, second = small / "first", small / "second"
    assert main([*(str(small / name) for name in NANOTRACK), "--search-size", "255", "--output", str(first)]) == 0
    assert main([str(first / "template.onnx"), str(first / "track.onnx"), "--output", str(second)]) == 0
    assert manifest_of(second)["family"] == "anchor_free"
    random = np.random.default_rng(4)
    images = [random.uniform(0, 255, (1, 3, size, size)).astype(np.float32) for size in (127, 255)]
    for name, values in outputs_of(first, *images).items():
        np.testing.assert_allclose(outputs_of(second, *images)[name], values, rtol=1e-5)


def test_divides_one_graph_into_template_and_track(tmp_path: Path):
    path = centre_head(tmp_path / "t.onnx", extra=True)
    random = np.random.default_rng(5)
    images = [random.standard_normal((1, 3, size, size)).astype(np.float32) for size in (64, 128)]
    expected = onnxruntime.InferenceSession(path).run(
        ["score_map", "size_map", "offset_map"], dict(zip("zx", images, strict=True))
    )
    for options, files in (([], {"template", "track"}), (["--whole"], {"track"})):
        output = tmp_path / f"out{len(options)}"
        assert main([str(path), *options, "--output", str(output)]) == 0
        manifest = manifest_of(output)
        assert set(manifest["files"]) == files
        assert manifest["family"] == "centre_head"
        assert manifest["outputs"]["score"]["activation"] == "none"
        assert (manifest["template"]["size"], manifest["search"]["sizes"]) == (64, [128])
        made = outputs_of(output, *images)
        for name, values in zip(("score", "size", "offset"), expected, strict=True):
            np.testing.assert_allclose(made[name], values, atol=1e-6)


def test_fixes_free_sizes_and_gives_float16_graphs_float32_inputs(tmp_path: Path):
    free = centre_head(tmp_path / "free.onnx", sizes=("s", "t"), logits=True)
    output = tmp_path / "free"
    assert main([str(free), "--template-size", "64", "--output", str(output)]) == 2
    stated = ["--template-input", "z", "--search-input", "x"]
    assert main([str(free), *stated, "--template-size", "64", "--search-size", "128", "--output", str(output)]) == 0
    assert manifest_of(output)["outputs"]["score"]["activation"] == "sigmoid"
    half = centre_head(tmp_path / "half.onnx", half=True)
    output = tmp_path / "half"
    assert main([str(half), "--output", str(output)]) == 0
    (file,) = manifest_of(output)["files"].values()
    ports = read(output / file["path"])
    assert not any(port.half for port in (*ports.inputs, *ports.outputs))


@pytest.mark.parametrize(
    ("family", "options", "unused"),
    [
        (
            "nanotrack",
            ["--template-factor", "2", "--search-factor", "4", "--context", "0.4"],
            "--template-factor, --search",
        ),
        ("nanotrack", ["--window", "box", "--exemplar-size", "100"], "--window;"),
        ("anchor_free", ["--window", "box", "--search-factor", "4"], "--search-factor;"),
        ("single_box", ["--context", "0.5", "--template-factor", "3"], "--context;"),
        ("single_box", ["--size-output", "pred_boxes"], "--size-output;"),
    ],
)
def test_refuses_options_that_the_family_does_not_use(
    small: Path, capsys: pytest.CaptureFixture, family: str, options: list[str], unused: str
):
    names = ["mixformer.onnx"] if family == "single_box" else NANOTRACK
    size = [] if family == "single_box" else ["--search-size", "255"]
    files = [str(small / name) for name in names]
    assert main([*files, *size, "--family", family, *options, "--output", str(small / "out")]) == 2
    error = capsys.readouterr().err
    assert f"{family} with " in error and f"does not use {unused}" in error
    assert not (small / "out").exists()


def test_finds_a_second_template_and_its_score(small: Path):
    output = small / "out"
    options = ["--search-factor", "4.5", "--constant", "update_interval=15"]
    assert main([str(small / "mixformer.onnx"), *options, "--output", str(output)]) == 0
    manifest = manifest_of(output)
    assert manifest["family"] == "single_box"
    assert manifest["template"]["refreshed_input"] == "refreshed_template"
    assert manifest["search"] == {"input": "search", "sizes": [224], "factor": 4.5, "stride": 16}
    assert manifest["outputs"] == {"score": {"name": "score", "activation": "sigmoid"}, "boxes": {"name": "boxes"}}
    assert manifest["tracking"]["default"] == {"update_interval": 15, "update_above": 0.5, "score_decay": 1.0}


def test_converts_corners_to_centre_and_size(small: Path, tmp_path: Path):
    folders = [tmp_path / name for name in ("centre", "corners")]
    for folder, options in zip(folders, ([], ["--box-format", "xyxy"]), strict=True):
        assert main([str(small / "mixformer.onnx"), "--whole", *options, "--output", str(folder)]) == 0
    random = np.random.default_rng(6)
    sizes = {"template": 112, "refreshed_template": 112, "search": 224}
    feed = {name: random.standard_normal((1, 3, size, size)).astype(np.float32) for name, size in sizes.items()}
    (plain, made) = (onnxruntime.InferenceSession(f / "track.onnx").run(["boxes"], feed)[0].ravel() for f in folders)
    left, top, right, bottom = plain
    np.testing.assert_allclose(made, [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], atol=1e-6)


def test_shows_known_and_assumed_values_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture):
    picture, box = tmp_path / "frame.png", "40,30,40,40"
    cv2.imwrite(str(picture), np.random.RandomState(7).randint(0, 255, (120, 160, 3), np.uint8))
    path = centre_head(tmp_path / "t.onnx")
    assert main([str(path), "--show", "--search-factor", "5", "--frame", str(picture), "--box", box]) == 0
    shown = capsys.readouterr().err
    assert "search.factor" in shown and "5.0  (stated)" in shown
    assert "2.0  (assumed, as its authors have it)" in shown
    assert "in its own frame: found at" in shown
    assert {entry.name for entry in tmp_path.iterdir()} == {"frame.png", "t.onnx"}


def edited(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def lone_weight(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def strange_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "DeformableAttention"


def without_rank(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 24


def many_at_once(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4


def deaf(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "x"


def without_offset(model: onnx.ModelProto) -> None:
    del model.graph.output[0]


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (
            lone_weight,
            [],
            ["1 tensors lie in other files (kernel in weights.bin)", "expected all weights in this file"],
        ),
        (strange_operator, [], ["unknown operators ai.onnx.DeformableAttention, expected those of ONNX"]),
        (without_rank, [], ["input z has no shape, expected a fixed number of axes"]),
        (newer, [], ["operator set 24, expected at most 20"]),
        (many_at_once, [], ["takes 4 images at once, expected 1"]),
        (deaf, [], ["no output changes with the template image, input z"]),
        (without_offset, [], ["expected a score map [1, 1, n, n] with size and offset", "score_map [1, 1, 8, 8]"]),
        (None, ["--search-size", "256"], ["input x [1, 3, 128, 128] has 128 pixels a side, --search-size says 256"]),
        (None, ["--family", "single_box"], ["expected a box [1, 1, 4] or [1, 4]; the graph gives"]),
        (None, ["--score-output", "scores"], ["no output scores for --score-output; the graph gives offset_map"]),
        (None, ["--template-input", "y"], ["no input y for --template-input; the graph takes z [1, 3, 64, 64]; x"]),
        (
            None,
            ["--search-factor", "5", "--context", "0.5", "--window", "box", "--exemplar-size", "127"],
            [
                "centre_head with offset_map [1, 2, 8, 8]",
                "does not use --context, --window, --exemplar-size; "
                "expected among --template-factor, --search-factor, --stride",
            ],
        ),
        (None, ["--box-format", "xyxy"], ["does not use --box-format"]),
        (None, ["--stride", "8"], ["a score map of 8 x 8 cells", "expected 16 at a stride of 8"]),
    ],
)
def test_refuses_a_graph_that_does_not_fit_and_names_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture, change: Callable | None, options: list[str], words: list[str]
):
    path = centre_head(tmp_path / "t.onnx")
    if change:
        edited(path, change)
    assert main([str(path), *options, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    for part in words:
        assert part in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.onnx"]


def test_refuses_a_head_that_does_not_fit_its_backbone(small: Path, capsys: pytest.CaptureFixture):
    output = ["--output", str(small / "out")]
    backbone, head = (str(small / name) for name in NANOTRACK)
    assert main([head, *output]) == 2
    assert "input input1 [1, 8, 8, 8] is no image" in capsys.readouterr().err
    assert main([backbone, "--search-size", "255", *output]) == 2
    assert "a backbone without its head?" in capsys.readouterr().err
    assert main([backbone, head, *output]) == 2
    assert "has a free size: state it with --search-size" in capsys.readouterr().err
    assert main([backbone, head, "--search-size", "255", "--template-size", "111", *output]) == 2
    assert "expects [1, 8, 8, 8]" in capsys.readouterr().err
    assert main([str(small / "mixformer.onnx"), backbone, *output]) == 2
    assert "expected one graph that takes one image" in capsys.readouterr().err
    assert main([backbone, head, "--search-input", "input", *output]) == 2
    assert "expected one file for --search-input; the images of two are known" in capsys.readouterr().err
    assert main([head, head, head, *output]) == 2
    assert "got 3" in capsys.readouterr().err
    assert not (small / "out").exists()


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no such file"), (b"PK no graph", "expected an ONNX model"), (b"", "found no nodes")]
)
def test_refuses_files_that_are_not_onnx_models(
    tmp_path: Path, capsys: pytest.CaptureFixture, content: bytes | None, words: str
):
    path = tmp_path / "t.onnx"
    if content is not None:
        path.write_bytes(content)
    assert main([str(path), "--output", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


def test_does_not_replace_an_existing_folder(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = centre_head(tmp_path / "t.onnx")
    (tmp_path / "out").mkdir()
    assert main([str(path), "--output", str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_recognises_published_files_by_their_number_of_parameters(small: Path, capsys: pytest.CaptureFixture):
    files = [str(small / name) for name in NANOTRACK]
    output = ["--output", str(small / "out")]
    assert convert(["--tracker", "nanotrack", *files[:1], *output]) == 2
    assert "expected backbone and head, got 1" in capsys.readouterr().err
    edited(small / NANOTRACK[0], lambda model: fix(model, 255))
    assert convert(["--tracker", "nanotrack", *files, *output]) == 2
    error = capsys.readouterr().err
    assert "6240 numbers in the weights, expected 284886 (NanoTrack v1" in error
    assert "ettrack_training.adopt" in error
    assert not (small / "out").exists()


def fix(model: onnx.ModelProto, side: int) -> None:
    """Gives the backbone's image a fixed size."""
    for axis in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        axis.Clear()
        axis.dim_value = side
