"""Reads the small text files of numbers of tracking data sets, and JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_SEPARATOR = re.compile(r"[,\s]+")


def read_rows(path: Path, columns: int) -> np.ndarray:
    """Reads rows of ``columns`` numbers separated by commas or blanks: float64 [rows, columns].

    Raises ValueError that names file and line if a row is malformed.
    """
    rows = []
    for where, row in _rows(path, f"{columns} numbers"):
        if len(row) != columns:
            raise ValueError(f"{where}: expected {columns} numbers, got {len(row)}")
        rows.append(row)
    return np.array(rows, np.float64).reshape(-1, columns)


def read_numbers(path: Path, least: int) -> np.ndarray:
    """Reads rows with equal counts of numbers, at least ``least``, separated by commas or blanks: float64 [rows,
    columns].

    Raises ValueError that names file and line if a row is malformed.
    """
    rows: list[list[float]] = []
    for where, row in _rows(path, f"{least} or more numbers"):
        columns = len(rows[0]) if rows else max(len(row), least)
        if len(row) != columns:
            raise ValueError(f"{where}: expected {columns} numbers, got {len(row)}")
        rows.append(row)
    return np.array(rows, np.float64).reshape(len(rows), -1 if rows else least)


def _rows(path: Path, expected: str) -> Iterator[tuple[str, list[float]]]:
    """Yields file and number of each line that is not empty, and its numbers."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield f"{path}:{number}", [float(value) for value in _SEPARATOR.split(line.strip().strip(","))]
        except ValueError as error:
            raise ValueError(f"{path}:{number}: expected {expected}, got {line!r}") from error


def read_flags(path: Path) -> np.ndarray:
    """Reads all numbers of a file, float64 [n]. Empty if the file does not exist. Raises ValueError for other text."""
    if not path.is_file():
        return np.zeros(0)
    try:
        return np.array([float(value) for value in _SEPARATOR.split(path.read_text().strip()) if value])
    except ValueError as error:
        raise ValueError(f"{path}: expected numbers: {error}") from error


def hide(boxes: np.ndarray, absent: np.ndarray, path: Path) -> np.ndarray:
    """Replaces boxes [n, 4] by NaN where ``absent`` [n] is not 0. An empty ``absent`` changes nothing.

    Raises ValueError, which names ``path``, if the counts differ.
    """
    if len(absent) == 0:
        return boxes
    if len(absent) != len(boxes):
        raise ValueError(f"{path}: expected {len(boxes)} flags, one per box, got {len(absent)}")
    return np.where(absent[:, None] != 0, np.nan, boxes)


def read_json(path: Path, expected: str, kind: type) -> Any:
    """Returns the content of a JSON file, whose top value must be a ``kind``. Raises ValueError that names the file and
    ``expected``."""
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: expected {expected}, got no JSON: {error}") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path}: expected {expected}, got a {type(content).__name__}")
    return content


@contextmanager
def understanding(path: Path, expected: str) -> Iterator[None]:
    """Turns errors about missing keys or wrong types into a ValueError that names the file and ``expected``."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{path}: expected {expected}, {error} is missing") from error
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{path}: expected {expected}, {error}") from error
