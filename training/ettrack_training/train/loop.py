"""The training loop for supervised training, for heads on a teacher's features, and for joint distillation."""

from __future__ import annotations

import copy
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from .. import processes
from ..networks.et_track import ETTrack
from .ema import AveragedWeights
from .feed import device_augment
from .forward import freeze_norms, frozen_backbone, maps, ready, to_device
from .log import CsvLog
from .losses import objective, part_names
from .recipe import Optimizer, Recipe
from .schedule import share
from .state import CheckpointFile, config_differences, resume_optimizer
from .validation import validate


class TrainingError(Exception):
    """Training cannot start or continue. The message contains the reason."""


class Evaluator(Protocol):
    """Measures from time to time how well the network tracks."""

    columns: list[str]

    def __call__(self, network: ETTrack, step: int) -> dict[str, str]:
        """Returns figures by column. `network` is a copy in main memory."""
        ...


def make_optimizer(network: ETTrack, recipe: Recipe) -> torch.optim.Optimizer:
    """Makes the optimiser. Its groups are the head and, if the inputs are pictures, the backbone with its share of the
    rate."""
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in network.named_parameters() if not n.startswith("backbone_net.")]}
    ]
    chosen = recipe.optimizer
    if recipe.inputs == "pictures":
        groups.append({"params": list(network.backbone_net.parameters()), "share": chosen.backbone_share})
    return _optimizer(groups, chosen)


def _optimizer(groups: list[dict[str, Any]], chosen: Optimizer) -> torch.optim.Optimizer:
    if chosen.kind == "sgd":
        return torch.optim.SGD(groups, lr=chosen.rate, momentum=chosen.momentum, weight_decay=chosen.weight_decay)
    return torch.optim.AdamW(groups, lr=chosen.rate, weight_decay=chosen.weight_decay)


class _Objective(nn.Module):
    """Computes the loss and its parts of a batch on the training device. Several processes compute it in parallel."""

    def __init__(self, network: ETTrack, recipe: Recipe, device: torch.device):
        super().__init__()
        self.network = network
        self._recipe, self._device = recipe, device

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        recipe = self._recipe
        with self._precision():
            cls, reg, features = maps(self.network, batch, recipe.inputs)
        features = features and (features[0].float(), features[1].float())
        loss, parts = objective(cls.float(), reg.float(), features, batch, recipe.labels, recipe.loss)
        return loss, {name: part.detach() for name, part in parts.items()}

    def _precision(self):
        if self._recipe.run.precision == "bf16":
            return torch.autocast(self._device.type, torch.bfloat16)
        return nullcontext()


