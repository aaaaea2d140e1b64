"""Tests of the training loop with a very small network and pictures of noise."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ettrack_training.checkpoint import CheckpointError
from ettrack_training.data.pack import pack
from ettrack_training.data.pairs import Kind
from ettrack_training.data.readers import open_source
from ettrack_training.distil.memory import PairMemory
from ettrack_training.micro import MICRO, micro_network
from ettrack_training.networks.et_track import ETTrack
from ettrack_training.pixels import MEAN, STD, normalise
from ettrack_training.train.best import BestModel
from ettrack_training.train.ema import AveragedWeights
from ettrack_training.train.evaluation import Benchmark, EvaluationError, check_binary, mean_auc, read_summary
from ettrack_training.train.feed import training_batches
from ettrack_training.train.log import CsvLog
from ettrack_training.train.loop import Training, TrainingError
from ettrack_training.train.recipe import Data, Optimizer, Recipe, Run, Schedule
from ettrack_training.train.start import start_from
from ettrack_training.train.state import CheckpointFile
from ettrack_training.train.validation import validate

RECIPE = Recipe(
    name="micro",
    network=MICRO,
    data=Data(batch=4),
    optimizer=Optimizer(kind="adamw", rate=1e-2),
    schedule=Schedule(steps=6, warmup=2, shape="cosine", final=0.1),
    run=Run(save_every=2, ema=0.9),
)


def batch(seed: int, count: int = 4) -> dict[str, torch.Tensor]:
    """Pairs of noise. The last one does not show its template's object."""
    random = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=random) * 20
    return {
        "template": torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=random),
        "search": torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8, generator=random),
        "box": torch.cat([low, low + 24], 1),
        "present": torch.arange(count) < count - 1,
        "kind": (torch.arange(count) == count - 1).to(torch.uint8),
    }


def training(folder: Path, recipe: Recipe = RECIPE, **options) -> Training:
    torch.manual_seed(3)
    return Training(
        recipe,
        ETTrack(recipe.network),
        checkpoint=CheckpointFile(folder / "checkpoint.pt"),
        log=CsvLog(folder / "log.csv"),
        **options,
    )


def stream(start: int):
    return (batch(number) for number in itertools.count(start))


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, kind: str) -> None:
    recipe = replace(RECIPE, optimizer=replace(RECIPE.optimizer, kind=kind, clip=1.0, frozen_backbone=1))
    held = batch(100)
    whole = training(tmp_path / "whole", recipe)
    whole.run(stream(0), held)
    # The run is interrupted at a report. The schedule is that of the whole run.
    half = training(tmp_path / "parts", recipe)
    for number in range(2):
        half.train_step(batch(number))
    half.save()
    rest = training(tmp_path / "parts", recipe)
    assert rest.step == 2
    rest.run(stream(2), held)
    assert rest.step == 6
    for mine, theirs in ((rest.network, whole.network), (rest.best_weights(), whole.best_weights())):
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(value, theirs.state_dict()[name], rtol=0, atol=0, msg=name)


def test_a_resumed_log_continues_and_one_with_other_columns_is_renamed(tmp_path: Path) -> None:
    run = training(tmp_path)
    run.run(stream(0), batch(100))
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0].startswith("step,seconds,rate,loss,cls,iou,hit_right")
    assert [line.split(",")[0] for line in lines[1:]] == ["2", "4", "6"]
    training(tmp_path, RECIPE.with_steps(8)).run(stream(6), batch(100))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5
    CsvLog(tmp_path / "log.csv").write({"step": 1, "other": 2})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,other", "1,2"]
    assert len(list(tmp_path.glob("log.until-*.csv"))) == 1


def test_the_loss_falls_on_fixed_data(tmp_path: Path) -> None:
    run = training(tmp_path, RECIPE.with_steps(40))
    losses = [run.train_step(batch(0))["loss"] for _ in range(40)]
    assert losses[-1] < 0.7 * losses[0]


