"""Train a tracker: `python -m ettrack_training.train --recipe training/recipes/ettrack.yaml --cache DIR --out DIR`

Writes recipe.yaml with all settings, checkpoint.pt and log.csv into OUT, and with `--eval` the exported model with the
best figures (best/NAME). `--cache` is the folder that `ettrack_training.data.pack` wrote.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import yaml

from .. import processes
from ..checkpoint import CheckpointError
from ..distil.teacher import Teacher
from ..networks.et_track import ETTrack
from .best import BestModel
from .evaluation import Benchmark, EvaluationError
from .feed import held_out, training_batches
from .log import CsvLog
from .loop import Training, TrainingError
from .recipe import Recipe, RecipeError
from .start import start_from
from .state import CheckpointFile


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status: 1 if the training failed, 2 for bad input."""
    options = _parser().parse_args(arguments)
    process = os.environ.get("RANK", "0")
    try:
        with processes.joined(options.device) as device:
            return _train(options, device)
    except (RecipeError, CheckpointError, EvaluationError, TrainingError, ValueError) as error:
        where = "" if process == "0" else f"process {process}: "
        print(f"error: {where}{error}", file=sys.stderr)
        return 1 if isinstance(error, TrainingError) else 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", type=Path, required=True, help="YAML, see training/recipes")
    parser.add_argument("--cache", type=Path, required=True, help="folder written by ettrack_training.data.pack")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint, log and best model")
    parser.add_argument("--steps", type=int, help="total number of steps, instead of the recipe's")
    parser.add_argument("--resume", action="store_true", help="resume from OUT's checkpoint if it exists")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="threads for the network on the processor")
    parser.add_argument("--workers", type=int, help="processes that make pairs, instead of the recipe's")
    parser.add_argument("--teacher", type=Path, help="folder of backbone.onnx, head.onnx, if the recipe needs it")
    parser.add_argument("--start", type=Path, help="checkpoint of a whole network to start from")
    parser.add_argument("--backbone", type=Path, help="checkpoint to take the backbone from")
    parser.add_argument("--head", type=Path, help="checkpoint to take everything else from")
    parser.add_argument(
        "--eval",
        action="append",
        default=[],
        metavar="DATASET=ROOT[:SEQ,...]",
        help="run `ettrack eval` on it every run.eval_every steps and at the end; may be repeated",
    )
    parser.add_argument("--ettrack", type=Path, default=Path("ettrack"), help="the ettrack command line")
    parser.add_argument("--parts", action="store_true", help="write checkpoints as pieces of 15 MB")
    return parser


def _train(options: argparse.Namespace, device: torch.device) -> int:
    recipe = Recipe.load(options.recipe)
    if options.steps is not None:
        recipe = recipe.with_steps(options.steps)
    if options.workers is not None:
        recipe = replace(recipe, data=replace(recipe.data, workers=options.workers))
    checkpoint = CheckpointFile(options.out / "checkpoint.pt", options.parts)
    if checkpoint.exists() and not options.resume:
        raise ValueError(f"{checkpoint.path} exists already: give --resume to continue it, or another --out")
    if recipe.needs_teacher and options.teacher is None:
        raise ValueError(f"the recipe {recipe.name} learns from a teacher: expected --teacher DIR")
    if recipe.needs_backbone and not (options.start or options.backbone or checkpoint.exists()):
        raise ValueError(
            f"the recipe {recipe.name} does not train its backbone at first: expected --backbone or --start FILE"
        )
    benchmarks = [Benchmark.parse(text) for text in options.eval]
    own = recipe.for_processes(processes.count())

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    # TF32 has the range of f32 and 10 bits of its mantissa. Some GPUs multiply faster with it.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = recipe.run.tf32
    torch.backends.cudnn.benchmark = True

    network = ETTrack(recipe.network)
    start_from(network, whole=options.start, backbone=options.backbone, head=options.head)
    options.out.mkdir(parents=True, exist_ok=True)
    evaluator = None
    if benchmarks:
        evaluator = BestModel(options.ettrack, benchmarks, options.out, recipe.name, recipe.description)
    training = Training(
        own,
        network,
        checkpoint=checkpoint,
        log=CsvLog(options.out / "log.csv"),
        device=device,
        seed=options.seed,
        evaluator=evaluator,
    )
    first = processes.is_first()
    if first:
        (options.out / "recipe.yaml").write_text(yaml.safe_dump(recipe.to_dict(), sort_keys=False))
    if training.step and first:
        print(f"resuming after step {training.step}", file=sys.stderr)
    teacher = Teacher(options.teacher, threads=options.threads) if recipe.needs_teacher else None
    batches = training_batches(
        own,
        options.cache,
        teacher,
        seed=options.seed,
        step=training.step,
        student=training.student(),
        pin_memory=training.device.type == "cuda",
    )
    held = held_out(recipe, options.cache, teacher, training.student()) if first else {}
    training.run(batches, held)
    if training.skipped and first:
        print(f"{training.skipped} steps were skipped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
