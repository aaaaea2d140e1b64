"""Stores decoded pictures as raw bytes in memory-mapped files.

A store is a folder of pairs ``piece-0000.bin`` and ``piece-0000.json``. Pieces are smaller than :data:`PIECE_BYTES`, so
that they can be copied one by one. A piece gets its final name only when it is complete, and its index is written last.
So an interrupted build resumes at the first missing piece. Pictures are stored raw for training, or as WebP for
copying: a tenth of the size, and decoded at each access.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..whole_file import rename_whole, write_whole

try:
    import resource
except ImportError:
    # Windows has no such limit.
    resource = None

PIECE_BYTES = 56_000_000
CODECS = ("raw", "webp")
WEBP_QUALITY = 88
# macOS has no hard limit of open files, but accepts no soft limit above this one.
_MOST_FILES_WITHOUT_LIMIT = 10_240


@dataclass(frozen=True)
class Entry:
    """Position, size and codec of one stored picture.

    ``offset`` and ``size`` are bytes within piece number ``piece``. Heights and widths are pixels. ``original_*`` are
    those before resizing. ``mean`` is the mean of each channel, rounded down.
    """

    piece: int
    offset: int
    size: int
    height: int
    width: int
    channels: int
    original_height: int
    original_width: int
    mean: tuple[int, ...]
    codec: str

    @property
    def scale(self) -> tuple[float, float]:
        """Packed pixels per original pixel, horizontally and vertically."""
        return self.width / self.original_width, self.height / self.original_height


class StoreWriter:
    """Appends pictures to a store. Keys of complete pieces are known, so that a resumed build need not read them again.

    Raises ValueError for an unknown codec.
    """

    def __init__(self, folder: Path, codec: str = "raw", piece_bytes: int = PIECE_BYTES) -> None:
        if codec not in CODECS:
            raise ValueError(f"expected one of the codecs {CODECS}, got {codec!r}")
        self.folder = folder
        self.codec = codec
        self.piece_bytes = piece_bytes
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()
        pieces = _pieces(folder)
        self._keys = {key for path in pieces for key in json.loads(path.read_text())}
        self._piece = len(pieces)
        self._index: dict[str, list] = {}
        self._file = None
        self._offset = 0

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def refuse(self, key: str) -> None:
        """Records that this key has no usable picture, so that a resumed build does not try it again."""
        self._index[key] = []
        self._keys.add(key)

    def add(self, key: str, picture: np.ndarray, original: tuple[int, int]) -> None:
        """Stores u8 [height, width, 3 or 4] under ``key``. ``original`` is the (height, width) before resizing.

        Raises KeyError if the key exists, and ValueError if the picture has another type or shape.
        """
        if key in self._keys:
            raise KeyError(f"key {key!r} is in the store already")
        data = _encode(picture, self.codec)
        if self._file is not None and self._offset + len(data) > self.piece_bytes:
            self._finish_piece()
        if self._file is None:
            self._file = (self.folder / f"piece-{self._piece:04}.bin.tmp").open("wb")
            self._offset = 0
        self._file.write(data)
        height, width, channels = picture.shape
        mean = [int(value) for value in picture.reshape(-1, channels).mean(axis=0)]
        self._index[key] = [self._offset, len(data), height, width, channels, *original, mean, self.codec]
        self._offset += len(data)
        self._keys.add(key)

    def close(self) -> None:
        """Completes the current piece."""
        self._finish_piece()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self.close()
        elif self._file is not None:
            self._file.close()

    def _finish_piece(self) -> None:
        if not self._index:
            return
        data = self.folder / f"piece-{self._piece:04}.bin"
        if self._file is None:
            data.write_bytes(b"")
        else:
            self._file.close()
            rename_whole(Path(f"{data}.tmp"), data)
        write_whole(data.with_suffix(".json"), json.dumps(self._index))
        self._piece += 1
        self._index = {}
        self._file = None


class Store:
    """Reads the pictures of a folder. Opening reads only the indices.

    Each mapped piece keeps a file open, so opening raises this process' soft limit of open files to the hard one.
    Raises ValueError if a piece is missing, or if there are more pieces than files that may be open.
    """

    def __init__(self, folder: Path) -> None:
        _allow_open_files()
        self._maps: list[np.ndarray] = []
        self._entries: dict[str, Entry] = {}
        for number, path in enumerate(_pieces(folder)):
            data = path.with_suffix(".bin")
            if not data.is_file():
                raise ValueError(f"expected {data} beside {path.name}, it is missing")
            self._maps.append(_mapped(data))
            for key, value in json.loads(path.read_text()).items():
                if value:
                    *numbers, mean, codec = value
                    self._entries[key] = Entry(number, *numbers, tuple(mean), codec)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def entry(self, key: str) -> Entry:
        """Size, mean colour and position of one picture. Raises KeyError for an unknown key."""
        return self._entries[key]

    def read(self, key: str) -> np.ndarray:
        """The picture as u8 [height, width, channels], RGB or RGB with alpha. A raw picture is a view of the mapped
        file.

        Raises KeyError for an unknown key.
        """
        return self.load(self._entries[key])

    def load(self, entry: Entry) -> np.ndarray:
        """Like :meth:`read`, for an entry from :meth:`entry`."""
        data = self._maps[entry.piece][entry.offset : entry.offset + entry.size]
        if entry.codec == "raw":
            return data.reshape(entry.height, entry.width, entry.channels)
        picture = _from_opencv(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
        if entry.channels == 4 and picture.shape[2] == 3:
            # WebP does not store an alpha that is 255 everywhere.
            return cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)
        return picture


def _allow_open_files() -> None:
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES_WITHOUT_LIMIT if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        # Some systems refuse any change. A small cache does not need it.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _mapped(data: Path) -> np.ndarray:
    """The bytes of a file, u8 [size]. They are read when they are used."""
    if data.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    try:
        return np.memmap(data, np.uint8, "r")
    except OSError as error:
        if resource is None or error.errno != errno.EMFILE:
            raise
        raise ValueError(
            f"{data}: expected a limit of open files (ulimit -n) above the number of pieces in the cache, got "
            f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]}"
        ) from error


def _pieces(folder: Path) -> list[Path]:
    return sorted(folder.glob("piece-*.json"))


def _encode(picture: np.ndarray, codec: str) -> bytes:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4):
        raise ValueError(f"expected u8 [height, width, 3 or 4], got {picture.dtype} {picture.shape}")
    if codec == "raw":
        return np.ascontiguousarray(picture).tobytes()
    done, data = cv2.imencode(".webp", _from_opencv(picture), [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    if not done:
        raise ValueError(f"OpenCV could not encode a picture of shape {picture.shape} as WebP")
    return data.tobytes()


def _from_opencv(picture: np.ndarray) -> np.ndarray:
    """Swaps red and blue, because OpenCV's codecs use BGR and this package uses RGB."""
    return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGB)
