"""Readers of training sets in their published layouts. Each yields :class:`~ettrack_training.data.records.Clip`.

``open_source("coco:/data/coco/annotations/x.json:/data/coco/train2017")`` finds the reader by the word before the first
colon. :data:`READERS` lists all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..records import Clip
from .coco import read_coco
from .folder import read_folder
from .index import read_index
from .lasot_split import published_names
from .mot import read_mot
from .tracking import read_got10k, read_lasot, read_trackingnet
from .vid import read_vid
from .vos import read_davis, read_youtube_vos


@dataclass(frozen=True)
class Reader:
    """A reader, and the meaning of each of its paths. A path is a folder if its meaning contains that word, else a
    file. ``measured`` are the videos that it yields on purpose although trackers are measured on them."""

    read: Callable[..., Iterator[Clip]]
    paths: tuple[str, ...]
    measured: frozenset[str] = frozenset()


READERS: dict[str, Reader] = {
    "index": Reader(read_index, ("folder with index.json",)),
    "folder": Reader(read_folder, ("folder of photographs",)),
    "coco": Reader(read_coco, ("instances JSON", "folder of pictures")),
    "lasot": Reader(read_lasot, ("folder",)),
    # For networks that are never measured on LaSOT.
    "lasot-all": Reader(partial(read_lasot, test=True), ("folder",), frozenset(published_names())),
    "got10k": Reader(read_got10k, ("folder of a split",)),
    "trackingnet": Reader(read_trackingnet, ("folder of a chunk or of chunks",)),
    "mot": Reader(read_mot, ("folder of sequences",)),
    "vid": Reader(read_vid, ("ILSVRC folder",)),
    "davis": Reader(read_davis, ("folder",)),
    "youtube-vos": Reader(read_youtube_vos, ("folder of a split",)),
}


def open_source(specification: str) -> Iterator[Clip]:
    """Reads ``KIND:PATH[:PATH...]``. Raises ValueError if it is malformed or a path does not exist."""
    kind, *paths = specification.split(":")
    reader = READERS.get(kind)
    if reader is None:
        raise ValueError(f"expected KIND:PATH with KIND one of {', '.join(READERS)}, got {specification!r}")
    if len(paths) != len(reader.paths) or not all(paths):
        wanted = ":".join(f"<{path}>" for path in reader.paths)
        raise ValueError(f"expected {kind}:{wanted}, got {specification!r}")
    for path, meaning in zip(paths, reader.paths, strict=True):
        if not Path(path).exists():
            raise ValueError(f"{path} does not exist, expected the {meaning} there")
        wanted = "folder" if "folder" in meaning else "file"
        if Path(path).is_dir() != (wanted == "folder"):
            raise ValueError(f"expected {path} to be a {wanted}, the {meaning}")
    return reader.read(*(Path(path) for path in paths))


def measured_videos(specification: str) -> frozenset[str]:
    """The names of videos that ``KIND:PATH[:PATH...]`` asks for although trackers are measured on them. Only the kind
    ``lasot-all`` asks for any."""
    reader = READERS.get(specification.partition(":")[0])
    return frozenset() if reader is None else reader.measured
