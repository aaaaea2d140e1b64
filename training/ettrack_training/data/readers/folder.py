"""Reads a folder of photographs without annotation. The name of a picture's folder is its category."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..records import Clip

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


def pictures_below(root: Path) -> list[Path]:
    """Returns all pictures in a folder and its subfolders, sorted by path."""
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)


def read_folder(root: Path) -> Iterator[Clip]:
    """Yields one clip of one frame for each photograph."""
    for path in pictures_below(root):
        category = path.parent.relative_to(root).as_posix()
        yield Clip(path.relative_to(root).as_posix(), [path], category="" if category == "." else category)
