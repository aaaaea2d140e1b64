"""Files that appear only when they are complete, also after a loss of power."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file under a temporary name in the same folder and renames it, so that it is never incomplete."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    rename_whole(temporary, path)


def rename_whole(temporary: Path, path: Path) -> None:
    """Renames a complete file. Its bytes are on the disk before it has its name, and its name before this returns."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
