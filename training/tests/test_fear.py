"""Tests of FEAR-XS with a Core ML file that is made here from pseudo-random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml

from ettrack_training.checkpoint import CheckpointError, load
from ettrack_training.convert import load_network, main
from ettrack_training.coreml import message_class, read_convolutions
from ettrack_training.distil.folder_teacher import FolderTeacher
from ettrack_training.networks.fear import Fear, layer_order
from ettrack_training.pseudo_weights import pseudo_state_dict
from ettrack_training.trackers import TRACKERS

FEAR = TRACKERS["fear"]


def write(path: Path, layers: list[tuple[str, torch.Tensor | None, torch.Tensor | None]], halves: bool = False) -> Path:
    """A Core ML network of convolutions with these names, weights and biases. Layers of another kind have none."""
    model = message_class("Model")(version=4)
    for name, weight, bias in layers:
        layer = model.network.layers.add(name=name)
        if weight is None:
            continue
        kind = layer.convolution
        kind.outputs, kind.inputs = weight.shape[:2]
        kind.kernel.extend(weight.shape[2:])
        kind.biased = bias is not None
        for place, values in ((kind.weights, weight), (kind.bias, bias)):
            if values is None:
                continue
            if halves:
                place.halves = values.numpy().astype("<f2").tobytes()
            else:
                place.floats.extend(values.flatten().tolist())
    path.write_bytes(model.SerializeToString())
    return path


def layers_of(state: dict[str, torch.Tensor]) -> list[tuple[str, torch.Tensor | None, torch.Tensor | None]]:
    """The convolutions of FEAR in the form of its authors' files: in order, with other names and other layers
    between."""
    found: list[tuple[str, torch.Tensor | None, torch.Tensor | None]] = [("scale_layer", None, None)]
    for number, name in enumerate(layer_order()):
        found.append((f"input.{3 * number}", state[f"{name}.weight"], state.get(f"{name}.bias")))
        found.append((f"input.{3 * number + 1}", None, None))
    return found


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return pseudo_state_dict(Fear().state_dict(), FEAR.pseudo_rule, FEAR.golden_salt)


def test_the_order_of_a_file_names_every_convolution_once() -> None:
    order = layer_order()
    assert len(order) == len(set(order)) == 67
    assert {f"{name}.weight" for name in order} == {key for key in Fear().state_dict() if key.endswith("weight")}
    assert order[0] == "stem"
    assert order[-1] == "score.predict.1"


def test_converts_a_file_to_a_folder_that_can_be_a_teacher(
    state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, output = write(tmp_path / "Tracker.mlmodel", layers_of(state)), tmp_path / "fear"
    assert main(["--tracker", "fear", str(path), "--output", str(output)]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    manifest = yaml.safe_load((output / "model.yaml").read_text())
    assert (manifest["family"], manifest["template"]["window"]) == ("anchor_free", "box")
    assert manifest["search"]["exemplar_size"] == 72
    assert manifest["cost"]["parameters"] == 1_348_605
    assert manifest["provenance"]["licence"] == "MIT"
    # A teacher's search window must be five boxes wide and high.
    teacher = FolderTeacher(output)
    assert (teacher.template_size, teacher.search_size) == (128, 256)
    network = Fear().eval()
    network.load_state_dict(state)
    rng = np.random.default_rng(1)
    template, search = (rng.standard_normal((1, 3, size, size)).astype(np.float32) for size in (128, 256))
    graphs = {name: onnxruntime.InferenceSession(output / f"{name}.onnx") for name in ("template", "track")}
    (features,) = graphs["template"].run(None, {"template": template})
    made = graphs["track"].run(["cls", "reg"], {"template_features": features, "search": search})
    with torch.no_grad():
        expected = network(torch.from_numpy(template), torch.from_numpy(search))
    for mine, theirs, tolerance in zip(made, expected, (1e-3, 1e-2), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=tolerance)
    assert made[0].shape == (1, 1, 16, 16)
    assert made[1].min() > 0


def test_reads_weights_of_two_bytes(tmp_path: Path) -> None:
    weight, bias = torch.tensor([[[[1.5, -2.0]]], [[[0.25, 3.0]]]]), torch.tensor([0.5, -1.0])
    path = write(tmp_path / "m.mlmodel", [("a", weight, bias), ("b", weight, None)], halves=True)
    read = read_convolutions(path)
    assert list(read) == ["a.weight", "a.bias", "b.weight"]
    torch.testing.assert_close(read["a.weight"], weight)
    torch.testing.assert_close(read["a.bias"], bias)
    assert read["b.weight"].dtype == torch.float32


def test_refuses_other_networks_of_core_ml(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    # The authors also publish a file of only the template's side.
    path = write(tmp_path / "TrackerInit.mlmodel", layers_of(state)[:95])
    with pytest.raises(CheckpointError, match="does not fit fear: it holds 94 tensors, expected 132"):
        load_network(FEAR, path)
    layers = layers_of(state)
    layers[1] = ("input.0", torch.zeros(16, 3, 5, 5), torch.zeros(16))
    with pytest.raises(CheckpointError, match=r"stem\.weight"):
        load_network(FEAR, write(tmp_path / "Tracker.mlmodel", layers))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kind: setattr(kind, "transposed", True), "convolution a: expected no transposed one"),
        (
            lambda kind: setattr(kind.weights.quantization, "bits", 8),
            "convolution a: expected weights of 16 or 32 bits",
        ),
        (lambda kind: kind.weights.floats.append(1.0), r"expected 2 weights, shape \[2, 1, 1, 1\], got 3"),
        (lambda kind: setattr(kind.weights, "halves", b"abc"), "two bytes each, got 3 bytes"),
    ],
)
def test_refuses_weights_that_cannot_be_read(tmp_path: Path, change, message: str) -> None:
    path = write(tmp_path / "m.mlmodel", [("a", torch.zeros(2, 1, 1, 1), None)])
    model = message_class("Model")()
    model.ParseFromString(path.read_bytes())
    change(model.network.layers[0].convolution)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 an archive", "expected a Core ML model"),
        (b"", "found no layers"),
        (None, "no such file"),
    ],
)
def test_refuses_other_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "m.mlmodel"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load(path)


def test_refuses_a_network_without_convolutions(tmp_path: Path) -> None:
    path = write(tmp_path / "m.mlmodel", [("a", None, None)])
    with pytest.raises(CheckpointError, match="expected convolutions, found none among 1 layers"):
        load(path)
