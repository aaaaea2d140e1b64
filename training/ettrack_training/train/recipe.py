"""Recipes: all settings of a training run in one YAML file. Unknown keys are refused with their names.

Durations are numbers of steps, or text such as `5 epochs`. An epoch is `data.epoch` pairs.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from ..data.config import AugmentConfig, PairConfig
from ..data.device import NOT_ON_DEVICE
from ..data.labels import STRIDE
from ..networks.et_track import ETTrackConfig
from ..networks.nano import NANO, NANO_BOX, NANO_FAST, SMALL

NETWORKS = {
    "ettrack": ETTrackConfig(),
    "ettrack-nano": NANO,
    "ettrack-nano-box": NANO_BOX,
    "ettrack-nano-fast": NANO_FAST,
    "ettrack-small": SMALL,
}
_EPOCHS = re.compile(r"(\d+(?:\.\d+)?) epochs?")


class RecipeError(ValueError):
    """An invalid recipe. The message names the key, the expected value and the value found."""


@dataclass(frozen=True)
class Data:
    """Settings of batches. `batch` is the number of pairs per step. `workers` processes make pairs for each training
    process (0: the training process itself).

    `device_augment` makes the photometric changes, the flips and a part of the shifts on the training device, where
    each batch is used `repeats` times. It does not make the changes of `data.device.NOT_ON_DEVICE`: other values than 0
    and the default are refused for them. With a teacher, each step makes `fresh` new pairs and draws the rest of the
    batch from the last `memory` pairs.
    """

    batch: int = 32
    workers: int = 1
    epoch: int = 500_000
    device_augment: bool = False
    repeats: int = 1
    memory: int = 40_000
    fresh: int = 8
    pairs: PairConfig = field(default_factory=PairConfig)


@dataclass(frozen=True)
class Labels:
    """Settings of the classification labels. See `data.labels.build_labels`."""

    score: Literal["plus", "centre", "centreness"] = "plus"
    radius: int = 1
    centre_fraction: float = 0.5


@dataclass(frozen=True)
class Loss:
    """Weights of the parts of the loss. A part with weight 0 is not computed. The defaults are the paper's.

    * `cls`: balanced cross-entropy.
    * `box`: the IoU loss of the kind `overlap`.
    * `hard`: the `hard_cells` worst negative cells of each pair once more.
    * `teacher`: the losses of `distil.losses`, with the truth and the teacher. `mimic` is the weight of the teacher's
      distances among them.
    * `features`: the distance of the backbone's features from the teacher's.
    """

    cls: float = 1.0
    box: float = 1.2
    overlap: Literal["log_iou", "giou"] = "log_iou"
    hard: float = 0.0
    hard_cells: int = 8
    teacher: float = 0.0
    mimic: float = 2.0
    features: float = 0.0


@dataclass(frozen=True)
class Optimizer:
    """Settings of the optimiser.

    `rate` is the highest rate of the schedule. The backbone gets the share `backbone_share` of it. It is not trained in
    the first `frozen_backbone` steps, in which its batch norms do not change either. `clip` is the largest norm of all
    gradients (0: no limit). `frozen_norms` keeps the statistics of all batch norms. It is for a trained network that
    learns further, because batches with many negatives have other statistics than the images of a tracker.
    """

    kind: Literal["sgd", "adamw"] = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 0.0
    backbone_share: float = 1.0
    frozen_backbone: int = 0
    frozen_norms: bool = False


@dataclass(frozen=True)
class Schedule:
    """The learning rate during a run of `steps` steps.

    During the first `warmup` steps the rate rises linearly from the share `warmup_from` to the full rate. Then it falls
    to the share `final` by `shape`. `constant`: it stays until the last `decay` steps and then falls along a cosine
    (such a run can be continued with more steps). `cosine`: it falls along a cosine. `log`: it is multiplied by the
    same factor in each step.
    """

    steps: int = 100_000
    warmup: int = 0
    warmup_from: float = 0.0
    shape: Literal["constant", "cosine", "log"] = "log"
    decay: int = 0
    final: float = 0.002


@dataclass(frozen=True)
class Run:
    """Precision, checks and reports of a run.

    A step whose loss is not finite or above `max_loss` is skipped. After `max_skips` skipped steps in a row the run
    ends. `ema` is the decay of averaged weights (0: none are kept). If there are averaged weights, they are validated,
    evaluated and exported instead of the others. `save_every` and `eval_every` are numbers of steps (0: no evaluation
    before the end).
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    tf32: bool = True
    ema: float = 0.0
    max_loss: float = 1e4
    max_skips: int = 50
    save_every: int = 250
    validation_pairs: int = 256
    eval_every: int = 0


