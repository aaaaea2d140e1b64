"""Train ettrack-nano: `python -m ettrack_training.distil.tracker --cache DIR --teacher DIR --out FILE`

Without `--joint` only the head is trained. Its inputs are the teacher's features, or with `--backbone` the features of
that distilled backbone, which stays as it is. With `--joint` the backbone is trained too, from pictures, and a loss
keeps its features close to the teacher's. This command is a short form of `ettrack_training.train` for these recipes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..data.config import PairConfig
from ..networks.et_track import ETTrack
from ..networks.nano import NANO
from ..refusals import refusals
from ..train.feed import held_out, training_batches
from ..train.log import CsvLog
from ..train.loop import Training
from ..train.recipe import Data, Loss, Optimizer, Recipe, Run, Schedule
from ..train.start import start_from
from ..train.state import CheckpointFile
from .teacher import Teacher


def recipe(args: argparse.Namespace) -> Recipe:
    """Makes the recipe from the options."""
    features = "backbone_features" if args.backbone else "teacher_features"
    inputs = "pictures" if args.joint else features
    return Recipe(
        name="ettrack-nano",
        network=NANO,
        inputs=inputs,
        # More wrong templates than usual, so that the network learns to use the template.
        data=Data(
            batch=args.batch,
            workers=0,
            fresh=args.fresh,
            memory=args.capacity,
            pairs=PairConfig(wrong_template=0.2, absent=0.1),
        ),
        loss=Loss(cls=0, box=0, teacher=1.0, features=0.5 if args.joint else 0),
        optimizer=Optimizer(kind="adamw", rate=args.rate, clip=5.0, backbone_share=args.backbone_rate),
        schedule=Schedule(args.steps, warmup=200, shape="constant", decay=args.decay, final=0.0),
        run=Run(save_every=args.save_every, validation_pairs=args.validation_pairs),
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder written by ettrack_training.data.pack")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint; an existing one is resumed")
    parser.add_argument("--joint", action="store_true", help="train the backbone too")
    parser.add_argument("--backbone", type=Path, help="checkpoint of a distilled backbone to start from")
    parser.add_argument("--head", type=Path, help="checkpoint of a trained head to start from")
    parser.add_argument("--steps", type=int, required=True, help="total number of steps")
    parser.add_argument("--decay", type=int, default=0, help="last steps, in which the rate falls to zero")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--fresh", type=int, default=8, help="new pairs per step")
    parser.add_argument("--capacity", type=int, default=40000, help="number of pairs kept in memory")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument(
        "--backbone-rate", type=float, default=0.2, help="the backbone's share of the rate, with --joint"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--validation-pairs", type=int, default=256)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    with refusals():
        chosen = recipe(args)
        network = ETTrack(chosen.network)
        start_from(network, backbone=args.backbone, head=args.head)
        training = Training(
            chosen,
            network,
            checkpoint=CheckpointFile(args.out),
            log=CsvLog(args.out.with_suffix(".csv")),
            seed=args.seed,
        )
        teacher = Teacher(args.teacher)
        batches = training_batches(
            chosen, args.cache, teacher, seed=args.seed, step=training.step, student=training.student()
        )
        validation = held_out(chosen, args.cache, teacher, training.student())
    training.run(batches, validation)


if __name__ == "__main__":
    main()
