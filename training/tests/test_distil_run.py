"""Tests of distillation runs that are resumed from their checkpoints."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ettrack_training.distil.memory import Memory
from ettrack_training.distil.run import Distillation, add_options
from ettrack_training.micro import MICRO
from ettrack_training.networks.et_track import ETTrack, ETTrackConfig


class Numbers(Memory):
    """Pairs that consist only of the number of their batch."""

    def __init__(self, capacity: int, seed: int, batch: int):
        super().__init__(capacity, seed)
        self._batch, self._batches = batch, 0

    def add(self) -> None:
        self.put({"number": np.full((self._batch, 1), self._batches, np.float32)})
        self._batches += 1


class Shrinking(Distillation):
    """Trains one weight to the pairs' numbers and records the seeds of its memories."""

    def __init__(self, options: argparse.Namespace, network: ETTrack):
        self.seeds: list[int] = []
        super().__init__(options, network)

    def memory(self, seed: int, capacity: int, batch: int) -> Memory:
        self.seeds.append(seed)
        return Numbers(capacity, seed, batch)

    def losses(self, batch: dict[str, Tensor], training: bool) -> dict[str, Tensor]:
        return {"size": (self.network.cls_pred_head.cls_pred.weight.sum() - batch["number"].mean()).square()}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        return losses["size"]


def distillation(out: Path, config: ETTrackConfig = MICRO, steps: int = 2, **defaults: float) -> Shrinking:
    parser = argparse.ArgumentParser()
    add_options(parser, batch=4, fresh=2, capacity=8, validation_pairs=64, **defaults)
    words = ["--cache", "none", "--out", str(out), "--steps", str(steps)]
    torch.manual_seed(2)
    return Shrinking(parser.parse_args(words), ETTrack(config))


def test_resumes_a_run_only_with_the_same_network(tmp_path: Path) -> None:
    out = tmp_path / "run.pt"
    first = distillation(out)
    first.run()
    again = distillation(out, steps=3)
    assert again.step == 2
    weight = "cls_pred_head.cls_pred.weight"
    torch.testing.assert_close(again.network.state_dict()[weight], first.network.state_dict()[weight])
    again.run()
    assert distillation(out).step == 3
    # Networks for different windows have the same tensors.
    with pytest.raises(ValueError, match=r"run.pt is of another network: box_context: None there, 0.75 here"):
        distillation(out, replace(MICRO, box_context=0.75))


def test_a_resumed_run_trains_on_new_pairs_and_validates_on_the_same(tmp_path: Path) -> None:
    first = distillation(tmp_path / "run.pt")
    first.run()
    again = distillation(tmp_path / "run.pt", steps=3)
    again.run()
    (held, training), (held_again, training_again) = first.seeds, again.seeds
    assert held_again == held
    assert len({held, training, training_again}) == 3


def test_held_out_pairs_come_from_many_batches(tmp_path: Path) -> None:
    held = distillation(tmp_path / "run.pt").held["number"]
    assert len(held) == 64
    # A batch has two pairs.
    assert held.unique(return_counts=True)[1].tolist() == [2] * 32


def test_a_resumed_run_uses_the_new_settings(tmp_path: Path) -> None:
    out = tmp_path / "run.pt"
    distillation(out, joint=1, backbone_rate=0.1).run()
    again = distillation(out, joint=1, backbone_rate=0.5)
    assert [group.get("share") for group in again._optimizer.param_groups] == [None, 0.5]
    # It keeps the optimiser's state.
    assert len(again._optimizer.state_dict()["state"]) > 0