def test_skips_and_counts_bad_steps(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    run = training(tmp_path, replace(RECIPE, run=replace(RECIPE.run, max_skips=2)))
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    broken = batch(0)
    broken["box"] = torch.full((4, 4), math.nan)
    assert run.train_step(broken) == {}
    assert (run.step, run.skipped) == (1, 1)
    assert "step 1 skipped: the loss is nan" in capfd.readouterr().err
    for name, value in run.network.named_parameters():
        torch.testing.assert_close(value, before[name])
    assert run.train_step(batch(1))
    run.train_step(broken)
    with pytest.raises(TrainingError, match="2 steps in a row"):
        run.train_step(broken)
    large = training(tmp_path / "large", replace(RECIPE, run=replace(RECIPE.run, max_loss=1e-6)))
    assert large.train_step(batch(0)) == {}


def test_a_frozen_backbone_is_trained_only_after_its_frozen_steps(tmp_path: Path) -> None:
    run = training(tmp_path, replace(RECIPE, optimizer=replace(RECIPE.optimizer, frozen_backbone=2)))
    before = {name: value.clone() for name, value in run.network.backbone_net.state_dict().items()}
    head = run.network.cls_pred_head.cls_pred.weight.clone()
    for number in range(2):
        run.train_step(batch(number))
    for name, value in run.network.backbone_net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert not torch.equal(run.network.cls_pred_head.cls_pred.weight, head)
    run.train_step(batch(2))
    assert not torch.equal(run.network.backbone_net.conv_stem.weight, before["conv_stem.weight"])


def test_frozen_norms_keep_their_statistics_while_weights_learn(tmp_path: Path) -> None:
    run = training(tmp_path, replace(RECIPE, optimizer=replace(RECIPE.optimizer, frozen_norms=True)))
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.train_step(batch(0))
    after = run.network.state_dict()
    statistics = [name for name in before if "running_" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert not torch.equal(before["cls_pred_head.cls_pred.weight"], after["cls_pred_head.cls_pred.weight"])


def test_the_backbone_gets_its_share_of_the_rate(tmp_path: Path) -> None:
    run = training(tmp_path, replace(RECIPE, optimizer=replace(RECIPE.optimizer, backbone_share=0.25)))
    run.train_step(batch(0))
    head, backbone = (group["lr"] for group in run.optimizer.param_groups)
    assert head == pytest.approx(1e-2 / 2)
    assert backbone == pytest.approx(head / 4)


def test_bf16_trains(tmp_path: Path) -> None:
    run = training(tmp_path, replace(RECIPE, run=replace(RECIPE.run, precision="bf16")))
    half = run.train_step(batch(0))["loss"]
    full = training(tmp_path / "full").train_step(batch(0))["loss"]
    assert half == pytest.approx(full, rel=0.05)
    assert half != full


def test_refuses_checkpoints_of_other_networks(tmp_path: Path) -> None:
    training(tmp_path).save()
    other = replace(RECIPE, network=replace(MICRO, key_dim=4))
    with pytest.raises(TrainingError, match="key_dim: 8 there, 4 here"):
        training(tmp_path, other)
    whole = tmp_path / "checkpoint.pt"
    with pytest.raises(CheckpointError, match="does not fit"):
        start_from(ETTrack(other.network), whole=whole)
    source, target = training(tmp_path).network, ETTrack(MICRO)
    head = target.cls_pred_head.cls_pred.weight.clone()
    start_from(target, backbone=whole)
    torch.testing.assert_close(target.backbone_net.conv_stem.weight, source.backbone_net.conv_stem.weight)
    torch.testing.assert_close(target.cls_pred_head.cls_pred.weight, head)
    target = ETTrack(MICRO)
    stem = target.backbone_net.conv_stem.weight.clone()
    start_from(target, head=whole)
    torch.testing.assert_close(target.backbone_net.conv_stem.weight, stem)
    torch.testing.assert_close(target.cls_pred_head.cls_pred.weight, source.cls_pred_head.cls_pred.weight)


def test_reports_a_start_from_a_network_with_other_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training(tmp_path).save()
    start_from(ETTrack(replace(MICRO, box_context=0.6)), whole=tmp_path / "checkpoint.pt")
    assert "note: box_context: None in" in capsys.readouterr().err
    start_from(ETTrack(MICRO), whole=tmp_path / "checkpoint.pt")
    assert capsys.readouterr().err == ""


def test_loads_the_backbone_under_lighttracks_name(tmp_path: Path) -> None:
    backbone = ETTrack(MICRO).backbone_net.state_dict()
    state = {f"features.{name}": value for name, value in backbone.items()}
    torch.save({"state_dict": {**state, "head.weight": torch.zeros(1)}}, tmp_path / "lighttrack.pth")
    target = ETTrack(MICRO)
    start_from(target, backbone=tmp_path / "lighttrack.pth")
    torch.testing.assert_close(dict(target.backbone_net.state_dict()), dict(backbone))


def test_starts_from_the_averaged_weights_of_another_run(tmp_path: Path) -> None:
    run = training(tmp_path)
    for number in range(2):
        run.train_step(batch(number))
    run.save()
    pieces = tmp_path / "pieces.pt"
    CheckpointFile(pieces, parts=True, part_bytes=3000).save(CheckpointFile(tmp_path / "checkpoint.pt").load())
    averaged = run.best_weights().state_dict()
    weight = "cls_pred_head.cls_pred.weight"
    assert not torch.equal(averaged[weight], run.network.state_dict()[weight])
    for path in (tmp_path / "checkpoint.pt", pieces):
        whole, joined = ETTrack(MICRO), ETTrack(MICRO)
        start_from(whole, whole=path)
        start_from(joined, backbone=path, head=path)
        for name, value in averaged.items():
            assert torch.equal(whole.state_dict()[name], value), name
            assert torch.equal(joined.state_dict()[name], value), name


def test_writes_checkpoints_in_pieces_and_checks_them(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "c.pt", parts=True, part_bytes=3000)
    content = {"weights": torch.arange(2000.0), "step": 7}
    file.save({"weights": torch.zeros(10), "step": 1})
    file.save(content)
    pieces = sorted(tmp_path.glob("*.part"))
    assert len(pieces) == math.ceil(sum(piece.stat().st_size for piece in pieces) / 3000)
    assert len(pieces) > 2
    read = CheckpointFile(tmp_path / "c.pt").load()
    assert read["step"] == 7
    torch.testing.assert_close(read["weights"], content["weights"])
    data = bytearray(pieces[1].read_bytes())
    data[5] ^= 1
    pieces[1].write_bytes(data)
    with pytest.raises(ValueError, match="expected sha256"):
        file.load()
    pieces[1].unlink()
    with pytest.raises(ValueError, match="not there"):
        file.load()


def test_averages_weights_with_a_growing_decay() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 0)
    average = AveragedWeights(network, 0.5)
    torch.nn.init.constant_(network.weight, 8)
    average.update(network)  # the first decay is 2/11, less than the given 1/2
    assert average.state_dict()["weight"].item() == pytest.approx(8 * 9 / 11)
    for _ in range(20):
        average.update(network)
    assert average.state_dict()["weight"].item() == pytest.approx(8, rel=1e-3)


class StandIn:
    """A teacher whose features are the mean of the picture, so that rows can be distinguished."""

    def features(self, pictures: np.ndarray) -> list[np.ndarray]:
        mean = pictures.reshape(len(pictures), -1).mean(1)
        return [np.broadcast_to(mean[:, None, None, None], (len(pictures), 2, 4, 4)).astype(np.float32)]

    def maps(self, template: np.ndarray, search: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return search[:, :1], np.full((len(search), 4, 4, 4), 5000.0, np.float32)


def test_the_memory_replaces_its_oldest_pairs() -> None:
    def pairs():
        for number in itertools.count():
            values = np.array([2 * number, 2 * number + 1], np.uint8)
            yield {
                "template": np.broadcast_to(values[:, None, None, None], (2, 8, 8, 3)),
                "search": np.broadcast_to(values[:, None, None, None] + 100, (2, 16, 16, 3)),
                "box": np.broadcast_to(values[:, None].astype(np.float32), (2, 4)),
                "kind": np.array([Kind.POSITIVE, Kind.ABSENT], np.uint8),
            }

    memory = PairMemory(pairs(), StandIn(), capacity=6, pictures=True, seed=1)
    for _ in range(5):
        memory.add()
    assert memory.made == 10
    drawn = memory.draw(200)
    rows = drawn["box"][:, 0]
    # Ten were made, and the oldest four were replaced.
    assert set(rows.tolist()) == {4.0, 5.0, 6.0, 7.0, 8.0, 9.0}
    assert drawn["template"].dtype == torch.uint8
    torch.testing.assert_close(drawn["template"][:, 0, 0, 0].float(), rows)
    torch.testing.assert_close(drawn["template_features"][:, 0, 0, 0], rows)
    torch.testing.assert_close(drawn["search_features"][:, 0, 0, 0], rows + 100)
    assert torch.equal(drawn["present"], rows % 2 == 0)
    # Large distances are limited, so that half precision can represent them.
    assert drawn["reg"].max() == 1000
    newest = memory.draw(8)["box"][:2, 0]
    assert newest.tolist() == [9.0, 8.0]


@pytest.mark.parametrize("teacher", [None, StandIn()], ids=["alone", "taught"])
def test_a_resumed_run_draws_new_pairs(tmp_path: Path, teacher: StandIn | None) -> None:
    # Two photographs, because negative pairs need two.
    for number, noise in enumerate(np.random.default_rng(4).integers(0, 256, (2, 90, 120, 3), np.uint8)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), noise)
    pack(open_source(f"folder:{tmp_path}"), tmp_path / "cache" / "photographs")
    recipe = replace(RECIPE, data=Data(batch=4, workers=0, fresh=2))

    def drawn(step: int) -> set[bytes]:
        batches = training_batches(recipe, tmp_path / "cache", teacher, seed=1, step=step)
        return {search.numpy().tobytes() for _ in range(2) for search in next(batches)["search"]}

    beginning = drawn(0)
    assert beginning == drawn(0)
    assert beginning.isdisjoint(drawn(2))


def test_normalises_bytes_and_floats_equally() -> None:
    pictures = batch(0)["search"]
    from_bytes, from_floats = normalise(pictures), normalise(pictures.permute(0, 3, 1, 2).float())
    torch.testing.assert_close(from_bytes, from_floats)
    expected = (pictures[1, 5, 7, 2].item() / 255 - MEAN[2]) / STD[2]
    assert from_bytes[1, 2, 5, 7].item() == pytest.approx(expected, abs=1e-6)
    assert from_bytes.is_contiguous(memory_format=torch.channels_last)


class Oracle(torch.nn.Module):
    """A network that reads the target's position from the template's first pixel."""

    def backbone(self, image: torch.Tensor) -> torch.Tensor:
        return image

    template_neck = search_neck = backbone

    def fuse(self, template: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
        return template

    def predict(self, template: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        column = ((template[:, 0, 0, 0] * STD[0] + MEAN[0]) * 255).round().long()
        cls = torch.full((len(template), 1, 4, 4), -9.0)
        cls[torch.arange(len(template)), 0, 2, column] = 9.0
        return cls, torch.full((len(template), 4, 4, 4), 8.0)


def test_validation_distinguishes_right_from_wrong_templates() -> None:
    template = torch.zeros(3, 32, 32, 3, dtype=torch.uint8)
    columns = torch.tensor([0, 2, 3])
    template[:] = columns[:, None, None, None].to(torch.uint8)
    left = columns * 16.0 - 8
    box = torch.stack([left, torch.full((3,), 24.0), left + 16, torch.full((3,), 40.0)], 1)
    held = {
        "template": template,
        "search": torch.zeros(3, 64, 64, 3, dtype=torch.uint8),
        "box": box,
        "present": torch.tensor([True, True, False]),
    }
    row = validate(Oracle(), held, "pictures", device=torch.device("cpu"), chunk=2)
    assert (row["hit_right"], row["hit_wrong"]) == (1.0, 0.0)
    assert row["iou_right"] == pytest.approx(1.0)


def test_reads_evaluations_and_refuses_missing_ones(tmp_path: Path) -> None:
    assert Benchmark.parse("otb100=/data/otb:Dog,Jump") == Benchmark("otb100", Path("/data/otb"), ("Dog", "Jump"))
    assert Benchmark.parse("vot=/data/vot").sequences == ()
    with pytest.raises(ValueError, match="got 'otb100'"):
        Benchmark.parse("otb100")
    with pytest.raises(EvaluationError, match="expected the ettrack command line"):
        check_binary(tmp_path / "ettrack")
    summary = tmp_path / "summary.json"
    summary.write_text(
        '{"dataset": "otb100", "mean": {"success_auc": 0.4},'
        ' "sequences": {"Dog": {"success_auc": 0.3}, "Jump": {"success_auc": 0.5}}}'
    )
    figures = read_summary(summary)
    assert (figures.success_auc, figures.sequences["Jump"]) == (0.4, 0.5)
    assert mean_auc([figures]) == pytest.approx(0.4)
    summary.write_text('{"dataset": "got10k", "mean": {}, "sequences": {}}')
    with pytest.raises(EvaluationError, match="success_auc"):
        read_summary(summary)


class Interrupted(Exception):
    """Stands for a machine that is switched off."""


class Figures:
    """An evaluator that records the steps of its calls and can be interrupted at one step."""

    columns = ("auc",)

    def __init__(self, interrupted_at: int = 0):
        self.asked: list[int] = []
        self._interrupted_at = interrupted_at

    def __call__(self, network: ETTrack, step: int) -> dict[str, str]:
        self.asked.append(step)
        if step == self._interrupted_at:
            raise Interrupted
        return {"auc": f"0.{step}"}


@pytest.mark.parametrize(("interrupted_at", "after"), [(4, [4, 6]), (6, [6])])
def test_repeats_an_interrupted_evaluation(tmp_path: Path, interrupted_at: int, after: list[int]) -> None:
    recipe = replace(RECIPE, run=replace(RECIPE.run, eval_every=3))
    first = Figures(interrupted_at)
    with pytest.raises(Interrupted):
        training(tmp_path, recipe, evaluator=first).run(stream(0), batch(100))
    assert first.asked[-1] == interrupted_at
    second = Figures()
    training(tmp_path, recipe, evaluator=second).run(stream(interrupted_at), batch(100))
    assert second.asked == after
    rows = (tmp_path / "log.csv").read_text().splitlines()[1:]
    assert [(row.split(",")[0], row.split(",")[-1]) for row in rows] == [("2", ""), ("4", "0.4"), ("6", "0.6")]
    third = Figures()
    training(tmp_path, recipe, evaluator=third).run(stream(6), batch(100))
    assert third.asked == []


FAKE_BINARY = """#!/bin/sh
# Answers as `ettrack eval` does; the AUC stands in a file beside it.
folder=$(dirname "$0")
case "$*" in *--help*) exit 0 ;; esac
while [ $# -gt 0 ]; do
    case "$1" in --output) output=$2 ;; --model) model=$2 ;; --dataset) dataset=$2 ;; esac
    shift
done
[ -f "$model/track.onnx" ] || exit 2
auc=$(cat "$folder/auc") || { echo "no network" >&2; exit 1; }
mkdir -p "$output"
printf '{"dataset": "%s", "mean": {"success_auc": %s}, "sequences": {"a": {"success_auc": %s}}}' \\
    "$dataset" "$auc" "$auc" > "$output/summary.json"
"""


def test_keeps_the_best_exported_model(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    binary, auc = tmp_path / "ettrack", tmp_path / "auc"
    binary.write_text(FAKE_BINARY)
    binary.chmod(0o755)
    with pytest.raises(ValueError, match="expected each benchmark once, got vot, vot"):
        BestModel(binary, [Benchmark("vot", tmp_path)] * 2, tmp_path, "micro", "")

    def evaluator() -> BestModel:
        return BestModel(binary, [Benchmark("vot", tmp_path)], tmp_path / "run", "micro", "a test")

    network, best = micro_network(), tmp_path / "run" / "best"
    auc.write_text("0.4")
    assert evaluator()(network, 10) == {"auc_vot": "0.4000", "auc": "0.4000"}
    assert "step 10" in (best / "micro" / "model.yaml").read_text()
    auc.write_text("0.3")
    assert evaluator()(network, 20)["auc"] == "0.3000"
    assert "step 10" in (best / "micro" / "model.yaml").read_text()
    auc.write_text("0.5")
    assert evaluator()(network, 30)["auc"] == "0.5000"
    assert "step 30" in (best / "micro" / "model.yaml").read_text()
    assert "step: 30" in (best / "figures.yaml").read_text()
    # Figures on other sequences are not compared.
    auc.write_text("0.2")
    other = BestModel(binary, [Benchmark("otb100", tmp_path)], tmp_path / "run", "micro", "a test")
    assert other(network, 35)["auc"] == "0.2000"
    assert "step: 35" in (best / "figures.yaml").read_text()
    assert "step 35" in (best / "micro" / "model.yaml").read_text()
    auc.unlink()
    assert evaluator()(network, 40) == {}
    assert "no network" in capfd.readouterr().err
