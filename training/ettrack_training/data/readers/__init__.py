"""Readers of training sets in their own layouts; each yields :class:`~ettrack_training.data.records.Clip`.

``open_source("coco:/data/coco/annotations/x.json:/data/coco/train2017")`` finds a reader by the word
before the first colon; :data:`READERS` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..records import Clip
from .folder import read_folder
from .index import read_index

READERS: dict[str, Callable[..., Iterator[Clip]]] = {
    "index": read_index,
    "folder": read_folder,
}


def open_source(specification: str) -> Iterator[Clip]:
    """Reads ``KIND:PATH[:PATH...]``. Raises ValueError naming the known kinds where KIND is none of them."""
    kind, *paths = specification.split(":")
    if kind not in READERS or not paths:
        raise ValueError(f"expected KIND:PATH with KIND one of {', '.join(READERS)}, got {specification!r}")
    for path in paths:
        if not Path(path).exists():
            raise ValueError(f"source {specification!r}: {path} does not exist")
    return READERS[kind](*(Path(path) for path in paths))
