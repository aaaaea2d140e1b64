"""Tests of look-alikes at the target: their boxes, the target's whole box, and small or badly lit targets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ettrack_training.data import augment
from ettrack_training.data.config import AugmentConfig, CompositeConfig, CropConfig, Mixture, PairConfig
from ettrack_training.data.crossing import Crossings, closest, covered, seen
from ettrack_training.data.dataset import Dataset
from ettrack_training.data.loader import batches
from ettrack_training.data.pack import pack
from ettrack_training.data.pairs import MAX_OTHERS, Kind, Origin
from ettrack_training.data.readers import open_source
from ettrack_training.data.sampling import PairSampler
from ettrack_training.data.subject import Subject, Supply

PLAIN = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))
RED, BLUE = (220, 40, 40), (40, 40, 220)
CROSSING = PairConfig(
    mixture=Mixture(video=0, still=0, reframed=0, composite=0, crossing=1),
    augment=PLAIN,
    crop=CropConfig(box_context=0.6, search_size=224, search_shift=30),
    composite=CompositeConfig(shapes=0, colour_match=0, object_motion_blur=0, frame_border=0, template_distractor=0),
    wrong_template=0,
    absent=0,
    turn=0,
    surround=0,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of a red and a blue object that pass each other, and a clip of one red object, all with masks."""
    root, out = tmp_path_factory.mktemp("set"), tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(5)
    items = []
    for clip, colours in enumerate(((RED, BLUE), (RED,))):
        tracks: list[dict] = [{"frames": [], "boxes": [], "masks": [], "source": f"{clip}"} for _ in colours]
        for number in range(6):
            frame = rng.integers(60, 120, (180, 240, 3), dtype=np.uint8)
            frame[..., 0] //= 2
            for place, (track, colour) in enumerate(zip(tracks, colours, strict=True)):
                x = 40 + 25 * number if place == 0 else 180 - 25 * number
                mask = np.zeros((180, 240), np.uint8)
                cv2.rectangle(mask, (x, 70), (x + 23, 70 + 35), 255, -1)
                frame[mask > 0] = colour
                name = f"{clip}_{number}_{place}.png"
                cv2.imwrite(str(root / f"mask_{name}"), mask)
                track["masks"].append(f"mask_{name}")
                track["boxes"].append([x, 70, 24, 36])
            cv2.imwrite(str(root / f"{clip}_{number}.png"), frame[..., ::-1])
            for track in tracks:
                track["frames"].append(f"{clip}_{number}.png")
        items += tracks
    (root / "index.json").write_text(json.dumps(items))
    pack(open_source(f"index:{root}"), out / "video")
    return out


def draw(cache: Path, config: PairConfig, count: int, seed: int = 1) -> list:
    sampler, rng = PairSampler(Dataset(cache), config), np.random.default_rng(seed)
    return [sampler(rng) for _ in range(count)]


def test_tracks_of_one_clip_hold_each_others_boxes(cache: Path) -> None:
    red, blue, alone = Dataset(cache).sources[0].tracks
    np.testing.assert_allclose(red.others, blue.boxes[:, None])
    np.testing.assert_allclose(blue.others, red.boxes[:, None])
    assert all(len(others) == 0 for others in alone.others)
    # Only in the fourth frame they are less than half a box apart.
    assert red.crowded.tolist() == [3]
    assert len(alone.crowded) == 0


