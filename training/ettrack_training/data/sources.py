"""What the packer is told to pack, checked before anything is packed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .readers import open_source
from .records import Clip


@contextmanager
def named(what: object) -> Iterator[None]:
    """Adds the refused source to an error. An error of reading a file counts as a refusal, too."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"{what}: {error}") from error


@dataclass(frozen=True)
class Source:
    """``NAME=KIND:PATH``: a folder of the cache and what becomes it."""

    name: str
    specification: str

    @classmethod
    def parse(cls, text: str) -> Source:
        """Raises ValueError where there is no NAME, or none that a folder of the cache can have."""
        name, separator, specification = text.partition("=")
        if not separator:
            raise ValueError(f"expected NAME=KIND:PATH, got {text!r}")
        if name in ("", ".", "..") or "/" in name:
            raise ValueError(f"expected NAME=KIND:PATH with a NAME that a folder can have, got {text!r}")
        return cls(name, specification)

    def __str__(self) -> str:
        return f"{self.name}={self.specification}"

    def clips(self) -> Iterator[Clip]:
        """Reads the source."""
        return open_source(self.specification)

    def check(self) -> None:
        """Reads as far as the first picture that is there, which tells a wrong path or layout. Raises ValueError."""
        missing = None
        for clip in self.clips():
            if any(frame.is_file() for frame in clip.frames):
                return
            missing = missing or next(iter(clip.frames), None)
        because = f": the first, {missing}, is not there" if missing else ""
        raise ValueError(f"expected pictures, found none{because}")
