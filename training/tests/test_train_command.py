"""Tests of input that the training command refuses before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ettrack_training.networks.et_track import ETTrack
from ettrack_training.train.__main__ import main
from ettrack_training.train.recipe import Recipe
from ettrack_training.train.state import CheckpointFile

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def refused(capsys: pytest.CaptureFixture, recipe: Path, folder: Path, *more: str) -> str:
    """The single line on standard error of a command that must end with status 2."""
    status = main(["--recipe", str(recipe), "--cache", str(folder / "cache"), "--out", str(folder / "run"), *more])
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def start(tmp_path: Path) -> list[str]:
    """Options that start the smoke recipe from existing weights."""
    network = ETTrack(Recipe.load(RECIPES / "smoke.yaml").network)
    CheckpointFile(tmp_path / "start.pt").save({"state_dict": network.state_dict()})
    return ["--device", "cpu", "--start", str(tmp_path / "start.pt")]


def test_refuses_wrong_usage_and_names_it(tmp_path: Path, start: list[str], capsys: pytest.CaptureFixture) -> None:
    smoke, nano = RECIPES / "smoke.yaml", RECIPES / "ettrack-nano.yaml"
    assert "nowhere.yaml: cannot be read" in refused(capsys, tmp_path / "nowhere.yaml", tmp_path)
    assert "expected --teacher DIR" in refused(capsys, nano, tmp_path, "--device", "cpu")
    teacher = str(tmp_path / "teacher")
    assert "backbone.onnx" in refused(capsys, nano, tmp_path, "--device", "cpu", "--teacher", teacher)
    assert "clips.json" in refused(capsys, smoke, tmp_path, *start, "--workers", "0")
    assert "got 'otb100'" in refused(capsys, smoke, tmp_path, *start, "--eval", "otb100")
    missing = str(tmp_path / "ettrack")
    words = [*start, "--eval", "vot=/data", "--ettrack", missing]
    assert f"{missing}: expected the ettrack command line" in refused(capsys, smoke, tmp_path, *words)
    assert "backbone.pt: no such file" in refused(
        capsys, smoke, tmp_path, "--device", "cpu", "--backbone", str(tmp_path / "backbone.pt")
    )
    if not torch.cuda.is_available():
        assert "no CUDA device" in refused(capsys, smoke, tmp_path, *start, "--device", "cuda")


@pytest.mark.parametrize("recipe", ["ettrack", "ettrack-nano-gpu", "ettrack-nano-head", "ettrack-nano-truth"])
def test_refuses_to_keep_a_backbone_of_random_weights_fixed(
    tmp_path: Path, capsys: pytest.CaptureFixture, recipe: str
) -> None:
    words = ["--device", "cpu", "--teacher", str(tmp_path / "teacher")]
    message = refused(capsys, RECIPES / f"{recipe}.yaml", tmp_path, *words)
    assert f"the recipe {recipe} does not train its backbone at first: expected --backbone or --start FILE" in message


def test_refuses_to_overwrite_an_existing_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"")
    message = refused(capsys, RECIPES / "smoke.yaml", tmp_path, "--device", "cpu")
    assert "exists already: give --resume" in message
    damaged = refused(capsys, RECIPES / "smoke.yaml", tmp_path, "--device", "cpu", "--resume")
    assert "checkpoint.pt: expected a checkpoint" in damaged
