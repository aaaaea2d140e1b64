"""Tests of the packer and the preview: refused input, the state after an error, and the record of a pack's source."""

from __future__ import annotations

import json
import subprocess
import sys
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest

from ettrack_training.data import pack as packer
from ettrack_training.data import preview
from ettrack_training.data.dataset import Dataset
from ettrack_training.data.evaluation import BENCHMARKS
from ettrack_training.data.pack import PackOptions, main, pack
from ettrack_training.data.readers import lasot_split
from ettrack_training.data.records import Clip
from ettrack_training.data.store import Store, StoreWriter


def photographs(folder: Path, count: int = 1, size: int = 96) -> Path:
    """Makes a folder of grey pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((size, size, 3), 90, np.uint8))
    return folder


def refusal(out: Path, *words: str) -> str:
    """The message with which the packer ends, `error: ...` (status 1)."""
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(out), *words])
    message = str(ended.value.code)
    assert message.startswith("error: ")
    return message


def content(folder: Path) -> dict[str, bytes]:
    """The content of every file in a folder and its subfolders."""
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
def test_refuses_an_empty_folder_for_each_kind(tmp_path: Path, kind: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    message = refusal(tmp_path / "cache", f"a={kind}:{tmp_path}/empty")
    assert f"a={kind}:{tmp_path}/empty: " in message
    assert expected in message
    assert not (tmp_path / "cache").exists()


def test_refuses_the_folder_above_a_got10k_split(tmp_path: Path) -> None:
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
def test_refuses_broken_coco_instances_and_names_the_file(tmp_path: Path, text: str, expected: str) -> None:
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
def test_refuses_a_broken_index_and_names_the_file(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "index.json").write_text(text)
    assert expected in refusal(tmp_path / "cache", f"a=index:{tmp_path}")


def test_refuses_broken_annotations_of_other_sets_and_names_the_file(tmp_path: Path) -> None:
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


def test_a_late_error_of_a_reader_names_its_source_and_leaves_no_pack(tmp_path: Path) -> None:
    for number, text in enumerate(("1,1,30,30\n", "1,1,30\n"), start=1):
        photographs(tmp_path / "got" / f"s{number}").joinpath("groundtruth.txt").write_text(text)
    message = refusal(tmp_path / "cache", f"a=got10k:{tmp_path}/got")
    assert f"a=got10k:{tmp_path}/got: {tmp_path}/got/s2/groundtruth.txt:1: expected 4 numbers, got 3" in message
    assert not (tmp_path / "cache" / "a" / "clips.json").exists()


def test_refuses_a_mask_that_does_not_fit_and_names_its_clip(tmp_path: Path) -> None:
    pictures = photographs(tmp_path / "p")
    mask = {"counts": [5, 5], "size": [96, 96]}
    annotations = [{"image_id": 1, "bbox": [1, 1, 50, 50], "segmentation": mask}]
    images = [{"id": 1, "file_name": "0.png", "height": 96, "width": 96}]
    (tmp_path / "x.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    message = refusal(tmp_path / "cache", f"a=coco:{tmp_path}/x.json:{pictures}")
    assert f"a=coco:{tmp_path}/x.json:{pictures}: clip 0.png: expected run lengths of 96 x 96" in message


def test_refuses_a_source_whose_pictures_are_missing(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps([{"frames": ["a.png", "b.png"]}]))
    message = refusal(tmp_path / "cache", f"a=index:{tmp_path}")
    assert f"expected pictures, found none: the first, {tmp_path}/a.png, is not there" in message


def test_refuses_a_source_without_usable_pictures(tmp_path: Path) -> None:
    photographs(tmp_path / "p", count=2, size=32)
    (tmp_path / "p" / "2.png").write_bytes(b"no picture")
    message = refusal(tmp_path / "cache", f"a=folder:{tmp_path}/p")
    assert "expected readable pictures of at least 64 px a side, got 1 unreadable and 2 smaller" in message
    assert not (tmp_path / "cache" / "a" / "clips.json").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_refuses_a_name_that_cannot_be_a_folder(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path / "cache", f"{name}=folder:{photographs(tmp_path / 'p')}")
    assert "expected NAME=KIND:PATH with a NAME that a folder can have" in message
    assert not (tmp_path / "cache").exists()


def test_refuses_a_malformed_source(tmp_path: Path) -> None:
    pictures = photographs(tmp_path / "p")
    assert f"expected NAME=KIND:PATH, got 'folder:{pictures}'" in refusal(tmp_path / "cache", f"folder:{pictures}")
    assert "expected folder:<folder of photographs>, got 'folder:'" in refusal(tmp_path / "cache", "a=folder:")
    file = pictures / "0.png"
    assert f"expected {file} to be a folder" in refusal(tmp_path / "cache", f"a=folder:{file}")
    assert f"expected {pictures} to be a file" in refusal(tmp_path / "cache", f"a=coco:{pictures}:{pictures}")


def test_refuses_a_wrong_source_before_packing_the_first(tmp_path: Path) -> None:
    good = f"good=folder:{photographs(tmp_path / 'p')}"
    (tmp_path / "empty").mkdir()
    assert "bad=lasot:" in refusal(tmp_path / "cache", good, f"bad=lasot:{tmp_path}/empty")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("option", "value"), [("--frame-stride", "0"), ("--frame-stride", "x"), ("--size", "0")])
def test_refuses_numbers_out_of_range(tmp_path: Path, capsys: pytest.CaptureFixture, option: str, value: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(tmp_path / "cache"), f"a=folder:{photographs(tmp_path / 'p')}", option, value])
    assert f"argument {option}: expected a whole number of at least" in capsys.readouterr().err


def test_refuses_a_preview_of_a_missing_cache(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: expected packed sources with a clips\.json"):
        preview.main(["--cache", str(tmp_path / "nowhere")])
    assert main(["--out", str(tmp_path / "cache"), f"a=folder:{photographs(tmp_path / 'p')}"]) == 0
    with pytest.raises(SystemExit, match="error: the packed sources hold nothing for the mixture"):
        preview.main(["--cache", str(tmp_path / "cache"), "--origin", "video"])


def test_refuses_to_expand_a_broken_pack(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "cache"), f"a=folder:{photographs(tmp_path / 'p')}"]) == 0
    (tmp_path / "cache" / "a" / "pictures" / "piece-0000.bin").unlink()
    message = refusal(tmp_path / "raw", "--expand", str(tmp_path / "cache"))
    assert f"{tmp_path}/cache/a: " in message
    assert "piece-0000.bin" in message
    assert not (tmp_path / "raw" / "a" / "clips.json").exists()


def test_refuses_two_sources_with_one_name(tmp_path: Path) -> None:
    one, two = (f"tn=folder:{photographs(tmp_path / name)}" for name in ("one", "two"))
    message = refusal(tmp_path / "cache", one, two)
    assert f"expected a NAME of its own for each source, got tn twice: {one} and {two}" in message
    assert not (tmp_path / "cache").exists()


def test_refuses_to_add_another_source_to_a_pack(tmp_path: Path) -> None:
    one, two = (f"folder:{photographs(tmp_path / name)}" for name in ("one", "two"))
    cache = tmp_path / "cache"
    assert main(["--out", str(cache), f"a={one}"]) == 0
    before = content(cache)
    message = refusal(cache, f"b={two}", f"a={two}")
    assert f"a={two}: {cache}/a holds {one} (size 360, codec raw, frame stride 1), not {two} (size 360," in message
    assert content(cache) == before


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [("--size", "80", "size 80"), ("--codec", "webp", "codec webp"), ("--frame-stride", "2", "frame stride 2")],
)
def test_refuses_to_add_pictures_with_other_options_to_a_pack(
    tmp_path: Path, option: str, value: str, named: str
) -> None:
    words = [f"a=folder:{photographs(tmp_path / 'p')}", option]
    assert main(["--out", str(tmp_path / "cache"), words[0]]) == 0
    before = content(tmp_path / "cache")
    message = refusal(tmp_path / "cache", *words, value)
    holds, wanted = message.split(", not ")
    assert "(size 360, codec raw, frame stride 1)" in holds
    assert named in wanted
    assert content(tmp_path / "cache") == before


def test_the_same_command_resumes_a_pack(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs(tmp_path / "p")
    assert main(["--out", str(tmp_path / "cache"), f"a=folder:{tmp_path}/p"]) == 0
    photographs(tmp_path / "p", count=3)
    # The same folder as a relative path. Cut-outs and windows may be added later.
    monkeypatch.chdir(tmp_path)
    assert main(["--out", "cache", "a=folder:./p/", "--segment", "--windows"]) == 0
    assert "a: 2 pictures" in capsys.readouterr().out
    assert len(Dataset(tmp_path / "cache").clips) == 3


def test_a_pack_without_a_record_opens_and_gets_the_record_of_the_next_run(tmp_path: Path) -> None:
    one, two = (f"a=folder:{photographs(tmp_path / name)}" for name in ("one", "two"))
    cache = tmp_path / "cache"
    assert main(["--out", str(cache), one]) == 0
    (cache / "a" / "source.json").unlink()
    assert len(Dataset(cache).clips) == 1
    assert main(["--out", str(cache), one]) == 0
    assert " holds folder:" in refusal(cache, two)


def test_a_source_that_stored_nothing_can_be_replaced(tmp_path: Path) -> None:
    small = photographs(tmp_path / "small", size=32)
    cache = tmp_path / "cache"
    refusal(cache, f"a=folder:{small}")
    assert main(["--out", str(cache), f"a=folder:{photographs(tmp_path / 'p')}"]) == 0


def test_an_interrupted_pack_keeps_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (f"a=folder:{photographs(tmp_path / name, count=2)}" for name in ("one", "two"))
    add = StoreWriter.add

    def interrupted(writer: StoreWriter, key: str, *more: object) -> None:
        if key.startswith("1.png"):
            writer.close()
            raise KeyboardInterrupt
        add(writer, key, *more)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            main(["--out", str(tmp_path / "cache"), one])
    assert " holds folder:" in refusal(tmp_path / "cache", two)
    assert main(["--out", str(tmp_path / "cache"), one]) == 0
    assert len(Dataset(tmp_path / "cache").clips) == 2


def test_an_expanded_pack_keeps_its_source(tmp_path: Path) -> None:
    one, two = (f"a=folder:{photographs(tmp_path / name)}" for name in ("one", "two"))
    for cache, source in (("webp", one), ("other", two)):
        assert main(["--out", str(tmp_path / cache), source, "--codec", "webp"]) == 0
    raw, expand = tmp_path / "raw", ["--expand", str(tmp_path / "webp")]
    assert "got a twice" in refusal(raw, *expand, one)
    for _ in range(2):
        assert main(["--out", str(raw), *expand]) == 0
    assert main(["--out", str(raw), one]) == 0
    assert " holds folder:" in refusal(raw, two)
    assert " holds folder:" in refusal(raw, "--expand", str(tmp_path / "other"))
    (tmp_path / "other" / "a" / "source.json").unlink()
    assert "not a pack without a record" in refusal(raw, "--expand", str(tmp_path / "other"))


def test_refuses_to_expand_a_cache_into_itself(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cache = str(tmp_path / "cache")
    assert main(["--out", cache, f"a=folder:{photographs(tmp_path / 'p')}", "--codec", "webp"]) == 0
    with pytest.raises(SystemExit, match="2"):
        main(["--out", cache, "--expand", f"{cache}/"])
    assert "expected another folder than --out" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"source": "folder:/p"}', '{"source": 1, "size": 1, "codec": 1, "x": 1}'])
def test_refuses_a_broken_record_and_names_the_file(tmp_path: Path, text: str) -> None:
    source = f"a=folder:{photographs(tmp_path / 'p')}"
    assert main(["--out", str(tmp_path / "cache"), source]) == 0
    (tmp_path / "cache" / "a" / "source.json").write_text(text)
    assert "cache/a/source.json: expected source, size, codec, frame_stride" in refusal(tmp_path / "cache", source)


def video(folder: Path, count: int = 2) -> Path:
    """Makes a folder with `index.json`: a video of grey pictures in a subfolder."""
    photographs(folder / "img", count)
    item = {"frames": [f"img/{number}.png" for number in range(count)], "boxes": [[40, 40, 20, 20]] * count}
    (folder / "index.json").write_text(json.dumps([item]))
    return folder


@pytest.mark.parametrize(
    ("name", "benchmark"),
    [
        ("Human3", "OTB-100"),
        ("jogging-1", "OTB-100"),
        ("wakeboard10", "UAV123"),
        ("person12_1", "UAV123"),
        ("zebrafish1", "VOT"),
        ("freesbiedog", "VOT-LT"),
        ("airplane-13", "LaSOT's test split"),
        ("snowboarding4", "a benchmark, renamed"),
    ],
)
def test_refuses_videos_on_which_trackers_are_evaluated(tmp_path: Path, name: str, benchmark: str) -> None:
    message = refusal(tmp_path / "cache", f"a=index:{video(tmp_path / name)}")
    assert f"{name} is a sequence of {benchmark}" in message
    assert f"--namesake {name}" in message
    assert not (tmp_path / "cache" / "a" / "clips.json").exists()


def test_packs_namesakes_and_photographs_and_other_videos(tmp_path: Path) -> None:
    others = video(tmp_path / "airplane-2"), video(tmp_path / "breakdance")
    words = [f"{number}=index:{folder}" for number, folder in enumerate(others)]
    words += [f"dog=index:{video(tmp_path / 'Dog')}", f"still=folder:{photographs(tmp_path / 'all' / 'dog').parent}"]
    assert main(["--out", str(tmp_path / "cache"), "--namesake", "dog", *words]) == 0
    assert len(Dataset(tmp_path / "cache").sources) == 4


def lasot(root: Path, *names: str) -> Path:
    """Makes LaSOT's layout with sequences of two grey frames."""
    for name in names:
        folder = root / name.rsplit("-", 1)[0] / name
        photographs(folder / "img", count=2)
        (folder / "groundtruth.txt").write_text("11,21,30,40\n12,21,30,40\n")
    return root


