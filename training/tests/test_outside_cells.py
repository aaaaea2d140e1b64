"""Tests of the committed model that takes the cells outside the frame."""

from __future__ import annotations

from pathlib import Path

import onnx

from ettrack_training.outside_cells import graph, write


def test_the_command_makes_the_committed_model(tmp_path: Path) -> None:
    committed = Path(__file__).parents[2] / "tests/data/outside_cells"
    assert onnx.load(committed / "track.onnx").graph == onnx.load_from_string(graph()).graph
    write(tmp_path / "outside_cells")
    assert (tmp_path / "outside_cells/model.yaml").read_text() == (committed / "model.yaml").read_text()
