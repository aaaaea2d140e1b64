"""Augments whole batches on the training device, for machines whose processor is too slow for their GPU.

The processes that make pairs then draw wide search crops without photometric changes (:func:`wide_config`).
:class:`DeviceAugment` cuts, rotates, flips, recolours, blurs and covers whole batches. It can be applied to a batch
several times, and each time gives different pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import conv2d, grid_sample, interpolate, pad

from .config import AugmentConfig, PairConfig
from .geometry import SEARCH_SIZE

_LUMA = (0.299, 0.587, 0.114)
_BLUR_RADIUS = 4
# Settings of `AugmentConfig` that are not implemented on the device.
NOT_ON_DEVICE = ("gamma", "low_resolution", "jpeg", "small", "shadow")


def wide_config(config: PairConfig, margin: int = 48) -> PairConfig:
    """The configuration for the processes that make pairs: search crops with ``margin`` more pixels on each side, and
    no photometric changes.

    The device shifts crops by up to ``margin`` pixels. These processes draw the rest, so that both together reach
    ``search_shift``.
    """
    off = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))
    shift = max(config.crop.search_shift - margin, 0.0)
    crop = replace(config.crop, search_size=config.crop.search_size + 2 * margin, search_shift=shift)
    return replace(config, crop=crop, augment=off)


@dataclass(frozen=True)
class DeviceAugment:
    """Cuts ``size`` x ``size`` search crops out of wide ones and changes both crops.

    ``shift`` (pixels) and ``scale`` (a fraction) are largest values of uniform draws. ``angle`` (radians) is the
    standard deviation of a normal one. ``augment`` has the same meaning as in :mod:`.augment`, without the settings
    :data:`NOT_ON_DEVICE`.
    """

    augment: AugmentConfig
    size: int = SEARCH_SIZE
    shift: float = 48.0
    scale: float = 0.15
    angle: float = 0.1

    @classmethod
    def of(cls, config: PairConfig, margin: int = 48) -> DeviceAugment:
        """The augmentation of batches that were made with ``wide_config(config, margin)``.

        Shift, scale and angle are at most ``config``'s largest shift, its scale and its angle. Without ``turn`` nothing
        is rotated.
        """
        crop = config.crop
        return cls(
            config.augment,
            size=crop.search_size,
            shift=min(margin, crop.search_shift),
            scale=min(cls.scale, crop.search_scale),
            angle=min(cls.angle, config.turn_angle) if config.turn > 0 else 0.0,
        )

    def __call__(
        self, batch: Mapping[str, torch.Tensor], generator: torch.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """Takes a batch of the loader that is already on the device. Returns one with float32 ``template`` and
        ``search`` [b, 3, size, size] in 0..255 and the boxes in the new crops."""
        draw = _Draw(batch["search"].device, len(batch["search"]), generator)
        # The target's box and the others' boxes are moved together.
        boxes = torch.cat([batch["box"][:, None], batch["others"]], dim=1)
        search, boxes = self._window(batch["search"], boxes, draw)
        template = batch["template"].permute(0, 3, 1, 2).to(torch.float32)
        flip = draw.chance(self.augment.flip)
        search, template = _flip(search, flip), _flip(template, flip)
        boxes = torch.where(flip[:, None, None] & ~_empty(boxes), _mirrored(boxes, self.size), boxes)
        box, others = boxes[:, 0], boxes[:, 1:]
        around = batch["template_box"]
        around = torch.where(flip[:, None], _mirrored(around, template.shape[3]), around)
        search = _erase(search, box, draw, self.augment.cutout)
        shared = self._shared_colour(draw)
        search = self._degrade(search, shared, draw)
        template = self._degrade(template, shared, draw)
        return {**batch, "template": template, "search": search, "box": box, "template_box": around, "others": others}

    def _window(self, search: torch.Tensor, boxes: torch.Tensor, draw: _Draw) -> tuple[torch.Tensor, torch.Tensor]:
        wide = search.shape[1]
        room = max((wide - self.size) / 2, 0.0)
        offset = draw.uniform(2) * min(self.shift, room)
        zoom = torch.exp(draw.uniform(1) * torch.log1p(torch.tensor(self.scale)))[:, 0]
        angle = draw.normal() * self.angle
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        # From the small crop to the wide one, in pixels around the middle of each.
        linear = torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1)
        line = torch.arange(self.size, device=search.device, dtype=torch.float32) + 0.5 - self.size / 2
        points = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
        source = torch.einsum("bij,yxj->byxi", linear, points) + offset[:, None, None, :]
        pixels = search.permute(0, 3, 1, 2).to(torch.float32)
        cut = grid_sample(pixels, source * (2 / wide), mode="bilinear", padding_mode="border", align_corners=False)
        return cut, self._move(boxes, linear, offset, wide)

    def _move(self, boxes: torch.Tensor, linear: torch.Tensor, offset: torch.Tensor, wide: int) -> torch.Tensor:
        """Boxes [b, k, 4] in the cut crop. A rotated box is that of its rotated inscribed ellipse. Boxes are
        clipped."""
        back = torch.linalg.inv(linear)
        centre = (boxes[..., :2] + boxes[..., 2:]) / 2 - wide / 2 - offset[:, None]
        centre = torch.einsum("bij,bkj->bki", back, centre) + self.size / 2
        half = (boxes[..., 2:] - boxes[..., :2]) / 2
        half = ((back[:, None] * half[:, :, None, :]) ** 2).sum(dim=3).sqrt()
        moved = torch.cat([centre - half, centre + half], dim=2).clamp(0, self.size)
        return torch.where(_empty(boxes), torch.zeros_like(moved), moved)

    def _shared_colour(self, draw: _Draw) -> tuple[torch.Tensor, torch.Tensor]:
        config = self.augment
        gray = draw.chance(config.gray)
        return _colour(
            draw, config.shared_brightness, config.shared_contrast, config.shared_saturation, config.shared_hue, gray
        )

    def _degrade(self, crop: torch.Tensor, shared: tuple[torch.Tensor, torch.Tensor], draw: _Draw) -> torch.Tensor:
        config = self.augment
        own = _colour(draw, config.brightness, config.contrast, config.saturation, config.hue)
        matrix = shared[0] @ own[0]
        offset = (shared[0] @ own[1][:, :, None])[:, :, 0] + shared[1]
        crop = torch.einsum("bij,bjyx->biyx", matrix, crop) + offset[:, :, None, None]
        light = draw.chance(config.lighting)[:, None, None, None] * draw.uniform(9).view(-1, 1, 3, 3) * 0.45
        crop = crop * (1 + interpolate(light, size=crop.shape[2:], mode="bicubic", align_corners=False))
        crop = _blur(crop.clamp(0, 255), draw, config.blur, config.motion_blur)
        strength = draw.chance(config.noise) * (draw.uniform(1)[:, 0].abs() * 12)
        return (crop + draw.noise(crop) * strength[:, None, None, None]).clamp(0, 255)


class _Draw:
    """Draws random numbers for each sample of a batch, on its device."""

    def __init__(self, device: torch.device, count: int, generator: torch.Generator | None) -> None:
        self._device = device
        self._count = count
        self._generator = generator

    def uniform(self, columns: int) -> torch.Tensor:
        """Uniform numbers in -1..1, [b, columns]."""
        return torch.rand((self._count, columns), device=self._device, generator=self._generator) * 2 - 1

    def normal(self) -> torch.Tensor:
        """Standard normal numbers, [b]."""
        return torch.randn(self._count, device=self._device, generator=self._generator)

    def chance(self, probability: float) -> torch.Tensor:
        """True with the given probability, bool [b]."""
        return torch.rand(self._count, device=self._device, generator=self._generator) < probability

    def noise(self, like: torch.Tensor) -> torch.Tensor:
        """Standard normal numbers with the shape of ``like``."""
        return torch.randn(like.shape, device=self._device, generator=self._generator)


def _colour(
    draw: _Draw,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    gray: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws linear changes of colour: matrices [b, 3, 3] and offsets [b, 3], as :func:`.augment.draw_colour` does."""
    gain, slope, chroma, turn = draw.uniform(4).unbind(dim=1)
    scale = (1 + brightness * gain) * (1 + contrast * slope)
    chroma = 1 + saturation * chroma
    if gray is not None:
        chroma = torch.where(gray, torch.zeros_like(chroma), chroma)
    cos, sin = torch.cos(hue * turn), torch.sin(hue * turn) / 3**0.5
    third = (1 - cos) / 3
    rows = (cos + third, third - sin, third + sin)
    # A circulant matrix: each row is the one above, moved by one.
    rotation = torch.stack([torch.stack([rows[(j - i) % 3] for j in range(3)], dim=1) for i in range(3)], dim=1)
    grey = torch.tensor(_LUMA, device=scale.device).expand(3, 3)
    matrix = grey + chroma[:, None, None] * (rotation @ (torch.eye(3, device=scale.device) - grey))
    offset = (-128.0 * contrast * slope)[:, None].expand(-1, 3)
    return scale[:, None, None] * matrix, offset