def test_lasot_all_packs_lasots_test_split_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root, cache = lasot(tmp_path / "set", "cat-1", "cat-2", "rubicCube-14"), tmp_path / "cache"
    assert main(["--out", str(cache), f"all=lasot-all:{root}"]) == 0
    assert "all: lasot-all includes videos on which trackers are measured" in capsys.readouterr().err
    rows = json.loads((cache / "all" / "clips.json").read_text())
    assert [row["name"] for row in rows] == ["cat-1", "cat-2", "rubicCube-14"]
    assert main(["--out", str(cache), f"train=lasot:{root}"]) == 0
    assert "measured" not in capsys.readouterr().err
    assert [row["name"] for row in json.loads((cache / "train" / "clips.json").read_text())] == ["cat-2"]


def test_lasot_all_allows_neither_other_benchmarks_nor_other_sources(tmp_path: Path) -> None:
    root = lasot(tmp_path / "set", "cat-1")
    message = refusal(tmp_path / "cache", f"all=lasot-all:{root}", f"other=index:{video(tmp_path / 'cat-1')}")
    assert "other=index:" in message and "cat-1 is a sequence of LaSOT's test split" in message
    lasot(root, "jogging-1")
    message = refusal(tmp_path / "other", f"all=lasot-all:{root}")
    assert "jogging-1 is a sequence of OTB-100" in message


