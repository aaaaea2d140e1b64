"""Runs all stages of training for a few steps each, and checks their results.

It makes pictures and packs them, makes a teacher with random weights, distils a backbone and heads, trains a head and
both together, trains only from the true boxes, resumes, publishes a model, renders a flight and tracks in it.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..data.pack import main as pack
from ..distil.average import main as average
from ..distil.backbone import main as distil_backbone
from ..distil.head import main as distil_head
from ..distil.maps import main as distil_maps
from ..distil.publish import main as publish
from ..distil.slim import main as slim
from ..distil.tracker import main as distil_tracker
from ..distil.widen import main as widen
from ..networks.et_track import ETTrack
from ..networks.nano import NANO_BOX, NANO_CUT
from ..train.__main__ import main as train
from ..train.evaluation import Benchmark, evaluate
from ..train.feed import training_batches
from ..train.log import CsvLog
from ..train.loop import Training
from ..train.recipe import Recipe
from ..train.start import backbone_state
from ..train.state import CheckpointFile
from .pictures import photographs, videos
from .teacher import write_teacher

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SEED = 7
FLIGHT_FRAMES = 12


class Smoke:
    """One run in an empty folder. Each method is a stage; it needs the stages before it and returns a summary."""

    def __init__(self, folder: Path, binary: Path):
        self.folder, self.binary = folder, binary
        self.cache, self.teacher = folder / "cache", folder / "teacher"
        self.backbone, self.head, self.joint = (folder / f"{name}.pt" for name in ("backbone", "head", "joint"))
        self.supervised, self.model = folder / "supervised", folder / "model" / "smoke"
        self.flight = folder / "flight"

    def stages(self) -> list[Callable[[], str]]:
        """All stages, in order."""
        return [
            self.pictures,
            self.stand_in_teacher,
            self.distilled_backbone,
            self.distilled_head,
            self.corrected_head,
            self.distilled_head_with_late_stages,
            self.distilled_maps,
            self.slimmed,
            self.widened,
            self.head_on_teacher_features,
            self.head_on_backbone_features,
            self.joint_distillation,
            self.resumed_joint_distillation,
            self.loss_on_fixed_data,
            self.paper_recipe,
            self.rendered_flight,
            self.supervised_training,
            self.resumed_supervised_training,
            self.published_model,
            self.evaluation,
        ]

    def pictures(self) -> str:
        """Makes pictures and packs them."""
        random = np.random.default_rng(SEED)
        videos(self.folder / "videos", 3, 8, random)
        photographs(self.folder / "photographs", 8, random)
        sources = [f"videos=index:{self.folder}/videos", f"photographs=folder:{self.folder}/photographs"]
        status = pack(["--out", str(self.cache), *sources])
        expect(status == 0, "the pack is written")
        return "3 videos, 8 photographs"

    def stand_in_teacher(self) -> str:
        """Writes the teacher's two ONNX files."""
        torch.manual_seed(SEED)
        write_teacher(self.teacher)
        return "NanoTrack's layout, random weights"

    def distilled_backbone(self) -> str:
        """Distils a backbone, first block by block, then as a whole."""
        command = ["--teacher", self.teacher, "--pictures", self.folder / "photographs", "--out", self.backbone]
        call(distil_backbone, *command, "--steps", 4, "--blockwise", 2, "--batch", 4, "--save-every", 2)
        rows = read_log(self.backbone.with_suffix(".csv"))
        expect([row["step"] for row in rows] == ["2", "4"], "the log has both reports")
        return f"residual of the output {rows[-1]['held_out4']}"

    def _distil_head(self, out: Path, steps: int, *more: object) -> list[dict[str, str]]:
        command = ["--teacher", self.teacher, "--cache", self.cache, "--backbone", self.backbone, "--out", out]
        sizes = ["--batch", 4, "--fresh", 2, "--capacity", 32, "--save-every", 2, "--validation-pairs", 8]
        call(distil_head, *command, "--steps", steps, *sizes, *more)
        return read_log(out.with_suffix(".csv"))

    def distilled_head(self) -> str:
        """Distils a head, first layer by layer, then as a whole. The backbone must not change."""
        out = self.folder / "distilled-head.pt"
        rows = self._distil_head(out, 4, "--blockwise", 2)
        expect([row["step"] for row in rows] == ["2", "4"], "the log has both reports")
        before, after = backbone_state(self.backbone), backbone_state(out)
        expect(all(torch.equal(before[name], after[name]) for name in before), "the backbone stays as it is")
        return f"score {rows[-1]['held_score']}, box {rows[-1]['held_box']}"

    def corrected_head(self) -> str:
        """Trains the distilled head with the corrected teacher, then averages both heads."""
        before, out = self.folder / "distilled-head.pt", self.folder / "corrected-head.pt"
        rows = self._distil_head(
            out, 2, "--head", before, "--correct", "--frozen-norms", "--hard-weight", 0.5, "--rate", 1e-2
        )
        mean = self.folder / "mean-head.pt"
        call(average, f"{before}=0.5", f"{out}=0.5", "--out", mean)
        first, last, between = (CheckpointFile(path).load()["state_dict"] for path in (before, out, mean))
        statistics = [name for name in first if name.endswith(("running_mean", "running_var"))]
        expect(all(torch.equal(first[name], last[name]) for name in statistics), "batch norms keep their statistics")
        weight = "cls_pred_head.cls_pred.weight"
        expect(not torch.equal(first[weight], last[weight]), "the head learns")
        expect(torch.allclose(between[weight], (first[weight] + last[weight]) / 2), "the mean lies between")
        return f"score {rows[-1]['held_score']}, hard {rows[-1]['held_hard']}"

    def distilled_head_with_late_stages(self) -> str:
        """Trains the distilled head together with the last stages of the backbone. The other stages must not change."""
        out = self.folder / "distilled-joint.pt"
        rows = self._distil_head(out, 2, "--head", self.folder / "distilled-head.pt", "--joint", 2)
        before, after = backbone_state(self.backbone), backbone_state(out)
        moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
        expect(moved == {"2", "3"}, f"stages 2 and 3 of the backbone learn, got {sorted(moved)}")
        return f"features {rows[-1]['features']}"

    def distilled_maps(self) -> str:
        """Trains the distilled head for windows of the box's shape, with two model folders as teachers.

        One teacher has the student's weights.
        """
        start, other = self.folder / "distilled-head.pt", self.folder / "corrected-head.pt"
        teachers = [self.folder / "teachers" / path.stem for path in (start, other)]
        for path, folder in zip((start, other), teachers, strict=True):
            boxed = folder.with_suffix(".pt")
            # Teachers must have windows that are five boxes wide.
            config = replace(NANO_BOX, box_context=0.75).to_dict()
            CheckpointFile(boxed).save({**CheckpointFile(path).load(), "config": config})
            call(publish, boxed, folder)
        out, model = self.folder / "distilled-maps.pt", self.folder / "box-model"
        command = ["--teacher", *teachers, "--cache", self.cache, "--start", start, "--out", out, "--save-every", 2]
        sizes = ["--batch", 4, "--fresh", 2, "--capacity", 32, "--validation-pairs", 8]
        crossings = ["--crossings", 0.5, "--other-weight", 0.3, "--true-boxes"]
        call(distil_maps, *command, *sizes, *crossings, "--context", 0.75, "--steps", 2)
        call(distil_maps, *command, *sizes, *crossings, "--context", 0.75, "--steps", 4)
        rows = read_log(out.with_suffix(".csv"))
        expect([row["step"] for row in rows] == ["2", "4"], "the resumed run begins after the last step")
        expect(float(rows[-1]["held_other"]) > 0, "some held-out pairs have look-alikes")
        before, after = backbone_state(start), backbone_state(out)
        moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
        expect(moved == {"1", "2", "3"}, f"stages 1 to 3 of the backbone learn, got {sorted(moved)}")
        carried = self.folder / "distilled-carried-maps.pt"
        call(
            distil_maps,
            *command[:-4],
            "--out",
            carried,
            "--square",
            self.teacher,
            "--save-every",
            2,
            *sizes,
            "--steps",
            2,
        )
        expect(len(read_log(carried.with_suffix(".csv"))) == 1, "maps carried to square windows are learnt, too")
        call(publish, out, model)
        expect("window: box" in (model / "model.yaml").read_text(), "the model asks for windows of the box's shape")
        return f"score {rows[-1]['held_score']}, box {rows[-1]['held_box']}"

    def slimmed(self) -> str:
        """Slims that network and trains the smaller one in windows of the same shape."""
        large, small = self.folder / "distilled-maps.pt", self.folder / "slim.pt"
        command = ["--start", large, "--cache", self.cache, "--out", small]
        call(slim, *command, "--cut", "--steps", 3, "--decay", 1, "--batch", 2)
        config = CheckpointFile(small).load()["config"]
        expect(config == replace(NANO_CUT, box_context=0.75).to_dict(), "the slim network keeps the windows' context")
        out, teacher = self.folder / "distilled-slim.pt", self.folder / "teachers" / "distilled-head"
        sizes = ["--batch", 4, "--fresh", 2, "--capacity", 32, "--validation-pairs", 8]
        command = ["--teacher", teacher, "--cache", self.cache, "--start", small, "--out", out]
        call(distil_maps, *command, *sizes, "--steps", 2)
        call(publish, out, self.folder / "slim-model")
        return f"missed {read_log(small.with_suffix('.csv'))[-1]['held_missed']}"

    def widened(self) -> str:
        """Widens a slim network and trains only what was added."""
        large, narrow, wide, out = (self.folder / f"{name}.pt" for name in ("distilled-maps", "fast", "wide", "added"))
        call(slim, "--start", large, "--cache", self.cache, "--out", narrow)
        call(widen, "--start", narrow, "--cache", self.cache, "--out", wide)
        teacher = self.folder / "teachers" / "distilled-head"
        sizes = ["--batch", 4, "--fresh", 2, "--capacity", 32, "--validation-pairs", 8, "--steps", 2]
        command = ["--teacher", teacher, "--cache", self.cache, "--start", wide, "--out", out, "--joint", 1]
        call(distil_maps, *command, *sizes, "--keep", narrow, "--frozen-norms")
        states = [CheckpointFile(path).load()["state_dict"] for path in (narrow, out)]
        old, new = (state["cls_branch_2.pointwise.weight"] for state in states)
        rows, columns = old.shape[:2]
        expect(torch.equal(new[:rows, :columns], old), "the narrow network's weights stay")
        expect(bool(new[:rows, columns:].any()), "the added weights learn")
        call(publish, out, self.folder / "wide-model")
        return f"box {read_log(out.with_suffix('.csv'))[-1]['held_box']}"

    def _distil(self, out: Path, steps: int, *more: object) -> list[dict[str, str]]:
        command = ["--cache", self.cache, "--teacher", self.teacher, "--out", out, "--steps", steps, *more]
        sizes = ["--batch", 4, "--fresh", 2, "--capacity", 32, "--save-every", 2, "--validation-pairs", 8]
        call(distil_tracker, *command, *sizes)
        return read_log(out.with_suffix(".csv"))

    def head_on_teacher_features(self) -> str:
        """Trains only the head."""
        rows = self._distil(self.head, 4)
        expect(len(rows) == 2, "the log has both reports")
        return f"loss {rows[-1]['loss']}"

    def head_on_backbone_features(self) -> str:
        """Trains only the head, on the distilled backbone, which must not change."""
        out = self.folder / "head-on-backbone.pt"
        rows = self._distil(out, 2, "--backbone", self.backbone, "--head", self.head)
        before, after = backbone_state(self.backbone), backbone_state(out)
        expect(all(torch.equal(before[name], after[name]) for name in before), "the backbone stays as it is")
        return f"loss {rows[-1]['loss']}"

    def joint_distillation(self) -> str:
        """Trains backbone and head together."""
        rows = self._distil(self.joint, 2, "--joint", "--backbone", self.backbone, "--head", self.head)
        expect(float(rows[-1]["features"]) > 0, "the features are held to the teacher's")
        return f"loss {rows[-1]['loss']}"

    def resumed_joint_distillation(self) -> str:
        """Resumes the joint distillation from its checkpoint."""
        rows = self._distil(self.joint, 4, "--joint")
        expect([row["step"] for row in rows] == ["2", "4"], "the resumed run begins after the last step")
        return "after step 2"

    def loss_on_fixed_data(self) -> str:
        """Trains on one batch several times. The loss must fall."""
        recipe = Recipe.load(RECIPES / "smoke.yaml")
        losses = self._fixed(recipe, 8, "fixed")
        expect(losses[-1] < losses[0], f"the loss falls on fixed data, got {losses}")
        return f"{losses[0]:.3f} to {losses[-1]:.3f}"

    def paper_recipe(self) -> str:
        """Trains the network of the E.T.Track paper with its losses."""
        recipe = Recipe.load(RECIPES / "ettrack.yaml")
        recipe = replace(recipe, data=replace(recipe.data, batch=2))
        losses = self._fixed(recipe, 2, "paper")
        return f"loss {losses[0]:.3f}, {losses[1]:.3f}"

    def _fixed(self, recipe: Recipe, steps: int, name: str) -> list[float]:
        # Without augmentation on the device the pictures stay the same.
        recipe = replace(recipe, data=replace(recipe.data, workers=0, device_augment=False))
        torch.manual_seed(SEED)
        training = Training(
            recipe,
            ETTrack(recipe.network),
            checkpoint=CheckpointFile(self.folder / f"{name}.pt"),
            log=CsvLog(self.folder / f"{name}.csv"),
        )
        batch = next(training_batches(recipe, self.cache, None, seed=SEED, step=0))
        losses = [training.train_step(batch) for _ in range(steps)]
        expect(training.skipped == 0, "no step is skipped")
        return [row["loss"] for row in losses]

    def rendered_flight(self) -> str:
        """Renders a sequence to track in, with `ettrack simulate`."""
        size = ["--width", "320", "--height", "240", "--frames", str(FLIGHT_FRAMES), "--seed", str(SEED)]
        done = subprocess.run([self.binary, "simulate", "--output", self.flight, *size], capture_output=True, text=True)
        expect(done.returncode == 0, f"ettrack simulate ends well: {done.stderr.strip()}")
        truth = (self.flight / "groundtruth_rect.txt").read_text().splitlines()
        expect(len(truth) == FLIGHT_FRAMES, f"truth of {FLIGHT_FRAMES} frames, got {len(truth)} lines")
        return f"{FLIGHT_FRAMES} frames"

    def _train(self, *more: object) -> list[dict[str, str]]:
        command = ["--recipe", RECIPES / "smoke.yaml", "--cache", self.cache, "--out", self.supervised]
        evaluation = ["--eval", f"simulated={self.flight}", "--ettrack", self.binary]
        status = train([str(word) for word in [*command, *evaluation, "--device", "cpu", "--parts", *more]])
        expect(status == 0, "training ends well")
        return read_log(self.supervised / "log.csv")

    def supervised_training(self) -> str:
        """Trains only from the true boxes, with augmentation on the device and averaged weights."""
        rows = self._train("--backbone", self.backbone)
        expect((self.supervised / "best" / "smoke" / "model.yaml").exists(), "the best model is kept")
        expect(rows[-1]["auc"] != "", "the runtime's figures are logged")
        return f"loss {rows[-1]['loss']}, AUC {rows[-1]['auc']}"

    def resumed_supervised_training(self) -> str:
        """Resumes from a checkpoint that is stored in parts."""
        before = CheckpointFile(self.supervised / "checkpoint.pt").load()["step"]
        rows = self._train("--resume", "--steps", 6)
        after = CheckpointFile(self.supervised / "checkpoint.pt").load()["step"]
        expect((before, after) == (4, 6), f"the run goes on from step 4 to 6, got {before} to {after}")
        expect([row["step"] for row in rows] == ["2", "4", "6"], "the log goes on")
        return "after step 4"

    def published_model(self) -> str:
        """Publishes the network of the joint run."""
        call(publish, self.joint, self.model)
        size = sum(path.stat().st_size for path in self.model.iterdir())
        return f"{size / 1e6:.1f} MB"

    def evaluation(self) -> str:
        """Tracks with the published model, with `ettrack eval`."""
        figures = evaluate(self.binary, self.model, Benchmark("simulated", self.flight), self.folder / "eval")
        expect(0 <= figures.success_auc <= 1, f"a success AUC, got {figures.success_auc}")
        return f"AUC {figures.success_auc:.3f} (untrained)"


class SmokeError(Exception):
    """A check failed."""


def expect(holds: bool, what: str) -> None:
    """Raises `SmokeError` unless `holds` is true."""
    if not holds:
        raise SmokeError(f"expected: {what}")


def call(command: Callable[[list[str]], object], *words: object) -> None:
    """Runs the `main` function of a command in this process."""
    command([str(word) for word in words])


def read_log(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV log."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to work in; its content is deleted first")
    parser.add_argument("--ettrack", type=Path, required=True, help="the ettrack command line")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    smoke = Smoke(options.out.resolve(), options.ettrack.resolve())
    started = time.monotonic()
    rows = []
    failed = ""
    for stage in smoke.stages():
        name, before = stage.__name__.replace("_", " "), time.monotonic()
        try:
            seen = stage()
        except SmokeError as error:
            failed = f"{name}: {error}"
            break
        rows.append((name, time.monotonic() - before, seen))
    print()
    for name, seconds, seen in rows:
        print(f"{name:<32} {seconds:6.1f} s  {seen}")
    print(f"{'in all':<32} {time.monotonic() - started:6.1f} s")
    if failed:
        print(f"error: {failed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
