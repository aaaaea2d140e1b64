"""CompressTracker: OSTrack-256 (a ViT-B/16 over template and search tokens) compressed to a few transformer blocks.

Parameter names are those of the authors' stripped checkpoints (``compresstracker_vitb_256_{2,3,4,6}``).
Images are RGB, normalised with the ImageNet mean and standard deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .smat import clamped_sigmoid, conv_bn_relu

TEMPLATE_SIZE = 128
SEARCH_SIZE = 256
SCORE_SIZE = 16
PATCH = 16
WIDTH = 768
HEADS = 12
TEMPLATE_TOKENS = (TEMPLATE_SIZE // PATCH) ** 2
SEARCH_TOKENS = (SEARCH_SIZE // PATCH) ** 2
#: Numbers of blocks of the published models.
DEPTHS = (2, 3, 4, 6)


class Attention(nn.Module):
    """Multi-head self-attention with one linear layer for query, key and value, ``[b, n, width]`` -> same shape."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weight = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(dim=-1)
        return self.proj((weight @ v).transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    """Two linear layers with the exact GELU between them, ``[..., width]`` -> same shape."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block over template and search tokens together, ``[b, n, width]`` -> same shape."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Cuts images ``[b, 3, s, s]`` into 16x16 patches and makes tokens ``[b, cells, width]``, row-major."""

    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).transpose(1, 2)


class Backbone(nn.Module):
    """Patch embedding, learned positions, ``depth`` blocks, final norm."""

    def __init__(self, depth: int, width: int, heads: int):
        super().__init__()
        # Not used by this network. They exist because the authors' files contain them and are loaded strictly.
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 197, width))
        self.pos_embed_z = nn.Parameter(torch.zeros(1, TEMPLATE_TOKENS, width))
        self.pos_embed_x = nn.Parameter(torch.zeros(1, SEARCH_TOKENS, width))
        self.patch_embed = PatchEmbed(width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.distill_blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def forward(self, template_tokens: Tensor, search: Tensor) -> Tensor:
        """Template tokens ``[b, 64, width]`` and search image ``[b, 3, 256, 256]`` to all tokens ``[b, 320, width]``.

        The template's tokens already contain their positions and are the first 64 of the result.
        """
        x = torch.cat([template_tokens, self.patch_embed(search) + self.pos_embed_x], dim=1)
        for block in self.distill_blocks:
            x = block(x)
        return self.norm(x)


class CenterHead(nn.Module):
    """Three independent convolution towers: ``[b, inputs, 16, 16]`` to score, size, and offset in the cell."""

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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (clamped_sigmoid(self.tower("ctr", x)), clamped_sigmoid(self.tower("size", x)), self.tower("offset", x))


class CompressTracker(nn.Module):
    """The complete network with ``depth`` blocks.

    ``template(z)``: ``[1, 3, 128, 128]`` to its tokens ``[1, 64, width]``.
    ``track(tokens, x)``: with ``x`` of ``[1, 3, 256, 256]`` gives score ``[1, 1, 16, 16]`` in (0, 1),
    size ``[1, 2, 16, 16]`` as fractions of the search region and offset ``[1, 2, 16, 16]`` in cells.
    """

    def __init__(self, depth: int = 4, width: int = WIDTH, heads: int = HEADS, head_width: int = 256):
        super().__init__()
        self.backbone = Backbone(depth, width, heads)
        self.box_head = CenterHead(width, head_width)

    def template(self, image: Tensor) -> Tensor:
        return self.backbone.patch_embed(image) + self.backbone.pos_embed_z

    def track(self, template_tokens: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tokens = self.backbone(template_tokens, search)[:, TEMPLATE_TOKENS:]
        b, n, c = tokens.shape
        return self.box_head(tokens.transpose(1, 2).reshape(b, c, SCORE_SIZE, SCORE_SIZE))

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.track(self.template(template), search)
