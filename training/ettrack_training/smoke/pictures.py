"""Pictures for smoke runs: textured objects that move over textured backgrounds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 320, 240


def texture(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Coloured noise at three scales, uint8 [height, width, 3]."""
    total = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 70.0), (12, 35.0), (48, 15.0)):
        coarse = random.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(total + random.uniform(60, 190, 3), 0, 255).astype(np.uint8)


def photographs(folder: Path, count: int, random: np.random.Generator) -> None:
    """Writes JPEG pictures without annotations."""
    folder.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03}.jpg"), texture(random, WIDTH, HEIGHT))


def videos(folder: Path, count: int, frames: int, random: np.random.Generator) -> None:
    """Writes videos with boxes and masks, in the layout that the reader `index` reads."""
    folder.mkdir(parents=True)
    items = []
    for video in range(count):
        background = texture(random, WIDTH, HEIGHT)
        skin = texture(random, WIDTH, HEIGHT)
        width, height = (int(side) for side in random.integers(40, 90, 2))
        x, y = random.uniform(20, WIDTH - width - 20), random.uniform(20, HEIGHT - height - 20)
        item: dict[str, list] = {"frames": [], "boxes": [], "masks": []}
        for number in range(frames):
            x = float(np.clip(x + random.normal(0, 5), 0, WIDTH - width))
            y = float(np.clip(y + random.normal(0, 5), 0, HEIGHT - height))
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            middle = (x + width / 2 - 0.5, y + height / 2 - 0.5)
            cv2.ellipse(mask, (middle, (width - 1, height - 1), 0), 255, -1)
            # The object's texture moves with it.
            moved = np.roll(skin, (int(y), int(x)), (0, 1))
            name = f"{video}-{number:03}"
            cv2.imwrite(str(folder / f"{name}.jpg"), np.where(mask[..., None] > 0, moved, background))
            cv2.imwrite(str(folder / f"{name}.png"), mask)
            item["frames"].append(f"{name}.jpg")
            item["masks"].append(f"{name}.png")
            item["boxes"].append([x, y, width, height])
        items.append(item)
    (folder / "index.json").write_text(json.dumps(items))
