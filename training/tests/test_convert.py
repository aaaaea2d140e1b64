"""Tests of the conversion of checkpoint files to model folders: what is read, refused and written."""

import argparse
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

from ettrack_training import checkpoint, micro
from ettrack_training.checkpoint import CheckpointError
from ettrack_training.convert import load_network, main
from ettrack_training.export import ExportError, Graph, export_graph, verify_graph
from ettrack_training.model_folder import ModelFolderError, sha256, write_model_folder
from ettrack_training.trackers import TRACKERS

PROVENANCE = {"source": "test", "checkpoint_sha256": "none", "licence": "none"}


def run(folder, size):
    """Outputs of a micro model's two graphs on fixed noise."""
    manifest = yaml.safe_load((folder / "model.yaml").read_text())
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal((1, 3, s, s), np.float32) for s in (32, size)]
    template, track = (
        onnxruntime.InferenceSession(folder / manifest["files"][key]["path"]) for key in ("template", "track")
    )
    (features,) = template.run(None, {"template": noise[0]})
    return noise, track.run(["cls", "reg"], {"template_features": features, "search": noise[1]})


def test_writes_a_complete_model_folder(tmp_path, states, capsys):
    path, output = tmp_path / "lighttrack.pth", tmp_path / "models" / "lighttrack"
    torch.save({"state_dict": states["lighttrack"], "epoch": 35}, path)
    assert main(["--tracker", "lighttrack", str(path), "--output", str(output)]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    manifest = yaml.safe_load((output / "model.yaml").read_text())
    assert sorted(p.name for p in output.iterdir()) == ["model.yaml", "template.onnx", "track.onnx"]
    assert [p.name for p in output.parent.iterdir()] == ["lighttrack"]
    for entry in manifest["files"].values():
        assert entry["sha256"] == sha256((output / entry["path"]).read_bytes())
    assert manifest["provenance"]["checkpoint_sha256"] == sha256(path.read_bytes())
    assert manifest["cost"]["parameters"] == 1_969_397
    assert manifest["search"]["sizes"] == [256, 288]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "optimizer": {"lr": 0.1}},
        lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {"epoch": 3, "ema": s},
        lambda s: {"net": {f"module.feature_extractor.{k}": v for k, v in s.items()}},
    ],
)
def test_reads_weights_inside_wrappers(tmp_path, states, wrap):
    path = tmp_path / "c.pth"
    torch.save(wrap(states["lighttrack"]), path)
    network, dropped = load_network(TRACKERS["lighttrack"], path)
    assert dropped == []
    for key, value in network.state_dict().items():
        assert torch.equal(value, states["lighttrack"][key])


def test_reads_the_chosen_entry(tmp_path):
    path = tmp_path / "c.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "ema": {"a": torch.ones(1)}}, path)
    assert checkpoint.load(path)["a"] == 0
    assert checkpoint.load(path, entry="ema")["a"] == 1
    with pytest.raises(CheckpointError, match=r"'best' is not there.*ema.*state_dict"):
        checkpoint.load(path, entry="best")


class Malice:
    """Makes a folder if a reader unpickles it without checks."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


class Settings:
    """Training settings, as some authors' files contain them."""

    def __init__(self):
        self.note = "kept"


def test_refuses_pickled_code_without_running_it(tmp_path, capsys):
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "x": Malice(str(trace))}, path)
    arguments = ["--tracker", "et_track", str(path), "--output", str(tmp_path / "m")]
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert "pickled code" in message
    assert "mkdir" in message
    assert not trace.exists()
    assert not (tmp_path / "m").exists()


def test_reads_named_classes_as_empty_objects(tmp_path):
    path = tmp_path / "c.pth"
    torch.save({"net": {"a": torch.ones(1)}, "settings": Settings()}, path)
    name = f"{Settings.__module__}.{Settings.__qualname__}"
    with pytest.raises(CheckpointError, match="Settings"):
        checkpoint.load(path)
    assert checkpoint.load(path, inert_classes=[name])["a"] == 1


def test_reads_checkpoints_that_also_hold_training_settings(tmp_path):
    path = tmp_path / "c.pth"
    rates = np.logspace(-2, -4, 5)
    content = {
        "state_dict": {"a": torch.ones(1)},
        "optimizer": {"param_groups": [{"lr": rates[1], "step": np.int64(3), "nesterov": np.bool_(True)}]},
        "lr_scheduler": {"spaces": rates, "last": rates.astype(np.float32)},
        "options": argparse.Namespace(gpus=[0, 1]),
    }
    torch.save(content, path)
    assert checkpoint.load(path)["a"] == 1
    # In files of an older NumPy, the same functions are in another module.
    torch.save(content, path, _use_new_zipfile_serialization=False)
    older = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core" in older
    path.write_bytes(older)
    assert checkpoint.load(path)["a"] == 1


