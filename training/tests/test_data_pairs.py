"""Tests of the steps from pictures to batches, with pictures that are made here."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import cv2
import numpy as np
import pytest

from ettrack_training.data import geometry
from ettrack_training.data.config import AugmentConfig, CompositeConfig, CropConfig, Mixture, PairConfig
from ettrack_training.data.dataset import Dataset, Draw
from ettrack_training.data.loader import batches, loader
from ettrack_training.data.pack import PackOptions, expand, main, pack
from ettrack_training.data.pairs import Kind, Origin, Pair
from ettrack_training.data.readers import open_source
from ettrack_training.data.sampling import PairSampler
from ettrack_training.data.subject import Supply

TARGET = (220, 40, 40)
PLAIN = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))
STILL_SCENE = CompositeConfig(
    shapes=0,
    max_distractors=0,
    template_distractor=0,
    rotation=0,
    strong_rotation=0,
    aspect=0,
    bend=0,
    elastic=0,
    flip_between=0,
    occlusion=0,
    object_motion_blur=0,
    frame_border=0,
    colour_match=0,
)


def draw_frame(rng: np.random.Generator, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A grey-green scene with a red ellipse that fills the box, as RGB and mask."""
    frame = rng.integers(60, 120, (180, 240, 3), dtype=np.uint8)
    frame[..., 0] //= 2
    mask = np.zeros((180, 240), np.uint8)
    x, y, w, h = box
    cv2.ellipse(mask, ((x + w / 2 - 0.5, y + h / 2 - 0.5), (w - 1, h - 1), 0), 255, -1)
    frame[mask > 0] = TARGET
    return frame, mask


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory, videos=2)


@pytest.fixture(scope="module")
def cache_of_one_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory, videos=1)


def packed(tmp_path_factory: pytest.TempPathFactory, videos: int) -> Path:
    """A packed source of videos with masks, and one of photographs."""
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(5)
    items = []
    for video in range(videos):
        item: dict = {"frames": [], "boxes": [], "masks": [], "source": f"video {video}"}
        for number in range(5):
            box = (60 + 9 * number, 50 + 5 * number, 40 + 10 * video, 30)
            frame, mask = draw_frame(rng, box)
            name = f"v{video}_{number}"
            cv2.imwrite(str(root / f"{name}.png"), frame[..., ::-1])
            cv2.imwrite(str(root / f"{name}_mask.png"), mask)
            item["frames"].append(f"{name}.png")
            item["masks"].append(f"{name}_mask.png")
            item["boxes"].append(list(box))
        items.append(item)
    (root / "index.json").write_text(json.dumps(items))
    photographs = root / "photographs"
    photographs.mkdir()
    for number in range(3):
        picture = cv2.resize(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8), (240, 180))
        # Only the objects are red (OpenCV writes BGR).
        picture[..., 2] = picture[..., 1] // 2
        cv2.imwrite(str(photographs / f"{number}.png"), picture)
    out = tmp_path_factory.mktemp("cache")
    assert main(["--out", str(out), f"videos=index:{root}", f"photographs=folder:{photographs}"]) == 0
    return out


def only(origin: Origin, **changes) -> PairConfig:
    shares = {item.name.lower(): float(item == origin) for item in Origin}
    base = PairConfig(
        mixture=Mixture(**shares),
        augment=PLAIN,
        composite=STILL_SCENE,
        wrong_template=0,
        absent=0,
        paste=0,
        turn=0,
        surround=0,
    )
    return replace(base, **changes)


