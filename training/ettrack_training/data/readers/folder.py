"""A folder of photographs without annotation; the name of the folder a picture lies in is its category."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..records import Clip

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


def pictures_below(root: Path) -> list[Path]:
    """All pictures under a folder, in the order of their paths."""
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)


def read_folder(root: Path) -> Iterator[Clip]:
    """Yields one clip of one frame per photograph."""
    for path in pictures_below(root):
        category = path.parent.relative_to(root).as_posix()
        yield Clip(path.relative_to(root).as_posix(), [path], category="" if category == "." else category)