def test_refuses_another_trackers_checkpoint_and_names_the_tracker(tmp_path, states):
    path = tmp_path / "c.pth"
    torch.save({"state_dict": states["lighttrack"]}, path)
    with pytest.raises(CheckpointError) as error:
        load_network(TRACKERS["et_track"], path)
    message = str(error.value)
    assert "426 tensors, expected 626" in message
    assert "missing keys: backbone_net.conv_stem.weight" in message
    assert "unexpected keys: features.conv_stem.weight" in message
    assert "--tracker lighttrack" in message


def test_refuses_wrong_shapes_and_numbers_and_names_the_key(tmp_path, states):
    path = tmp_path / "c.pth"
    key = "feature_fusor.adj_layer.bias"
    torch.save({**states["lighttrack"], key: torch.zeros(64)}, path)
    with pytest.raises(CheckpointError, match=rf"{key} is \[64\], expected \[128\]"):
        load_network(TRACKERS["lighttrack"], path)
    torch.save({**states["lighttrack"], key: torch.full((128,), torch.nan)}, path)
    with pytest.raises(CheckpointError, match=f"{key} holds numbers that are not finite"):
        load_network(TRACKERS["lighttrack"], path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no checkpoint", "cannot read it"),
        (b"", "cannot read it"),
        ({"epoch": 3, "lr": 0.1}, "got the keys epoch, lr"),
        ([torch.zeros(1)], "expected a mapping of tensors, got list"),
        (None, "no such file"),
    ],
)
def test_refuses_files_that_are_not_checkpoints(tmp_path, content, message):
    path = tmp_path / "c.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(path)


def test_refuses_truncated_checkpoints(tmp_path):
    path = tmp_path / "c.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="cannot read it"):
        checkpoint.load(path)


@pytest.mark.parametrize("size", micro.MICRO.search_sizes)
def test_graphs_compute_what_the_network_computes(tmp_path, size):
    folder, network = tmp_path / "micro", micro.micro_network().eval()
    write_model_folder(TRACKERS["et_track"], network, folder, provenance=PROVENANCE)
    noise, (cls, reg) = run(folder, size)
    with torch.no_grad():
        expected = network(*map(torch.from_numpy, noise))
    torch.testing.assert_close(torch.from_numpy(cls), expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.from_numpy(reg), expected[1], atol=1e-3, rtol=1e-5)


def test_the_command_makes_the_committed_micro_model(tmp_path):
    committed = Path(__file__).parents[2] / "tests/data/micro_model"
    network = micro.micro_network().eval()
    write_model_folder(TRACKERS["et_track"], network, tmp_path / "micro_model", provenance=PROVENANCE)
    for size in micro.MICRO.search_sizes:
        _, fresh = run(tmp_path / "micro_model", size)
        _, old = run(committed, size)
        for a, b in zip(fresh, old, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-5)


def test_replaces_an_existing_folder_only_if_asked(tmp_path):
    folder = tmp_path / "micro"
    network = micro.micro_network()
    write_model_folder(TRACKERS["et_track"], network, folder, provenance=PROVENANCE)
    (folder / "README.md").write_text("card")
    before = (folder / "model.yaml").read_text()
    with pytest.raises(ModelFolderError, match="exists already"):
        write_model_folder(TRACKERS["et_track"], network, folder, provenance=PROVENANCE)
    write_model_folder(
        TRACKERS["et_track"],
        network,
        folder,
        provenance=PROVENANCE,
        overrides={"tracking": {"default": {"window_influence": 0.4}}},
        replace=True,
    )
    after = yaml.safe_load((folder / "model.yaml").read_text())
    assert after["tracking"] == {"default": {"window_influence": 0.4}}
    assert before != (folder / "model.yaml").read_text()
    assert (folder / "README.md").read_text() == "card"


class Plus(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return x + self.value


@pytest.mark.parametrize("value", [1.1, float("nan")])
def test_refuses_a_graph_that_differs_from_the_network(value):
    graph = Graph(Plus(value), Plus(1.0), {"x": torch.zeros(1, 2)}, ("y",))
    with pytest.raises(ExportError, match="t.onnx: output y differs"):
        verify_graph(graph, export_graph(graph), "t.onnx")


def test_writes_nothing_if_the_export_fails(tmp_path, monkeypatch):
    def refuse(*_):
        raise ExportError("refused")

    monkeypatch.setattr("ettrack_training.model_folder.verify_graph", refuse)
    with pytest.raises(ExportError):
        write_model_folder(TRACKERS["et_track"], micro.micro_network(), tmp_path / "m", provenance=PROVENANCE)
    assert list(tmp_path.iterdir()) == []
