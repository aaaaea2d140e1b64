"""Training in two processes that `torchrun` starts, compared with one process with the whole batch.

The two processes run this file, too.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from ettrack_training import processes
from ettrack_training.data.pack import pack
from ettrack_training.data.readers import open_source
from ettrack_training.distil.losses import head_loss, total
from ettrack_training.micro import MICRO
from ettrack_training.networks.et_track import ETTrack
from ettrack_training.train.__main__ import main
from ettrack_training.train.forward import maps
from ettrack_training.train.log import CsvLog
from ettrack_training.train.loop import Training, TrainingError, make_optimizer
from ettrack_training.train.losses import objective
from ettrack_training.train.recipe import Data, Optimizer, Recipe, RecipeError, Run, Schedule
from ettrack_training.train.state import CheckpointFile

RECIPE = Recipe(
    name="micro",
    network=MICRO,
    data=Data(batch=8, workers=0),
    # The backbone is fixed at first, so its parameters are unused.
    optimizer=Optimizer(kind="sgd", rate=0.02, clip=1.0, frozen_backbone=1),
    schedule=Schedule(steps=4, shape="cosine", final=0.1),
    run=Run(save_every=1, validation_pairs=8, ema=0.9),
)


def prepare(folder: Path) -> None:
    """Packed pictures of noise, a recipe, and weights to start from."""
    for number, noise in enumerate(np.random.default_rng(4).integers(0, 256, (2, 90, 120, 3), np.uint8)):
        cv2.imwrite(str(folder / f"{number}.png"), noise)
    pack(open_source(f"folder:{folder}"), folder / "cache" / "photographs")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE.to_dict()))
    torch.manual_seed(3)
    CheckpointFile(folder / "start.pt").save({"state_dict": ETTrack(MICRO).state_dict()})


def train(folder: Path, out: str, *more: str) -> int:
    """Runs the command and returns its exit status. The whole run has four steps."""
    words = ["--recipe", folder / "recipe.yaml", "--cache", folder / "cache", "--start", folder / "start.pt"]
    return main([*map(str, words), "--device", "cpu", "--out", str(folder / out), *more])


def interrupted_and_resumed(folder: Path, out: str) -> None:
    """A run whose first half ended after two steps."""
    assert train(folder, out, "--steps", "2") == 0
    assert train(folder, out, "--resume") == 0


def curve(out: Path) -> np.ndarray:
    """Returns the losses and the validation's figures of each step."""
    with (out / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("seconds", "rate")]
    return np.array([[float(row[name]) for name in names] for row in rows])


def test_two_processes_give_the_curve_of_one_and_go_on_where_they_were(tmp_path: Path) -> None:
    prepare(tmp_path)
    interrupted_and_resumed(tmp_path, "one")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    # Only the first process prints messages.
    assert done.stderr.count("resuming after step 2") == 1
    assert done.stderr.count("error: data.batch: expected a multiple of 2, the number of processes, got 7") == 1

    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert one[:, 0].tolist() == two[:, 0].tolist() == [1, 2, 3, 4]
    assert len(set(one[:, 1])) == 4
    # This network enlarges the rounding of sums in another order. `gradients_are_those_of_the_whole_batch` shows that
    # it is no more than that.
    np.testing.assert_allclose(two, one, rtol=5e-3, atol=2e-4)
    averages = [CheckpointFile(tmp_path / name / "checkpoint.pt").load()["ema"] for name in ("one", "two")]
    assert averages[0]["updates"] == averages[1]["updates"] == 4


def test_a_process_gets_its_part_of_what_a_recipe_says() -> None:
    taught = replace(RECIPE, data=replace(RECIPE.data, fresh=6, memory=7), loss=replace(RECIPE.loss, teacher=1.0))
    with pytest.raises(RecipeError, match=r"data.fresh: expected a multiple of 4, the number of processes, got 6"):
        taught.for_processes(4)
    assert taught.for_processes(2).data == replace(taught.data, batch=4, fresh=3, memory=4)
    assert RECIPE.for_processes(1) == RECIPE


def test_devices_that_several_processes_cannot_share_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(ValueError, match="expected cpu or cuda where torchrun starts several processes, got mps"),
        processes.joined("mps"),
    ):
        pass


