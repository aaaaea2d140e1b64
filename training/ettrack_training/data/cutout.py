"""Cuts objects out of pictures, as small RGB pictures with alpha that can be pasted elsewhere.

Masks come with the data set, or from :func:`segment`, which guesses the mask of a single object in the middle of a
photograph. The object's colours are continued outside the mask, so that a resampled edge does not show the old
background.
"""

from __future__ import annotations

import cv2
import numpy as np

CUTOUT_SIZE = 128
MIN_SIDE = 14
_SEGMENT_SIZE = 112


def cut(picture: np.ndarray, mask: np.ndarray, size: int = CUTOUT_SIZE) -> np.ndarray | None:
    """Cuts the object with ``mask`` (bool [height, width]) out of a picture u8 [height, width, 3].

    Returns u8 [h, w, 4], RGB with alpha, whose longest side is at most ``size``. None if the object is too small.
    """
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if min(width, height) < MIN_SIDE:
        return None
    pad = max(2, max(width, height) // 24)
    y0, x0 = max(y - pad, 0), max(x - pad, 0)
    patch = picture[y0 : y + height + pad, x0 : x + width + pad]
    alpha = mask[y0 : y + height + pad, x0 : x + width + pad].astype(np.uint8) * 255
    scale = min(1.0, size / max(patch.shape[:2]))
    if scale < 1.0:
        shape = (max(1, round(patch.shape[1] * scale)), max(1, round(patch.shape[0] * scale)))
        patch = cv2.resize(patch, shape, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, shape, interpolation=cv2.INTER_AREA)
    return np.dstack([_continue_colours(patch, alpha), cv2.GaussianBlur(alpha, (3, 3), 0)])


def _continue_colours(patch: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Replaces colours outside the mask by blurred colours from inside it (normalised convolution)."""
    # The outermost ring of a mask already contains background, so it counts as outside.
    inside = (cv2.erode(alpha, np.ones((3, 3), np.uint8)) > 200).astype(np.float32)
    colours = patch.astype(np.float32)
    weight = cv2.GaussianBlur(inside, (0, 0), 3)
    spread = cv2.GaussianBlur(colours * inside[..., None], (0, 0), 3) / np.maximum(weight, 1e-3)[..., None]
    known = np.where(weight[..., None] > 1e-3, spread, colours)
    return np.where(inside[..., None] > 0, colours, known).clip(0, 255).astype(np.uint8)


def segment(picture: np.ndarray) -> np.ndarray | None:
    """Guesses the mask of a single object in the middle of a photograph u8 [height, width, 3].

    Returns bool [height, width], or None if no clear object is found. Uses GrabCut at a small size. It starts from an
    ellipse in the middle (probably object) and the rim (background). A mask is accepted only if it is mostly one piece,
    hardly touches the rim, is neither very small nor very large, and differs in colour from its surroundings.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, _SEGMENT_SIZE / max(height, width))
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    if min(h, w) < 32:
        return None
    labels = np.full((h, w), cv2.GC_PR_BGD, np.uint8)
    cv2.ellipse(labels, ((w / 2, h / 2), (0.78 * w, 0.78 * h), 0), cv2.GC_PR_FGD, -1)
    rim = max(2, round(0.035 * max(h, w)))
    labels[:rim], labels[-rim:], labels[:, :rim], labels[:, -rim:] = (cv2.GC_BGD,) * 4
    try:
        cv2.setRNGSeed(0)
        cv2.grabCut(small, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        # Pictures of a single colour leave GrabCut's colour models empty.
        return None
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = _largest_piece(mask)
    if mask is None or not _plausible(small, mask, rim):
        return None
    smooth = cv2.resize(mask * 255, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(smooth, (0, 0), max(0.6, 0.8 / scale)) > 127


def _largest_piece(mask: np.ndarray) -> np.ndarray | None:
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    areas = statistics[1:, cv2.CC_STAT_AREA]
    largest = int(areas.argmax())
    if areas[largest] < 0.75 * areas.sum():
        return None
    piece = (pieces == largest + 1).astype(np.uint8)
    # Small holes are usually errors of the mask.
    holes, marks, hole_statistics, _ = cv2.connectedComponentsWithStats(1 - piece)
    for hole in range(1, holes):
        if hole_statistics[hole, cv2.CC_STAT_AREA] < 0.02 * areas[largest]:
            piece[marks == hole] = 1
    return piece


def _plausible(picture: np.ndarray, mask: np.ndarray, rim: int) -> bool:
    h, w = mask.shape
    filled = mask.mean()
    if not 0.06 < filled < 0.72:
        return False
    inner = mask[rim : h - rim, rim : w - rim]
    edge = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    if edge.mean() > 0.2:
        return False
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    solid = mask.sum() / max(cv2.contourArea(cv2.convexHull(contour)), 1.0)
    if solid < 0.42:
        return False
    # The contrast across the outline: a ring inside it is compared with a ring outside it.
    kernel = np.ones((7, 7), np.uint8)
    inside = (mask - cv2.erode(mask, kernel)).astype(bool)
    outside = (cv2.dilate(mask, kernel) - mask).astype(bool)
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    return float(np.abs(lab[inside].mean(axis=0) - lab[outside].mean(axis=0)).sum()) > 18.0