class Training:
    """A run: network, optimiser, averaged weights and step. It resumes from the checkpoint if that exists.

    `held` are the pairs of the validation. `checkpoint` and `log` are written every `run.save_every` steps. With
    several processes, `recipe` is that of one process (`Recipe.for_processes`), and the first process writes, validates
    and evaluates. Raises `TrainingError` if the checkpoint belongs to another network or optimiser.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: ETTrack,
        *,
        checkpoint: CheckpointFile,
        log: CsvLog,
        device: torch.device | str = "cpu",
        seed: int = 1,
        evaluator: Evaluator | None = None,
    ):
        self.recipe = recipe
        self.device = torch.device(device)
        self.network = network.to(self.device)
        self.step = 0
        # The last step that was evaluated.
        self._evaluated = 0
        self._checkpoint, self._log, self._evaluator = checkpoint, log, evaluator
        self._pictures = recipe.inputs == "pictures"
        if self._pictures:
            # Depthwise convolutions are twice as fast in this memory format, on CPUs and GPUs.
            self.network.backbone_net.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(network, recipe)
        self._average = AveragedWeights(network, recipe.run.ema) if recipe.run.ema else None
        self._augment = device_augment(recipe)
        self._seed = seed
        self._skipped_in_a_row = 0
        self.skipped = 0
        if checkpoint.exists():
            self._resume(checkpoint.load(self.device))
        self._refuse_other_steps()
        changes = seed * 100_003 + self.step + (processes.number() << 40)
        self._random = torch.Generator(self.device).manual_seed(changes)
        self._objective: nn.Module = _Objective(self.network, recipe, self.device)
        if processes.count() > 1:
            self._objective = self._parallel(self._objective)

    def _refuse_other_steps(self) -> None:
        steps = processes.gathered(self.step, self.device)
        if len(set(steps)) > 1:
            path, shown = self._checkpoint.path, ", ".join(map(str, steps))
            raise TrainingError(
                f"expected all processes to read the same {path}, but they would resume after the steps {shown}"
            )

    def _parallel(self, computed: nn.Module) -> DistributedDataParallel:
        """Returns the module with gradients that are averaged over the processes."""
        processes.share_norms(computed)
        # Depthwise kernels have another memory layout than PyTorch advises. They are small.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(
            computed,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            find_unused_parameters=self._some_do_not_learn(),
        )

    def _some_do_not_learn(self) -> bool:
        """Returns whether some parameters have no influence on the loss, at least for some steps."""
        recipe, loss = self.recipe, self.recipe.loss
        scores, boxes = loss.cls or loss.hard or loss.teacher, loss.box or loss.teacher
        still = not self._pictures or self.step < recipe.optimizer.frozen_backbone
        return bool(still or not scores or not boxes)

    def _resume(self, saved: Mapping[str, Any]) -> None:
        if different := config_differences(saved["config"], self.network.config.to_dict()):
            raise TrainingError(f"the checkpoint {self._checkpoint.path} is of another network: {'; '.join(different)}")
        self.network.load_state_dict(saved["state_dict"])
        try:
            resume_optimizer(self.optimizer, saved["optimizer"])
        except (ValueError, KeyError) as error:
            raise TrainingError(f"{self._checkpoint.path} is of a run with another optimiser: {error}") from error
        if self._average is not None:
            if "ema" in saved:
                self._average.load(saved["ema"])
            else:
                self._average = AveragedWeights(self.network, self.recipe.run.ema)
        self.step = saved["step"]
        self._evaluated = saved.get("evaluated", self.step)

    def student(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """Returns the function that computes the features of batches, if the recipe uses the network's own backbone."""
        if self.recipe.inputs != "backbone_features":
            return None
        return frozen_backbone(self.network, self.device)

    def save(self) -> None:
        """Writes the checkpoint, in the first process."""
        if not processes.is_first():
            return
        content = {
            "state_dict": self.network.state_dict(),
            "config": self.network.config.to_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "evaluated": self._evaluated,
        }
        if self._average is not None:
            content["ema"] = self._average.to_checkpoint()
        self._checkpoint.save(content)

    def best_weights(self) -> ETTrack:
        """Returns a copy of the network in main memory, with averaged weights if the run keeps them."""
        network = copy.deepcopy(self.network)
        if self._average is not None:
            network.load_state_dict(self._average.state_dict())
        return network.cpu().eval()

    def run(self, batches: Iterator[Mapping[str, Tensor]], held: Mapping[str, Tensor]) -> None:
        """Trains until the schedule's last step. `held` are the validation's pairs.

        An evaluation that was due when the run was interrupted is done first. Raises `TrainingError` if `run.max_skips`
        steps in a row are skipped.
        """
        recipe = self.recipe
        sums: defaultdict[str, list[float]] = defaultdict(list)
        started = time.monotonic()
        if self._evaluation_is_due():
            self._report(sums, 0.0, held)
        quiet = not processes.is_first()
        with tqdm(total=recipe.schedule.steps, initial=self.step, mininterval=1.0, disable=quiet) as bar:
            while self.step < recipe.schedule.steps:
                for name, value in self.train_step(next(batches)).items():
                    sums[name].append(value)
                bar.update()
                if self.step % recipe.run.save_every and self.step != recipe.schedule.steps:
                    continue
                row = self._report(sums, time.monotonic() - started, held)
                if row:
                    bar.set_postfix(right=row["hit_right"], wrong=row["hit_wrong"], skipped=self.skipped)
                sums.clear()

    def train_step(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """Does one step on a batch in main memory. Returns the loss and its parts, or nothing if the step was skipped.

        A skipped step is counted, so that the schedule continues.
        """
        recipe = self.recipe
        rate = recipe.optimizer.rate * share(recipe.schedule, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        self._mode()
        batch = ready(to_device(batch, self.device), self._augment, self._random)
        loss, parts = self._objective(batch)
        # One transfer for all values, because each transfer waits for the device. The mean lets all processes skip a
        # step, or none.
        value, *values = processes.mean(torch.stack([loss, *parts.values()])).tolist()
        shown = dict(zip(parts, values, strict=True))
        self.step += 1
        # This form of the comparison also skips NaN.
        if not value <= recipe.run.max_loss:
            self._skip(value, shown)
            return {}
        self._skipped_in_a_row = 0
        self.optimizer.zero_grad()
        loss.backward()
        if recipe.optimizer.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.optimizer.clip)
        self.optimizer.step()
        if self._average is not None:
            self._average.update(self.network)
        return {"loss": value, **shown}

    def _mode(self) -> None:
        self.network.train()
        if self.recipe.optimizer.frozen_norms:
            freeze_norms(self.network)
        if self._pictures:
            frozen = self.step < self.recipe.optimizer.frozen_backbone
            self.network.backbone_net.requires_grad_(not frozen)
            if frozen:
                self.network.backbone_net.eval()

    def _skip(self, value: float, parts: Mapping[str, float]) -> None:
        self.skipped += 1
        self._skipped_in_a_row += 1
        shown = ", ".join(f"{name} {part:.3g}" for name, part in parts.items())
        message = f"step {self.step} skipped: the loss is {value:.3g} ({shown})"
        if processes.is_first():
            tqdm.write(message, file=sys.stderr)
        if self._skipped_in_a_row >= self.recipe.run.max_skips:
            raise TrainingError(f"{self._skipped_in_a_row} steps in a row were skipped, the last: {message}")

    def _report(self, sums: Mapping[str, list[float]], seconds: float, held: Mapping[str, Tensor]) -> dict[str, Any]:
        """Writes a checkpoint and a row of the log, after a validation and, if it is due, an evaluation.

        Other processes than the first do nothing."""
        if not processes.is_first():
            return {}
        self.save()
        judged = self.network if self._average is None else self.best_weights().to(self.device)
        rate = self.optimizer.param_groups[0]["lr"]
        row: dict[str, Any] = {"step": self.step, "seconds": round(seconds, 1), "rate": f"{rate:.2e}"}
        # Empty if every step since the last report was skipped.
        for name in ("loss", *part_names(self.recipe.loss, self.recipe.inputs)):
            row[name] = f"{sum(sums[name]) / len(sums[name]):.4f}" if sums.get(name) else ""
        measured = validate(judged, held, self.recipe.inputs, device=self.device, chunk=self.recipe.data.batch)
        row |= {name: f"{value:.4f}" for name, value in measured.items()}
        if self._evaluator is not None:
            row |= dict.fromkeys(self._evaluator.columns, "")
        due = self._evaluation_is_due()
        if due:
            row |= self._evaluator(self.best_weights(), self.step)
        self._log.write(row)
        if due:
            # Written last, so that an interrupted evaluation is repeated.
            self._evaluated = self.step
            self.save()
        return row

    def _evaluation_is_due(self) -> bool:
        """True at the first report after each `eval_every` steps and at the end, if there is an evaluator."""
        if self._evaluator is None or self._evaluated == self.step:
            return False
        every = self.recipe.run.eval_every
        passed = every > 0 and self.step // every > self._evaluated // every
        return passed or self.step == self.recipe.schedule.steps
