"""Ends a command that refuses its input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .checkpoint import CheckpointError


@contextmanager
def refusals() -> Iterator[None]:
    """Ends the program with the reason, instead of a traceback, where bad input is refused or cannot be
    read. For the preparations of
    long runs, not for the runs: what goes wrong there is no refusal."""
    try:
        yield
    except (CheckpointError, ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from error