def test_lasot_all_allows_no_name_of_another_benchmark() -> None:
    others = {name.casefold() for key, names in BENCHMARKS.items() if "LaSOT" not in key for name in names}
    assert not others & {name.casefold() for name in lasot_split.published_names()}


def test_refuses_two_clips_with_one_name(tmp_path: Path) -> None:
    one, two = (sorted(photographs(tmp_path / name, count=2).iterdir()) for name in ("one", "two"))
    with pytest.raises(ValueError, match="a name of its own for each clip, got street twice") as refused:
        pack([Clip("street", one), Clip("street", two)], tmp_path / "cache" / "a")
    assert str(one[0]) in str(refused.value) and str(two[0]) in str(refused.value)
    assert not (tmp_path / "cache" / "a" / "clips.json").exists()


def test_videos_of_an_index_with_the_same_ends_keep_their_own_pictures(tmp_path: Path) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((96, 96, 3), 50 * number, np.uint8))
    lists = ["0.png", "1.png", "3.png"], ["0.png", "2.png", "3.png"]
    items = [{"frames": list(frames), "boxes": [[40, 40, 20, 20]] * 3} for frames in lists]
    (tmp_path / "index.json").write_text(json.dumps(items))
    assert main(["--out", str(tmp_path / "cache"), f"a=index:{tmp_path}"]) == 0
    (source,) = Dataset(tmp_path / "cache").sources
    shown = [[int(picture.read()[0, 0, 0]) for picture in clip] for clip in source.clips]
    assert shown == [[0, 50, 150], [0, 100, 150]]


