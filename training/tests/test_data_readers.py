"""Tests of each reader with a small folder in its data set's layout."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ettrack_training.data.dataset import Dataset
from ettrack_training.data.pack import PackOptions, pack
from ettrack_training.data.readers import lasot_split, open_source
from ettrack_training.data.readers.masks import Polygons, RunLengths, decompress_counts
from ettrack_training.data.records import Clip, Track, box_of_mask


def picture(path: Path, size: tuple[int, int] = (96, 128)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def label_picture(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0] + [0] * 759)
    image.save(path)


def names(specification: str) -> list[str]:
    """The names of the clips of a source."""
    return [clip.name for clip in open_source(specification)]


def packed(specification: str, out: Path) -> Dataset:
    """Packs a source and opens it."""
    pack(open_source(specification), out / "source")
    return Dataset(out)


def test_reads_coco_boxes_polygons_and_run_lengths(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.jpg")
    polygon = [20.0, 10.0, 70.0, 10.0, 70.0, 60.0, 20.0, 60.0]
    # Column by column: 40 empty columns of 96 pixels, then 40 columns in which 30 pixels are set from row 20.
    runs = [40 * 96 + 20] + [30, 66] * 39 + [30, 96 * 128 - 40 * 96 - 20 - 39 * 96 - 30]
    annotations = [
        {"image_id": 7, "bbox": [20, 10, 50, 50], "segmentation": [polygon], "category_id": 3, "iscrowd": 0},
        {
            "image_id": 7,
            "bbox": [40, 20, 40, 30],
            "segmentation": {"counts": runs, "size": [96, 128]},
            "category_id": 3,
        },
        {"image_id": 7, "bbox": [0, 0, 5, 5], "segmentation": [], "category_id": 3},
        {"image_id": 7, "bbox": [0, 0, 90, 90], "segmentation": [], "category_id": 3, "iscrowd": 1},
    ]
    images = [{"id": 7, "file_name": "a.jpg", "height": 96, "width": 128}, {"id": 8, "file_name": "b.jpg"}]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cat"}]}
    (tmp_path / "i.json").write_text(json.dumps(content))
    (clip,) = open_source(f"coco:{tmp_path}/i.json:{tmp_path}/train")
    assert [track.category for track in clip.tracks] == ["cat", "cat"]
    for track in clip.tracks:
        np.testing.assert_allclose(box_of_mask(track.masks[0].read()), track.boxes[0], atol=1)
    data = packed(f"coco:{tmp_path}/i.json:{tmp_path}/train", tmp_path / "cache")
    assert len(data.stills) == 2
    assert len(data.objects) == 2
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(ValueError, match="annotations, images is missing"):
        list(open_source(f"coco:{tmp_path}/no.json:{tmp_path}/train"))


def test_the_mask_of_overlapping_polygons_is_their_union() -> None:
    one, two = [0.0, 0.0, 20.0, 0.0, 20.0, 20.0, 0.0, 20.0], [10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]
    both = Polygons([one, two], 40, 40).read()
    np.testing.assert_array_equal(both, Polygons([one], 40, 40).read() | Polygons([two], 40, 40).read())
    assert both[15, 15]


def test_reads_compressed_run_lengths() -> None:
    def compress(counts: list[int]) -> str:
        text = ""
        for place, count in enumerate(counts):
            value = count - counts[place - 2] if place > 2 else count
            more = True
            while more:
                code = value & 0x1F
                value >>= 5
                more = value != -1 if code & 0x10 else value != 0
                text += chr(code + (0x20 if more else 0) + 48)
        return text

    counts = [3, 70, 1000, 5, 2000, 64, 7]
    assert decompress_counts(compress(counts)) == counts
    assert RunLengths(compress(counts), 47, 67).read().sum() == 70 + 5 + 64
    with pytest.raises(ValueError, match="3149"):
        RunLengths(counts, 10, 10).read()


def test_lasot_hides_occluded_frames_and_counts_from_zero(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "cat" / "cat-4"
    lasot_sequence(folder)
    (folder / "full_occlusion.txt").write_text("0,1,0")
    (folder / "out_of_view.txt").write_text("0,0,0")
    (clip,) = open_source(f"lasot:{tmp_path}/set")
    assert clip.name == "cat-4"
    assert clip.category == "cat"
    assert len(clip.frames) == 3
    assert clip.tracks[0].boxes[0].tolist() == [10, 20, 30, 40]
    assert np.isnan(clip.tracks[0].boxes[1]).all()
    data = packed(f"lasot:{tmp_path}/set", tmp_path / "cache")
    track = data.videos(np.random.default_rng(0))
    assert track.order.tolist() == [0, 2]
    assert track.boxes.tolist() == [[10, 20, 40, 60], [12, 20, 42, 60]]


def lasot_sequence(folder: Path) -> None:
    for number in range(1, 4):
        picture(folder / "img" / f"{number:08}.jpg")
    (folder / "groundtruth.txt").write_text("11,21,30,40\n12,21,30,40\n13,21,30,40\n")


def test_lasot_leaves_out_the_test_split(tmp_path: Path) -> None:
    for name in ("cat-1", "cat-2", "cat-3", "cat-4", "rubicCube-14"):
        lasot_sequence(tmp_path / name.rsplit("-")[0] / name)
    assert names(f"lasot:{tmp_path}") == ["cat-2", "cat-4"]
    assert names(f"lasot-all:{tmp_path}") == ["cat-1", "cat-2", "cat-3", "cat-4", "rubicCube-14"]
    # The runtime uses a list in the root instead of the published one. Here the published sequences are left out, too.
    (tmp_path / "testing_set.txt").write_text("cat-4\n\n")
    assert names(f"lasot:{tmp_path}") == ["cat-2"]


def test_refuses_a_folder_of_only_lasots_test_sequences(tmp_path: Path) -> None:
    lasot_sequence(tmp_path / "cat-1")
    with pytest.raises(ValueError, match="training split below .*, all 1 found are of the test split"):
        names(f"lasot:{tmp_path}")


def test_the_list_of_lasots_test_sequences_equals_the_runtimes() -> None:
    listed = Path(__file__).resolve().parents[2] / "crates/ettrack-eval/src/dataset/lasot_test.txt"
    assert listed.read_text() == lasot_split.TEST_SPLIT
    assert len(lasot_split.published_names()) == 280


def test_reads_got10k(tmp_path: Path) -> None:
    folder = tmp_path / "GOT-10k_Train_000001"
    for number in range(1, 3):
        picture(folder / f"{number:08}.jpg")
    (folder / "groundtruth.txt").write_text("10.0000,20.0000,30.0,40.0\n11.0,20.0,30.0,40.0\n")
    (folder / "absence.label").write_text("0\n1\n")
    (folder / "meta_info.ini").write_text("[METAINFO]\nobject_class: bear\nmotion_class: walking\n")
    (tmp_path / "list.txt").write_text("GOT-10k_Train_000001\n")
    (clip,) = open_source(f"got10k:{tmp_path}")
    assert clip.category == "bear"
    assert clip.tracks[0].boxes[0].tolist() == [10, 20, 30, 40]
    assert np.isnan(clip.tracks[0].boxes[1]).all()


def test_trackingnet_orders_frames_by_number(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / "frames" / "a_0" / f"{number}.jpg")
    (tmp_path / "anno").mkdir()
    (tmp_path / "anno" / "a_0.txt").write_text("".join(f"{n},5.5,20,30\n" for n in range(12)))
    (clip,) = open_source(f"trackingnet:{tmp_path}")
    assert [frame.stem for frame in clip.frames] == [str(n) for n in range(12)]
    assert clip.tracks[0].boxes[11].tolist() == [11, 5.5, 20, 30]


def test_reads_trackingnets_chunks_as_one_source(tmp_path: Path) -> None:
    for chunk in ("TRAIN_0", "TRAIN_11", "TEST"):
        picture(tmp_path / chunk / "frames" / "a_0" / "0.jpg")
        (tmp_path / chunk / "anno").mkdir()
        (tmp_path / chunk / "anno" / "a_0.txt").write_text("1,5.5,20,30\n")
    first, last = open_source(f"trackingnet:{tmp_path}")
    assert (first.name, last.name) == ("TRAIN_0/a_0", "TRAIN_11/a_0")
    assert list(last.frames) == [tmp_path / "TRAIN_11" / "frames" / "a_0" / "0.jpg"]
    assert names(f"trackingnet:{tmp_path}/TEST") == ["a_0"]


def test_reads_motchallenge_tracks_by_identity(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        picture(tmp_path / "town" / "img1" / f"{number:06d}.jpg")
    lines = [
        "1,4,11,21,30,40,1,1,1",
        "2,4,13,21,30,40,1,1,0.1",
        "3,4,15,21,30,40,1,1,0.9",
        # Rows that are not used: not counted, another class, after the last frame, visible only once.
        "1,5,1,1,30,40,0,1,1",
        "1,6,1,1,30,40,1,8,1",
        "2,6,1,1,30,40,1,8,1",
        "4,4,1,1,30,40,1,1,1",
        "2,7,1,1,30,40,1,1,1",
    ]
    truth = tmp_path / "town" / "gt" / "gt.txt"
    truth.parent.mkdir()
    truth.write_text("\n".join(lines))
    (clip,) = open_source(f"mot:{tmp_path}")
    assert (clip.name, len(clip.frames)) == ("town", 3)
    (track,) = clip.tracks
    assert track.category == "person"
    np.testing.assert_array_equal(track.boxes, [[10, 20, 30, 40], [np.nan] * 4, [14, 20, 30, 40]])
    # The first data sets have no classes.
    truth.write_text("1,1,11,21,30,40,1,-1,-1,-1\n2,1,11,21,30,40,1,-1,-1,-1\n")
    assert len(next(open_source(f"mot:{tmp_path}")).tracks) == 1
    truth.write_text("1,1,11,21,30,40,1\n2,1,11\n")
    with pytest.raises(ValueError, match=r"gt.txt:2: expected 7 numbers, got 3"):
        list(open_source(f"mot:{tmp_path}"))


def test_motchallenge_sequences_are_named_by_their_path(tmp_path: Path) -> None:
    for folder in ("train/town", "test/town"):
        for number in (1, 2):
            picture(tmp_path / folder / "img1" / f"{number:06d}.jpg")
        truth = tmp_path / folder / "gt" / "gt.txt"
        truth.parent.mkdir()
        truth.write_text("1,1,11,21,30,40,1\n2,1,11,21,30,40,1\n")
    assert names(f"mot:{tmp_path}") == ["test/town", "train/town"]
    assert names(f"mot:{tmp_path}/train") == ["town"]
    assert names(f"mot:{tmp_path}/train/town") == ["town"]
    assert len(packed(f"mot:{tmp_path}", tmp_path / "cache").clips) == 2


def test_names_of_an_index_differ_only_where_the_ends_of_the_frames_do_not(tmp_path: Path) -> None:
    lists = (["a", "b"], ["0", "1", "3"], ["0", "2", "3"], ["0", "1", "3"])
    (tmp_path / "index.json").write_text(json.dumps([{"frames": frames} for frames in lists]))
    first, second, third = names(f"index:{tmp_path}")
    assert first == "a|b"
    assert second.startswith("0|3|") and third.startswith("0|3|") and second != third
    # The order of the items does not change the names.
    (tmp_path / "index.json").write_text(json.dumps([{"frames": frames} for frames in reversed(lists)]))
    assert sorted(names(f"index:{tmp_path}")) == sorted([first, second, third])


def test_reads_imagenet_vid_tracks_by_identity(tmp_path: Path) -> None:
    annotations = tmp_path / "Annotations" / "VID" / "train" / "part" / "snippet"
    annotations.mkdir(parents=True)
    box = "<bndbox><xmax>{}</xmax><xmin>10</xmin><ymax>50</ymax><ymin>20</ymin></bndbox>"
    item = "<object><trackid>{}</trackid><name>n01</name>" + box + "</object>"
    (annotations / "000000.xml").write_text(f"<annotation>{item.format(0, 40)}</annotation>")
    (annotations / "000001.xml").write_text(f"<annotation>{item.format(0, 41)}{item.format(1, 60)}</annotation>")
    (clip,) = open_source(f"vid:{tmp_path}")
    assert clip.frames[1] == tmp_path / "Data/VID/train/part/snippet/000001.JPEG"
    assert clip.tracks[0].boxes.tolist() == [[10, 20, 30, 30], [10, 20, 31, 30]]
    assert np.isnan(clip.tracks[1].boxes[0]).all()
    assert clip.tracks[1].boxes[1, 2] == 50


@pytest.mark.parametrize("kind", ["davis", "youtube-vos"])
def test_reads_label_pictures_of_video_object_segmentation(tmp_path: Path, kind: str) -> None:
    extra = "480p" if kind == "davis" else ""
    for number in range(3):
        picture(tmp_path / "JPEGImages" / extra / "clip" / f"{number:05}.jpg")
        labels = np.zeros((96, 128), int)
        labels[20:60, 10 + number : 50 + number] = 1
        if number == 1:
            labels[70:90, 80:120] = 2
        label_picture(tmp_path / "Annotations" / extra / "clip" / f"{number:05}.png", labels)
    if kind == "youtube-vos":
        meta = {"videos": {"clip": {"objects": {"1": {"category": "ape"}, "2": {"category": "sedan"}}}}}
        (tmp_path / "meta.json").write_text(json.dumps(meta))
    (clip,) = open_source(f"{kind}:{tmp_path}")
    first, second = clip.tracks
    assert first.boxes[2].tolist() == [12, 20, 40, 40]
    assert second.boxes[1].tolist() == [80, 70, 40, 20]
    assert np.isnan(second.boxes[0]).all()
    assert second.masks[0] is None
    assert first.category == ("ape" if kind == "youtube-vos" else "")
    data = packed(f"{kind}:{tmp_path}", tmp_path / "cache")
    views = [len(item.views) for source in data.sources for item in source.objects]
    assert views == [3, 1]


def test_davis_2016_marks_its_object_with_255(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "480p" / "bear" / "00000.jpg")
    mask = np.zeros((96, 128), np.uint8)
    mask[30:70, 40:90] = 255
    path = tmp_path / "Annotations" / "480p" / "bear" / "00000.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), mask)
    (clip,) = open_source(f"davis:{tmp_path}")
    assert clip.tracks[0].boxes[0].tolist() == [40, 30, 50, 40]


def test_refuses_malformed_annotations_and_names_the_file(tmp_path: Path) -> None:
    picture(tmp_path / "cat-2" / "img" / "1.jpg")
    (tmp_path / "cat-2" / "groundtruth.txt").write_text("1,2,3\n")
    with pytest.raises(ValueError, match=r"groundtruth.txt:1: expected 4 numbers, got 3"):
        list(open_source(f"lasot:{tmp_path}"))
    with pytest.raises(ValueError, match="one per box"):
        Track(np.zeros((2, 4)), masks=[None])
    with pytest.raises(ValueError, match="expected 2 boxes"):
        Clip("a", [Path("1"), Path("2")], [Track(np.ones((1, 4)))])
    with pytest.raises(ValueError, match="expected coco:<instances JSON>:<folder of pictures>"):
        open_source(f"coco:{tmp_path}")


def test_follows_windows_through_video(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scene = cv2.resize(rng.integers(0, 255, (60, 80), dtype=np.uint8), (480, 360), interpolation=cv2.INTER_CUBIC)
    for number in range(10):
        frame = scene[2 * number : 2 * number + 200, 4 * number : 4 * number + 300]
        cv2.imwrite(str(tmp_path / f"{number}.png"), frame)
    (tmp_path / "index.json").write_text(json.dumps([{"frames": [f"{number}.png" for number in range(10)]}]))
    pack(open_source(f"index:{tmp_path}"), tmp_path / "cache" / "video", PackOptions(follow_windows=True))
    (source,) = Dataset(tmp_path / "cache").sources
    assert len(source.windows) >= 3
    for track in source.windows:
        steps = np.diff(track.boxes, axis=0)
        # The camera moves right and down, so everything moves left and up by the same distance.
        np.testing.assert_allclose(steps.mean(axis=0), [-4, -2, -4, -2], atol=0.3)