def red_box(crop: np.ndarray) -> np.ndarray:
    # Red is the largest channel, because composites change the colours of objects. The scenes are grey-green.
    red = crop[..., 0].astype(int) - crop[..., 1:].max(axis=2) > 50
    columns, rows = np.flatnonzero(red.any(axis=0)), np.flatnonzero(red.any(axis=1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def red_box_nearby(pair: Pair) -> np.ndarray:
    """The extent of the red object at the pair's box. Backgrounds may show another red object further away."""
    x1, y1, x2, y2 = pair.box.astype(int)
    near = np.zeros_like(pair.search)
    window = np.s_[max(y1 - 6, 0) : y2 + 6, max(x1 - 6, 0) : x2 + 6]
    near[window] = pair.search[window]
    return red_box(near)


@pytest.mark.parametrize("changes", [{}, {"turn": 1.0}, {"surround": 1.0}, {"augment": replace(PLAIN, flip=1.0)}])
def test_boxes_of_video_pairs_contain_the_object(cache: Path, changes: dict) -> None:
    config = only(Origin.VIDEO, **changes)
    sampler = PairSampler(Dataset(cache), config)
    rng = np.random.default_rng(1)
    for _ in range(40):
        pair = sampler(rng)
        assert pair.kind == Kind.POSITIVE
        assert pair.search.shape == (256, 256, 3)
        assert pair.template.shape == (127, 127, 3)
        # The object's outline is uncertain by up to a source pixel, which is 2 to 3 crop pixels here.
        np.testing.assert_allclose(red_box_nearby(pair), pair.box, atol=3.5)


def test_boxes_of_composites_are_those_of_the_visible_part(cache: Path) -> None:
    sampler = PairSampler(Dataset(cache), only(Origin.COMPOSITE))
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(40):
        pair = sampler(rng)
        if pair.kind == Kind.POSITIVE and pair.box.min() > 2 and pair.box.max() < 254:
            errors.append(np.abs(red_box_nearby(pair) - pair.box).max())
    assert len(errors) > 15
    assert np.median(errors) <= 2


def test_the_template_shows_the_object_at_half_its_side(cache: Path) -> None:
    config = only(Origin.VIDEO, crop=CropConfig(template_shift=0, template_scale=0))
    sampler = PairSampler(Dataset(cache), config)
    rng = np.random.default_rng(3)
    for _ in range(10):
        x1, y1, x2, y2 = red_box(sampler(rng).template)
        assert abs((x1 + x2) / 2 - 63.5) <= 2
        assert abs((y1 + y2) / 2 - 63.5) <= 2
        assert abs(geometry.context_side(x2 - x1, y2 - y1) - 127) <= 6


@pytest.mark.parametrize("origin", [Origin.VIDEO, Origin.COMPOSITE])
def test_in_windows_of_the_boxs_shape_every_target_is_square(cache: Path, origin: Origin) -> None:
    still = {"template_shift": 0, "template_scale": 0, "search_scale": 0, "search_aspect": 0, "search_shift": 30}
    sampler = PairSampler(Dataset(cache), only(origin, crop=CropConfig(box_context=0.75, **still)))
    rng = np.random.default_rng(4)
    pairs = [pair for pair in (sampler(rng) for _ in range(30)) if pair.kind == Kind.POSITIVE]
    assert len(pairs) > 15
    # Both crops have the same scale: 127 pixels are two and a half sides of the box.
    for boxes in ([pair.box for pair in pairs], [red_box(pair.template) for pair in pairs]):
        sides = np.median([box[2:] - box[:2] for box in boxes], axis=0)
        np.testing.assert_allclose(sides, 127 / 2.5, atol=6)


@pytest.mark.parametrize("origin", [Origin.VIDEO, Origin.COMPOSITE])
def test_the_search_window_scales_with_its_size_in_exemplar_sizes(cache: Path, origin: Origin) -> None:
    still = {"template_shift": 0, "template_scale": 0, "search_scale": 0, "search_aspect": 0, "search_shift": 30}
    crop = CropConfig(template_size=64, exemplar_size=64, search_size=192, **still)
    sampler = PairSampler(Dataset(cache), only(origin, crop=crop))
    rng = np.random.default_rng(4)
    pairs = [pair for pair in (sampler(rng) for _ in range(30)) if pair.kind == Kind.POSITIVE]
    assert len(pairs) > 15
    for boxes in ([pair.box for pair in pairs], [red_box(pair.template) for pair in pairs]):
        sides = [geometry.context_side(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]
        assert np.median(sides) == pytest.approx(64, abs=5)


def test_the_shift_and_scale_of_search_crops_stay_in_their_bounds(cache: Path) -> None:
    config = only(Origin.VIDEO, crop=CropConfig(search_shift=20, search_scale=0.1, search_aspect=0))
    sampler = PairSampler(Dataset(cache), config)
    rng = np.random.default_rng(4)
    centres, sides = [], []
    for _ in range(60):
        x1, y1, x2, y2 = sampler(rng).box
        centres.append(((x1 + x2) / 2 - 128, (y1 + y2) / 2 - 128))
        sides.append(geometry.context_side(x2 - x1, y2 - y1))
    # Windows begin at whole source pixels, each of which measures two crop pixels here.
    assert 12 < np.abs(centres).max() <= 20 + 2
    assert min(sides) >= 127 / 1.12
    assert max(sides) <= 127 * 1.12


@pytest.mark.parametrize("origin", [Origin.VIDEO, Origin.REFRAMED, Origin.COMPOSITE])
def test_draws_the_configured_shares_of_negative_pairs(cache: Path, origin: Origin) -> None:
    config = only(origin, wrong_template=0.3, absent=0.3, hidden=0.5)
    sampler = PairSampler(Dataset(cache), config)
    rng = np.random.default_rng(6)
    kinds = np.bincount([sampler(rng).kind for _ in range(200)], minlength=3) / 200
    assert kinds[Kind.POSITIVE] > 0.3
    assert kinds[Kind.WRONG_TEMPLATE] > 0.15
    assert kinds[Kind.ABSENT] > 0.1


def test_frames_of_a_pair_are_at_most_max_gap_apart(tmp_path: Path) -> None:
    # Each frame has one colour, from which its number is read. The third does not show the object.
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((90, 120, 3), 40 * number, np.uint8))
    boxes = [None if number == 2 else [50, 35, 20, 20] for number in range(6)]
    item = {"frames": [f"{number}.png" for number in range(6)], "boxes": boxes}
    (tmp_path / "index.json").write_text(json.dumps([item]))
    pack(open_source(f"index:{tmp_path}"), tmp_path / "cache" / "video")
    sampler = PairSampler(Dataset(tmp_path / "cache"), only(Origin.VIDEO, max_gap=2))
    rng = np.random.default_rng(10)
    pairs = [sampler(rng) for _ in range(60)]
    gaps = {abs(int(pair.search[0, 0, 0]) - int(pair.template[0, 0, 0])) // 40 for pair in pairs}
    assert gaps == {0, 1, 2}


def test_a_source_is_drawn_by_its_weight_times_the_square_root_of_its_size() -> None:
    groups = [[("small", 1)], [("large", 12), ("large", 4)], [("heavy", 1)]]
    draw = Draw(groups, np.array([1.0, 1.0, 3.0]), itemgetter(1))
    rng = np.random.default_rng(11)
    drawn = Counter(draw(rng)[0] for _ in range(4000))
    shares = {name: count / 4000 for name, count in drawn.items()}
    assert shares == pytest.approx({"small": 1 / 8, "large": 4 / 8, "heavy": 3 / 8}, abs=0.03)


def test_no_source_is_drawn_more_often_than_its_cap() -> None:
    groups = [[("small", 1)], [("large", 100)], [("middle", 9)]]
    rng = np.random.default_rng(11)
    for cap, expected in ((0.5, (1 / 8, 1 / 2, 3 / 8)), (0.4, (0.2, 0.4, 0.4)), (0.1, (1 / 3,) * 3), (1, (1, 10, 3))):
        draw = Draw(groups, np.ones(3), itemgetter(1), cap)
        drawn = Counter(draw(rng)[0] for _ in range(4000))
        shares = [drawn[name] / 4000 for name in ("small", "large", "middle")]
        assert shares == pytest.approx(np.array(expected) / sum(expected), abs=0.03)


def test_absent_pairs_do_not_show_the_object(cache_of_one_target: Path) -> None:
    config = only(Origin.VIDEO, absent=1.0)
    sampler = PairSampler(Dataset(cache_of_one_target), config)
    rng = np.random.default_rng(7)
    absent = [pair for pair in (sampler(rng) for _ in range(40)) if pair.kind == Kind.ABSENT]
    assert len(absent) > 10
    for pair in absent:
        assert not pair.box.any()
        assert not (np.abs(pair.search - np.array(TARGET)).max(axis=2) < 12).any()


def test_hidden_pairs_show_the_targets_place_without_the_target(cache: Path) -> None:
    config = only(Origin.VIDEO, absent=1.0, hidden=1.0, crop=CropConfig(search_shift=0, stretch=0, stretch_bias=0))
    sampler = PairSampler(Dataset(cache), config)
    rng = np.random.default_rng(8)
    for pair in (sampler(rng) for _ in range(40)):
        assert pair.kind == Kind.ABSENT
        assert not pair.box.any()
        target = np.array(TARGET)
        assert (np.abs(pair.search[96:160, 96:160] - target).max(axis=2) < 12).mean() < 0.05


def test_all_options_together_give_valid_pairs(cache: Path) -> None:
    sampler = PairSampler(Dataset(cache), PairConfig())
    rng = np.random.default_rng(8)
    seen = set()
    for _ in range(150):
        pair = sampler(rng)
        seen.add(pair.origin)
        assert pair.search.dtype == np.uint8
        assert pair.search.shape == (256, 256, 3)
        assert pair.template.shape == (127, 127, 3)
        assert pair.box.dtype == np.float32
        assert np.isfinite(pair.box).all()
        if pair.kind != Kind.ABSENT:
            assert (pair.box >= 0).all()
            assert (pair.box <= 256).all()
            assert (pair.box[2:] - pair.box[:2] >= 3).all()
    assert seen == {Origin.VIDEO, Origin.REFRAMED, Origin.COMPOSITE}


def test_same_seed_gives_the_same_batches(cache: Path) -> None:
    first, again, other = (next(batches(cache, seed=seed, batch_size=6)) for seed in (3, 3, 4))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first["search"], other["search"])


def test_workers_and_training_processes_share_the_batches_of_a_seed(cache: Path) -> None:
    whole = batches(cache, seed=9, batch_size=4)
    expected = [next(whole)["search"] for _ in range(4)]
    stream = iter(loader(cache, seed=9, batch_size=4, workers=2))
    for batch in expected:
        np.testing.assert_array_equal(next(stream)["search"].numpy(), batch)
    del stream
    parts = [batches(cache, seed=9, batch_size=2, part=(process, 2)) for process in (0, 1)]
    for batch in expected:
        np.testing.assert_array_equal(np.concatenate([next(part)["search"] for part in parts]), batch)


def test_a_pack_resumes_and_can_be_copied_compressed(cache: Path, tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        cv2.imwrite(
            str(root / f"{number}.png"), cv2.resize(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8), (400, 300))
        )
    options = PackOptions(codec="webp")
    assert pack(open_source(f"folder:{root}"), tmp_path / "pack" / "some", options).pictures == 4
    assert pack(open_source(f"folder:{root}"), tmp_path / "pack" / "some", options).pictures == 0
    assert main(["--out", str(tmp_path / "raw"), "--expand", str(tmp_path / "pack")]) == 0
    packed, raw = (Dataset(tmp_path / name).sources[0].clips for name in ("pack", "raw"))
    assert len(packed) == len(raw) == 4
    for one, other in zip(packed, raw, strict=True):
        assert one[0].read().shape == (270, 360, 3)
        np.testing.assert_array_equal(one[0].read(), other[0].read())


def test_refuses_to_pack_nothing(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for words, named in (([], "expected sources"), (["--expand", "/nowhere"], "--expand /nowhere: expected packs")):
        with pytest.raises(SystemExit, match="2"):
            main(["--out", str(tmp_path / "out"), *words])
        assert named in capsys.readouterr().err


def test_an_interrupted_expansion_leaves_no_pack(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes, write_text = Path.write_bytes, Path.write_text

    def interrupted(path: Path, content: str | bytes, *more: object) -> int:
        if not path.name.startswith("clips.json"):
            return (write_text if isinstance(content, str) else write_bytes)(path, content, *more)
        path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        expand(cache / "videos", tmp_path / "raw")
    assert (tmp_path / "raw" / "pictures").exists()
    assert not (tmp_path / "raw" / "clips.json").exists()


def test_refuses_a_missing_cache_and_an_unknown_reader(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="clips.json"):
        Dataset(tmp_path)
    with pytest.raises(ValueError, match="KIND one of"):
        open_source(f"nothing:{tmp_path}")
    with pytest.raises(ValueError, match="does not exist"):
        open_source("folder:/nowhere/at/all")


def test_a_wrong_template_never_comes_from_the_same_clip(cache: Path) -> None:
    dataset = Dataset(cache)
    sampler = PairSampler(dataset, only(Origin.VIDEO, wrong_template=1.0))
    rng = np.random.default_rng(12)
    track = dataset.videos(rng)
    for _ in range(20):
        picture, _, _ = sampler._other_object(rng, track, Origin.VIDEO)
        assert all(picture.entry is not frame.entry for frame in track.clip)


def test_another_subject_is_another_object(cache: Path) -> None:
    supply = Supply(Dataset(cache), CompositeConfig(shapes=0.0, same_category=0.5))
    rng = np.random.default_rng(13)
    for _ in range(50):
        subject = supply.draw(rng)
        assert not supply.other(rng, subject).same_as(subject)