def norms_are_those_of_the_whole_batch(half: slice) -> None:
    """Output, gradient and statistics of a batch norm that gets a half of the batch in each process."""
    random = torch.Generator().manual_seed(5)
    images = torch.randn(8, 3, 5, 5, generator=random, dtype=torch.float64)
    images[4:] += 2
    norms = [torch.nn.BatchNorm2d(3).double() for _ in range(2)]
    processes.share_norms(norms[1])
    assert type(norms[0]) is torch.nn.BatchNorm2d
    whole, part = images.clone().requires_grad_(), images[half].clone().requires_grad_()
    expected = norms[0](whole).square().mul(images).mean()
    expected.backward()
    found = norms[1](part).square().mul(images[half]).mean()
    found.backward()
    torch.testing.assert_close(processes.mean(found), expected.detach())
    # The loss of the whole batch is the mean of the two losses.
    torch.testing.assert_close(part.grad / 2, whole.grad[half])
    for name, value in norms[0].state_dict().items():
        torch.testing.assert_close(norms[1].state_dict()[name], value, msg=name)
    torch.testing.assert_close(processes.variance(images[half]), images.var((0, 2, 3), keepdim=True))


def losses_are_those_of_the_whole_batch(half: slice) -> None:
    """The first half shows more targets than the second, so that a mean of the halves' means would differ."""
    random = torch.Generator().manual_seed(6)
    cls, teacher = torch.randn(2, 12, 1, 4, 4, generator=random)
    reg, teacher_reg = torch.rand(2, 12, 4, 4, 4, generator=random) * 40
    low = torch.rand(12, 2, generator=random) * 20
    batch = cls, reg, torch.cat([low, low + 24], 1), torch.arange(12) < 7, teacher, teacher_reg
    mine = processes.mean(total(head_loss(*(value[half] for value in batch))))
    # Both processes have the whole batch, so that each part is half of the result.
    torch.testing.assert_close(mine, processes.mean(total(head_loss(*batch))))
    assert not torch.isclose(mine, total(head_loss(*(value[half] for value in batch))))


def gradients_are_those_of_the_whole_batch(half: slice, folder: Path) -> None:
    """Compares the gradient of every parameter, in double precision."""
    random = torch.Generator().manual_seed(7)
    low = torch.rand(8, 2, generator=random) * 20
    batch = {
        "template": torch.randn(8, 3, 32, 32, generator=random, dtype=torch.float64),
        "search": torch.randn(8, 3, 64, 64, generator=random, dtype=torch.float64),
        "box": torch.cat([low, low + 24], 1),
        "present": torch.arange(8) < 5,
    }
    torch.manual_seed(3)
    alone, shared = ETTrack(MICRO).double().train(), ETTrack(MICRO).double().train()
    shared.load_state_dict(alone.state_dict())
    run = Training(
        RECIPE, shared, checkpoint=CheckpointFile(folder / "none.pt"), log=CsvLog(folder / "none.csv"), device="cpu"
    )
    loss, _ = run._objective({name: value[half] for name, value in batch.items()})
    loss.backward()
    cls, reg, features = maps(alone, batch, "pictures")
    expected, _ = objective(cls.float(), reg.float(), features, batch, RECIPE.labels, RECIPE.loss)
    # Here each process has the whole batch, so it computes half of the mean over both.
    expected.backward()
    torch.testing.assert_close(processes.mean(loss), processes.mean(expected))
    theirs = dict(shared.named_parameters())
    for name, parameter in alone.named_parameters():
        scale = parameter.grad.abs().max()
        torch.testing.assert_close(theirs[name].grad, parameter.grad, rtol=0, atol=1e-5 * scale + 1e-9, msg=name)


def checkpoints_of_different_steps_are_refused(folder: Path) -> None:
    """Only the second process has a checkpoint, like on machines that do not share their disk."""
    file = CheckpointFile(folder / f"own-{processes.number()}" / "checkpoint.pt")
    network, recipe = ETTrack(MICRO), replace(RECIPE, run=replace(RECIPE.run, ema=0.0))
    if processes.number() == 1:
        optimizer = make_optimizer(network, recipe).state_dict()
        content = {"state_dict": network.state_dict(), "config": MICRO.to_dict(), "optimizer": optimizer, "step": 1}
        file.save(content)
    with pytest.raises(TrainingError, match="but they would resume after the steps 0, 1"):
        Training(recipe, network, checkpoint=file, log=CsvLog(folder / "log.csv"))


def in_two_processes(folder: Path) -> None:
    """The program of each of the two processes."""
    with processes.joined("cpu") as device:
        number = processes.number()
        assert processes.gathered(number + 7, device) == [7, 8]
        norms_are_those_of_the_whole_batch(slice(4 * number, 4 * number + 4))
        losses_are_those_of_the_whole_batch(slice(6 * number, 6 * number + 6))
        gradients_are_those_of_the_whole_batch(slice(4 * number, 4 * number + 4), folder)
        checkpoints_of_different_steps_are_refused(folder)
        interrupted_and_resumed(folder, "two")
        odd = folder / f"odd-{number}.yaml"
        odd.write_text(yaml.safe_dump(replace(RECIPE, data=replace(RECIPE.data, batch=7)).to_dict()))
        assert train(folder, "odd", "--recipe", str(odd)) == 2


if __name__ == "__main__":
    in_two_processes(Path(sys.argv[1]))
