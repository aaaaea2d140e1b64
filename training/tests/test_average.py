"""Tests of weighted means of checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ettrack_training.distil.average import average, main
from ettrack_training.train.state import CheckpointFile

FIRST = {"weight": torch.tensor([1.0, -2.0]), "seen": torch.tensor(10)}
SECOND = {"weight": torch.tensor([3.0, 2.0]), "seen": torch.tensor(40)}


def test_averages_weights_and_keeps_counters() -> None:
    for shares, weight in (((1.0, 0.0), [1.0, -2.0]), ((0.75, 0.25), [1.5, -1.0]), ((0.0, 1.0), [3.0, 2.0])):
        mean = average([FIRST, SECOND], shares)
        assert mean["weight"].tolist() == weight
        assert mean["seen"] == 10


def test_refuses_shares_and_networks_that_do_not_fit() -> None:
    for shares in ((0.5, 0.6), (1.5, -0.5)):
        with pytest.raises(ValueError, match="add up to 1, got"):
            average([FIRST, SECOND], shares)
    for other in ({"weight": torch.zeros(3), "seen": torch.tensor(1)}, {"weight": torch.zeros(2)}):
        with pytest.raises(ValueError, match="one network"):
            average([FIRST, other], (0.5, 0.5))


def test_the_command_reads_averaged_weights_and_writes_a_checkpoint(tmp_path: Path) -> None:
    config = {"any": 1}
    CheckpointFile(tmp_path / "a.pt").save({"state_dict": FIRST, "config": config, "step": 3})
    CheckpointFile(tmp_path / "b.pt").save({"state_dict": FIRST, "ema": {"state_dict": SECOND}, "config": config})
    main([f"{tmp_path}/a.pt=0.5", f"{tmp_path}/b.pt=0.5", "--out", f"{tmp_path}/mean.pt"])
    written = CheckpointFile(tmp_path / "mean.pt").load()
    assert written["state_dict"]["weight"].tolist() == [2.0, 0.0]
    assert written["config"] == config
    CheckpointFile(tmp_path / "other.pt").save({"state_dict": FIRST, "config": {"any": 1, "box_context": 0.75}})
    with pytest.raises(SystemExit, match=r"box_context: 0.75 in \S+other.pt, None in \S+a.pt"):
        main([f"{tmp_path}/a.pt=0.5", f"{tmp_path}/other.pt=0.5", "--out", f"{tmp_path}/bad.pt"])
    with pytest.raises(SystemExit, match=r"error: expected a checkpoint, found neither \S*none.pt nor"):
        main([f"{tmp_path / 'none.pt'}=1", "--out", str(tmp_path / "m.pt")])
    with pytest.raises(SystemExit, match="add up to 1"):
        main([f"{tmp_path}/a.pt=0.5", f"{tmp_path}/b.pt=0.4", "--out", f"{tmp_path}/bad.pt"])
    with pytest.raises(SystemExit, match="2"):
        main([f"{tmp_path}/a.pt", "--out", f"{tmp_path}/bad.pt"])
    assert not (tmp_path / "bad.pt").exists()