def test_crowded_pairs_show_another_object_at_its_box(cache: Path) -> None:
    for pair in draw(cache, replace(CROSSING, crossing_real=1, crowded=1), 40):
        assert pair.origin == Origin.CROSSING
        assert len(pair.others) == 1
        x1, y1, x2, y2 = np.rint(pair.others[0]).astype(int)
        middle = pair.search[(y1 + y2) // 2, (x1 + x2) // 2].astype(int)
        # Where both overlap, the blue one covers the red one.
        assert max(middle[0], middle[2]) > middle[1] + 50


def test_pasted_lookalikes_cover_parts_of_real_targets(cache: Path) -> None:
    pairs = draw(cache, replace(CROSSING, crossing_real=1, crowded=0, max_gap=0), 80)
    shares = [covered(pair.box, other) for pair in pairs for other in pair.others]
    assert max(shares) > 0.1
    beset = [pair for pair in pairs if len(pair.others)]
    assert len(beset) > 60
    for pair in beset:
        assert pair.others.dtype == np.float32
        assert len(pair.others) <= MAX_OTHERS
        assert (pair.others >= 0).all()
        assert (pair.others <= 224).all()


def test_no_lookalike_covers_more_than_half_of_a_real_target(cache: Path) -> None:
    supply = Supply(Dataset(cache), CROSSING.composite)
    crossings = Crossings(supply, CROSSING.composite)
    subject = supply.draw(np.random.default_rng(0))
    box = np.array([90.0, 80.0, 140.0, 150.0])
    met = 0
    for seed in range(80):
        canvas = np.zeros((224, 224, 3), np.uint8)
        others = crossings.across(np.random.default_rng(seed), canvas, box, subject)
        inside = canvas[80:150, 90:140].any(axis=2).mean()
        assert inside <= 0.55
        met += inside > 0.05
        for x1, y1, x2, y2 in np.rint(others).astype(int):
            assert canvas[y1:y2, x1:x2].any()
    assert met > 20


def test_a_composites_box_contains_the_part_behind_a_lookalike(cache: Path) -> None:
    still = {"template_shift": 0, "search_scale": 0, "search_aspect": 0, "search_shift": 20}
    config = replace(CROSSING, crossing_real=0, crop=replace(CROSSING.crop, **still))
    pairs = [pair for pair in draw(cache, config, 80) if pair.kind == Kind.POSITIVE]
    assert len(pairs) > 60
    sides = np.array([pair.box[2:] - pair.box[:2] for pair in pairs])
    # The template's 127 pixels are 2.2 sides of the box.
    np.testing.assert_allclose(sides, 127 / 2.2, atol=3)
    assert max(covered(pair.box, other) for pair in pairs for other in pair.others) > 0.2


def test_pairs_without_the_target_have_no_others(cache: Path) -> None:
    for real in (0.0, 1.0):
        for pair in draw(cache, replace(CROSSING, crossing_real=real, absent=1.0), 20):
            assert pair.kind == Kind.ABSENT
            assert len(pair.others) == 0


def test_a_batch_fills_missing_others_with_zeros(cache: Path) -> None:
    batch = next(batches(cache, CROSSING, seed=2, batch_size=12))
    assert batch["others"].shape == (12, MAX_OTHERS, 4)
    assert batch["others"].dtype == np.float32
    there = (batch["others"] != 0).any(axis=2)
    # The known boxes come first.
    assert (np.sort(there, axis=1)[:, ::-1] == there).all()
    assert 0 < there.sum() < there.size


def test_boxes_outside_the_crop_are_not_others() -> None:
    box = np.array([80.0, 80.0, 120.0, 120.0])
    boxes = [np.array(b, float) for b in ((300, 0, 340, 40), (-30, 0, 20, 40), (10, 10, 14, 50), (120, 80, 160, 120))]
    np.testing.assert_array_equal(seen(boxes, 224), [[0, 0, 20, 40], [120, 80, 160, 120]])
    np.testing.assert_array_equal(closest(boxes, box, 224), [[120, 80, 160, 120], [0, 0, 20, 40]])
    assert seen([], 224).shape == (0, 4)


def test_lookalikes_are_about_as_large_as_the_target(cache: Path) -> None:
    crossings = Crossings(Supply(Dataset(cache), CROSSING.composite), CROSSING.composite)
    subject = Subject([np.full((30, 30, 4), 255, np.uint8)])
    box = np.array([90.0, 80.0, 140.0, 150.0])
    canvas, rng = np.zeros((224, 224, 3), np.uint8), np.random.default_rng(3)
    drawn = [crossings.lookalike(rng, canvas, box, subject) for _ in range(60)]
    sides = np.array([one.extent[2:] for one in drawn if one is not None])
    assert len(sides) > 50
    np.testing.assert_allclose(np.median(sides, axis=0), (50, 70), rtol=0.12)
    assert np.std(np.log(sides)) > 0.1


def test_coarse_crops_have_the_resolution_of_a_small_target() -> None:
    rng = np.random.default_rng(4)
    noise = rng.integers(0, 255, (224, 224, 3), dtype=np.uint8)
    template = rng.integers(0, 255, (127, 127, 3), dtype=np.uint8)
    box = np.array([34.0, 34.0, 92.0, 92.0])
    for _ in range(20):
        search, shown = augment.coarse(rng, noise, template, box, 127)
        assert search.shape == noise.shape
        assert shown.shape == template.shape
        for crop, before in ((search, noise), (shown, template)):
            # With half of the resolution or less, neighbouring pixels are not independent.
            assert (
                np.abs(np.diff(crop.astype(float), axis=1)).mean()
                < 0.6 * np.abs(np.diff(before.astype(float), axis=1)).mean()
            )
    # A target of 12 pixels is small enough already.
    search, shown = augment.coarse(np.random.default_rng(0), noise, template, np.array([60.0, 60.0, 69.0, 69.0]), 127)
    np.testing.assert_array_equal(shown, template)
    np.testing.assert_array_equal(search, noise)


def test_a_shadow_changes_light_and_reduces_colour() -> None:
    colourful = np.full((224, 224, 3), (200, 100, 50), np.uint8)
    gains, spreads = [], []
    for seed in range(60):
        changed = augment.shadow(np.random.default_rng(seed), colourful).astype(float)
        assert changed.shape == colourful.shape
        gains.append(changed.mean() / colourful.mean())
        spreads.append(np.ptp(changed, axis=2).min() / 150)
    assert min(gains) < 0.6
    assert max(gains) > 1.05
    assert np.median(spreads) < 0.8
