"""Times the networks of several model folders, which take turns.

    python -m ettrack_training.bench_folders models/ettrack-nano models/smat models/ostrack

Prints a heading and one line of CSV per folder: `model`, `ms`, `parameters`, `macs_track`. The time is the median CPU
time of the track graph for one frame on one thread. Other programs on the machine disturb CPU time less than elapsed
time. `ettrack bench` measures the elapsed time of the whole tracker. Crop and decoding add some tenths of a
millisecond.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from .bench_export import compare, feeder, session
from .trackers.noise import generator, structured_noise


class FolderError(Exception):
    """The folder is not a model that can be timed."""


def prepared(folder: Path) -> tuple[Callable[[], object], dict]:
    """Returns a run of the folder's track graph at its usual search size, and its manifest. Raises `FolderError`."""
    try:
        manifest = yaml.safe_load((folder / "model.yaml").read_text())
        template, search, files = manifest["template"], manifest["search"], manifest["files"]
        size, sides = search["sizes"][0], template["size"]
        random = generator()
        given = {
            name: structured_noise(sides, random).numpy()
            for name in (template["input"], template.get("refreshed_input"))
            if name
        }
        stride, seen = search["stride"], {}
        for box in filter(None, map(template.get, ("box_input", "refreshed_box_input"))):
            given[box] = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32)
        for outside in filter(None, map(template.get, ("outside_input", "refreshed_outside_input"))):
            given[outside] = np.zeros((1, sides // stride, sides // stride), np.float32)
        if outside := search.get("outside_input"):
            seen[outside] = np.zeros((1, size // stride, size // stride), np.float32)
        if "template" in files:
            graph = session((folder / files["template"]["path"]).read_bytes())
            given = dict(zip(template["outputs"], graph.run(template["outputs"], given), strict=True))
        track = session((folder / files["track"]["path"]).read_bytes(), {"search_size": size})
    except OSError as error:
        raise FolderError(f"{error.filename}: {error.strerror}, expected a model folder") from error
    except (KeyError, TypeError, yaml.YAMLError) as error:
        raise FolderError(f"{folder}/model.yaml: {error}, expected the manifest of a model folder") from error
    return feeder(track, {**given, **seen, search["input"]: structured_noise(size, random).numpy()}), manifest


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ettrack_training.bench_folders",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=20, help="runs of each network that count")
    options = parser.parse_args(arguments)
    try:
        models = [prepared(folder) for folder in options.folders]
    except FolderError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    times = compare([run for run, _ in models], options.rounds)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("model", "ms", "parameters", "macs_track"))
    for folder, (_, manifest), of_model in zip(options.folders, models, times, strict=True):
        cost = manifest.get("cost", {})
        numbers = (cost.get("parameters", ""), cost.get("macs_track", ""))
        table.writerow((folder.name, f"{statistics.median(of_model):.2f}", *numbers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
