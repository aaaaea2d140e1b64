"""The chart of accuracy against time."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from ettrack_training.chart import draw, main, read

DOCS = Path(__file__).parents[2] / "docs"
HEAD = "tracker,group,lasot_auc,ms\n"
SVG = "{http://www.w3.org/2000/svg}"


def test_each_tracker_with_both_numbers_is_a_point(tmp_path, capsys):
    table, output = tmp_path / "t.csv", tmp_path / "t.svg"
    table.write_text(f"{HEAD}fast & small,a,50,2\nslow,a,70,200\nunmeasured,b,60,\nunpublished,b,,5\n")
    assert main([str(table), "--output", str(output)]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    picture = ElementTree.fromstring(output.read_text())
    titles = [circle.find(f"{SVG}title").text for circle in picture.iter(f"{SVG}circle")]
    assert titles == ["fast & small: 50, 2 ms", "slow: 70, 200 ms"]
    (fast, slow) = picture.iter(f"{SVG}circle")
    # Slower is further to the right, more accurate is further up.
    assert float(slow.get("cx")) > float(fast.get("cx"))
    assert float(slow.get("cy")) < float(fast.get("cy"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tracker,ms\na,1\n", "no column group, lasot_auc"),
        (HEAD, "no column"),
        (f"{HEAD}a,a,50,\n", "no row has both"),
        (f"{HEAD}a,a,high,3\n", "line 2"),
        (f"{HEAD}a,a,50,0\n", "a time above 0"),
        (f"{HEAD}a,a,500,1\n", "expected a percentage"),
    ],
)
def test_a_table_without_points_is_refused(tmp_path, capsys, text, words):
    table = tmp_path / "t.csv"
    table.write_text(text)
    assert main([str(table), "--output", str(tmp_path / "t.svg")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "t.svg").exists()


def test_a_missing_table_is_refused(tmp_path, capsys):
    assert main([str(tmp_path / "none.csv"), "--output", str(tmp_path / "t.svg")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_the_documents_chart_is_of_the_documents_table():
    assert (DOCS / "images/trackers.svg").read_text() == draw(read(DOCS / "trackers.csv"))
