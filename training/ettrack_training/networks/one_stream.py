"""Parts of one-stream trackers: OSTrack (Ye et al., ECCV 2022) and trackers that use it or its parts.

Parameter names are those of the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .smat import clamped_sigmoid, conv_bn_relu

#: Pixels per side of the patch that becomes a token.
PATCH = 16
#: Channels of an attention head in vision transformers of all widths.
HEAD_WIDTH = 64


class Attention(nn.Module):
    """Multi-head self-attention with one linear layer for query, key and value.

    ``squared`` is the share of the squared weights that is added to the weights of the softmax.
    """

    def __init__(self, width: int, heads: int, squared: float = 0.0):
        super().__init__()
        self.heads, self.squared = heads, squared
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def qkv_bias(self) -> Tensor:
        return self.qkv.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.with_weights(x)[0]

    def with_weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the result and the weight of each key for each query, ``[B, heads, n, n]``."""
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weight = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(dim=-1)
        if self.squared:
            weight = weight + self.squared * weight**2
        return self.proj((weight @ v).transpose(1, 2).reshape(b, n, c)), weight


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block over template and search tokens together."""

    def __init__(self, width: int, heads: int, squared: float = 0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, squared)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class MemoryBlock(nn.Module):
    """Pre-norm transformer block of one image's tokens. They attend to another image's tokens, but not the reverse."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = self.attention(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden)

    @staticmethod
    def attention(width: int) -> Attention:
        """The block's attention."""
        return Attention(width, width // HEAD_WIDTH)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of tokens, ``[1, n, width]`` each."""
        return F.linear(self.norm1(x), self.attn.qkv.weight, self.attn.qkv_bias()).chunk(3, dim=-1)

    def memory(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of tokens to which other tokens will attend."""
        return self.project(x)[1:]

    def scales(self) -> tuple[Tensor | float, Tensor | float]:
        """The factors of attention and MLP, per channel."""
        return 1.0, 1.0

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Tokens that attend to those of ``memory``, which come first, and to each other."""
        query, key, value = self.project(x)
        if memory is not None:
            key, value = torch.cat([memory[0], key], dim=1), torch.cat([memory[1], value], dim=1)
        query, key, value = (
            part.reshape(*part.shape[:2], self.attn.heads, HEAD_WIDTH).transpose(1, 2) for part in (query, key, value)
        )
        weights = (query @ key.transpose(-2, -1) * HEAD_WIDTH**-0.5).softmax(dim=-1)
        mixed = self.attn.proj((weights @ value).transpose(1, 2).reshape(x.shape))
        of_attention, of_mlp = self.scales()
        x = x + of_attention * mixed
        return x + of_mlp * self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Non-overlapping patches to tokens ``[1, cells, width]``, row-major."""

    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


class CenterHead(nn.Module):
    """Three independent convolution towers: score, offset in the cell, size."""

    def __init__(self, inputs: int, width: int = 256):
        super().__init__()
        for name, outputs in (("ctr", 1), ("offset", 2), ("size", 2)):
            channels = [inputs, width, width // 2, width // 4, width // 8]
            for i in range(4):
                self.add_module(f"conv{i + 1}_{name}", conv_bn_relu(channels[i], channels[i + 1]))
            self.add_module(f"conv5_{name}", nn.Conv2d(channels[4], outputs, 1))

    def tower(self, name: str, x: Tensor) -> Tensor:
        for i in range(1, 6):
            x = getattr(self, f"conv{i}_{name}")(x)
        return x

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens ``[B, side^2, inputs]`` to score, size and offset, ``[B, k, side, side]``."""
        b, n, c = tokens.shape
        side = round(n**0.5)
        x = tokens.transpose(1, 2).reshape(b, c, side, side)
        return (clamped_sigmoid(self.tower("ctr", x)), clamped_sigmoid(self.tower("size", x)), self.tower("offset", x))


def cells(size: int) -> int:
    """Number of tokens of an image with ``size`` pixels per side."""
    return (size // PATCH) ** 2


def position(width: int, size: int) -> nn.Parameter:
    """Learned positions of the tokens of an image with ``size`` pixels per side."""
    return nn.Parameter(torch.zeros(1, cells(size), width))


class Backbone(nn.Module):
    """Patch embedding, learned positions, blocks, final norm.

    ``places`` is the number of positions of the pre-training, which this network does not use.
    """

    def __init__(
        self, template_size: int, search_size: int, width: int, blocks: Iterable[nn.Module], places: int = 197
    ):
        super().__init__()
        # The authors' files have these two. This network does not use them, but needs them to load strictly.
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, places, width))
        self.pos_embed_z = position(width, template_size)
        self.pos_embed_x = position(width, search_size)
        self.patch_embed = PatchEmbed(width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.ModuleList(blocks)


class OneStream(nn.Module):
    """A tracker whose blocks mix the tokens of both images. Subclasses give ``track``.

    ``template(z)``: ``[1, 3, template_size, template_size]`` to its tokens ``[1, n, width]``.
    ``track(tokens, x)``: with ``x`` of ``[1, 3, search_size, search_size]`` gives score ``[1, 1, s, s]`` in (0, 1),
    size ``[1, 2, s, s]`` as fractions of the search region and offset ``[1, 2, s, s]`` in cells, with ``s`` of
    ``search_size / 16``. Networks that choose what to compute also take ``chosen``, the choices of another
    implementation, and raise ``ValueError`` if rounding does not explain one.
    """

    def __init__(self, template_size: int, search_size: int, backbone: nn.Module, box_head: CenterHead):
        super().__init__()
        self.template_size, self.search_size = template_size, search_size
        self.backbone, self.box_head = backbone, box_head

    @property
    def blocks(self) -> nn.ModuleList:
        return self.backbone.blocks

    def template(self, image: Tensor) -> Tensor:
        return self.backbone.patch_embed(image) + self.backbone.pos_embed_z

    def tokens(self, template_tokens: Tensor, search: Tensor) -> Tensor:
        """The tokens of both images with their positions, the template's first."""
        return torch.cat([template_tokens, self.backbone.patch_embed(search) + self.backbone.pos_embed_x], dim=1)

    def predict(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The maps of all tokens after the last block."""
        return self.box_head(self.backbone.norm(tokens)[:, cells(self.template_size) :])

    def track(self, template_tokens: Tensor, search: Tensor, *chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raise NotImplementedError

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.track(self.template(template), search)
