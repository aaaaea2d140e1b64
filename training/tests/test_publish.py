"""Model folders of checkpoints trained here."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from ettrack_training.distil.publish import main
from ettrack_training.micro import MICRO, micro_network
from ettrack_training.networks.et_track import ETTrack
from ettrack_training.train.state import CheckpointFile


def test_a_folder_says_what_it_is_told_and_else_claims_no_teacher(tmp_path: Path) -> None:
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


def test_a_backbone_of_its_own_replaces_the_checkpoints(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network, backbone = micro_network(), ETTrack(MICRO).backbone_net.state_dict()

    def checksums(name: str, *options: str) -> dict[str, dict[str, str]]:
        """Of the graphs in a folder published under this name."""
        CheckpointFile(tmp_path / "run.pt").save({"state_dict": network.state_dict(), "config": MICRO.to_dict()})
        main([str(tmp_path / "run.pt"), str(tmp_path / name), *options])
        return yaml.safe_load((tmp_path / name / "model.yaml").read_text())["files"]

    CheckpointFile(tmp_path / "backbone.pt").save({"backbone": backbone})
    told = checksums("told", "--backbone", str(tmp_path / "backbone.pt"))
    network.backbone_net.load_state_dict(backbone)
    assert told == checksums("expected")
