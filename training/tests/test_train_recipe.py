"""Tests of recipes and learning rates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from ettrack_training.data.device import DeviceAugment
from ettrack_training.networks.et_track import ETTrackConfig
from ettrack_training.networks.nano import NANO
from ettrack_training.train.feed import device_augment
from ettrack_training.train.recipe import Recipe, RecipeError, Schedule
from ettrack_training.train.schedule import share

RECIPES = sorted((Path(__file__).resolve().parents[1] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_the_repository_are_unchanged_after_saving_and_loading(path: Path) -> None:
    recipe = Recipe.load(path)
    assert recipe.name == path.stem
    assert Recipe.from_dict(yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


def test_the_repository_has_recipes() -> None:
    assert {"ettrack", "ettrack-nano"} <= {path.stem for path in RECIPES}


def test_the_papers_recipe_has_the_papers_values() -> None:
    recipe = Recipe.load(next(path for path in RECIPES if path.stem == "ettrack"))
    assert recipe.network == ETTrackConfig()
    assert (recipe.optimizer.kind, recipe.optimizer.momentum, recipe.optimizer.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (recipe.loss.cls, recipe.loss.box, recipe.loss.overlap) == (1, 1.2, "log_iou")
    # 500,000 pairs in batches of 32 are 15,625 steps.
    assert recipe.schedule.steps == 50 * 15_625
    assert recipe.optimizer.frozen_backbone == 10 * 15_625
    assert not recipe.needs_teacher
    # Both axes of a search crop are scaled separately by 0.82 to 1.18. Targets are not stretched.
    crop, rng = recipe.pairs.crop, np.random.default_rng(1)
    assert {crop.draw_stretch(rng) for _ in range(9)} == {1.0}
    draws = np.array([crop.draw_search_scale(rng) for _ in range(2000)])
    axes = np.stack([draws[:, 0] * draws[:, 1], draws[:, 0] / draws[:, 1]])
    assert axes.min() == pytest.approx(0.82, abs=0.01) and axes.max() == pytest.approx(1.18, abs=0.01)
    assert abs(np.corrcoef(axes)[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"optimiser": {}}, "unknown optimiser"),
        ({"loss": {"bce": 1}}, r"loss\.bce"),
        ({"data": {"pairs": {"mixture": {"videos": 1}}}}, r"data\.pairs\.mixture\.videos"),
        ({"network": {"base": "ettrack", "heads": 2}}, r"network\.heads"),
        (
            {"network": "resnet"},
            "ettrack, ettrack-nano, ettrack-nano-box, ettrack-nano-fast, ettrack-small, got 'resnet'",
        ),
        ({"data": {"pairs": {"wrong_template": 20}}}, r"data\.pairs\.wrong_template: expected a share .* got 20"),
        ({"data": {"pairs": {"wrong_template": 0.6, "absent": 0.6}}}, "at most 1 together"),
        ({"data": {"pairs": {"max_gap": -3}}}, r"data\.pairs\.max_gap: expected at least 1, got -3"),
        ({"data": {"pairs": {"mixture": {"video": -1}}}}, r"mixture\.video: expected at least 0"),
        ({"data": {"pairs": {"source_weights": {"davis": -1}}}}, r"source_weights\.davis: expected at least 0"),
        ({"data": {"pairs": {"source_cap": 1.5}}}, r"source_cap: expected a share from 0 to 1, got 1\.5"),
        ({"labels": {"score": "round"}}, r"labels\.score: expected one of plus, centre, centreness, got 'round'"),
        ({"schedule": {"steps": "five"}}, r"schedule\.steps: expected a whole number .* got 'five'"),
        ({"schedule": {"steps": True}}, r"schedule\.steps"),
        ({"optimizer": {"rate": "fast"}}, r"optimizer\.rate: expected a number, got 'fast'"),
        ({"optimizer": {"rate": -1}}, r"optimizer\.rate: expected a number above 0, got -1"),
        ({"run": {"ema": 1}}, r"run\.ema"),
        ({"run": {"tf32": 1}}, r"run\.tf32: expected true or false, got 1"),
        ({"data": 3}, "data: expected a mapping, got 3"),
        ({"data": {"batch": 0}}, "got 500000 and 0"),
        ({"loss": {"cls": 0, "box": 0}}, "at least one weight"),
        ({"loss": {"teacher": 1}, "data": {"device_augment": True}}, "device_augment"),
        (
            {"network": "ettrack-nano", "data": {"pairs": {"crop": {"box_context": 0.75}}}},
            r"data\.pairs\.crop\.box_context: expected the network's, None, got 0\.75",
        ),
        (
            {"network": {"base": "ettrack-nano", "box_context": 0.75}, "loss": {"teacher": 1}},
            r"network\.box_context: the teacher sees square windows",
        ),
        ({"inputs": "teacher_features", "loss": {"features": 1}}, r"loss\.features"),
        (
            {"data": {"pairs": {"crop": {"search_aspect": "wide"}}}},
            r"data\.pairs\.crop\.search_aspect: expected a number, got 'wide'",
        ),
        ({"data": {"pairs": {"crop": {"search_aspect": True}}}}, r"search_aspect: expected a number, got True"),
        *(
            (
                {"data": {"device_augment": True, "pairs": {"augment": {name: 0.7}}}},
                rf"data\.pairs\.augment\.{name}: data\.device_augment does not make this change, expected 0, got 0\.7",
            )
            for name in ("gamma", "low_resolution", "jpeg", "small", "shadow")
        ),
    ],
)
def test_refuses_wrong_recipes_and_names_the_key(values: dict, named: str) -> None:
    with pytest.raises(RecipeError, match=named):
        Recipe.from_dict({"name": "x", **values})


def test_refuses_files_that_are_not_recipes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nowhere.yaml: cannot be read"):
        Recipe.load(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(RecipeError, match="list.yaml.*expected a mapping"):
        Recipe.load(tmp_path / "list.yaml")


def test_builds_networks_by_name_and_with_changes() -> None:
    assert Recipe.from_dict({"name": "x", "network": "ettrack-nano"}).network == NANO
    changed = Recipe.from_dict({"name": "x", "network": {"base": "ettrack-nano", "ffn": 96}})
    assert changed.network.ffn == 96
    assert changed.network.backbone == NANO.backbone
    assert changed.pairs.crop.template_size == 127


def test_pairs_have_the_windows_of_the_network() -> None:
    square = Recipe.from_dict({"name": "x", "network": "ettrack-nano"}).pairs.crop
    assert (square.box_context, square.exemplar_size) == (None, 127)
    values = {"base": "ettrack-nano", "box_context": 0.75, "template_size": 128}
    boxed = Recipe.from_dict({"name": "x", "network": values}).pairs.crop
    assert (boxed.box_context, boxed.exemplar_size) == (0.75, 128)


def test_reads_numbers_that_yaml_gives_as_text() -> None:
    recipe = Recipe.from_dict(yaml.safe_load("{name: x, optimizer: {rate: 1e-3}, schedule: {steps: 0.5 epochs}}"))
    assert recipe.optimizer.rate == 1e-3
    assert recipe.schedule.steps == round(0.5 * 500_000 / 32)


@pytest.mark.parametrize(("given", "expected"), [(0, 0.0), (1, 1.0), ("2e-1", 0.2), (None, None)])
def test_numbers_that_may_be_missing_are_read_as_numbers(given: object, expected: float | None) -> None:
    recipe = Recipe.from_dict({"name": "x", "data": {"pairs": {"crop": {"search_aspect": given}}}})
    aspect = recipe.data.pairs.crop.search_aspect
    assert aspect == expected and type(aspect) is type(expected)


def test_the_device_follows_the_recipes_crops() -> None:
    def device(**pairs: object) -> DeviceAugment:
        recipe = Recipe.from_dict({"name": "x", "data": {"device_augment": True, "pairs": pairs}})
        made = device_augment(recipe)
        assert made is not None
        return made

    usual = device(augment={"gamma": 0, "jpeg": 0.2})
    assert (usual.shift, usual.scale, usual.angle) == (48, 0.15, 0.1)
    own = device(turn_angle=0.05, crop={"search_scale": 0.02, "search_shift": 8})
    assert (own.shift, own.scale, own.angle) == (8, 0.02, 0.05)
    assert device(turn=0).angle == 0
    assert device_augment(Recipe(name="x")) is None


def test_rates_follow_the_schedule() -> None:
    paper = Schedule(steps=100, warmup=10, warmup_from=0.2, shape="log", final=0.002)
    assert share(paper, 0) == pytest.approx(0.2 + 0.8 / 10)
    assert share(paper, 10) == 1
    assert share(paper, 55) == pytest.approx(math.sqrt(0.002))
    assert share(paper, 100) == pytest.approx(0.002)
    cosine = Schedule(steps=100, shape="cosine", final=0.1)
    assert [share(cosine, step) for step in (0, 50, 100)] == pytest.approx([1, 0.55, 0.1])
    constant = Schedule(steps=100, warmup=4, shape="constant", decay=20, final=0)
    assert [share(constant, step) for step in (0, 3, 79, 80, 90)] == pytest.approx([0.25, 1, 1, 1, 0.5])
    assert 0 < share(constant, 99) < 0.01
    assert share(Schedule(steps=100, shape="constant"), 99) == 1