def _empty(boxes: torch.Tensor) -> torch.Tensor:
    """Which of boxes [..., 4] are zero, which means that there is no box: bool [..., 1]."""
    return (boxes == 0).all(dim=-1, keepdim=True)


def _mirrored(box: torch.Tensor, width: int) -> torch.Tensor:
    """Boxes [..., 4] in crops of ``width`` pixels that are flipped left to right."""
    x1, y1, x2, y2 = box.unbind(dim=-1)
    return torch.stack([width - x2, y1, width - x1, y2], dim=-1)


def _flip(crop: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
    return torch.where(flip[:, None, None, None], crop.flip(3), crop)


def _blur(crop: torch.Tensor, draw: _Draw, gaussian: float, motion: float) -> torch.Tensor:
    """Blurs each sample by its own kernel: a Gaussian, a straight line, or no blur."""
    size = 2 * _BLUR_RADIUS + 1
    line = torch.arange(size, device=crop.device, dtype=torch.float32) - _BLUR_RADIUS
    y, x = torch.meshgrid(line, line, indexing="ij")
    numbers = draw.uniform(3)
    sigma = 0.4 + 0.7 * (numbers[:, 0, None, None] + 1)
    round_kernel = torch.exp(-(x**2 + y**2) / (2 * sigma**2))
    angle = numbers[:, 1, None, None] * torch.pi / 2
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = y * torch.cos(angle) - x * torch.sin(angle)
    reach = 1 + 1.5 * (numbers[:, 2, None, None] + 1)
    straight = (1 - across.abs()).clamp(min=0) * (along.abs() <= reach)
    nothing = ((x == 0) & (y == 0)).to(torch.float32).expand_as(round_kernel)
    kernel = torch.where(draw.chance(gaussian)[:, None, None], round_kernel, nothing)
    kernel = torch.where(draw.chance(motion)[:, None, None], straight, kernel)
    kernel = kernel / kernel.sum(dim=(1, 2), keepdim=True)
    count, channels, height, width = crop.shape
    padded = pad(crop, [_BLUR_RADIUS] * 4, mode="replicate").view(1, count * channels, height + size - 1, -1)
    weights = kernel[:, None].expand(-1, channels, -1, -1).reshape(count * channels, 1, size, size)
    return conv2d(padded, weights, groups=count * channels).view(count, channels, height, width)


def _erase(crop: torch.Tensor, box: torch.Tensor, draw: _Draw, probability: float) -> torch.Tensor:
    """Covers one rectangle with the mean colour, at most about a third of the box (Cutout)."""
    size = crop.shape[2]
    numbers = (draw.uniform(4) + 1) / 2
    span = (0.08 + 0.22 * numbers[:, :2]) * size
    low = numbers[:, 2:] * size
    high = low + span
    overlap = (torch.minimum(high, box[:, 2:]) - torch.maximum(low, box[:, :2])).clamp(min=0).prod(dim=1)
    allowed = overlap <= 0.35 * (box[:, 2:] - box[:, :2]).prod(dim=1)
    chosen = draw.chance(probability) & allowed
    line = torch.arange(size, device=crop.device, dtype=torch.float32) + 0.5
    columns = (line >= low[:, :1]) & (line < high[:, :1])
    rows = (line >= low[:, 1:]) & (line < high[:, 1:])
    covered = (rows[:, :, None] & columns[:, None, :] & chosen[:, None, None])[:, None]
    return torch.where(covered, crop.mean(dim=(2, 3), keepdim=True), crop)
