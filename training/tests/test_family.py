"""Tests of SMAT, SparseTT and CompressTracker with the authors' keys, outputs and checkpoints."""

import functools
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from ettrack_training import checkpoint
from ettrack_training.convert import load_network, main
from ettrack_training.export import export_graph, verify_graph
from ettrack_training.export.graph import showing
from ettrack_training.networks.compresstracker import CompressTracker
from ettrack_training.pseudo_weights import pseudo_state_dict
from ettrack_training.trackers import TRACKERS

DATA = Path(__file__).parents[2] / "tests/data/family"
FAMILY = ("smat", "sparsett", "compresstracker")

# Number of tensors in the authors' files, and CRC-32 of their sorted names, shapes and types.
KEYS = {
    "smat": (371, 0xF66AE931),
    "sparsett": (438, 0xF76970E6),
    "compresstracker 2": (122, 0xD2DF18B0),
    "compresstracker 3": (134, 0xFF90F2EE),
    "compresstracker 4": (146, 0x416938B3),
    "compresstracker 6": (170, 0xE1DCB2B9),
}


@functools.cache
def state_of(name):
    """Pseudo-random weights with the salt of the recorded outputs."""
    tracker = TRACKERS[name]
    return pseudo_state_dict(tracker.build({}).state_dict(), tracker.pseudo_rule, tracker.golden_salt)


@pytest.fixture(scope="module")
def family():
    """Each network with these weights, in evaluation mode."""
    built = {}
    for name in FAMILY:
        built[name] = TRACKERS[name].build({}).eval()
        built[name].load_state_dict(state_of(name))
    return built


@pytest.fixture(scope="module")
def graphs(family):
    """Returns a function that gives the graphs of a tracker. They are built only once."""
    return functools.cache(lambda name: TRACKERS[name].graphs(family[name]))


def listing(network):
    """Names, shapes and types in the form from which the checksums above were made."""
    return "\n".join(
        f"{key} {'x'.join(map(str, value.shape))} {str(value.dtype).removeprefix('torch.')}"
        for key, value in sorted(network.state_dict().items())
    )


@pytest.mark.parametrize("name", KEYS)
def test_keys_equal_those_of_the_authors(name):
    tracker, _, depth = name.partition(" ")
    with torch.device("meta"):
        network = CompressTracker(int(depth)) if depth else TRACKERS[tracker].build({})
    assert (len(network.state_dict()), zlib.crc32(listing(network).encode())) == KEYS[name]


def normalized(name, pixels):
    """A recorded crop as input of the network, [1, 3, s, s]."""
    settings = TRACKERS[name].manifest(None)["input"]
    if name == "sparsett":
        pixels = pixels[..., ::-1]
    values = (pixels / settings["scale"] - np.array(settings["mean"])) / np.array(settings["std"])
    return torch.from_numpy(values.astype(np.float32).transpose(2, 0, 1)[None].copy())


def goldens(name):
    """Crops and outputs of the authors' implementation, and the allowed difference of each output."""
    file = np.load(DATA / f"{name}.npz")
    if name == "sparsett":
        return file["template_crop_bgr"], file["search_crop_bgr"], {"score": 1e-4, "box": 1e-3}, file
    return file["template_crop"], file["search_crop"], {"score_map": 1e-4, "size_map": 1e-4, "offset_map": 1e-4}, file


@pytest.mark.parametrize("name", FAMILY)
def test_networks_compute_the_authors_outputs(name, family):
    template, search, outputs, file = goldens(name)
    with torch.no_grad():
        made = family[name](normalized(name, template), normalized(name, search))
    for (key, tolerance), value in zip(outputs.items(), made, strict=True):
        assert np.abs(value.numpy() - file[key]).max() < tolerance, key


@pytest.mark.parametrize("name", FAMILY)
def test_graphs_compute_the_authors_outputs(name, graphs):
    template, search, outputs, file = goldens(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        key: onnxruntime.InferenceSession(graph.module.SerializeToString(), options)
        for key, graph in graphs(name).items()
    }
    features = sessions["template"].run(None, {"template": normalized(name, template).numpy()})
    feeds = {node.name: value for node, value in zip(sessions["template"].get_outputs(), features, strict=True)}
    made = sessions["track"].run(None, {**feeds, "search": normalized(name, search).numpy()})
    for (key, tolerance), value in zip(outputs.items(), made, strict=True):
        assert np.abs(value - file[key]).max() < tolerance, key


def test_drops_tensors_that_only_training_needs_and_reports_them(tmp_path):
    state = state_of("compresstracker")
    extra = {
        "backbone.blocks.11.norm1.weight": torch.ones(768),
        "ori_backbone.pos_embed": torch.ones(1, 197, 768),
        "ori_box_head.conv5_ctr.bias": torch.ones(1),
    }
    path = tmp_path / "CompressTracker_ep0500.pth.tar"
    torch.save({"epoch": 500, "net": {f"module.{k}": v for k, v in {**state, **extra}.items()}}, path)
    network, dropped = load_network(TRACKERS["compresstracker"], path)
    assert [line.split(" (")[0] for line in dropped] == [
        "1 tensors backbone.blocks.*",
        "1 tensors ori_backbone.*",
        "1 tensors ori_box_head.*",
    ]
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key])


@pytest.mark.parametrize("depth", [2, 6])
def test_reads_the_depth_from_the_checkpoint(tmp_path, depth):
    path = tmp_path / "c.pth.tar"
    torch.save({"net": CompressTracker(depth).state_dict()}, path)
    network, _ = load_network(TRACKERS["compresstracker"], path)
    assert len(network.backbone.distill_blocks) == depth


