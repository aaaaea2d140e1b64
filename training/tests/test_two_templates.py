"""Tests of the committed model with two template images."""

from __future__ import annotations

from pathlib import Path

import onnx

from ettrack_training.two_templates import graph, write


def test_the_command_makes_the_committed_model(tmp_path: Path) -> None:
    committed = Path(__file__).parents[2] / "tests/data/two_templates"
    assert onnx.load(committed / "track.onnx").graph == graph().graph
    write(tmp_path / "two_templates")
    assert (tmp_path / "two_templates/model.yaml").read_text() == (committed / "model.yaml").read_text()
