"""The packer's sources, which are checked before anything is packed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .readers import open_source
from .records import Clip


@contextmanager
def named(what: object) -> Iterator[None]:
    """Turns an OSError or ValueError into a ValueError that begins with the name of the refused source."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"{what}: {error}") from error


@dataclass(frozen=True)
class Source:
    """``NAME=KIND:PATH``: the name of a folder in the cache, and the source that is packed into it."""

    name: str
    specification: str

    @classmethod
    def parse(cls, text: str) -> Source:
        """Parses ``NAME=KIND:PATH``. Raises ValueError if there is no NAME, or if NAME cannot be the name of a
        folder."""
        name, separator, specification = text.partition("=")
        if not separator:
            raise ValueError(f"expected NAME=KIND:PATH, got {text!r}")
        if name in ("", ".", "..") or "/" in name:
            raise ValueError(f"expected NAME=KIND:PATH with a NAME that a folder can have, got {text!r}")
        return cls(name, specification)

    def __str__(self) -> str:
        return f"{self.name}={self.specification}"

    @property
    def kind(self) -> str:
        """The KIND, which names the reader."""
        return self.specification.partition(":")[0]

    def clips(self) -> Iterator[Clip]:
        """Yields the clips of the source. Raises ValueError if the specification is malformed or does not fit the
        files."""
        return open_source(self.specification)

    def check(self) -> None:
        """Reads up to the first existing picture, to find a wrong path or layout. Raises ValueError if there is
        none."""
        missing = None
        for clip in self.clips():
            if any(frame.is_file() for frame in clip.frames):
                return
            missing = missing or next(iter(clip.frames), None)
        because = f": the first, {missing}, is not there" if missing else ""
        raise ValueError(f"expected pictures, found none{because}")
