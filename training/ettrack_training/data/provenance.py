"""Records the source and options of a pack beside its pictures.

Keys of pictures are unique only within one source. Without this record, a second source that is packed into the same
folder would be taken for a continuation of the first, and its boxes would be used with the first one's pictures.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..whole_file import write_whole
from .readers.text import read_json

FILE = "source.json"


@dataclass(frozen=True)
class PackRecord:
    """The source, ``KIND:PATH`` with absolute paths, and the options that change the stored pictures. The options for
    cut-outs of photographs and for windows of videos are not recorded, because a later run may add both."""

    source: str
    size: int
    codec: str
    frame_stride: int

    @classmethod
    def of(cls, specification: str, size: int, codec: str, frame_stride: int) -> PackRecord:
        """Makes a record. Paths become absolute, so that the command can be repeated from another folder."""
        kind, *paths = specification.split(":")
        return cls(":".join([kind, *map(os.path.abspath, paths)]), size, codec, frame_stride)

    @classmethod
    def read(cls, folder: Path) -> PackRecord | None:
        """Reads the record of a pack. None for an old pack without record. Raises ValueError if it is malformed."""
        path = folder / FILE
        if not path.exists():
            return None
        names = [field.name for field in fields(cls)]
        content = read_json(path, ", ".join(names), dict)
        if content.keys() != set(names):
            raise ValueError(f"{path}: expected {', '.join(names)}, got {', '.join(content) or 'nothing'}")
        return cls(**content)

    def write(self, folder: Path) -> None:
        """Writes the record into a pack's folder. This is done before the first picture is stored."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / FILE, json.dumps(asdict(self)))

    def __str__(self) -> str:
        return f"{self.source} (size {self.size}, codec {self.codec}, frame stride {self.frame_stride})"


def check_record(folder: Path, wanted: PackRecord | None) -> None:
    """Raises ValueError if ``folder`` holds pictures of another source or with other options than ``wanted``.

    An old pack without record is accepted with any source. A folder without pictures is always accepted.
    """
    if not any(folder.glob("*/piece-*.json")):
        return
    kept = PackRecord.read(folder)
    if kept not in (None, wanted):
        raise ValueError(
            f"{folder} holds {kept}, not {wanted or 'a pack without a record'}; "
            "expected the same again, another NAME, or that folder removed"
        )
