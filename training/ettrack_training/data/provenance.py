"""What a packed source was made from, kept beside its pictures.

Keys of pictures are unique within a source alone. A second source packed into the same folder would be taken for the
rest of the first one, and its boxes laid on the first one's pictures.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .readers.text import read_json
from .store import write_whole

FILE = "source.json"


@dataclass(frozen=True)
class PackRecord:
    """``KIND:PATH`` with absolute paths, and the options that shape stored pictures. Cut-outs of photographs and
    windows of videos may be added by a later run, so the options for them are not among these."""

    source: str
    size: int
    codec: str
    frame_stride: int

    @classmethod
    def of(cls, specification: str, size: int, codec: str, frame_stride: int) -> PackRecord:
        """The same wherever the command is given, so that it can be given again from another folder."""
        kind, *paths = specification.split(":")
        return cls(":".join([kind, *map(os.path.abspath, paths)]), size, codec, frame_stride)

    @classmethod
    def read(cls, folder: Path) -> PackRecord | None:
        """That of a packed source; None for one that was packed before there were any. Raises ValueError where it is
        malformed."""
        path = folder / FILE
        if not path.exists():
            return None
        names = [field.name for field in fields(cls)]
        content = read_json(path, ", ".join(names), dict)
        if content.keys() != set(names):
            raise ValueError(f"{path}: expected {', '.join(names)}, got {', '.join(content) or 'nothing'}")
        return cls(**content)

    def write(self, folder: Path) -> None:
        """Puts it into the folder of a source, before the first picture."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / FILE, json.dumps(asdict(self)))

    def __str__(self) -> str:
        return f"{self.source} (size {self.size}, codec {self.codec}, frame stride {self.frame_stride})"


def check_record(folder: Path, wanted: PackRecord | None) -> None:
    """Raises ValueError where ``folder`` holds pictures of another source, or stored in another way, than ``wanted``.

    Packs made before there were records have none: what comes next into them is taken for what they were made from,
    as it was then. Where nothing is stored yet, there is nothing to mix.
    """
    if not any(folder.glob("*/piece-*.json")):
        return
    kept = PackRecord.read(folder)
    if kept not in (None, wanted):
        raise ValueError(
            f"{folder} holds {kept}, not {wanted or 'a pack without a record'}; "
            "expected the same again, another NAME, or that folder removed"
        )
