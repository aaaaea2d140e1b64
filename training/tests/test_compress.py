"""Tests of the compression of trackers: stages, replacement, and the resulting model."""

import dataclasses
import itertools

import onnxruntime
import pytest
import torch
import yaml

from ettrack_training import compress
from ettrack_training.checkpoint import CheckpointError
from ettrack_training.compress import Compression, Stack, predictions, replacement_probability
from ettrack_training.micro import MICRO
from ettrack_training.networks import ETTrack, TowerSpec
from ettrack_training.networks.compresstracker import CompressTracker
from ettrack_training.networks.smat import Smat
from ettrack_training.networks.sparsett import SparseTT
from ettrack_training.train.state import CheckpointFile

TALL = dataclasses.replace(
    MICRO,
    cls_tower=TowerSpec(8, ("sep3", "et3", "et3", "et3", "sep3")),
    reg_tower=TowerSpec(8, ("sep3", "et3", "et5", "et3", "et5")),
)

# Network, sizes of its images, and names of the layers that remain if two remain.
CASES = {
    "compresstracker": (lambda: compress.smoke_teacher("compresstracker"), (128, 256)),
    "et_track": (lambda: ETTrack(TALL), (32, 64)),
    "smat": (Smat, (128, 256)),
    "sparsett": (SparseTT, (127, 289)),
}


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    build, sizes = CASES[request.param]
    return build().eval(), [torch.rand(2, 3, size, size) for size in sizes]


def test_stages_divide_all_layers_in_order():
    stack = Stack(tuple("abcdefg"))
    assert stack.stages(3) == [("a", "b", "c"), ("d", "e"), ("f", "g")]
    assert Stack(("a", "b")).stages(4) == [("a",), ("b",)]


def test_the_probability_rises_from_a_half_to_one():
    values = [replacement_probability(step, 100) for step in range(100)]
    assert values[:10] == [0.5] * 10
    assert values[90:] == [1.0] * 10
    assert values == sorted(values)


def test_the_network_equals_the_teacher_at_first_and_the_student_at_the_end(case):
    network, images = case
    compression = Compression(network, 2 if isinstance(network, CompressTracker) else 1)
    with torch.no_grad():
        student = predictions(compression.student, *images)
        for stage in compression.stages:
            stage.replaced = False
        for ours, theirs in zip(predictions(compression.student, *images), predictions(network, *images), strict=True):
            assert torch.equal(ours, theirs)
        finished = compression.finished()
        assert type(finished) is type(network)
        assert sum(p.numel() for p in finished.parameters()) < sum(p.numel() for p in network.parameters())
        for ours, theirs in zip(predictions(finished, *images), student, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_replaces_at_least_one_stage():
    compression = Compression(compress.smoke_teacher("compresstracker"), 3)
    random = compress.np.random.default_rng(0)
    for _ in range(20):
        compression.draw(0.0, random)
        assert sum(stage.replaced for stage in compression.stages) == 1


def test_training_resumes_from_its_checkpoint(tmp_path):
    teacher = compress.smoke_teacher("compresstracker")
    images = list(itertools.islice(compress.noise_pairs("compresstracker", 1, 0, teacher), 2))
    asked = []

    def pairs(step):
        asked.append(step)
        return iter(images[step:])

    def run(name, *ends):
        file = CheckpointFile(tmp_path / "new" / name)
        for steps in ends:
            compression = Compression(teacher, 2)
            compress.train(compression, pairs, steps, rate=1e-3, checkpoint=file)
        assert file.load()["step"] == 2
        return compression.student.state_dict()

    whole, resumed = run("whole.pt", 2), run("resumed.pt", 1, 2)
    assert asked == [0, 0, 1]
    for key, value in whole.items():
        assert torch.equal(value, resumed[key])
    with pytest.raises(CheckpointError, match=r"whole.pt does not fit: \d+ missing keys"):
        compress.train(Compression(teacher, 3), pairs, 2, checkpoint=CheckpointFile(tmp_path / "new" / "whole.pt"))


def test_a_resumed_run_draws_new_pairs_and_no_held_out_ones(tmp_path, monkeypatch):
    seeds = []
    noise_pairs = compress.noise_pairs

    def recorded(tracker, batch, seed, network):
        seeds.append(seed)
        return noise_pairs(tracker, batch, seed, network)

    monkeypatch.setattr(compress, "noise_pairs", recorded)
    monkeypatch.setattr(compress, "train", lambda _compression, pairs, _steps, **_: (pairs(0), pairs(5)))
    compress.main(["--tracker", "compresstracker", "--smoke", "--output", str(tmp_path / "out")])
    assert len(seeds) == len(set(seeds)) == 3


def test_refuses_bad_input_in_one_line(tmp_path, capsys):
    output = ["--output", str(tmp_path / "out")]
    assert compress.main(["--tracker", "lighttrack", "--smoke", *output]) == 2
    assert capsys.readouterr().err.startswith("error: LightTrack has no stacks to compress")
    missing = str(tmp_path / "missing.pth")
    assert compress.main(["--tracker", "smat", missing, "--pairs", str(tmp_path), *output]) == 2
    assert capsys.readouterr().err == f"error: {missing}: no such file\n"
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"nothing")
    words = ["--tracker", "compresstracker", "--smoke", "--checkpoint", str(damaged), *output]
    assert compress.main(words) == 2
    assert "damaged.pt: expected a checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_smoke_run_writes_a_model_that_runs(tmp_path, capsys):
    output = tmp_path / "compressed"
    assert compress.main(["--tracker", "compresstracker", "--smoke", "--layers", "2", "--output", str(output)]) == 0
    words = capsys.readouterr().out.split()
    assert float(words[words.index("after") - 1]) < 0.8 * float(words[words.index("before,") - 1])
    manifest = yaml.safe_load((output / "model.yaml").read_text())
    assert manifest["family"] == "centre_head"
    template, track = (onnxruntime.InferenceSession(output / f"{name}.onnx") for name in ("template", "track"))
    names = [node.name for node in template.get_outputs()]
    features = dict(zip(names, template.run(None, {"template": torch.rand(1, 3, 128, 128).numpy()}), strict=True))
    score, *_ = track.run(None, {**features, "search": torch.rand(1, 3, 256, 256).numpy()})
    assert score.shape == (1, 1, 16, 16)


def test_refuses_networks_without_stacks():
    with pytest.raises(TypeError, match="Linear has no stacks to compress, expected one of CompressTracker, ETTrack"):
        Compression(torch.nn.Linear(1, 1), 1)
