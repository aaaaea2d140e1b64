"""The command that times model folders."""

import csv
import io

import pytest

from ettrack_training.bench_folders import main
from ettrack_training.micro import micro_network
from ettrack_training.model_folder import write_model_folder
from ettrack_training.trackers import RECORDED, TRACKERS

PROVENANCE = {"source": "test", "checkpoint_sha256": "none", "licence": "none"}


def test_each_folder_has_a_line_with_its_time_and_cost(tmp_path, capsys):
    folders = [tmp_path / name for name in ("micro", "mixformer2", "litetrack", "stark_st", "sutrack_b")]
    write_model_folder(TRACKERS["et_track"], micro_network(), folders[0], provenance=PROVENANCE)
    for folder in folders[1:]:
        tracker = RECORDED[folder.name]
        write_model_folder(tracker, tracker.golden_network(folder.name), folder, provenance=PROVENANCE)
    assert main([*map(str, folders), "--rounds", "2"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in rows] == [folder.name for folder in folders]
    assert all(float(row["ms"]) > 0 for row in rows)
    # Multiply-accumulates differ by a factor of some hundred, so the order of times is certain.
    assert int(rows[0]["macs_track"]) * 100 < int(rows[2]["macs_track"])
    assert float(rows[0]["ms"]) < float(rows[2]["ms"])


@pytest.mark.parametrize(
    ("text", "words"), [(None, "expected a model folder"), ("{}", "'template', expected the mani")]
)
def test_what_is_no_model_folder_is_refused(tmp_path, capsys, text, words):
    if text is not None:
        (tmp_path / "model.yaml").write_text(text)
    assert main([str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
