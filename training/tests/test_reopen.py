"""Tests of reopening exported networks for training."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ettrack_training.micro import MICRO, micro_network
from ettrack_training.model_folder import write_model_folder
from ettrack_training.networks.et_track import ETTrack, ETTrackConfig
from ettrack_training.networks.nano import NANO, NANO_BOX, NANO_FAST, SMALL
from ettrack_training.reopen import ReopenError, config_of, difference, main, reopen
from ettrack_training.trackers import TRACKERS
from ettrack_training.train.state import CheckpointFile

PROVENANCE = {"source": "test", "checkpoint_sha256": "none", "licence": "none"}


def pictures(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(seed)
    while True:
        yield (
            torch.randn(4, 3, MICRO.template_size, MICRO.template_size, generator=random),
            torch.randn(4, 3, MICRO.search_sizes[0], MICRO.search_sizes[0], generator=random),
        )


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model_folder(TRACKERS["et_track"], micro_network(), tmp_path / "model", provenance=PROVENANCE)
    return tmp_path / "model"


def test_a_reopened_network_computes_what_the_graphs_compute(folder: Path) -> None:
    network = reopen(folder, MICRO, pictures(1), 4)
    template, search = next(pictures(2))
    for value in difference(network, folder, template[:1], search[:1]).values():
        assert value < 1e-3


def test_batch_norms_have_the_statistics_of_their_inputs(folder: Path) -> None:
    seen = list(itertools.islice(pictures(1), 4))
    network = reopen(folder, MICRO, iter(seen), 4)
    inputs: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms(network)}
    for norm in inputs:
        norm.register_forward_pre_hook(lambda module, given: inputs[module].append(given[0]))
    with torch.no_grad():
        for pair in seen:
            network(*pair)
    for norm, given in inputs.items():
        values = torch.cat([value.transpose(0, 1).flatten(1) for value in given], 1)
        torch.testing.assert_close(norm.running_mean, values.mean(1), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(norm.running_var, values.var(1, correction=0).clamp_min(1e-6), rtol=1e-2, atol=1e-5)


def test_a_reopened_network_exports_the_same_model(folder: Path, tmp_path: Path) -> None:
    network = reopen(folder, MICRO, pictures(1), 4)
    write_model_folder(TRACKERS["et_track"], network, tmp_path / "again", provenance=PROVENANCE)
    template, search = next(pictures(3))
    for value in difference(network, tmp_path / "again", template[:1], search[:1]).values():
        assert value < 1e-3


@pytest.mark.parametrize("config", [NANO_BOX, NANO_FAST, SMALL])
def test_the_command_keeps_the_folders_network_and_windows(
    tmp_path: Path, config: ETTrackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    network = ETTrack(config)
    # An export stores equal tensors once. Tensors of a trained network differ.
    for value in network.state_dict().values():
        if value.ndim == 1:
            nn.init.uniform_(value, 0.5, 1.5)
    model, photograph, out = tmp_path / "model", tmp_path / "pictures" / "one.png", tmp_path / "start.pt"
    write_model_folder(TRACKERS["et_track"], network, model, provenance=PROVENANCE)
    photograph.parent.mkdir()
    cv2.imwrite(str(photograph), np.random.default_rng(3).integers(0, 256, (96, 128, 3), np.uint8))
    main([str(model), "--pictures", str(photograph.parent), "--out", str(out), "--batches", "1"])
    assert ETTrackConfig.from_dict(CheckpointFile(out).load()["config"]) == config
    printed = [float(line.rsplit(" ", 1)[1]) for line in capsys.readouterr().out.splitlines() if "largest" in line]
    assert len(printed) == 2 and max(printed) < 1e-3
    write_model_folder(TRACKERS["et_track"], micro_network(), tmp_path / "square", provenance=PROVENANCE)
    assert config_of(tmp_path / "square") == NANO


def test_refuses_another_network(folder: Path) -> None:
    assert ETTrack(NANO).config != MICRO
    with pytest.raises(ReopenError, match="template.onnx"):
        reopen(folder, NANO, pictures(1), 1)