def test_reduces_each_frame_as_it_is_read_and_ends_at_the_first_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = sorted(photographs(tmp_path / "p", count=9, size=720).iterdir())
    read, alive = cv2.imread, []

    def counting(path: str, flags: int) -> np.ndarray | None:
        assert sum(frame() is not None for frame in alive) <= 1
        picture = read(path, flags)
        if picture is not None and flags == cv2.IMREAD_GRAYSCALE:
            alive.append(weakref.ref(picture))
        return picture

    monkeypatch.setattr(packer.cv2, "imread", counting)
    options = PackOptions(follow_windows=True)
    pack([Clip("v", frames)], tmp_path / "whole", options)
    assert len(alive) == 9
    alive.clear()
    cv2.imwrite(str(frames[3]), np.full((720, 700, 3), 90, np.uint8))
    pack([Clip("v", frames)], tmp_path / "other_shape", options)
    assert len(alive) == 4
    alive.clear()
    frames[1].write_bytes(b"no picture")
    pack([Clip("v", frames)], tmp_path / "unreadable", options)
    assert len(alive) == 1
    assert json.loads((tmp_path / "unreadable" / "clips.json").read_text())[0]["windows"] == []


@pytest.mark.parametrize("codec", ["raw", "webp"])
def test_a_cutout_without_transparent_pixels_keeps_its_alpha(tmp_path: Path, codec: str) -> None:
    pictures = {alpha: np.full((20, 30, 4), (200, 100, 50, alpha), np.uint8) for alpha in (255, 128)}
    with StoreWriter(tmp_path, codec) as writer:
        for alpha, picture in pictures.items():
            writer.add(str(alpha), picture, (20, 30))
    store = Store(tmp_path)
    for alpha, picture in pictures.items():
        read = store.read(str(alpha))
        assert read.shape == (20, 30, 4)
        np.testing.assert_array_equal(read[..., 3], alpha)
        np.testing.assert_allclose(read[..., :3], picture[..., :3], atol=6)


