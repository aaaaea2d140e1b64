"""Makes a model folder from an authors' checkpoint or from ONNX files that authors publish.

    python -m ettrack_training.convert --tracker et_track CHECKPOINT --output models/et_track
    python -m ettrack_training.convert --tracker nanotrack BACKBONE.onnx HEAD.onnx --output models/nanotrack

Exit codes: 0 written; 1 the exported graphs are wrong or cannot be written; 2 the checkpoint or
the command line is not usable. On an error nothing is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoint
from .adopt.__main__ import show, write
from .adopt.graphs import AdoptError
from .adopt.published import PUBLISHED, adopt_published
from .checkpoint import CheckpointError
from .export import ExportError
from .model_folder import ModelFolderError, sha256, write_model_folder
from .trackers import TRACKERS, Tracker


def load_network(
    tracker: Tracker, path: Path, entry: str | None = None, inert_classes: Sequence[str] = ()
) -> tuple[nn.Module, list[str]]:
    """The tracker's network with the checkpoint's weights, and a line for each group of tensors that was dropped.

    Raises `CheckpointError` with the first differences and the name of the tracker that the file looks like.
    """
    raw = checkpoint.load(path, entry=entry, inert_classes=inert_classes)
    state, dropped = tracker.clean(raw)
    network = tracker.build(state)
    expected = network.state_dict()
    found = checkpoint.differences(state, expected)
    if found:
        lines = [
            f"{path} does not fit {tracker.name}: it holds {len(state)} tensors, expected {len(expected)}",
            *found,
        ]
        other = looks_like(raw)
        if other and other != tracker.name:
            lines.append(f"it looks like a checkpoint of {other}: try --tracker {other}")
        raise CheckpointError("\n  ".join(lines))
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(f"{path}: {key} holds numbers that are not finite")
    network.load_state_dict(state)
    return network.eval(), dropped


def looks_like(raw: Mapping[str, Tensor]) -> str | None:
    """The name of the tracker that most of the tensors' names and shapes fit, or None."""
    best, share = None, 0.5
    for name, tracker in TRACKERS.items():
        try:
            state, _ = tracker.clean(dict(raw))
            # The meta device allocates no weights. Only names and shapes are needed.
            with torch.device("meta"):
                expected = tracker.build(state).state_dict()
        except CheckpointError:
            continue
        overlap = checkpoint.overlap(state, expected)
        if overlap > share:
            best, share = name, overlap
    return best


def convert(
    tracker: Tracker,
    path: Path,
    output: Path,
    *,
    entry: str | None = None,
    inert_classes: Sequence[str] = (),
    replace: bool = False,
) -> dict[str, float]:
    """Reads and checks a checkpoint, exports its network and writes the model folder.

    Returns the largest difference between graph and network for each output.
    """
    network, dropped = load_network(tracker, path, entry, inert_classes)
    for line in dropped:
        print(f"dropped: {line}", file=sys.stderr)
    provenance = {
        "source": tracker.source,
        "checkpoint_sha256": sha256(Path(path).read_bytes()),
        "licence": tracker.licence,
    }
    return write_model_folder(tracker, network, output, provenance=provenance, replace=replace)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ettrack_training.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "checkpoint", type=Path, nargs="+", help="the authors' file (.pth, .pth.tar, .mlmodel), or their ONNX files"
    )
    parser.add_argument("--tracker", required=True, choices=sorted([*TRACKERS, *PUBLISHED]))
    parser.add_argument("--output", required=True, type=Path, help="the model folder to write")
    parser.add_argument("--entry", help="entry of the file that holds the weights, e.g. ema")
    parser.add_argument(
        "--inert-class",
        action="append",
        default=[],
        metavar="MODULE.CLASS",
        help="a class in the file, by the name in the error message: read as an empty class, its code is not run",
    )
    parser.add_argument("--replace", action="store_true", help="replace an existing model")
    options = parser.parse_args(arguments)
    if options.tracker in PUBLISHED:
        return _convert_published(options)
    if len(options.checkpoint) > 1:
        parser.error(f"--tracker {options.tracker}: expected one file, got {len(options.checkpoint)}")
    try:
        largest = convert(
            TRACKERS[options.tracker],
            options.checkpoint[0],
            options.output,
            entry=options.entry,
            inert_classes=options.inert_class,
            replace=options.replace,
        )
    except (CheckpointError, ModelFolderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, difference in largest.items():
        print(f"{name}: differs from the network by at most {difference:.2g}", file=sys.stderr)
    print(options.output)
    return 0


def _convert_published(options: argparse.Namespace) -> int:
    """Makes a model folder from published ONNX files and returns the exit code."""
    if options.entry or options.inert_class:
        print(f"error: --tracker {options.tracker}: ONNX files have no --entry and no --inert-class", file=sys.stderr)
        return 2
    tracker = PUBLISHED[options.tracker]
    try:
        adopted, version = adopt_published(options.tracker, options.checkpoint)
        write(adopted, options.output, version.title, tracker.source, tracker.licence, options.replace)
    except (AdoptError, ModelFolderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show(adopted)
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