@dataclass(frozen=True)
class Recipe:
    """All settings of a run. Raises `RecipeError` for values out of range or that do not fit together.

    With the `inputs` `pictures` the whole network is trained. With `teacher_features` or `backbone_features` only its
    head is trained, which takes a fraction of the time, on features of the teacher or of its own backbone, which stays
    as it is. Features are stored together with the teacher's maps, so both need a teacher.
    """

    name: str
    description: str = ""
    network: ETTrackConfig = field(default_factory=ETTrackConfig)
    inputs: Literal["pictures", "teacher_features", "backbone_features"] = "pictures"
    data: Data = field(default_factory=Data)
    labels: Labels = field(default_factory=Labels)
    loss: Loss = field(default_factory=Loss)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def needs_teacher(self) -> bool:
        """Whether any part of it needs a teacher."""
        return self.inputs != "pictures" or self.loss.teacher > 0 or self.loss.features > 0

    @property
    def needs_backbone(self) -> bool:
        """Whether its backbone is not trained at first, and so must be trained already."""
        if self.inputs == "pictures":
            return self.optimizer.frozen_backbone > 0
        return self.inputs == "backbone_features"

    @property
    def pairs(self) -> PairConfig:
        """The pair sampler's configuration, with crops of the network's sizes and windows."""
        network = self.network
        crop = replace(
            self.data.pairs.crop,
            template_size=network.template_size,
            search_size=network.search_sizes[0],
            # The exported model folder has the same value.
            exemplar_size=network.template_size,
            box_context=network.box_context,
        )
        return replace(self.data.pairs, crop=crop)

    def with_steps(self, steps: int) -> Recipe:
        """Returns a copy with another total number of steps."""
        return replace(self, schedule=replace(self.schedule, steps=steps))

    def for_processes(self, count: int) -> Recipe:
        """Returns the recipe of each of `count` training processes: its part of each batch, of the new pairs and of the
        memory. Raises `RecipeError` if they cannot be divided."""
        data = self.data
        shared = {"batch": data.batch, "fresh": data.fresh} if self.needs_teacher else {"batch": data.batch}
        for name, value in shared.items():
            if value % count:
                raise RecipeError(f"data.{name}: expected a multiple of {count}, the number of processes, got {value}")
        own = {name: value // count for name, value in shared.items()}
        return replace(self, data=replace(data, **own, memory=-(-data.memory // count)))

    def to_dict(self) -> dict:
        """Returns the recipe as plain values, for `from_dict`."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Makes a recipe from plain values. Raises `RecipeError` for unknown keys and wrong values."""
        values = dict(_mapping(values, "recipe"))
        network = _network(values.pop("network", "ettrack"))
        data = _mapping(values.get("data", {}), "data")
        defaults = Data()
        epoch = data.get("epoch", defaults.epoch)
        batch = data.get("batch", defaults.batch)
        if not all(isinstance(v, int) and v > 0 for v in (epoch, batch)):
            raise RecipeError(f"data: expected whole numbers above 0 as epoch and batch, got {epoch!r} and {batch!r}")
        return _build(cls, values, "", epoch / batch, network=network)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Reads a YAML file. Without the key `name`, the file's name is used. Raises `RecipeError`."""
        try:
            values = yaml.safe_load(path.read_text())
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise RecipeError(f"{path}: expected YAML: {error}") from error
        try:
            return cls.from_dict({"name": path.stem, **_mapping(values, "recipe")})
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from error


def _network(value: Any) -> ETTrackConfig:
    """Makes the network's configuration from a name, or from values of `ETTrackConfig` that change the one named
    `base`."""
    if isinstance(value, str):
        value = {"base": value}
    values = dict(_mapping(value, "network"))
    base = values.pop("base", "ettrack")
    if base not in NETWORKS:
        raise RecipeError(f"network: expected one of {', '.join(NETWORKS)}, got {base!r}")
    known = {f.name for f in fields(ETTrackConfig)}
    _refuse_unknown(values, known, "network.")
    try:
        return ETTrackConfig.from_dict({**NETWORKS[base].to_dict(), **values})
    except (TypeError, KeyError) as error:
        raise RecipeError(f"network: {error}") from error


def _build(cls: type, values: Any, where: str, epoch_steps: float, **given: Any) -> Any:
    """Makes a dataclass from a mapping. Checks every key and type. `where` is empty or ends with a dot."""
    values = _mapping(values, where.rstrip(".") or "recipe")
    types_of = typing.get_type_hints(cls)
    _refuse_unknown(values, set(types_of), where)
    built = {key: _value(types_of[key], value, f"{where}{key}", epoch_steps) for key, value in values.items()}
    try:
        return cls(**built, **given)
    except TypeError as error:
        raise RecipeError(f"{where.rstrip('.') or 'recipe'}: {error}") from error


def _value(kind: Any, value: Any, where: str, epoch_steps: float) -> Any:
    if is_dataclass(kind):
        return _build(kind, value, f"{where}.", epoch_steps)
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
        return None if value is None else _value(kind, value, where, epoch_steps)
    if origin is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise RecipeError(f"{where}: expected one of {', '.join(choices)}, got {value!r}")
        return value
    if origin is not None and issubclass(origin, Mapping):
        return {key: _value(float, item, f"{where}.{key}", epoch_steps) for key, item in _mapping(value, where).items()}
    if kind is int and isinstance(value, str) and (match := _EPOCHS.fullmatch(value.strip())):
        return round(float(match[1]) * epoch_steps)
    # PyYAML reads 1e-4, which has no dot, as text.
    if kind is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = {int: "a whole number (or epochs, such as '5 epochs')", float: "a number", bool: "true or false"}
        raise RecipeError(f"{where}: expected {names.get(kind, 'text')}, got {value!r}")
    return value


def _refuse_unknown(values: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        names = ", ".join(f"{where}{key}" for key in unknown)
        raise RecipeError(f"unknown {names}; expected among {', '.join(sorted(known))}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{where}: expected a mapping, got {value!r}")
    return value


def _check(recipe: Recipe) -> None:
    data, optimizer, schedule, run = recipe.data, recipe.optimizer, recipe.schedule, recipe.run
    positive = {
        "data.repeats": data.repeats,
        "data.fresh": data.fresh,
        "data.memory": data.memory,
        "labels.centre_fraction": recipe.labels.centre_fraction,
        "loss.hard_cells": recipe.loss.hard_cells,
        "optimizer.rate": optimizer.rate,
        "schedule.steps": schedule.steps,
        "run.max_loss": run.max_loss,
        "run.max_skips": run.max_skips,
        "run.save_every": run.save_every,
        "run.validation_pairs": run.validation_pairs,
    }
    if schedule.shape == "log":
        positive["schedule.final"] = schedule.final
    for name, value in positive.items():
        if not value > 0:
            raise RecipeError(f"{name}: expected a number above 0, got {value}")
    at_least_zero = {
        "data.workers": data.workers,
        "labels.radius": recipe.labels.radius,
        **{f"loss.{name}": value for name, value in asdict(recipe.loss).items() if name != "overlap"},
        "optimizer.clip": optimizer.clip,
        "optimizer.backbone_share": optimizer.backbone_share,
        "optimizer.frozen_backbone": optimizer.frozen_backbone,
        "schedule.warmup": schedule.warmup,
        "schedule.decay": schedule.decay,
        "run.eval_every": run.eval_every,
    }
    for name, value in at_least_zero.items():
        if not value >= 0:
            raise RecipeError(f"{name}: expected at least 0, got {value}")
    for name, value in {
        "schedule.final": schedule.final,
        "schedule.warmup_from": schedule.warmup_from,
        "optimizer.momentum": optimizer.momentum,
    }.items():
        if not 0 <= value <= 1:
            raise RecipeError(f"{name}: expected a share from 0 to 1, got {value}")
    _check_pairs(data.pairs)
    if not 0 <= run.ema < 1:
        raise RecipeError(f"run.ema: expected a decay from 0 to below 1, got {run.ema}")
    loss = recipe.loss
    if not loss.cls + loss.box + loss.hard + loss.teacher + loss.features > 0:
        raise RecipeError("loss: expected at least one weight above 0")
    if recipe.network.backbone.stride != STRIDE:
        raise RecipeError(f"network.backbone: expected stride {STRIDE}, got {recipe.network.backbone.stride}")
    windows, crops = recipe.network.box_context, data.pairs.crop.box_context
    if crops not in (None, windows):
        raise RecipeError(f"data.pairs.crop.box_context: expected the network's, {windows}, got {crops}")
    if recipe.needs_teacher and windows is not None:
        raise RecipeError(f"network.box_context: the teacher sees square windows, expected none, got {windows}")
    if recipe.inputs != "pictures" and loss.features > 0:
        raise RecipeError(f"loss.features: with inputs {recipe.inputs} there is no backbone that could learn them")
    if recipe.needs_teacher and data.device_augment:
        raise RecipeError("data.device_augment: the teacher sees pairs before the device changes them; use one or none")
    if data.device_augment:
        _check_device(data.pairs.augment)


def _check_device(augment: AugmentConfig) -> None:
    """Refuses changes that the device does not make. Defaults are accepted, because a saved recipe contains them."""
    for name in NOT_ON_DEVICE:
        value = getattr(augment, name)
        if value not in (0, getattr(AugmentConfig, name)):
            raise RecipeError(
                f"data.pairs.augment.{name}: data.device_augment does not make this change, expected 0, got {value}"
            )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _check_pairs(pairs: PairConfig) -> None:
    shares = (
        *("followed", "wrong_template", "absent", "hidden", "paste", "turn", "surround"),
        *("crossing_real", "crowded", "source_cap"),
    )
    for name in shares:
        if not 0 <= getattr(pairs, name) <= 1:
            raise RecipeError(f"data.pairs.{name}: expected a share from 0 to 1, got {getattr(pairs, name)}")
    if pairs.wrong_template + pairs.absent > 1:
        raise RecipeError(
            "data.pairs: expected shares wrong_template and absent of at most 1 together, got "
            f"{pairs.wrong_template} and {pairs.absent}"
        )
    if pairs.max_gap < 1:
        raise RecipeError(f"data.pairs.max_gap: expected at least 1, got {pairs.max_gap}")
    weights = {
        **{f"mixture.{name}": value for name, value in asdict(pairs.mixture).items()},
        **{f"source_weights.{name}": value for name, value in pairs.source_weights.items()},
        **{f"augment.{name}": value for name, value in asdict(pairs.augment).items()},
        **{f"composite.{name}": value for name, value in asdict(pairs.composite).items()},
    }
    for name, value in weights.items():
        if not value >= 0:
            raise RecipeError(f"data.pairs.{name}: expected at least 0, got {value}")
    if not sum(asdict(pairs.mixture).values()) > 0:
        raise RecipeError("data.pairs.mixture: expected at least one share above 0")
