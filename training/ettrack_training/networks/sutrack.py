"""SUTrack (Chen et al., AAAI 2025): Fast-iTPN over the tokens of all images, a text's token and a class token.

Parameter names are those of the authors' checkpoints (``SUTRACK_ep0180.pth.tar``), except for ``text_token``, which
takes the place of their text encoder. All but T224 have a second template. Images are RGB, normalised with the ImageNet
mean and standard deviation. The authors' network takes six channels. Without a depth or thermal image it gets each
image twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .one_stream import HEAD_WIDTH, PATCH, CenterHead, cells

#: Pixels per side of the first patches. Two merges make patches of 16 pixels of them.
FIRST_PATCH = 4
CHANNELS = 6
#: Hidden channels per channel in all blocks.
RATIO = 3
#: Tokens besides those of the images: the text's and the class token.
FURTHER = 2


@dataclass(frozen=True)
class SUTrackConfig:
    """Blocks before the first merge, between the merges and after them, widths, pixels per side, and the number of
    templates."""

    depths: tuple[int, int, int] = (1, 1, 12)
    width: int = 384
    template_size: int = 112
    search_size: int = 224
    templates: int = 1
    head: int = 256


#: The published configurations.
T224 = SUTrackConfig()
B224 = SUTrackConfig((3, 3, 24), 512, templates=2)
B384 = replace(B224, template_size=192, search_size=384)
L224 = SUTrackConfig((2, 2, 40), 768, templates=2)
L384 = replace(L224, template_size=192, search_size=384)


class ConvMlp(nn.Module):
    """Two 1x1 convolutions with the exact GELU and a norm between them."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, RATIO * width, 1), nn.Conv2d(RATIO * width, width, 1)
        self.ffn_ln = nn.LayerNorm(RATIO * width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(over_channels(self.ffn_ln, F.gelu(self.fc1(x))))


class ConvBlock(nn.Module):
    """A block without attention, of maps ``[1, width, h, w]``."""

    def __init__(self, width: int):
        super().__init__()
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), ConvMlp(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(over_channels(self.norm2, x))


class Merge(nn.Module):
    """Merges two by two cells: ``[1, width, h, w]`` to ``[1, 2 * width, h / 2, w / 2]``."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(width, eps=1e-6), nn.Conv2d(width, 2 * width, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(over_channels(self.norm, x))


def over_channels(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """The layer norm of each cell's channels, of maps ``[1, width, h, w]``."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Multi-head self-attention of tokens ``[n, width]``. Keys have no bias."""

    def __init__(self, width: int):
        super().__init__()
        for part in "qkv":
            self.add_module(f"{part}_proj", nn.Linear(width, width, bias=False))
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    @property
    def heads(self) -> int:
        return self.proj.in_features // HEAD_WIDTH

    def forward(self, x: Tensor) -> Tensor:
        parts = self.q_proj(x) + self.q_bias, self.k_proj(x), self.v_proj(x) + self.v_bias
        query, key, value = (part.unflatten(1, (self.heads, HEAD_WIDTH)).transpose(0, 1) for part in parts)
        weights = (query @ key.transpose(1, 2) * HEAD_WIDTH**-0.5).softmax(dim=-1)
        return self.proj((weights @ value).transpose(0, 1).flatten(1))


class GatedMlp(nn.Module):
    """A gated MLP with SiLU and a norm before its last layer."""

    def __init__(self, width: int):
        super().__init__()
        hidden = RATIO * width
        self.w1, self.w2, self.w3 = nn.Linear(width, hidden), nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.ffn_ln = nn.LayerNorm(hidden, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.w3(self.ffn_ln(F.silu(self.w1(x)) * self.w2(x)))


class Block(nn.Module):
    """Pre-norm transformer block with a learned scale per channel for attention and MLP."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, eps=1e-6), Attention(width)
        self.norm2, self.mlp = nn.LayerNorm(width, eps=1e-6), GatedMlp(width)
        self.gamma_1, self.gamma_2 = (nn.Parameter(torch.full((width,), 0.1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.gamma_1 * self.attn(self.norm1(x))
        return x + self.gamma_2 * self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Contains the first convolution under the authors' name."""

    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv2d(CHANNELS, width, FIRST_PATCH, FIRST_PATCH)


class Body(nn.Module):
    """Patches, blocks on maps with merges, positions, blocks on the tokens of both images, final norm."""

    def __init__(self, config: SUTrackConfig):
        super().__init__()
        width, (first, second, self.main) = config.width, config.depths
        self.patch_embed = PatchEmbed(width // 4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        # The search image's positions come first.
        self.pos_embed = nn.Parameter(torch.zeros(1, cells(config.search_size) + cells(config.template_size), width))
        for name in ("template_background_token", "template_foreground_token", "search_token"):
            self.register_parameter(name, nn.Parameter(torch.zeros(width)))
        self.blocks = nn.ModuleList(
            [
                *(ConvBlock(width // 4) for _ in range(first)),
                Merge(width // 4),
                *(ConvBlock(width // 2) for _ in range(second)),
                Merge(width // 2),
                *(Block(width) for _ in range(self.main)),
            ]
        )
        self.fc_norm = nn.LayerNorm(width, eps=1e-6)

    @property
    def map_blocks(self) -> nn.ModuleList:
        return self.blocks[: -self.main]

    @property
    def token_blocks(self) -> nn.ModuleList:
        return self.blocks[-self.main :]

    def tokens(self, image: Tensor) -> Tensor:
        """``[1, 3, n, n]`` to tokens without positions, ``[(n / 16)^2, width]``."""
        x = self.patch_embed.proj(torch.cat([image, image], dim=1))
        for block in self.map_blocks:
            x = block(x)
        return x[0].flatten(1).T


class Encoder(nn.Module):
    """Contains the transformer under the authors' name."""

    def __init__(self, config: SUTrackConfig):
        super().__init__()
        self.body = Body(config)


def foreground(box: Tensor, size: int) -> Tensor:
    """The share of each template cell's pixels that lie in the target's box, ``[cells]``, of ``size`` pixels per side.

    ``box [1, 4]`` is left, top, right and bottom divided by the image's side. The authors divide the places by the side
    minus one and then count pixels by them as if they had divided by the side.
    """
    first, last = (box[0] * (size * size / (size - 1))).reshape(2, 2, 1)
    pixel = torch.arange(size, dtype=box.dtype)
    share = ((pixel >= first) & (pixel < last)).to(box).reshape(2, -1, PATCH).mean(dim=2)
    return (share[1][:, None] * share[0]).flatten()


class SUTrack(nn.Module):
    """The whole tracker network. The sizes are those of T224.

    ``template(z, box)``: ``[1, 3, 112, 112]`` and the target's left, top, right and bottom as shares of it, ``[1, 4]``,
    to the tokens of the template and of the text and the class token, ``[51, width]``. With two templates it takes both
    images and then both boxes.
    ``track(tokens, x)``: with ``x`` of ``[1, 3, 224, 224]`` gives score ``[1, 1, 14, 14]`` in (0, 1), size
    ``[1, 2, 14, 14]`` as fractions of the search region and offset ``[1, 2, 14, 14]`` in cells.
    """

    def __init__(self, config: SUTrackConfig = T224):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = CenterHead(config.width, config.head)
        self.text_token = nn.Parameter(torch.zeros(1, config.width))

    def template(self, *inputs: Tensor) -> Tensor:
        net, count = self.encoder.body, self.config.templates
        tokens = []
        for image, box in zip(inputs[:count], inputs[count:], strict=True):
            share = foreground(box, self.config.template_size)[:, None]
            kind = share * net.template_foreground_token + (1 - share) * net.template_background_token
            tokens.append(net.tokens(image) + net.pos_embed[0, cells(self.config.search_size) :] + kind)
        return torch.cat([*tokens, self.text_token, net.cls_token[0]])

    def track(self, template_tokens: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        net, count = self.encoder.body, cells(self.config.search_size)
        x = torch.cat([net.tokens(search) + net.pos_embed[0, :count] + net.search_token, template_tokens])
        for block in net.token_blocks:
            x = block(x)
        return self.decoder(net.fc_norm(x[:count])[None])

    def forward(self, *images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The inputs of ``template``, then the search image."""
        *known, search = images
        return self.track(self.template(*known), search)
