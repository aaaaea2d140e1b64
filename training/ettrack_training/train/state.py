"""Checkpoints: one file, or small pieces that can be copied one by one. A file is replaced only when it is complete."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..whole_file import rename_whole, write_whole

PART_BYTES = 15_000_000


def trained_weights(saved: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Returns the weights of a run's checkpoint: the averaged ones if it holds some."""
    return saved.get("ema", {}).get("state_dict", saved["state_dict"])


def config_differences(
    theirs: Mapping[str, Any], mine: Mapping[str, Any], there: str = "there", here: str = "here"
) -> list[str]:
    """Returns the differences of two networks' configurations, one text for each key. Some settings, such as the
    windows, do not change the tensors."""
    return [
        f"{key}: {theirs.get(key)} {there}, {mine.get(key)} {here}"
        for key in {**mine, **theirs}
        if theirs.get(key) != mine.get(key)
    ]


def config_of(path: Path, saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the configuration of a checkpoint's network. Raises ValueError if it holds none."""
    if "config" not in saved:
        raise ValueError(f"{path}: expected a checkpoint with its network's configuration, got {', '.join(saved)}")
    return saved["config"]


def resume_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Loads an optimiser's state. Rates and all other settings stay those of this run.

    Raises ValueError or KeyError if the state belongs to another kind of optimiser or to other parameters."""
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(saved))
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


class CheckpointFile:
    """A checkpoint under one name. `parts` writes files NAME.NUMBER-CHECKSUM.part with an index NAME.parts.json.

    Reading finds both forms, and takes the newer one if both exist.
    """

    def __init__(self, path: Path, parts: bool = False, part_bytes: int = PART_BYTES):
        self.path = path
        self._parts = parts
        self._part_bytes = part_bytes

    @property
    def _index(self) -> Path:
        return self.path.with_name(f"{self.path.name}.parts.json")

    def exists(self) -> bool:
        """Returns whether the checkpoint exists in one of the two forms."""
        return self.path.exists() or self._index.exists()

    def load(self, device: torch.device | str = "cpu") -> dict[str, Any]:
        """Reads the checkpoint, only tensors and plain values. Raises ValueError if it is damaged or missing."""
        data = self.read_bytes()
        try:
            return torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        # For a damaged file, torch raises many kinds of errors.
        except Exception as error:
            raise ValueError(f"{self.path}: expected a checkpoint, cannot read it ({error!r:.100})") from error

    def resume(
        self,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        config: Mapping[str, Any],
        keys: tuple[str, str] = ("state_dict", "config"),
    ) -> int:
        """Loads the checkpoint into a run's network and optimiser if it exists. Returns the step at which it was saved,
        or 0.

        `config` is the network's configuration. `keys` are the checkpoint's entries with the weights and the
        configuration. Raises ValueError if the checkpoint is damaged or belongs to another network."""
        if not self.exists():
            return 0
        saved = self.load()
        weights, known = keys
        if different := config_differences(saved[known], config):
            raise ValueError(f"the checkpoint {self.path} is of another network: {'; '.join(different)}")
        network.load_state_dict(saved[weights])
        resume_optimizer(optimizer, saved["optimizer"])
        return saved["step"]

    def read_bytes(self) -> bytes:
        """Returns the file's bytes, joined if there are pieces. Raises ValueError if it is damaged or missing."""
        written = {path: path.stat().st_mtime_ns for path in (self.path, self._index) if path.exists()}
        if not written:
            raise ValueError(f"expected a checkpoint, found neither {self.path} nor {self._index.name} beside it")
        newest = max(written, key=written.__getitem__)
        return self._joined() if newest == self._index else newest.read_bytes()

    def save(self, content: dict[str, Any]) -> None:
        """Writes the checkpoint under a temporary name and renames it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._parts:
            temporary = self.path.with_name(f"{self.path.name}.tmp")
            torch.save(content, temporary)
            rename_whole(temporary, self.path)
            return
        buffer = io.BytesIO()
        torch.save(content, buffer)
        self._write_parts(buffer.getvalue())

    def _write_parts(self, data: bytes) -> None:
        pieces = [data[at : at + self._part_bytes] for at in range(0, len(data), self._part_bytes)]
        # Names contain the content's checksum, so that new pieces do not overwrite those of the present index.
        rows = []
        for number, piece in enumerate(pieces):
            checksum = hashlib.sha256(piece).hexdigest()
            name = f"{self.path.name}.{number:03}-{checksum[:12]}.part"
            rows.append({"file": name, "sha256": checksum})
            write_whole(self.path.with_name(name), piece)
        write_whole(self._index, json.dumps(rows, indent=1) + "\n")
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
