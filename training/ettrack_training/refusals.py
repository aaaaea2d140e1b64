"""Ends a command whose input is bad with a message instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .checkpoint import CheckpointError


@contextmanager
def refusals() -> Iterator[None]:
    """Ends the program with a message instead of a traceback if its input is refused or cannot be read.

    Use it for the preparation of a long run and not for the run itself, where an error needs its traceback.
    """
    try:
        yield
    except (CheckpointError, ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
