"""What the packer and the preview refuse, and what they then leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ettrack_training.data import preview
from ettrack_training.data.pack import main


def photographs(folder: Path, count: int = 1, size: int = 96) -> Path:
    """A folder of grey pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((size, size, 3), 90, np.uint8))
    return folder


def refusal(out: Path, *words: str) -> str:
    """Why the packer ends with `error: ...` (status 1)."""
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(out), *words])
    message = str(ended.value.code)
    assert message.startswith("error: ")
    return message


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("lasot", "expected folders with a groundtruth.txt"),
        ("got10k", "expected GOT-10k sequences in"),
        ("trackingnet", "expected anno/*.txt"),
        ("vid", "Annotations/VID/train, as ImageNet VID has it"),
        ("davis", "expected the folders"),
        ("youtube-vos", "expected the folders"),
        ("index", "index.json, a list of items"),
        ("folder", "expected pictures, found none"),
    ],
)
def test_an_empty_folder_is_no_source_of_any_kind(tmp_path: Path, kind: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    message = refusal(tmp_path / "cache", f"a={kind}:{tmp_path}/empty")
    assert f"a={kind}:{tmp_path}/empty: " in message
    assert expected in message
    assert not (tmp_path / "cache").exists()


def test_the_folder_above_a_got10k_split_is_no_split(tmp_path: Path) -> None:
    photographs(tmp_path / "got10k" / "train" / "GOT-10k_Train_000001")
    message = refusal(tmp_path / "cache", f"a=got10k:{tmp_path}/got10k")
    assert f"expected {tmp_path}/got10k/train/groundtruth.txt" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"images": [', "x.json: expected COCO instances, got no JSON"),
        ("[]", "x.json: expected COCO instances, got a list"),
        ('{"images": [], "annotations": [{"id": 1}]}', "x.json: expected COCO instances, 'bbox' is missing"),
        ('{"images": [], "annotations": null}', "x.json: expected COCO instances, 'NoneType'"),
    ],
)
def test_broken_coco_instances_are_named(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "x.json").write_text(text)
    message = refusal(tmp_path / "cache", f"a=coco:{tmp_path}/x.json:{photographs(tmp_path / 'p')}")
    assert "a=coco:" in message
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "index.json: expected a list of items with frames, got a dict"),
        ('[{"boxes": []}]', "index.json: expected a list of items with frames, 'frames' is missing"),
        ('[{"frames": []}]', "index.json: expected a list of items with frames, "),
    ],
)
def test_a_broken_index_is_named(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "index.json").write_text(text)
    assert expected in refusal(tmp_path / "cache", f"a=index:{tmp_path}")


def test_broken_annotations_of_other_sets_are_named(tmp_path: Path) -> None:
    snippet = tmp_path / "vid" / "Annotations" / "VID" / "train" / "snippet"
    snippet.mkdir(parents=True)
    (snippet / "000000.xml").write_text("<annotation>")
    assert "000000.xml: expected ImageNet VID's XML" in refusal(tmp_path / "cache", f"a=vid:{tmp_path}/vid")
    chunk = tmp_path / "chunk"
    photographs(chunk / "frames" / "v").joinpath("0.png").rename(chunk / "frames" / "v" / "first.png")
    (chunk / "anno").mkdir()
    (chunk / "anno" / "v.txt").write_text("1,2,30,40\n")
    assert "first.png: expected a number as name" in refusal(tmp_path / "cache", f"a=trackingnet:{chunk}")
    for folder in ("JPEGImages", "Annotations"):
        photographs(tmp_path / "vos" / folder / "v")
    (tmp_path / "vos" / "meta.json").write_text("{}")
    assert "meta.json: expected YouTube-VOS' videos" in refusal(tmp_path / "cache", f"a=youtube-vos:{tmp_path}/vos")
    (tmp_path / "vos" / "meta.json").unlink()
    (tmp_path / "vos" / "Annotations" / "v" / "0.png").write_bytes(b"no picture")
    assert "0.png: expected a label picture" in refusal(tmp_path / "cache", f"a=youtube-vos:{tmp_path}/vos")


