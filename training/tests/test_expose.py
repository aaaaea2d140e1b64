"""Adding features to a model's outputs."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import TensorProto, helper

from ettrack_training.expose import ExposeError, candidates, expose, main
from ettrack_training.model_folder import sha256


def graph() -> onnx.ModelProto:
    """A track graph: features of the search image, joined with those of the template."""
    random = np.random.default_rng(3)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return helper.make_tensor(name, TensorProto.FLOAT, shape, random.standard_normal(int(np.prod(shape))))

    nodes = [
        helper.make_node("Conv", ["search", "stem"], ["inner"], strides=[16, 16], kernel_shape=[16, 16]),
        helper.make_node("Relu", ["inner"], ["active"]),
        helper.make_node("GlobalAveragePool", ["zf"], ["mean"]),
        helper.make_node("Mul", ["active", "mean"], ["joined"]),
        helper.make_node("Conv", ["joined", "score"], ["cls"]),
        helper.make_node("Conv", ["joined", "box"], ["reg"]),
    ]
    inputs = [
        helper.make_tensor_value_info("zf", TensorProto.FLOAT, [1, 6, 2, 2]),
        helper.make_tensor_value_info("search", TensorProto.FLOAT, [1, 3, 64, 64]),
    ]
    outputs = [
        helper.make_tensor_value_info("cls", TensorProto.FLOAT, [1, 1, 4, 4]),
        helper.make_tensor_value_info("reg", TensorProto.FLOAT, [1, 4, 4, 4]),
    ]
    weights = [weight("stem", 6, 3, 16, 16), weight("score", 1, 6, 1, 1), weight("box", 4, 6, 1, 1)]
    made = helper.make_graph(nodes, "track", inputs, outputs, weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "track.onnx").write_bytes(graph().SerializeToString())
    (folder / "template.onnx").write_bytes(b"not read")
    files = {
        key: {"path": f"{key}.onnx", "sha256": sha256((folder / f"{key}.onnx").read_bytes())}
        for key in ("template", "track")
    }
    manifest = {
        "name": "model",
        "files": files,
        "search": {"input": "search", "sizes": [64], "stride": 16},
        "outputs": {"score": {"name": "cls", "activation": "sigmoid"}, "boxes": {"name": "reg"}},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def test_only_tensors_that_do_not_depend_on_the_template_are_offered(model, capsys):
    main([str(model)])
    assert capsys.readouterr().out.split() == ["6", "channels", "inner", "6", "channels", "active"]


def test_the_tensor_is_the_new_output_and_the_others_are_unchanged(model, tmp_path):
    output = tmp_path / "exposed"
    main([str(model), "--tensor", "active", "--output", str(output)])
    manifest = yaml.safe_load((output / "model.yaml").read_text())
    assert manifest["name"] == "exposed"
    assert manifest["outputs"]["features"] == {"name": "features", "channels": 6}
    for file in manifest["files"].values():
        assert sha256((output / file["path"]).read_bytes()) == file["sha256"]
    random = np.random.default_rng(5)
    inputs = {
        "zf": random.standard_normal((1, 6, 2, 2), np.float32),
        "search": random.standard_normal((1, 3, 64, 64), np.float32),
    }
    before, after = (onnxruntime.InferenceSession(str(folder / "track.onnx")) for folder in (model, output))
    expected, got = before.run(["cls", "reg"], inputs), after.run(["cls", "reg", "features"], inputs)
    for a, b in zip(expected, got, strict=False):
        assert np.array_equal(a, b)
    weights = np.array(graph().graph.initializer[0].float_data, np.float32).reshape(6, 3, 16, 16)
    patch = inputs["search"][0, :, 16:32, 32:48]
    assert got[2][0, :, 1, 2] == pytest.approx(np.maximum((weights * patch).sum((1, 2, 3)), 0), abs=1e-3)


@pytest.mark.parametrize("tensor", ["joined", "mean", "cls", "nothing"])
def test_other_tensors_are_refused_with_the_list_and_nothing_is_written(model, tmp_path, tensor):
    with pytest.raises(SystemExit, match=f"expected one of the tensors inner, active; got {tensor}"):
        main([str(model), "--tensor", tensor, "--output", str(tmp_path / "exposed")])
    assert not (tmp_path / "exposed").exists()


def test_a_model_with_features_is_refused(model, tmp_path):
    output = tmp_path / "exposed"
    main([str(model), "--tensor", "active", "--output", str(output)])
    with pytest.raises(ExposeError, match="has outputs.features already"):
        expose(output, "inner")


def test_several_search_sizes_are_refused():
    manifest = {"search": {"input": "search", "sizes": [64, 80], "stride": 16}}
    with pytest.raises(ExposeError, match=r"expected one size, got \[64, 80\]"):
        candidates(graph().graph, manifest)


def test_an_existing_folder_is_kept(model, tmp_path):
    output = tmp_path / "exposed"
    shutil.copytree(model, output)
    with pytest.raises(SystemExit, match="exists already"):
        main([str(model), "--tensor", "active", "--output", str(output)])
    assert "features" not in (output / "model.yaml").read_text()


def test_a_file_that_is_no_manifest_is_refused(model):
    (model / "model.yaml").write_text("just text")
    with pytest.raises(SystemExit, match="expected a manifest with the sections files, search, outputs"):
        main([str(model)])
