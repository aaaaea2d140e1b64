"""Photometric changes of single crops (u8 RGB). Each function draws its amounts from the given generator."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .config import AugmentConfig

_GREY = np.tile([0.299, 0.587, 0.114], (3, 1))
_CHROMA = np.eye(3) - _GREY
_NOISE_SIZE = 512
# Noise is cut at random from one fixed field, because drawing new noise costs more than all other changes.
_NOISE = np.random.default_rng(0).normal(128.0, 32.0, (_NOISE_SIZE, _NOISE_SIZE, 3)).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Colour:
    """A linear change of colours: ``matrix`` [4, 4] acts on (red, green, blue, 1), levels in 0..255."""

    matrix: np.ndarray

    def then(self, other: Colour) -> Colour:
        """This change followed by another."""
        return Colour(other.matrix @ self.matrix)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Returns the changed u8 picture [height, width, 3 or 4]; alpha stays."""
        if picture.shape[2] == 3:
            return cv2.transform(picture, self.matrix[:3])
        with_alpha = np.zeros((4, 5))
        with_alpha[:3, :3] = self.matrix[:3, :3]
        with_alpha[:3, 4] = self.matrix[:3, 3]
        with_alpha[3, 3] = 1
        return cv2.transform(picture, with_alpha)


UNCHANGED = Colour(np.eye(4))


def offset_colour(levels: np.ndarray) -> Colour:
    """The change that adds ``levels [3]`` (0..255) to the channels."""
    matrix = np.eye(4)
    matrix[:3, 3] = levels
    return Colour(matrix)


def gain_colour(gains: np.ndarray) -> Colour:
    """The change that multiplies the channels by ``gains [3]``."""
    matrix = np.eye(4)
    matrix[(0, 1, 2), (0, 1, 2)] = gains
    return Colour(matrix)


def draw_colour(
    rng: np.random.Generator, brightness: float, contrast: float, saturation: float, hue: float, gray: bool = False
) -> Colour:
    """Draws a change with the given amplitudes: fractions, and radians for ``hue``. ``gray`` removes the colours."""
    gain, slope, colourfulness, turn = rng.uniform(-1, 1, 4)
    scale = (1 + brightness * gain) * (1 + contrast * slope)
    chroma = 0.0 if gray else 1 + saturation * colourfulness
    matrix = np.eye(4)
    matrix[:3, :3] = scale * (_GREY + chroma * (_hue_rotation(hue * turn) @ _CHROMA))
    # Contrast is changed around middle grey.
    matrix[:3, 3] = -128.0 * contrast * slope
    return Colour(matrix)


def _hue_rotation(angle: float) -> np.ndarray:
    """Rotation of RGB around the grey axis."""
    cos, sin = np.cos(angle), np.sin(angle) / np.sqrt(3)
    third = (1 - cos) / 3
    return np.array(
        [
            [cos + third, third - sin, third + sin],
            [third + sin, cos + third, third - sin],
            [third - sin, third + sin, cos + third],
        ]
    )


def draw_pair_colour(rng: np.random.Generator, config: AugmentConfig) -> Colour:
    """Draws the change that is the same for both crops of a pair."""
    return draw_colour(
        rng,
        config.shared_brightness,
        config.shared_contrast,
        config.shared_saturation,
        config.shared_hue,
        gray=rng.random() < config.gray,
    )


def degrade(rng: np.random.Generator, crop: np.ndarray, shared: Colour, config: AugmentConfig) -> np.ndarray:
    """Changes colour, light, sharpness, noise and compression of one crop, in the order in which they arise in a
    camera.

    ``crop`` is u8 [size, size, 3]. Returns the changed crop.
    """
    own = draw_colour(rng, config.brightness, config.contrast, config.saturation, config.hue)
    crop = own.then(shared).apply(crop)
    draws = rng.random(7)
    if draws[0] < config.lighting:
        crop = _light(rng, crop)
    if draws[1] < config.gamma:
        crop = _gamma(rng, crop)
    if draws[2] < config.low_resolution:
        crop = _low_resolution(rng, crop)
    if draws[3] < config.blur:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 1.8))
    if draws[4] < config.motion_blur:
        crop = motion_blur(rng, crop, 9)
    if draws[5] < config.noise:
        crop = _noise(rng, crop)
    if draws[6] < config.jpeg:
        crop = _jpeg(rng, crop)
    return crop


