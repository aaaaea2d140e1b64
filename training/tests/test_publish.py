"""Tests of model folders of checkpoints that were trained here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from ettrack_training.distil.publish import CONSTANTS, LOST, WEIGHTS, main
from ettrack_training.micro import MICRO, micro_network
from ettrack_training.networks.et_track import ETTrack
from ettrack_training.train.state import CheckpointFile


def test_the_folder_has_the_given_description_and_by_default_names_no_teacher(tmp_path: Path) -> None:
    checkpoint, settings = tmp_path / "run.pt", tmp_path / "tracking.yaml"
    CheckpointFile(checkpoint).save({"state_dict": micro_network().state_dict(), "config": MICRO.to_dict()})
    constants = {"tracking": {"default": {"window_influence": 0.5, "penalty_k": 0.04, "learning_rate": 0.9}}}
    settings.write_text(yaml.safe_dump(constants))
    main([str(checkpoint), str(tmp_path / "plain")])
    main([str(checkpoint), str(tmp_path / "told"), "--settings", str(settings), "--description", "a test"])
    plain, told = (yaml.safe_load((tmp_path / name / "model.yaml").read_text()) for name in ("plain", "told"))
    assert plain["description"] == "E.T.Track's building blocks, trained in this repository"
    assert told["description"] == "a test"
    assert told["tracking"] == constants["tracking"] != plain["tracking"]


def test_a_given_backbone_replaces_the_checkpoints(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network, backbone = micro_network(), ETTrack(MICRO).backbone_net.state_dict()

    def checksums(name: str, *options: str) -> dict[str, dict[str, str]]:
        """Checksums of the graphs in a folder that is published under this name."""
        CheckpointFile(tmp_path / "run.pt").save({"state_dict": network.state_dict(), "config": MICRO.to_dict()})
        main([str(tmp_path / "run.pt"), str(tmp_path / name), *options])
        return yaml.safe_load((tmp_path / name / "model.yaml").read_text())["files"]

    CheckpointFile(tmp_path / "backbone.pt").save({"backbone": backbone})
    told = checksums("told", "--backbone", str(tmp_path / "backbone.pt"))
    network.backbone_net.load_state_dict(backbone)
    assert told == checksums("expected")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tracking": {"default": {"penalty": 0.1}}}, r"unknown tracking\.default\.penalty; expected among window"),
        ({"lost": {"weights": {"colour": 1}}}, r"unknown lost\.weights\.colour"),
        ({"losts": {}}, "unknown losts; expected among tracking, lost"),
        (3, "expected keys and values, got 3"),
    ],
)
def test_refuses_settings_that_the_runtime_refuses_and_keeps_the_folder(
    tmp_path: Path, settings: object, named: str
) -> None:
    checkpoint, folder, path = tmp_path / "run.pt", tmp_path / "model", tmp_path / "settings.yaml"
    CheckpointFile(checkpoint).save({"state_dict": micro_network().state_dict(), "config": MICRO.to_dict()})
    main([str(checkpoint), str(folder)])
    before = (folder / "model.yaml").read_bytes()
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(SystemExit, match=named):
        main([str(checkpoint), str(folder), "--settings", str(path)])
    assert (folder / "model.yaml").read_bytes() == before
    with pytest.raises(SystemExit, match="error: .*absent.yaml"):
        main([str(checkpoint), str(folder), "--settings", str(tmp_path / "absent.yaml")])


def test_the_known_settings_equal_the_runtimes() -> None:
    source = Path(__file__).parents[2] / "crates/ettrack/src"

    def fields(file: str, struct: str) -> set[str]:
        body = (source / file).read_text().split(f"pub struct {struct} {{")[1].split("\n}")[0]
        return set(re.findall(r"^    pub (\w+):", body, re.MULTILINE))

    lost = (source / "model/lost.rs").read_text()
    weights = lost.split("\nweights_and_features! {")[1].split("\n}")[0]
    constants = "".join(path.read_text() for path in (source / "families").glob("*.rs"))
    assert set(re.findall(r'Constant::(?:needed|optional)\(\s*"(\w+)"', constants)) == set(CONSTANTS)
    assert fields("model/lost.rs", "LostSettings") == set(LOST)
    assert {"bias", *re.findall(r"^    (\w+) = ", weights, re.MULTILINE)} == set(WEIGHTS)
