"""Tests of slimming a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ettrack_training.checkpoint import CheckpointError
from ettrack_training.distil import slim
from ettrack_training.distil.late import first_stages
from ettrack_training.distil.slim import changed_stages, missed, slimmed, watched
from ettrack_training.networks.et_track import ETTrack, ETTrackConfig
from ettrack_training.networks.nano import NANO_BOX, NANO_CUT, NANO_FAST
from ettrack_training.train.state import CheckpointFile

SMALL = replace(NANO_CUT, search_sizes=(128,))


@pytest.fixture
def large() -> ETTrack:
    torch.manual_seed(3)
    return ETTrack(NANO_BOX).eval()


def stream(count: int = 2) -> Iterator[dict[str, np.ndarray]]:
    random = np.random.default_rng(3)
    while True:
        yield {
            name: random.integers(0, 256, (count, size, size, 3), np.uint8)
            for name, size in (("template", 127), ("search", 128))
        }


def test_records_attention_and_gates_of_every_picture(large: ETTrack) -> None:
    seen = watched(large, stream(), 2)
    for tower in ("cls_branch_6", "bbreg_branch_6"):
        assert seen[tower].shape == (4, 4)
        torch.testing.assert_close(seen[tower].sum(1), torch.ones(4))
    # Gates of the backbone also process templates.
    gate = seen["backbone_net.blocks.0.0.se"]
    assert gate.shape == (8, 16)
    assert 0 <= gate.min() and gate.max() <= 1
    # All hooks were removed.
    assert not any(module._forward_hooks for module in large.modules())


def test_slimming_keeps_the_outputs_if_gates_and_attention_are_constant(large: ETTrack) -> None:
    """Slimming replaces attention and gates by their means, which changes nothing if both are constant."""
    with torch.no_grad():
        for name, parameter in large.named_parameters():
            if "average_pooler" in name or name == "backbone_net.blocks.0.0.se.conv_expand.weight":
                parameter.zero_()
            # The removed residual block adds nothing.
            if name.startswith("backbone_net.blocks.0.1.bn3"):
                parameter.zero_()
    small = slimmed(large, SMALL, watched(large, stream(), 1)).eval()
    batch = next(stream(1))
    pictures = [torch.from_numpy(batch[name]).permute(0, 3, 1, 2).float() / 255 for name in ("template", "search")]
    with torch.no_grad():
        for mine, theirs in zip(small(*pictures), large(*pictures), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def test_finds_the_last_changed_stage() -> None:
    assert changed_stages(NANO_BOX, NANO_CUT) == 1
    assert changed_stages(NANO_BOX, NANO_FAST) == 0
    assert changed_stages(NANO_CUT, NANO_CUT) == 0


def test_the_loss_of_an_equal_network_is_zero(large: ETTrack) -> None:
    parts = first_stages(large, 1)
    assert missed(parts, parts, next(stream())).item() == 0
    assert missed(torch.nn.Sequential(parts, torch.nn.ReLU()), parts, next(stream())).item() > 0.01


def test_refuses_a_network_with_layers_that_the_larger_one_lacks(large: ETTrack) -> None:
    wider = replace(SMALL, neck_channels=64)
    with pytest.raises(CheckpointError, match="the larger network does not fit"):
        slimmed(large, wider, watched(large, stream(), 1))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Replaces the pairs of a cache by random pairs. Returns the contexts of the requested windows."""
    contexts = []

    def pairs(cache: Path, config: ETTrackConfig, batch: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
        contexts.append(config.box_context)
        return stream()

    monkeypatch.setattr(slim, "pairs", pairs)
    return contexts


@pytest.fixture
def start(large: ETTrack, tmp_path: Path) -> Path:
    path = tmp_path / "large.pt"
    config = replace(NANO_BOX, box_context=0.7).to_dict()
    CheckpointFile(path).save({"state_dict": large.state_dict(), "config": config})
    return path


def test_the_command_mixes_exemplars(start: Path, asked: list, capsys: pytest.CaptureFixture[str]) -> None:
    out = start.with_name("fast.pt")
    slim.main(["--start", str(start), "--cache", str(start.parent), "--out", str(out)])
    state = CheckpointFile(out).load()
    assert ETTrackConfig.from_dict(state["config"]) == replace(NANO_FAST, box_context=0.7)
    assert set(asked) == {0.7}
    assert capsys.readouterr().out.count("deviation") == 2 * 4
    # Nothing else changed, so no stage is trained.
    assert not out.with_suffix(".csv").exists()
    before = CheckpointFile(start).load()["state_dict"]
    kept = [name for name in state["state_dict"] if not name.endswith(("V_dw", "V_pw"))]
    assert all(torch.equal(state["state_dict"][name], before[name]) for name in kept)


def test_the_command_trains_the_changed_stage(start: Path, large: ETTrack, asked: list) -> None:
    out = start.with_name("slim.pt")
    files = ["--start", str(start), "--cache", str(start.parent), "--out", str(out)]
    options = ["--cut", "--decay", "20", "--rate", "1e-3", "--save-every", "5"]
    # The second run resumes the first.
    for steps in (5, 20):
        slim.main([*files, *options, "--steps", str(steps)])
    state = CheckpointFile(out).load()
    rows = [line.split(",")[0] for line in out.with_suffix(".csv").read_text().splitlines()]
    assert rows == ["step", "5", "10", "15", "20"]
    assert ETTrackConfig.from_dict(state["config"]) == replace(NANO_CUT, box_context=0.7)
    before, *_, after = (line.split(",")[-1] for line in out.with_suffix(".csv").read_text().splitlines()[1:])
    assert float(after) < float(before)
    # Later stages keep their weights.
    for name in ("backbone_net.blocks.2.0.conv_pw.weight", "cls_pred_head.cls_pred.weight"):
        torch.testing.assert_close(state["state_dict"][name], large.state_dict()[name])


def test_refuses_to_resume_a_checkpoint_of_another_network(start: Path, asked: list) -> None:
    out = start.with_name("slim.pt")
    CheckpointFile(out).save({"state_dict": {}, "config": NANO_BOX.to_dict()})
    with pytest.raises(SystemExit, match="slim.pt is of another network"):
        slim.main(["--start", str(start), "--cache", str(start.parent), "--out", str(out), "--cut"])
