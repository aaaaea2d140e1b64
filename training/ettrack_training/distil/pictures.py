"""Draws crops of any pictures that are framed like the templates and search regions of a tracker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png"}


class Pictures:
    """All pictures in some folders and their subfolders. They are kept encoded in memory and decoded when they are
    drawn.

    Raises ValueError if a folder holds no picture.
    """

    def __init__(self, folders: list[Path]):
        paths: list[Path] = []
        for folder in folders:
            found = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
            if not found:
                raise ValueError(f"{folder}: expected {', '.join(sorted(SUFFIXES))} in it or below, found none")
            paths += found
        paths.sort()
        self._bytes = [np.frombuffer(p.read_bytes(), np.uint8) for p in paths]

    def __len__(self) -> int:
        return len(self._bytes)

    def picture(self, index: int) -> np.ndarray:
        """Returns a picture, RGB u8 [H,W,3]. Raises TypeError or cv2.error if it cannot be decoded."""
        bgr = cv2.imdecode(self._bytes[index], cv2.IMREAD_COLOR)
        return np.ascontiguousarray(bgr[:, :, ::-1])


def framings(pictures: Pictures, size: int, batch: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yields batches of crops u8 [batch,size,size,3] without end.

    Each drawn picture gives two crops, so that it is decoded once for both. Crops show from 0.3 to 1.5 times the
    shorter side of the picture. Outside the picture they have its mean colour, as in the runtime. A third are made
    smaller first, because the search region of a small target is enlarged. Raises ValueError if no picture can be
    decoded.
    """
    broken: set[int] = set()
    crops: list[np.ndarray] = []
    while True:
        index = int(rng.integers(len(pictures)))
        try:
            picture = pictures.picture(index)
        except (cv2.error, TypeError):  # a few damaged files do not end the run
            broken.add(index)
            if len(broken) == len(pictures):
                raise ValueError(f"expected pictures, none of {len(pictures)} files can be decoded") from None
            continue
        for _ in range(2):
            crops.append(_framing(picture, size, rng))
        if len(crops) >= batch:
            yield np.stack(crops[:batch])
            crops = crops[batch:]


def _framing(picture: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    height, width = picture.shape[:2]
    if rng.random() < 0.35:
        shrink = rng.uniform(0.25, 0.8)
        small = (max(24, int(width * shrink)), max(24, int(height * shrink)))
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        height, width = picture.shape[:2]
    side = min(height, width) * np.exp(rng.uniform(np.log(0.3), np.log(1.5)))
    scale = size / side
    angle = rng.normal(0, 10) if rng.random() < 0.3 else 0.0
    x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
    matrix = cv2.getRotationMatrix2D((x, y), angle, scale)
    matrix[:, 2] += size / 2 - x, size / 2 - y
    mean = picture.reshape(-1, 3).mean(0)
    flags = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    crop = cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderValue=mean.tolist())
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rng.random() < 0.4:
        gain, bias = rng.uniform(0.6, 1.3), rng.uniform(-25, 25)
        table = np.clip(np.arange(256) * gain + bias, 0, 255).astype(np.uint8)
        crop = cv2.LUT(np.ascontiguousarray(crop), table)
    if rng.random() < 0.1:
        crop = cv2.GaussianBlur(crop, (5, 5), rng.uniform(0.5, 2.0))
    return np.ascontiguousarray(crop)