def test_what_a_reader_refuses_late_names_its_source_and_leaves_no_pack(tmp_path: Path) -> None:
    for number, text in enumerate(("1,1,30,30\n", "1,1,30\n"), start=1):
        photographs(tmp_path / "got" / f"s{number}").joinpath("groundtruth.txt").write_text(text)
    message = refusal(tmp_path / "cache", f"a=got10k:{tmp_path}/got")
    assert f"a=got10k:{tmp_path}/got: {tmp_path}/got/s2/groundtruth.txt:1: expected 4 numbers, got 3" in message
    assert not (tmp_path / "cache" / "a" / "clips.json").exists()


def test_a_mask_that_does_not_fit_names_its_source_and_clip(tmp_path: Path) -> None:
    pictures = photographs(tmp_path / "p")
    mask = {"counts": [5, 5], "size": [96, 96]}
    annotations = [{"image_id": 1, "bbox": [1, 1, 50, 50], "segmentation": mask}]
    images = [{"id": 1, "file_name": "0.png", "height": 96, "width": 96}]
    (tmp_path / "x.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    message = refusal(tmp_path / "cache", f"a=coco:{tmp_path}/x.json:{pictures}")
    assert f"a=coco:{tmp_path}/x.json:{pictures}: clip 0.png: expected run lengths of 96 x 96" in message


def test_pictures_that_are_not_there_are_no_source(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps([{"frames": ["a.png", "b.png"]}]))
    message = refusal(tmp_path / "cache", f"a=index:{tmp_path}")
    assert f"expected pictures, found none: the first, {tmp_path}/a.png, is not there" in message


def test_pictures_of_which_none_can_be_used_make_no_pack(tmp_path: Path) -> None:
    photographs(tmp_path / "p", count=2, size=32)
    (tmp_path / "p" / "2.png").write_bytes(b"no picture")
    message = refusal(tmp_path / "cache", f"a=folder:{tmp_path}/p")
    assert "expected readable pictures of at least 64 px a side, got 1 unreadable and 2 smaller" in message
    assert not (tmp_path / "cache" / "a" / "clips.json").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_must_be_a_folders(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path / "cache", f"{name}=folder:{photographs(tmp_path / 'p')}")
    assert "expected NAME=KIND:PATH with a NAME that a folder can have" in message
    assert not (tmp_path / "cache").exists()


def test_a_malformed_source_is_named(tmp_path: Path) -> None:
    pictures = photographs(tmp_path / "p")
    assert f"expected NAME=KIND:PATH, got 'folder:{pictures}'" in refusal(tmp_path / "cache", f"folder:{pictures}")
    assert "expected folder:<folder of photographs>, got 'folder:'" in refusal(tmp_path / "cache", "a=folder:")
    file = pictures / "0.png"
    assert f"expected {file} to be a folder" in refusal(tmp_path / "cache", f"a=folder:{file}")
    assert f"expected {pictures} to be a file" in refusal(tmp_path / "cache", f"a=coco:{pictures}:{pictures}")


def test_a_wrong_source_is_told_before_the_first_is_packed(tmp_path: Path) -> None:
    good = f"good=folder:{photographs(tmp_path / 'p')}"
    (tmp_path / "empty").mkdir()
    assert "bad=lasot:" in refusal(tmp_path / "cache", good, f"bad=lasot:{tmp_path}/empty")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("option", "value"), [("--frame-stride", "0"), ("--frame-stride", "x"), ("--size", "0")])
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, option: str, value: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(tmp_path / "cache"), f"a=folder:{photographs(tmp_path / 'p')}", option, value])
    assert f"argument {option}: expected a whole number of at least" in capsys.readouterr().err


def test_a_preview_of_no_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: expected packed sources with a clips\.json"):
        preview.main(["--cache", str(tmp_path / "nowhere")])
    assert main(["--out", str(tmp_path / "cache"), f"a=folder:{photographs(tmp_path / 'p')}"]) == 0
    with pytest.raises(SystemExit, match="error: the packed sources hold nothing for the mixture"):
        preview.main(["--cache", str(tmp_path / "cache"), "--origin", "video"])


def test_a_broken_pack_is_not_expanded(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "cache"), f"a=folder:{photographs(tmp_path / 'p')}"]) == 0
    (tmp_path / "cache" / "a" / "pictures" / "piece-0000.bin").unlink()
    message = refusal(tmp_path / "raw", "--expand", str(tmp_path / "cache"))
    assert f"{tmp_path}/cache/a: " in message
    assert "piece-0000.bin" in message
    assert not (tmp_path / "raw" / "a" / "clips.json").exists()