def test_refuses_another_depth(tmp_path, capsys):
    path, output = tmp_path / "c.pth.tar", tmp_path / "model"
    torch.save({"net": CompressTracker(5).state_dict()}, path)
    assert main(["--tracker", "compresstracker", str(path), "--output", str(output)]) == 2
    assert "blocks 0, 1, 2, 3, 4 of a CompressTracker, expected 2, 3, 4 or 6 blocks" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "asked"), [("smat", "sparsett"), ("sparsett", "compresstracker"), ("compresstracker", "smat")]
)
def test_refuses_another_trackers_file_and_names_the_tracker(tmp_path, capsys, name, asked):
    path, output = tmp_path / "c.pth", tmp_path / "models" / "m"
    torch.save({"model_state_dict": state_of(name)} if name == "sparsett" else {"net": state_of(name)}, path)
    assert main(["--tracker", asked, str(path), "--output", str(output)]) == 2
    assert f"it looks like a checkpoint of {name}: try --tracker {name}" in capsys.readouterr().err
    assert not output.parent.exists()


def test_refuses_a_truncated_file(tmp_path, capsys):
    path, output = tmp_path / "c.pth.tar", tmp_path / "model"
    torch.save({"net": state_of("smat")}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["--tracker", "smat", str(path), "--output", str(output)]) == 2
    assert "expected a PyTorch checkpoint, cannot read it" in capsys.readouterr().err
    assert not output.exists()


def test_reads_settings_of_the_authors_files_as_empty_objects(tmp_path, monkeypatch):
    path = tmp_path / "c.pth.tar"
    settings = type("Settings", (), {"__module__": "lib.train.admin.settings"})
    with monkeypatch.context() as patch:
        for name in ("lib", "lib.train", "lib.train.admin", "lib.train.admin.settings"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules["lib.train.admin.settings"].Settings = settings
        torch.save({"net": {"a": torch.ones(1)}, "settings": settings()}, path)
    assert checkpoint.load(path)["a"] == 1


def test_accepts_missing_tables_that_the_network_computes(tmp_path):
    path, whole = tmp_path / "c.pkl", state_of("sparsett")
    state = {key: v for key, v in whole.items() if not key.endswith(("relative_position_index", "fm_ctr"))}
    assert len(state) == len(whole) - 13
    torch.save({"model_state_dict": state}, path)
    network, _ = load_network(TRACKERS["sparsett"], path)
    for key, value in network.state_dict().items():
        assert torch.equal(value, whole[key])


def test_reads_further_named_classes_as_empty_objects(tmp_path, monkeypatch, capsys):
    path = tmp_path / "c.pth.tar"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "some_lab", types.ModuleType("some_lab"))
        sys.modules["some_lab"].Notes = type("Notes", (), {"__module__": "some_lab"})
        torch.save({"net": state_of("smat"), "notes": sys.modules["some_lab"].Notes()}, path)
    arguments = ["--tracker", "smat", str(path), "--output", str(tmp_path / "smat")]
    assert main(arguments) == 2
    assert (
        "if some_lab.Notes is a class, --inert-class some_lab.Notes reads it as an empty class"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "smat").exists()
    assert main([*arguments, "--inert-class", "some_lab.Notes"]) == 0
    assert (tmp_path / "smat" / "model.yaml").exists()


@pytest.fixture(scope="module")
def sparsett_track(graphs):
    """Returns the track graph's description and its bytes."""
    graph = graphs("sparsett")["track"]
    return graph, export_graph(graph)


def kept_by(graph, model, search):
    """The indices of the keys that the graph keeps in each layer."""
    inputs = {**graph.inputs, "search": search}
    session = onnxruntime.InferenceSession(showing(model, graph.choices))
    return [torch.from_numpy(k) for k in session.run(graph.choices, {n: v.numpy() for n, v in inputs.items()})]


def test_sparsett_keeps_the_same_keys_as_the_network_except_for_rounding(sparsett_track):
    graph, model = sparsett_track
    file = np.load(DATA / "sparsett.npz")
    search = normalized("sparsett", file["search_crop_bgr"])
    encoded = graph.inputs["encoded_template"]
    kept = kept_by(graph, model, search)
    with torch.no_grad():
        graph.reference(encoded, search, *kept)
        # A key that is not among the largest, by more than rounding.
        wrong = [keys.clone() for keys in kept]
        wrong[1][0, 0, 0, 0] = min(set(range(361)) - set(wrong[1][0, 0, 0].tolist()))
        with pytest.raises(ValueError, match="below the 32 to be kept"):
            graph.reference(encoded, search, *wrong)


def test_the_allowed_error_of_a_graph_is_close_to_the_networks_rounding(sparsett_track):
    graph, model = sparsett_track
    found = verify_graph(graph, model, "track.onnx")
    # A hundredth of the difference that one key more or less would make.
    assert found["score"] < 1e-5 and found["box"] < 2e-4


def test_reads_checkpoints_that_also_hold_classes_of_the_trainer(tmp_path, monkeypatch):
    path = tmp_path / "ETTrack_ep0035.pth.tar"
    content = {"net": {"a": torch.ones(1)}}
    with monkeypatch.context() as patch:
        for package in ("ltr", "ltr.admin"):
            patch.setitem(sys.modules, package, types.ModuleType(package))
        for module, name in (
            ("settings", "Settings"),
            ("model_constructor", "NetConstructor"),
            ("stats", "AverageMeter"),
            ("stats", "StatValue"),
        ):
            module = f"ltr.admin.{module}"
            patch.setitem(sys.modules, module, sys.modules.get(module, types.ModuleType(module)))
            kind = type(name, (), {"__module__": module})
            setattr(sys.modules[module], name, kind)
            content[name] = kind()
            content[name].history = [1.0, {"loss": 2.0}]
        torch.save(content, path)
    assert checkpoint.load(path)["a"] == 1
