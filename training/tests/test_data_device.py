"""Tests of the augmentation of batches on the device."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ettrack_training.data.config import AugmentConfig, PairConfig
from ettrack_training.data.device import NOT_ON_DEVICE, DeviceAugment, wide_config
from ettrack_training.data.pairs import Kind

OFF = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))
BOX = (140.0, 150.0, 220.0, 200.0)


def wide_batch(count: int = 12, size: int = 352) -> dict[str, torch.Tensor]:
    """A batch of white ellipses that fill their boxes, on black."""
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    x1, y1, x2, y2 = BOX
    inside = ((x - (x1 + x2) / 2) / ((x2 - x1) / 2)) ** 2 + ((y - (y1 + y2) / 2) / ((y2 - y1) / 2)) ** 2 <= 1
    picture = inside.to(torch.uint8)[..., None].expand(-1, -1, 3) * 255
    return {
        "search": picture.expand(count, -1, -1, -1).contiguous(),
        "template": torch.full((count, 127, 127, 3), 100, dtype=torch.uint8),
        "box": torch.tensor(BOX).expand(count, -1).contiguous(),
        "template_box": torch.tensor((30.0, 40.0, 80.0, 90.0)).expand(count, -1).contiguous(),
        "others": torch.tensor([BOX, (0.0, 0.0, 0.0, 0.0)]).expand(count, -1, -1).contiguous(),
        "kind": torch.zeros(count, dtype=torch.uint8),
    }


def extent(crop: torch.Tensor) -> torch.Tensor:
    bright = crop.mean(dim=0) > 127
    rows, columns = bright.any(dim=1).nonzero()[:, 0], bright.any(dim=0).nonzero()[:, 0]
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_boxes_follow_the_pixels(flip: float) -> None:
    device = DeviceAugment(replace(OFF, flip=flip), angle=0.5, scale=0.3)
    out = device(wide_batch(), torch.Generator().manual_seed(1))
    assert out["search"].shape == (12, 3, 256, 256)
    assert out["template"].shape == (12, 3, 127, 127)
    for crop, box in zip(out["search"], out["box"], strict=True):
        torch.testing.assert_close(extent(crop), box, atol=2.0, rtol=0)
    assert out["box"].std(dim=0).min() > 5
    # The boxes of other objects move in the same way. Here the first is the target's box. Boxes of zeros stay zero.
    torch.testing.assert_close(out["others"][:, 0], out["box"])
    assert not out["others"][:, 1].any()
    expected = (47.0, 40.0, 97.0, 90.0) if flip else (30.0, 40.0, 80.0, 90.0)
    assert out["template_box"].tolist() == [list(expected)] * 12


def test_absent_targets_stay_absent() -> None:
    batch = wide_batch(4)
    batch["box"] = torch.zeros(4, 4)
    batch["kind"] = torch.full((4,), int(Kind.ABSENT), dtype=torch.uint8)
    out = DeviceAugment(AugmentConfig(), angle=0.3)(batch, torch.Generator().manual_seed(0))
    assert not out["box"].any()


def test_the_same_generator_gives_the_same_batch() -> None:
    first, again, other = (
        DeviceAugment(AugmentConfig())(wide_batch(4), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    torch.testing.assert_close(first["search"], again["search"])
    assert not torch.equal(first["search"], other["search"])
    assert first["search"].min() >= 0
    assert first["search"].max() <= 255


def test_gray_removes_colour() -> None:
    batch = wide_batch(3)
    batch["template"] = torch.randint(0, 255, (3, 127, 127, 3), dtype=torch.uint8)
    out = DeviceAugment(replace(OFF, gray=1.0))(batch, torch.Generator().manual_seed(2))
    spread = out["template"].amax(dim=1) - out["template"].amin(dim=1)
    assert spread.max() < 1e-2


@pytest.mark.parametrize("name", AugmentConfig.__dataclass_fields__)
def test_makes_all_changes_except_those_that_are_listed(name: str) -> None:
    batch = wide_batch(8)
    batch["template"] = torch.randint(0, 255, (8, 127, 127, 3), dtype=torch.uint8)
    plain, changed = (
        DeviceAugment(augment)(batch, torch.Generator().manual_seed(3))
        for augment in (OFF, replace(OFF, **{name: 1.0}))
    )
    equal = all(torch.equal(plain[crop], changed[crop]) for crop in ("template", "search"))
    assert equal == (name in NOT_ON_DEVICE)


def test_blur_keeps_the_mean_and_lowers_the_contrast() -> None:
    batch = wide_batch(3)
    batch["template"] = torch.randint(0, 255, (3, 127, 127, 3), dtype=torch.uint8)
    plain = batch["template"].float()
    for name in ("blur", "motion_blur"):
        out = DeviceAugment(replace(OFF, **{name: 1.0}))(batch, torch.Generator().manual_seed(2))["template"]
        torch.testing.assert_close(out.mean(), plain.mean(), atol=1.0, rtol=0)
        assert out.std() < 0.8 * plain.std()


def test_the_wide_configuration_leaves_the_augmentation_to_the_device() -> None:
    config = wide_config(PairConfig(), margin=48)
    assert config.crop.search_size == 352
    assert config.crop.search_shift == 16
    assert config.augment == OFF
