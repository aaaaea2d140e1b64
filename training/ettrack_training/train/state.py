"""Checkpoints: one file, or pieces small enough to be copied one by one. A file is never half written."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PART_BYTES = 15_000_000


def trained_weights(saved: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """What a run's checkpoint stands for: averaged weights where it holds some."""
    return saved.get("ema", {}).get("state_dict", saved["state_dict"])


def config_differences(
    theirs: Mapping[str, Any], mine: Mapping[str, Any], there: str = "there", here: str = "here"
) -> list[str]:
    """Where two networks' configurations differ. Not all of it shows in the tensors: the windows do not."""
    return [
        f"{key}: {theirs.get(key)} {there}, {mine.get(key)} {here}"
        for key in {**mine, **theirs}
        if theirs.get(key) != mine.get(key)
    ]


def config_of(path: Path, saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration of a checkpoint's network. Raises ValueError where it holds none."""
    if "config" not in saved:
        raise ValueError(f"{path}: expected a checkpoint with its network's configuration, got {', '.join(saved)}")
    return saved["config"]


def resume_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Takes over what an optimiser has gathered; rates and all other settings stay those of this run.

    Raises ValueError or KeyError for the state of another kind of optimiser, or of other parameters."""
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(saved))
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


class CheckpointFile:
    """A checkpoint under one name; `parts` writes NAME.NUMBER.part files with an index NAME.parts.json.

    Either form is found when it is read, the one written last if both are there.
    """

    def __init__(self, path: Path, parts: bool = False, part_bytes: int = PART_BYTES):
        self.path = path
        self._parts = parts
        self._part_bytes = part_bytes

    @property
    def _index(self) -> Path:
        return self.path.with_name(f"{self.path.name}.parts.json")

    def exists(self) -> bool:
        """Whether there is one to resume from."""
        return self.path.exists() or self._index.exists()

    def load(self, device: torch.device | str = "cpu") -> dict[str, Any]:
        """Only tensors and plain values are read. Raises ValueError for what is damaged or missing."""
        data = self.read_bytes()
        try:
            return torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        # For a damaged file torch raises whatever error happens first.
        except Exception as error:
            raise ValueError(f"{self.path}: expected a checkpoint, cannot read it ({error!r:.100})") from error

    def read_bytes(self) -> bytes:
        """The file's content, pieces joined. Raises ValueError as `load` does."""
        written = {path: path.stat().st_mtime_ns for path in (self.path, self._index) if path.exists()}
        if not written:
            raise ValueError(f"expected a checkpoint, found neither {self.path} nor {self._index.name} beside it")
        newest = max(written, key=written.__getitem__)
        return self._joined() if newest == self._index else newest.read_bytes()

    def save(self, content: dict[str, Any]) -> None:
        """Writes beside its place, then renames."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._parts:
            temporary = self.path.with_name(f"{self.path.name}.tmp")
            torch.save(content, temporary)
            temporary.replace(self.path)
            return
        buffer = io.BytesIO()
        torch.save(content, buffer)
        self._write_parts(buffer.getvalue())

    def _write_parts(self, data: bytes) -> None:
        pieces = [data[at : at + self._part_bytes] for at in range(0, len(data), self._part_bytes)]
        # Names carry the content's checksum: new pieces never overwrite those of the index in force.
        rows = []
        for number, piece in enumerate(pieces):
            checksum = hashlib.sha256(piece).hexdigest()
            name = f"{self.path.name}.{number:03}-{checksum[:12]}.part"
            rows.append({"file": name, "sha256": checksum})
            self.path.with_name(name).write_bytes(piece)
        temporary = self._index.with_name(f"{self._index.name}.tmp")
        temporary.write_text(json.dumps(rows, indent=1) + "\n")
        temporary.replace(self._index)
        kept = {row["file"] for row in rows}
        for old in self.path.parent.glob(f"{self.path.name}.*.part"):
            if old.name not in kept:
                old.unlink()

    def _joined(self) -> bytes:
        pieces = []
        for row in json.loads(self._index.read_text()):
            path = self.path.with_name(row["file"])
            if not path.exists():
                raise ValueError(f"{self._index} names the piece {row['file']}, which is not there")
            piece = path.read_bytes()
            if (checksum := hashlib.sha256(piece).hexdigest()) != row["sha256"]:
                raise ValueError(f"{path}: expected sha256 {row['sha256']}, got {checksum}")
            pieces.append(piece)
        return b"".join(pieces)
