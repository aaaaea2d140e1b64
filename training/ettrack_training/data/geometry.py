"""Crop windows and the affine maps between source pictures and crops.

Points are continuous: (0, 0) is the upper-left corner of the upper-left pixel, so the centre of pixel i is i + 0.5. A
map is a 2 x 3 matrix from crop points to source points. OpenCV samples in this direction. Boxes are x1, y1, x2, y2
unless a name says otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np

TEMPLATE_SIZE = 127
SEARCH_SIZE = 256
_LARGEST_WINDOW = 800 * 800


def context_side(width: float, height: float) -> float:
    """Side of the square template window around a target, pixels: sqrt((w+p)(h+p)) with p = (w+h)/2 (SiamFC)."""
    context = (width + height) / 2
    return float(np.sqrt((width + context) * (height + context)))


def window_map(
    centre: tuple[float, float],
    span: tuple[float, float],
    out: int,
    angle: float = 0.0,
    flip: bool = False,
) -> np.ndarray:
    """Map from an ``out`` x ``out`` crop to the source window of ``span`` (width, height) around ``centre``.

    ``angle`` (radians) rotates the window in the source. ``flip`` mirrors it left to right. An upright window is moved
    to whole pixels, as trackers do at run time. The returned map belongs to the moved window.
    """
    centre, span = np.asarray(centre, np.float64), np.asarray(span, np.float64)
    if angle == 0.0:
        span = np.maximum(np.rint(span), 2.0)
        centre = np.rint(centre - span / 2) + span / 2
    cos, sin = np.cos(angle), np.sin(angle)
    sx, sy = span / out
    if flip:
        sx = -sx
    matrix = np.array([[cos * sx, -sin * sy, 0.0], [sin * sx, cos * sy, 0.0]])
    matrix[:, 2] = centre - matrix[:, :2].sum(axis=1) * (out / 2)
    return matrix


def invert(matrix: np.ndarray) -> np.ndarray:
    """The map in the other direction."""
    (a, b, x), (c, d, y) = matrix
    determinant = a * d - b * c
    back = np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y]])
    return back / determinant


def crop(picture: np.ndarray, matrix: np.ndarray, out: int, fill: tuple[int, ...] | None) -> np.ndarray:
    """Samples an ``out`` x ``out`` crop bilinearly. Outside the picture it has the colour ``fill``, or the mirrored
    picture if ``fill`` is None.

    Upright windows are cut and resized, which is ten times as fast as the general affine map for rotated ones.
    """
    if matrix[0, 1] == 0 and matrix[1, 0] == 0:
        upright = _resize_window(picture, matrix, out, fill)
        if upright is not None:
            return upright
    # OpenCV's origin is the centre of the first pixel, so both sides are shifted by half a pixel.
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(
        picture,
        shifted,
        (out, out),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101 if fill is None else cv2.BORDER_CONSTANT,
        borderValue=fill or (),
    )


def _resize_window(
    picture: np.ndarray, matrix: np.ndarray, out: int, fill: tuple[int, ...] | None
) -> np.ndarray | None:
    """The crop of an upright window on whole pixels. None if padding the window would cost more than the general
    map."""
    width, height = round(abs(matrix[0, 0]) * out), round(matrix[1, 1] * out)
    if width * height > _LARGEST_WINDOW:
        return None
    flip = matrix[0, 0] < 0
    x0 = round(matrix[0, 2]) - (width if flip else 0)
    y0 = round(matrix[1, 2])
    rows, columns = picture.shape[:2]
    top, left = max(-y0, 0), max(-x0, 0)
    bottom, right = max(y0 + height - rows, 0), max(x0 + width - columns, 0)
    if top + bottom >= height or left + right >= width:
        return None
    window = picture[y0 + top : y0 + height - bottom, x0 + left : x0 + width - right]
    if top or bottom or left or right:
        border = cv2.BORDER_REFLECT_101 if fill is None else cv2.BORDER_CONSTANT
        window = cv2.copyMakeBorder(window, top, bottom, left, right, border, value=fill or ())
    resized = cv2.resize(window, (out, out), interpolation=cv2.INTER_LINEAR)
    return cv2.flip(resized, 1) if flip else resized


def picture_in_crop(matrix: np.ndarray, size: tuple[int, int], out: int) -> np.ndarray:
    """The part of an upright window's crop that shows the picture, which is ``size`` (width, height) pixels large.

    Returns x1, y1, x2, y2 in whole crop pixels, clipped to the crop.
    """
    back = invert(matrix)
    ends = np.array([back[:, 2], back[:, :2] @ np.asarray(size, np.float64) + back[:, 2]])
    return np.rint(np.clip(np.concatenate([ends.min(axis=0), ends.max(axis=0)]), 0, out)).astype(int)


def map_box(matrix: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The upright box of a box that is transformed by a map.

    It is the extent of the transformed inscribed ellipse, because the corners of a box show background. Without
    rotation it equals the extent of the transformed box.
    """
    centre = matrix[:, :2] @ np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) + matrix[:, 2]
    half = np.array([box[2] - box[0], box[3] - box[1]]) / 2
    extent = np.sqrt(((matrix[:, :2] * half) ** 2).sum(axis=1))
    return np.concatenate([centre - extent, centre + extent])


def corners(box_xywh: np.ndarray) -> np.ndarray:
    """x, y, width, height to x1, y1, x2, y2."""
    x, y, width, height = box_xywh
    return np.array([x, y, x + width, y + height], dtype=np.float64)


def clip_box(box: np.ndarray, size: float) -> np.ndarray:
    """The part of a box inside a square crop of ``size`` pixels."""
    return np.clip(box, 0.0, size)


def area(box: np.ndarray) -> float:
    """Area of a box in square pixels, 0 if it is empty."""
    return float(max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, 0..1. 0 if both are empty."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    overlap = area(np.concatenate([low, high]))
    union = area(a) + area(b) - overlap
    return overlap / union if union > 0 else 0.0
