"""Tests of widening a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ettrack_training.checkpoint import CheckpointError
from ettrack_training.cost import parameters
from ettrack_training.distil import widen
from ettrack_training.distil.widen import Kept, measure_norms, widened
from ettrack_training.networks.et_track import ETTrack, ETTrackConfig, TowerSpec
from ettrack_training.networks.nano import NANO_BOX, NANO_CUT, NANO_FAST, SMALL
from ettrack_training.pixels import normalise
from ettrack_training.train.state import CheckpointFile

NARROW = replace(NANO_FAST, search_sizes=(128,))
WIDE = replace(SMALL, search_sizes=(128,))


def trained(network: ETTrack) -> ETTrack:
    """Gives biases and batch norms random values, as training does. In a new network they are zero and one."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    tensor.normal_(std=0.1)
    return network.eval()


@pytest.fixture
def narrow() -> ETTrack:
    torch.manual_seed(5)
    return trained(ETTrack(NARROW))


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    batch = next(stream(3))
    return tuple(normalise(torch.from_numpy(batch[name])) for name in ("template", "search"))


def stream(count: int) -> Iterator[dict[str, np.ndarray]]:
    random = np.random.default_rng(5)
    while True:
        yield {
            name: random.integers(0, 256, (count, size, size, 3), np.uint8)
            for name, size in (("template", 127), ("search", 128))
        }


def outputs(network: ETTrack, pictures: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return network(*pictures)


def test_a_widened_network_has_the_outputs_of_the_narrow_one(narrow: ETTrack, pictures: tuple) -> None:
    wide = widened(narrow, WIDE)
    for measured in (False, True):
        if measured:
            measure_norms(wide, narrow, *pictures)
        for mine, theirs in zip(outputs(wide, pictures), outputs(narrow, pictures), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_every_new_weight_can_be_trained(narrow: ETTrack, pictures: tuple) -> None:
    """Zeros on both sides of a new channel would give it no gradient for ever. After one step all have one."""
    wide = widened(narrow, WIDE)
    measure_norms(wide, narrow, *pictures)
    before = {name: value.clone() for name, value in wide.state_dict().items()}
    # The template's new channels are zero, so those of the search window get a gradient from the second step on.
    for rate in (1e-3, 2e-3):
        wide.zero_grad()
        sum(part.square().mean() for part in wide(*pictures)).backward()
        with torch.no_grad():
            for parameter in wide.parameters():
                parameter -= rate * parameter.grad.sign()
    changed = {name for name, value in wide.named_parameters() if not torch.equal(value, before[name])}
    assert {name for name, _ in wide.named_parameters()} == changed
    project = (wide.neck["project_x"].weight - before["neck.project_x.weight"]).abs()
    assert (project.amax((1, 2, 3)) > 0).all()


def test_new_channels_get_the_statistics_of_their_inputs(narrow: ETTrack, pictures: tuple) -> None:
    wide = widened(narrow, WIDE)
    measure_norms(wide, narrow, *pictures)
    seen: list[Tensor] = []
    norm = wide.cls_layers[2].BN
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    outputs(wide, pictures)
    new = seen[0][:, narrow.config.cls_tower.channels :]
    torch.testing.assert_close(norm.running_mean[-len(new[0]) :], new.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var[-len(new[0]) :], new.var((0, 2, 3)))
    # Those of the narrow network's channels stay.
    kept = narrow.cls_layers[2].BN
    assert torch.equal(norm.running_mean[: kept.num_features], kept.running_mean)
    assert sum(len(module._forward_pre_hooks) for module in wide.modules()) == 1


def test_kept_weights_return_to_those_of_the_narrow_network(narrow: ETTrack, pictures: tuple) -> None:
    wide = widened(narrow, WIDE)
    kept = Kept(wide, narrow)
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter += 0.1
    changed = [value.clone() for value in wide.parameters()]
    kept.restore()
    # A network of the same size has nothing that was added.
    for name, value in narrow.named_parameters():
        mine = wide.get_parameter(name)
        if mine.shape == value.shape:
            assert torch.equal(mine, value), name
    row, column = narrow.cls_layers[3].pointwise.weight.shape[:2]
    weight = wide.cls_layers[3].pointwise.weight
    assert torch.equal(weight[:row, :column], narrow.cls_layers[3].pointwise.weight)
    added = dict(zip([name for name, _ in wide.named_parameters()], changed, strict=True))[
        "cls_branch_4.pointwise.weight"
    ]
    assert torch.equal(weight[row:], added[row:])
    assert torch.equal(weight[:row, column:], added[:row, column:])


def test_refuses_networks_that_do_not_fit(narrow: ETTrack) -> None:
    short = replace(WIDE, cls_tower=TowerSpec(192, ("sep3", "et3")))
    with pytest.raises(CheckpointError, match="the wide network lacks cls_branch_2.BN.bias"):
        widened(narrow, short)
    with pytest.raises(CheckpointError, match=r"neck.project_z.weight: expected at most \(80, 80, 1, 1\), got"):
        widened(narrow, replace(WIDE, neck_channels=40))
    cut = ETTrack(replace(NANO_CUT, search_sizes=(128,)))
    with pytest.raises(CheckpointError, match="only new residual blocks, got backbone_net.blocks.0.0.se"):
        widened(cut, WIDE)
    with pytest.raises(CheckpointError, match="exemplar layers with one exemplar, got several"):
        widened(ETTrack(replace(NANO_BOX, search_sizes=(128,))), replace(WIDE, exemplars=4))


def test_the_command_writes_a_checkpoint(narrow: ETTrack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pairs(cache: Path, config: ETTrackConfig, batch: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
        asked.append(config.box_context)
        return stream(2)

    monkeypatch.setattr(widen, "pairs", pairs)
    start, out = tmp_path / "narrow.pt", tmp_path / "wide.pt"
    config = replace(NARROW, box_context=0.7)
    CheckpointFile(start).save({"state_dict": narrow.state_dict(), "config": config.to_dict()})
    widen.main(["--start", str(start), "--cache", str(tmp_path), "--out", str(out)])
    state = CheckpointFile(out).load()
    assert ETTrackConfig.from_dict(state["config"]) == replace(SMALL, box_context=0.7)
    assert asked == [0.7]
    wide = ETTrack(SMALL)
    wide.load_state_dict(state["state_dict"])
    assert parameters(wide) == 1_198_117


def test_the_command_names_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = tmp_path / "box.pt"
    CheckpointFile(start).save({"state_dict": ETTrack(NANO_BOX).state_dict(), "config": NANO_BOX.to_dict()})
    with pytest.raises(SystemExit, match="the wide network lacks"):
        widen.main(["--start", str(start), "--cache", str(tmp_path), "--out", str(tmp_path / "wide.pt")])


def test_refuses_to_keep_the_weights_of_a_wider_network(narrow: ETTrack) -> None:
    with pytest.raises(CheckpointError, match="the wide network lacks backbone_net.blocks.3.3"):
        Kept(narrow, ETTrack(WIDE))
