"""Tests of checkpoints and of files that appear only when they are complete."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ettrack_training.train.state import CheckpointFile
from ettrack_training.whole_file import write_whole


def optimizer(network: nn.Module, decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=decay)


def saved_run(path: Path) -> nn.Module:
    """Writes the checkpoint of a run of 7 steps and returns its network."""
    network = nn.Linear(2, 1)
    used = optimizer(network, 0.5)
    network(torch.ones(1, 2)).sum().backward()
    used.step()
    content = {"state_dict": network.state_dict(), "optimizer": used.state_dict(), "config": {"width": 2}, "step": 7}
    CheckpointFile(path).save(content)
    return network


def test_resuming_loads_weights_and_step_and_keeps_the_settings_of_the_new_run(tmp_path: Path) -> None:
    before = saved_run(tmp_path / "run.pt")
    network = nn.Linear(2, 1)
    used = optimizer(network, 0.25)
    assert CheckpointFile(tmp_path / "run.pt").resume(network, used, {"width": 2}) == 7
    assert torch.equal(network.weight, before.weight)
    assert used.param_groups[0]["weight_decay"] == 0.25
    assert used.state[network.weight]["step"] == 1


def test_a_run_without_a_checkpoint_starts_at_step_0(tmp_path: Path) -> None:
    network = nn.Linear(2, 1)
    assert CheckpointFile(tmp_path / "none.pt").resume(network, optimizer(network, 0.5), {"width": 2}) == 0


def test_resuming_refuses_the_checkpoint_of_another_network(tmp_path: Path) -> None:
    saved_run(tmp_path / "run.pt")
    network = nn.Linear(2, 1)
    with pytest.raises(ValueError, match=r"run\.pt is of another network: width: 2 there, 3 here"):
        CheckpointFile(tmp_path / "run.pt").resume(network, optimizer(network, 0.5), {"width": 3})


def test_a_file_that_cannot_be_completed_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "old")

    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