def coarse(
    rng: np.random.Generator, search: np.ndarray, template: np.ndarray, box: np.ndarray, exemplar_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reduces the resolution of both crops as if the target measured 10 to 30 pixels.

    ``box`` is the target in the template, x1, y1, x2, y2 in template pixels. ``exemplar_size`` is the template window's
    side in search pixels. Returns search and template crop in their old sizes. A smaller target leaves them unchanged.
    """
    wanted = np.exp(rng.uniform(np.log(10), np.log(30)))
    side = float(np.sqrt(max(np.prod(box[2:] - box[:2]), 1.0)))
    factor = wanted / side
    per_search_pixel = template.shape[0] / exemplar_size
    return _coarser(search, factor * per_search_pixel), _coarser(template, factor)


def _coarser(crop: np.ndarray, factor: float) -> np.ndarray:
    size = crop.shape[0]
    less = max(round(size * factor), 8)
    if less >= size:
        return crop
    small = cv2.resize(crop, (less, less), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)


def shadow(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """Changes the light on one side of a soft edge, or in the whole crop: darker or slightly brighter, with less
    colour.

    ``crop`` is u8 [size, size, 3]. Returns the changed crop.
    """
    size = crop.shape[0]
    matrix = np.eye(4)
    matrix[:3, :3] = np.exp(rng.uniform(-1.1, 0.4)) * (_GREY + rng.uniform(0.15, 1.0) * _CHROMA)
    changed = Colour(matrix).apply(crop).astype(np.float32)
    angle, edge = rng.uniform(-np.pi, np.pi), rng.uniform(2, 0.4 * size)
    y, x = np.mgrid[:size, :size].astype(np.float32) - rng.uniform(0.25, 0.75, (2, 1, 1)).astype(np.float32) * size
    inside = np.clip((x * np.cos(angle) + y * np.sin(angle)) / edge + 0.5, 0, 1)[..., None]
    if rng.random() < 0.4:
        inside = np.ones_like(inside)
    return (crop + (changed - crop) * inside).clip(0, 255).astype(np.uint8)


def motion_blur(rng: np.random.Generator, picture: np.ndarray, longest: int) -> np.ndarray:
    """Blurs along a random straight line of 3 to ``longest`` pixels."""
    length = int(rng.integers(3, longest + 1)) | 1
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = (length - 1) / 2
    step = reach * np.array([np.cos(angle), np.sin(angle)])
    ends = np.rint(np.array([reach - step, reach + step])).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


def erase(rng: np.random.Generator, crop: np.ndarray, box: np.ndarray | None, probability: float) -> np.ndarray:
    """Covers one rectangle of a crop u8 [size, size, 3] with one colour, with the given probability (Cutout).

    It covers at most about a third of ``box`` (x1, y1, x2, y2 in crop pixels). Changes and returns the crop.
    """
    if rng.random() >= probability:
        return crop
    size = crop.shape[0]
    if box is None or rng.random() < 0.5:
        width, height = rng.uniform(0.08, 0.3, 2) * size
        x, y = rng.uniform(0, size, 2)
        if box is not None:
            overlap = max(0.0, min(x + width, box[2]) - max(x, box[0])) * max(
                0.0, min(y + height, box[3]) - max(y, box[1])
            )
            if overlap > 0.35 * (box[2] - box[0]) * (box[3] - box[1]):
                return crop
    else:
        width, height = (box[2:] - box[:2]) * rng.uniform(0.25, 0.55, 2)
        x, y = rng.uniform(box[:2], box[2:] - (width, height))
    colour = crop[int(rng.integers(size)), int(rng.integers(size))]
    crop[max(int(y), 0) : max(int(y + height), 0), max(int(x), 0) : max(int(x + width), 0)] = colour
    return crop


def _light(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    field = rng.uniform(0.55, 1.45, (3, 3)).astype(np.float32) * 128
    smooth = cv2.resize(field, crop.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(30, 250).astype(np.uint8)
    return cv2.multiply(crop, cv2.merge([smooth] * 3), scale=1 / 128)


def _gamma(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    power = np.exp(rng.uniform(-0.45, 0.45))
    table = (np.linspace(0, 1, 256) ** power * 255).astype(np.uint8)
    return cv2.LUT(crop, table)


def _low_resolution(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    size = crop.shape[0]
    less = max(16, int(size * rng.uniform(0.3, 0.8)))
    small = cv2.resize(crop, (less, less), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)


def _noise(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    size = crop.shape[0]
    y, x = rng.integers(0, _NOISE_SIZE - size + 1, 2)
    field = _NOISE[y : y + size, x : x + size]
    # The field is stored around 128, so that OpenCV can add it to bytes without wider integers.
    amount = rng.uniform(0.05, 0.4)
    return cv2.addWeighted(crop, 1.0, field, amount, -128.0 * amount)


def _jpeg(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)
