"""Trackers whose authors publish ONNX files, with the values that the graphs do not contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .graphs import AdoptError
from .layouts import IMAGENET, PLAIN
from .model import Adopted, Stated, adopt


@dataclass(frozen=True)
class Version:
    """One set of weights: its title and its authors' constants."""

    title: str
    constants: Mapping[str, float]


@dataclass(frozen=True)
class Published:
    """A published tracker. `versions` maps the number of parameters to the version."""

    name: str
    files: int
    source: str
    licence: str
    stated: Stated
    versions: Mapping[int, Version]


def _nanotrack(version: int, window_influence: float, penalty_k: float, learning_rate: float) -> Version:
    constants = {"window_influence": window_influence, "penalty_k": penalty_k, "learning_rate": learning_rate}
    return Version(f"NanoTrack v{version} (HonglinChu/SiamTrackers)", constants)


PUBLISHED: dict[str, Published] = {
    tracker.name: tracker
    for tracker in (
        Published(
            name="nanotrack",
            files=2,
            source="NanoTrack/models of HonglinChu/SiamTrackers; v2 also in opencv/opencv_extra for TrackerNano",
            licence="Apache-2.0",
            stated=Stated(family="nanotrack", pixels=PLAIN),
            versions={
                284_886: _nanotrack(1, 0.462, 0.148, 0.390),
                330_230: _nanotrack(2, 0.490, 0.150, 0.385),
                534_238: _nanotrack(3, 0.455, 0.138, 0.348),
            },
        ),
        Published(
            name="vittrack",
            files=1,
            source="models/object_tracking_vittrack of opencv/opencv_zoo",
            licence="Apache-2.0",
            stated=Stated(family="centre_head", pixels=IMAGENET, template={"factor": 2.0}, search={"factor": 4.0}),
            versions={187_812: Version("VitTrack (opencv/opencv_zoo)", {})},
        ),
    )
}


def adopt_published(name: str, paths: list[Path]) -> tuple[Adopted, Version]:
    """Adopts the published files. Raises `AdoptError` if the files are not the published ones."""
    tracker = PUBLISHED[name]
    if len(paths) != tracker.files:
        files = "backbone and head" if tracker.files == 2 else "one file"
        raise AdoptError(f"--tracker {name}: expected {files}, got {len(paths)}: {', '.join(map(str, paths))}")
    count = adopt(paths, tracker.stated).cost["parameters"]
    version = tracker.versions.get(count)
    if version is None:
        expected = ", ".join(f"{number} ({known.title})" for number, known in tracker.versions.items())
        raise AdoptError(
            f"{', '.join(map(str, paths))}: {count} numbers in the weights, expected {expected}; for a network of your "
            "own use python -m ettrack_training.adopt"
        )
    return adopt(paths, replace(tracker.stated, constants=version.constants)), version
