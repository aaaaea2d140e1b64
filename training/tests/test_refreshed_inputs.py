"""Tests of the committed models that take cells or a box of a second template image."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from ettrack_training.refreshed_inputs import box_graph, outside_graph, write


@pytest.mark.parametrize(("name", "graph"), [("refreshed_outside", outside_graph), ("refreshed_box", box_graph)])
def test_the_command_makes_the_committed_models(tmp_path: Path, name: str, graph) -> None:
    committed = Path(__file__).parents[2] / "tests/data" / name
    assert onnx.load(committed / "track.onnx").graph == onnx.load_from_string(graph()).graph
    write(tmp_path)
    assert (tmp_path / name / "model.yaml").read_text() == (committed / "model.yaml").read_text()
