"""The CSV log of a run, with one row for each report. A resumed run continues its log."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path


class CsvLog:
    """Writes rows with fixed columns. An existing file with other columns is renamed to a name with the time."""

    def __init__(self, path: Path):
        self.path = path
        self._columns: list[str] | None = None

    def write(self, row: Mapping[str, object]) -> None:
        """Appends a row to the file. The names in the first row are the columns. Later rows may leave some out.

        Raises ValueError for a name that is not a column.
        """
        if self._columns is None:
            self._columns = list(row)
            self._set_aside_others()
        unknown = [name for name in row if name not in self._columns]
        if unknown:
            raise ValueError(f"{self.path} has the columns {self._columns}, got {unknown}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(self._columns)
            writer.writerow([row.get(name, "") for name in self._columns])

    def _set_aside_others(self) -> None:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return
        with self.path.open(newline="") as file:
            if next(csv.reader(file)) != self._columns:
                stamp = time.strftime("%Y%m%d-%H%M%S")
                self.path.rename(self.path.with_name(f"{self.path.stem}.until-{stamp}{self.path.suffix}"))