_WITH_FEW_FILES = """
import resource, sys
from pathlib import Path
from ettrack_training.data.store import Store
resource.setrlimit(resource.RLIMIT_NOFILE, (40, int(sys.argv[2])))
store = Store(Path(sys.argv[1]))
print(sum(int(store.read(key)[0, 0, 0]) for key in store))
"""


def test_opens_more_pieces_than_the_soft_limit_of_open_files(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    with StoreWriter(tmp_path, piece_bytes=100) as writer:
        for number in range(120):
            writer.add(str(number), np.full((5, 6, 3), number, np.uint8), (5, 6))
    assert len(list(tmp_path.glob("*.bin"))) == 120

    def opened(hard: int) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", _WITH_FEW_FILES, str(tmp_path), str(hard)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    enough = opened(200)
    assert enough.stdout.strip() == str(sum(range(120))), enough.stderr
    few = opened(60)
    assert "ValueError" in few.stderr and "expected a limit of open files (ulimit -n) above" in few.stderr
    assert few.stderr.strip().endswith("got 60")


def test_the_list_of_uav123s_parts_equals_the_runtimes() -> None:
    path = Path(__file__).parents[2] / "crates/ettrack-eval/src/dataset/uav123_parts.txt"
    theirs = {line.split()[0] for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")}
    assert {name for name in theirs if "_" in name} <= {name for name in BENCHMARKS["UAV123"] if "_" in name}
    assert len(BENCHMARKS["OTB-100"]) == len(set(BENCHMARKS["OTB-100"])) >= 100
